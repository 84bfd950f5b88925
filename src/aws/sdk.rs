//! How AWS's SDK is set up: its own chain of credentials, Region and endpoints, nothing that goes around the budget, and a
//! name by which CloudTrail knows the operator.

use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_runtime::invocation_id::InvocationIdInterceptor;
use aws_runtime::request_info::RequestInfoInterceptor;
use aws_runtime::user_agent::UserAgentInterceptor;
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, disable_interceptor, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::retry::RetryConfig;
use hyper::header::USER_AGENT;

/// Where nothing names a Region: IAM is global in the commercial partition, and signs for this one.
const DEFAULT_REGION: Region = Region::from_static("us-east-1");

/// What the operator is called in CloudTrail, and by what it speaks.
macro_rules! agent {
    ($sdk:ident) => {
        format!("{}/{} aws-sdk-rust/{}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), $sdk::meta::PKG_VERSION)
    };
}

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

/// A client of IAM.
pub fn iam(config: &SdkConfig) -> aws_sdk_iam::Client {
    let named = Named::new(agent!(aws_sdk_iam), config);
    aws_sdk_iam::Client::from_conf(aws_sdk_iam::config::Builder::from(config).interceptor(named).build())
}

/// A client of STS.
pub fn sts(config: &SdkConfig) -> aws_sdk_sts::Client {
    let named = Named::new(agent!(aws_sdk_sts), config);
    aws_sdk_sts::Client::from_conf(aws_sdk_sts::config::Builder::from(config).interceptor(named).build())
}

/// Names the operator in the header that CloudTrail records as `userAgent`.
///
/// The SDK names itself, its machine and its settings there, and puts that together anew for every call, out of some sixty
/// pieces; and it counts attempts in another header and ties them together by a third, where there is only ever one.
#[derive(Debug)]
struct Named(String);

impl Named {
    /// `AWS_SDK_UA_APP_ID`, or the profile's, stays part of it.
    fn new(agent: String, config: &SdkConfig) -> Self {
        Self(match config.app_name() {
            Some(application) => format!("{agent} app/{application}"),
            None => agent,
        })
    }
}

#[dyn_dispatch_hint]
impl Intercept for Named {
    fn name(&self) -> &'static str {
        "Named"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        call: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        call.interceptor_state().store_put(disable_interceptor::<UserAgentInterceptor>("the operator names itself"));
        call.interceptor_state().store_put(disable_interceptor::<RequestInfoInterceptor>("nothing is tried again"));
        call.interceptor_state().store_put(disable_interceptor::<InvocationIdInterceptor>("nothing is tried again"));
        Ok(())
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        context.request_mut().headers_mut().try_insert(USER_AGENT, self.0.clone())?;
        Ok(())
    }
}
