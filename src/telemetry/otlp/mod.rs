//! Exports traces by OTLP (`HTTP/protobuf`): in batches, from a separate thread with a bounded queue.
//!
//! Traces that cannot be exported are dropped: a slow or unreachable collector never delays the work. The SDK's own
//! variables apply: `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`,
//! `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`.

mod client;

use std::time::Duration;

use aws_smithy_http_client::proxy::ProxyConfig;
use hyper::Uri;
use hyper::http::uri::Scheme;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, filter_fn};

use super::Exporter;
use super::trace::TARGET;
use client::Client;

/// The standard variable for the same setting (OpenTelemetry, "OTLP exporter configuration").
pub const STANDARD_VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// Where an OTLP/HTTP collector takes traces, below its base URL (OTLP specification 1.x, "OTLP/HTTP Request").
const PATH: &str = "/v1/traces";
/// One export, including its retries, takes no longer.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// At exit, buffered spans have this long to be exported.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// Not a URL of a collector.
    #[error("{given:?} is not a collector's URL: write it as http://HOST:4318 or https://HOST:4318")]
    Url {
        /// As given.
        given: String,
    },
    /// User and password in the URL, which would end up in logs and is not sent.
    #[error("a collector's URL has no user or password: set OTEL_EXPORTER_OTLP_HEADERS instead")]
    UserInfo,
    /// The SDK refuses its variables.
    #[error("the trace exporter rejects the OTEL_* variables: {0}")]
    Exporter(#[from] ExporterBuildError),
}

/// Where traces go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Uri);

impl Endpoint {
    /// The collector of this base URL; a URL that ends in `/v1/traces` already is taken as it is.
    ///
    /// # Errors
    /// If it is not an `http` or `https` URL with a host, or carries a user.
    pub fn parse(url: &str) -> Result<Self, OtlpError> {
        let wrong = || OtlpError::Url { given: url.to_owned() };
        let base: Uri = url.parse().map_err(|_| wrong())?;
        if base.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(OtlpError::UserInfo);
        }
        let web = base.scheme() == Some(&Scheme::HTTP) || base.scheme() == Some(&Scheme::HTTPS);
        if !web || base.host().is_none_or(str::is_empty) || base.query().is_some() {
            return Err(wrong());
        }
        let base = url.trim_end_matches('/');
        let base = base.strip_suffix(PATH).unwrap_or(base);
        format!("{base}{PATH}").parse().map(Self).map_err(|_| wrong())
    }

    /// Where exports are sent.
    pub fn url(&self) -> &Uri {
        &self.0
    }

    /// The flag takes precedence; if it is empty, nothing is exported. Without the flag the standard variable decides, in
    /// which empty means unset.
    ///
    /// # Errors
    /// Those of [`Endpoint::parse`].
    pub fn choose(flag: Option<&str>, standard: Option<&str>) -> Result<Option<Self>, OtlpError> {
        flag.or(standard).filter(|url| !url.is_empty()).map(Self::parse).transpose()
    }
}

/// An exporter of the spans of [`super::trace`]. Its requests run on `runtime`: flush it before that ends. `proxy` is how
/// they reach the collector.
///
/// # Errors
/// If a variable of the SDK is wrong.
pub fn exporter(
    endpoint: &Endpoint,
    instance: Option<&str>,
    proxy: ProxyConfig,
    runtime: &Handle,
) -> Result<Exporter, OtlpError> {
    let uri = &endpoint.0;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Client::new(uri, proxy, EXPORT_TIMEOUT, runtime))
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(uri.to_string())
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let provider = SdkTracerProvider::builder().with_resource(resource(instance)).with_batch_exporter(exporter).build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(env!("CARGO_PKG_NAME")))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
        .with_level(false)
        .with_filter(filter_fn(|metadata| metadata.target() == TARGET).with_max_level_hint(LevelFilter::DEBUG));
    Ok(Exporter {
        layer: Box::new(layer),
        flush: Box::new(move || {
            if let Err(error) = provider.shutdown_with_timeout(FLUSH_TIMEOUT) {
                tracing::debug!(%error, "the last traces were not exported");
            }
        }),
    })
}

/// Resource attributes: ours, unless the standard variables override them.
fn resource(instance: Option<&str>) -> Resource {
    let name = std::env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty());
    let mut resource = Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_service_name(env!("CARGO_PKG_NAME"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if let Some(instance) = instance {
        resource = resource.with_attribute(KeyValue::new("service.instance.id", instance.to_owned()));
    }
    resource = resource.with_detector(Box::new(EnvResourceDetector::new()));
    if let Some(name) = name {
        resource = resource.with_service_name(name);
    }
    resource.build()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn traces_go_below_the_collectors_url() {
        for (given, used) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://collector/otlp", "https://collector/otlp/v1/traces"),
            ("http://[::1]:4318/v1/traces", "http://[::1]:4318/v1/traces"),
        ] {
            assert_eq!(Endpoint::parse(given).unwrap().0, used, "{given}");
        }
    }

    #[test]
    fn an_invalid_collector_url_is_rejected_in_one_sentence() {
        for given in ["collector:4318", "collector", "grpc://collector:4317", "http://", "http://c/?x=1", "http://a b"]
        {
            let text = Endpoint::parse(given).unwrap_err().to_string();
            assert!(text.contains(given) && text.contains("http://HOST:4318"), "{text}");
        }
        let text = Endpoint::parse("http://me:secret@collector:4318").unwrap_err().to_string();
        assert!(!text.contains("secret") && text.contains("OTEL_EXPORTER_OTLP_HEADERS"), "{text}");
    }

    #[test]
    fn the_flag_takes_precedence_and_an_empty_flag_disables_export() {
        let (a, b) = (Some("http://a"), Some("http://b"));
        let chosen = |flag, standard| Endpoint::choose(flag, standard).unwrap();
        assert_eq!(chosen(a, b), Some(Endpoint::parse("http://a").unwrap()));
        assert_eq!(chosen(None, b), Some(Endpoint::parse("http://b").unwrap()));
        assert_eq!((chosen(Some(""), b), chosen(None, Some("")), chosen(None, None)), (None, None, None));
    }
}
