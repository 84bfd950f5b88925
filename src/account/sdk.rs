//! How AWS's SDK is set up: its own chain of credentials, Region and endpoints, and nothing that goes around the budget.

use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_types::retry::RetryConfig;

/// Where nothing names a Region: IAM is global in the commercial partition, and signs for this one.
const DEFAULT_REGION: Region = Region::from_static("us-east-1");

/// The configuration, with an HTTP client that all clients share.
pub async fn config() -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build_https();
    load(SharedHttpClient::new(http)).await
}

/// The configuration anew, over the same HTTP client: the environment and profiles are read once for each.
pub(super) async fn load(http: SharedHttpClient) -> SdkConfig {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        // They would go around the budget.
        .retry_config(RetryConfig::disabled())
        // Every call has a timeout of its own, and so has the chain of credentials.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .load()
        .await;
    if config.region().is_some() {
        return config;
    }
    config.into_builder().region(DEFAULT_REGION).build()
}
