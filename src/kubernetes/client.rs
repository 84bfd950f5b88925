//! Clients for the Kubernetes API server: kube's own, with a read timeout, proxies and respect for `Retry-After`.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tower::Service;
use tower::layer::layer_fn;

use super::kubeconfig::{self, Loaded};
use super::token_file::TokenFile;
use crate::model::proxies::{Proxies, Proxy, ProxyError};

/// The longest pause that is respected; API priority and fairness never asks for more.
const LONGEST_PAUSE: Duration = Duration::from_secs(32);

/// Timeout for a new connection: TCP, TLS, and the proxy if there is one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// The configuration of a client and the proxy that it uses. `file` and `context` choose a kubeconfig and a context in it;
/// without both, the Pod's service account is used if there is no kubeconfig.
///
/// A `proxy-url` in the kubeconfig decides, as with kubectl. Otherwise the environment does, in a Pod too. kube itself
/// compares `NO_PROXY` with the proxy's own address, and ignores the variables in a Pod.
///
/// # Errors
/// If there is no access to Kubernetes, or a proxy's URL is not valid.
pub async fn config(file: Option<&Path>, context: Option<&str>) -> anyhow::Result<(kube::Config, Option<Proxy>)> {
    // Before kube, whose errors name no variable.
    let proxies = Proxies::from_env()?;
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let mut own_proxy = None;
    let mut config = match chosen(kubeconfig::load(file)?, file.is_some() || context.is_some()) {
        Ok(Loaded { files, kubeconfig }) => {
            own_proxy = proxy_url(&kubeconfig, context).map(str::to_owned);
            let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
            config.map_err(|error| anyhow!("{files}: {error}"))?
        }
        // As with client-go: a kubeconfig with an error is an error, and none is not.
        Err(why) => kube::Config::incluster().map_err(|error| anyhow!("{why}, and this is not a Pod: {error}"))?,
    };
    let proxy = match own_proxy {
        Some(url) => Some(Proxy::parse("proxy-url in the kubeconfig", &url)?),
        None => proxies.of(&config.cluster_url).cloned(),
    };
    config.proxy_url = proxy.as_ref().map(|proxy| proxy.url().clone());
    Ok((config, proxy))
}

/// The kubeconfig, if it is there and names a context; else the reason why the Pod's service account is used.
fn chosen(loaded: Result<Loaded, String>, required: bool) -> Result<Loaded, String> {
    match loaded {
        Ok(loaded) if !required && loaded.kubeconfig.current_context.is_none() => {
            Err(format!("{}: current-context is not set; set it, or choose one with --context", loaded.files))
        }
        loaded => loaded,
    }
}

/// A client with a connection pool of its own. `waits`: a response that says when to try again is delayed until then.
///
/// # Errors
/// If certificates, keys, tokens or names in the configuration are not valid.
pub fn client(mut config: kube::Config, waits: bool) -> anyhow::Result<kube::Client> {
    let token = config.auth_info.token_file.take().map(|file| TokenFile::open(file.into())).transpose()?.map(Arc::new);
    let plugin =
        config.auth_info.exec.as_ref().and_then(|exec| Some((exec.command.clone()?, exec.install_hint.clone())));
    let builder = ClientBuilder::try_from(config).map_err(|error| match plugin {
        // kube's message does not name it.
        Some((command, hint)) => anyhow!("{error} (credential plugin {command}) {}", hint.unwrap_or_default()),
        None => anyhow!(error),
    });
    let builder = builder.context("the Kubernetes client cannot be created from its configuration")?;
    let builder = builder.with_layer(&layer_fn(|inner| WithToken { inner, token: token.clone() }));
    Ok(if waits { builder.with_layer(&layer_fn(|inner| RetryAfter { inner })).build() } else { builder.build() })
}

/// `proxy-url` of the cluster that a context names.
fn proxy_url<'k>(kubeconfig: &'k Kubeconfig, context: Option<&str>) -> Option<&'k str> {
    let context = context.or(kubeconfig.current_context.as_deref())?;
    let context = kubeconfig.contexts.iter().find(|named| named.name == context)?.context.as_ref()?;
    let cluster = kubeconfig.clusters.iter().find(|named| named.name == context.cluster)?.cluster.as_ref()?;
    cluster.proxy_url.as_deref().filter(|url| !url.is_empty())
}

