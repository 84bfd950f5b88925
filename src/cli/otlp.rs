//! The exporter of traces, from the flag and the environment.

use anyhow::Context as _;
use aws_smithy_http_client::proxy::ProxyConfig;
use tokio::runtime::Handle;

use crate::aws::http::proxy_config;
use crate::model::proxies::Proxies;
use crate::telemetry::Exporter;
use crate::telemetry::otlp::{self, Endpoint};

/// `None` if neither the flag nor the standard variable names a collector. `instance` identifies this process in the traces.
///
/// # Errors
/// They name the flag or variable that is wrong.
pub(super) fn exporter(
    flag: Option<&str>,
    instance: Option<&str>,
    runtime: &Handle,
) -> anyhow::Result<Option<Exporter>> {
    let source = if flag.is_some() { "--otlp-endpoint" } else { otlp::STANDARD_VARIABLE };
    let standard = std::env::var(otlp::STANDARD_VARIABLE).ok();
    let Some(endpoint) = Endpoint::choose(flag, standard.as_deref()).context(source)? else { return Ok(None) };
    let proxies = Proxies::from_env()?;
    let proxy = proxies.of(endpoint.url()).map_or_else(|| Ok(ProxyConfig::disabled()), proxy_config)?;
    otlp::exporter(&endpoint, instance, proxy, runtime).map(Some).context(source)
}
