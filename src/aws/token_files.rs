//! Token files of EKS (IAM roles for service accounts, Pod Identity) with white space around the token, such as a line break at
//! the end. Kubernetes clients ignore it. The AWS SDK sends the file as it is, or refuses it as a header.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail, ensure};
use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorSettings};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use http_body_util::{BodyExt, Limited};
use hyper::Uri;
use jiff::Timestamp;
use serde::Deserialize;

use super::{http, sdk};

const WEB_IDENTITY: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
const CONTAINER: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
/// For connecting and for each read, as in the SDK.
const TIMEOUT: Duration = Duration::from_secs(2);
const MAX_ANSWER: usize = 64 * 1024;
/// Where AWS's agents on the node listen: ECS, EKS Pod Identity. No other host without TLS gets the token.
const AGENTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// The token file that the environment names.
pub(super) struct TokenFile {
    variable: &'static str,
    path: String,
    /// The token, if the file has white space around it.
    padded: Option<String>,
}

impl TokenFile {
    /// The first that the SDK's chain uses.
    pub(super) fn from_env() -> Option<Self> {
        let (variable, path) = [WEB_IDENTITY, CONTAINER].into_iter().find_map(|name| Some((name, variable(name)?)))?;
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let padded = (text.trim() != text && !text.trim().is_empty()).then(|| text.trim().to_owned());
        Some(Self { variable, path, padded })
    }

    /// Which file it is, for errors: the SDK's do not say it.
    pub(super) fn shown(&self) -> String {
        format!("{}={}", self.variable, self.path)
    }

    /// The credentials for the token without the white space; `None` if there is none, so that the SDK's error stands.
    pub(super) async fn credentials(&self, config: &SdkConfig) -> Option<anyhow::Result<Credentials>> {
        let token = self.padded.as_deref()?;
        Some(if self.variable == WEB_IDENTITY { web_identity(config, token).await } else { container(token).await })
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

async fn web_identity(config: &SdkConfig, token: &str) -> anyhow::Result<Credentials> {
    let answer = sdk::sts(config)
        .assume_role_with_web_identity()
        .role_arn(variable("AWS_ROLE_ARN").context("AWS_ROLE_ARN is not set")?)
        .role_session_name(variable("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned()))
        .web_identity_token(token)
        .send()
        .await?;
    let keys = answer.credentials.context("the response of sts:AssumeRoleWithWebIdentity has no credentials")?;
    let expires = SystemTime::try_from(keys.expiration).ok();
    let token = Some(keys.session_token);
    Ok(Credentials::new(keys.access_key_id, keys.secret_access_key, token, expires, "WebIdentityToken"))
}

/// What the agents answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<Timestamp>,
}

async fn container(token: &str) -> anyhow::Result<Credentials> {
    let name = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    let url = variable(name).with_context(|| format!("{name} is not set"))?;
    ensure!(may_get_the_token(&url.parse()?), "{name} is neither an https URL nor an agent on this node");
    let mut request = HttpRequest::get(url)?;
    // Without the source: it could show the token.
    let added = request.headers_mut().try_insert("authorization", token.to_owned());
    ensure!(added.is_ok(), "the token holds more than one line");
    let settings = HttpConnectorSettings::builder().connect_timeout(TIMEOUT).read_timeout(TIMEOUT).build();
    let answer = http::connector(ProxyConfig::disabled(), Some(settings)).call(request).await?.try_into_http1x()?;
    let (head, body): (_, SdkBody) = answer.into_parts();
    if !head.status.is_success() {
        bail!("the credentials endpoint answers HTTP {}", head.status.as_u16());
    }
    let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(anyhow::Error::from_boxed)?.to_bytes();
    let keys: Answer = serde_json::from_slice(&body).ok().context("the credentials endpoint answers no credentials")?;
    let expires = keys.expiration.map(SystemTime::from);
    Ok(Credentials::new(keys.access_key_id, keys.secret_access_key, keys.token, expires, "EcsContainer"))
}

fn may_get_the_token(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_agent = |address: IpAddr| address.is_loopback() || AGENTS.iter().any(|agent| agent.parse() == Ok(address));
    url.scheme_str() == Some("https") || url.scheme_str() == Some("http") && host.parse().is_ok_and(is_agent)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn the_token_goes_to_agents_on_the_node_and_to_https_only() {
        for (url, may) in [
            ("http://169.254.170.23/v1/credentials", true),
            ("http://[fd00:ec2::23]/v1/credentials", true),
            ("http://127.0.0.1:8080/", true),
            ("https://credentials.example.com/", true),
            ("http://169.254.169.254/", false),
            ("http://credentials.example.com/", false),
            ("http://localhost/", false),
            ("/v1/credentials", false),
        ] {
            assert_eq!(may_get_the_token(&url.parse().unwrap()), may, "{url}");
        }
    }
}