/// How the operator reaches the API server.
pub struct ApiServer(kube::Config);

impl ApiServer {
    /// Reads the kubeconfig, or the Pod's service account, and sends nothing yet. `read_timeout`: a connection on which a
    /// request or a watch waits for longer than this without a byte is closed.
    ///
    /// # Errors
    /// Those of [`config`].
    pub async fn infer(read_timeout: Duration) -> anyhow::Result<Self> {
        let (mut config, proxy) = config(None, None).await.map_err(|error| match error.downcast::<ProxyError>() {
            Ok(error) => anyhow!(error),
            Err(error) => {
                error.context("no access to Kubernetes: run in a Pod with a service account, or set KUBECONFIG")
            }
        })?;
        if let Some(proxy) = proxy {
            tracing::info!(%proxy, api_server = %config.cluster_url, "the API server is reached through a proxy");
        }
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(read_timeout);
        // Otherwise the time that a connection was idle before a request would count.
        config.reset_reader_on_write = true;
        // kube would repeat a refused request up to 15 times. Watches, reconciles and the lease have their own backoff.
        config.default_retry = false;
        let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
        config.headers.push((USER_AGENT, HeaderValue::from_static(agent)));
        Ok(Self(config))
    }

    /// A client with a connection pool of its own.
    ///
    /// # Errors
    /// Those of [`client`].
    pub fn client(&self) -> anyhow::Result<kube::Client> {
        client(self.0.clone(), true)
    }
}

/// Adds the token of `tokenFile` to each request.
struct WithToken<S> {
    inner: S,
    token: Option<Arc<TokenFile>>,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for WithToken<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if let Some(token) = &self.token {
            request.headers_mut().insert(AUTHORIZATION, token.header());
        }
        self.inner.call(request)
    }
}

/// Delays a response that says when to try again (429 or 503 with `Retry-After`) until that time. A caller with a shorter
/// timeout gives up first and reports a timeout.
struct RetryAfter<S> {
    inner: S,
}

impl<S, Q, A> Service<Request<Q>> for RetryAfter<S>
where
    S: Service<Request<Q>, Response = Response<A>>,
    S::Future: Send + 'static,
    S::Error: Send,
    A: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            if let Some(pause) = pause(answer.status(), answer.headers()) {
                tracing::debug!(
                    status = answer.status().as_u16(),
                    ?pause,
                    "the API server is busy; waiting as long as Retry-After says"
                );
                tokio::time::sleep(pause).await;
            }
            Ok(answer)
        })
    }
}

fn pause(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_respected_for_429_and_503_only() {
        let asked = |status: u16, header: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.extend(header.map(|text| (RETRY_AFTER, HeaderValue::from_static(text))));
            pause(StatusCode::from_u16(status).unwrap(), &headers)
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (status, header, expected) in [
            (429, Some("2"), seconds(2)),
            (503, Some("1"), seconds(1)),
            (429, Some("86400"), Some(LONGEST_PAUSE)),
            (429, None, None),
            (429, Some("Wed, 21 Oct 2026 07:28:00 GMT"), None),
            (500, Some("2"), None),
            (200, Some("2"), None),
        ] {
            assert_eq!(asked(status, header), expected, "{status} {header:?}");
        }
    }

    #[test]
    fn the_proxy_is_that_of_the_contexts_cluster() {
        let kubeconfig: Kubeconfig = serde_json::from_value(serde_json::json!({
            "current-context": "b",
            "clusters": [
                { "name": "one", "cluster": { "server": "https://one", "proxy-url": "http://proxy:3128" } },
                { "name": "two", "cluster": { "server": "https://two" } },
            ],
            "contexts": [
                { "name": "a", "context": { "cluster": "one", "user": "u" } },
                { "name": "b", "context": { "cluster": "two", "user": "u" } },
            ],
        }))
        .unwrap();
        assert_eq!(proxy_url(&kubeconfig, Some("a")), Some("http://proxy:3128"));
        assert_eq!(proxy_url(&kubeconfig, None), None);
        assert_eq!(proxy_url(&kubeconfig, Some("lost")), None);
    }
}
