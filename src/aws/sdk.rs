//! Sets up the AWS SDK: its own credentials chain, Region and endpoints, no retries that bypass the rate limit, and the
//! application name that CloudTrail shows.

use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;

use super::http;
use crate::model::proxies::{Proxies, ProxyError};

/// Used if no Region is configured: in the commercial partition, requests to IAM are signed for this Region.
const DEFAULT_REGION: Region = Region::from_static("us-east-1");

/// The configuration, with an HTTP client that all clients share.
///
/// # Errors
/// If a proxy variable is not valid.
pub async fn config() -> Result<SdkConfig, ProxyError> {
    Ok(load(http::client(Proxies::from_env()?)?).await)
}

/// Loads the configuration, with this HTTP client. Each call reads the environment and the profiles again.
pub(super) async fn load(http: SharedHttpClient) -> SdkConfig {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        // Retries by the SDK would bypass the rate limit.
        .retry_config(RetryConfig::disabled())
        // Every call has its own timeout, and so does the credentials chain.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .load()
        .await;
    let (region, app_name) = (config.region().cloned(), config.app_name().cloned());
    let mut builder = config.into_builder().region(region.unwrap_or(DEFAULT_REGION));
    // `AWS_SDK_UA_APP_ID` and the profile's `sdk_ua_app_id` take precedence.
    builder.set_app_name(app_name.or_else(|| AppName::new(env!("CARGO_PKG_NAME")).ok()));
    builder.build()
}

/// A client of IAM.
pub fn iam(config: &SdkConfig) -> aws_sdk_iam::Client {
    aws_sdk_iam::Client::new(config)
}

/// A client of STS.
pub fn sts(config: &SdkConfig) -> aws_sdk_sts::Client {
    aws_sdk_sts::Client::new(config)
}
