//! HTTP for the AWS SDK: rustls with ring, directly or through a proxy.

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::{Builder, Connector, tls};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use crate::model::proxies::{Proxies, Proxy, ProxyError};

/// A client that sends each request through the proxy that the variables name for it. The SDK's own
/// `ProxyConfig::from_env` ignores ports in `NO_PROXY`, and would send the token for AWS's credential endpoints on the node
/// to the proxy.
pub(super) fn client(proxies: Proxies) -> Result<SharedHttpClient, ProxyError> {
    let through: Result<Vec<_>, _> =
        proxies.all().map(|proxy| Ok((proxy.clone(), connect(proxy_config(proxy)?)))).collect();
    let (direct, through) = (connect(ProxyConfig::disabled()), through?);
    Ok(if through.is_empty() { direct } else { SharedHttpClient::new(Routes { proxies, direct, through }) })
}

/// The SDK's configuration of a proxy for everything.
///
/// # Errors
/// If it is a SOCKS proxy.
pub fn proxy_config(proxy: &Proxy) -> Result<ProxyConfig, ProxyError> {
    ProxyConfig::all(proxy.http_url()?.clone()).map_err(|_| ProxyError::Url(proxy.to_string()))
}

fn connect(proxy: ProxyConfig) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, _| connector(proxy.clone(), settings.cloned()))
}

/// A connector that sends everything through this proxy.
pub(super) fn connector(proxy: ProxyConfig, settings: Option<HttpConnectorSettings>) -> Connector {
    let mut builder = Connector::builder().proxy_config(proxy);
    builder.set_connector_settings(settings);
    builder.tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring)).build()
}

/// Clients or connectors: one without a proxy, and one for each proxy.
#[derive(Debug)]
struct Routes<C> {
    proxies: Proxies,
    direct: C,
    through: Vec<(Proxy, C)>,
}

impl HttpClient for Routes<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let connector = |client: &SharedHttpClient| client.http_connector(settings, components);
        SharedHttpConnector::new(Routes {
            proxies: self.proxies.clone(),
            direct: connector(&self.direct),
            through: self.through.iter().map(|(proxy, client)| (proxy.clone(), connector(client))).collect(),
        })
    }
}

impl HttpConnector for Routes<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let proxy = request.uri().parse().ok().and_then(|url| self.proxies.of(&url));
        let through = self.through.iter().find(|(known, _)| proxy.is_some_and(|proxy| known.url() == proxy.url()));
        through.map_or(&self.direct, |(_, connector)| connector).call(request)
    }
}
