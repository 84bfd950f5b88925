//! The client for the API server: by which protocol, for how long silence is borne, and that it is asked again only when it
//! says.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use http_body_util::Either;
use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt};
use tower::layer::layer_fn;
use tower::timeout::TimeoutLayer;
use tower::{BoxError, Service, ServiceBuilder};
use tower_http::timeout::TimeoutBody;

/// The API server's own limit to what it asks for, with priority and fairness.
const LONGEST_PAUSE: Duration = Duration::from_secs(32);

/// TCP and TLS; as kube's own client has it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A shared connection that nothing has come from for this part of the longest silence is pinged, and is dead if as much
/// again passes without an answer. The requests that share it fail one by one without closing it.
const PINGS: u32 = 12;

/// How the API server that the environment names is spoken to.
pub struct ApiServer {
    config: kube::Config,
    silence: Duration,
}

/// What requests have their connections for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Connections {
    /// All of them share one, by HTTP/2, if the API server speaks that.
    Shared,
    /// Each has one while it lasts, by HTTP/1: a request that is given up closes it, and the next begins anew at once.
    Own,
}

impl ApiServer {
    /// Of the kubeconfig, or of the Pod's service account; nothing is asked of it yet. A list or watch that
    /// nothing comes of for `silence`, an answer or the next part of it, fails.
    ///
    /// # Errors
    /// If the environment names none, or nothing that makes sense.
    pub async fn infer(silence: Duration) -> anyhow::Result<Self> {
        let mut config = kube::Config::infer()
            .await
            .context("no access to Kubernetes: run in a Pod with a service account, or set KUBECONFIG")?;
        ensure!(
            config.proxy_url.is_none(),
            "`run` cannot reach the API server by a proxy, which the kubeconfig (`proxy-url`) or HTTPS_PROXY asks for: remove it, \
             or run in a Pod"
        );
        let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
        config.headers.push((USER_AGENT, HeaderValue::from_static(agent)));
        Ok(Self { config, silence })
    }

    /// A client. It does not repeat what is refused: kube's own would, up to 15 times, a few milliseconds later at first and
    /// minutes later at last; watches, reconciles and the lease have pauses of their own.
    ///
    /// # Errors
    /// If certificates, keys or names in the configuration make no sense.
    pub fn client(&self, connections: Connections) -> anyhow::Result<kube::Client> {
        self.stack(connections).context("Kubernetes' client cannot be made from its configuration")
    }

    /// kube's stack knows HTTP/1 only; this is put together from its parts.
    fn stack(&self, connections: Connections) -> anyhow::Result<kube::Client> {
        let config = &self.config;
        let mut tls = HttpsConnectorBuilder::new().with_tls_config(config.rustls_client_config()?).https_or_http();
        if let Some(name) = &config.tls_server_name {
            tls = tls.with_server_name_resolver(FixedServerNameResolver::new(name.clone().try_into()?));
        }
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = match connections {
            Connections::Shared => tls.enable_all_versions().wrap_connector(tcp),
            Connections::Own => tls.enable_http1().wrap_connector(tcp),
        };
        let within = ServiceBuilder::new().map_future(Box::pin).layer(TimeoutLayer::new(CONNECT_TIMEOUT));
        let pool: Pool<_, Body> = Pool::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .http2_keep_alive_interval(self.silence / PINGS)
            .http2_keep_alive_timeout(self.silence / PINGS)
            .build(within.service(connector));
        let service = ServiceBuilder::new()
            .layer(layer_fn(|inner| Patient { inner, silence: self.silence }))
            .layer(config.base_uri_layer())
            .option_layer(config.auth_layer()?)
            .layer(config.extra_headers_layer()?)
            .map_err(BoxError::from)
            .service(pool);
        Ok(kube::Client::new(service, config.default_namespace.clone()))
    }
}

/// Gives up lists and watches that stay silent: whatever else is asked has shorter limits of its own. Holds an answer back
/// that says when to ask again, until then: whoever asked asks again later than that.
struct Patient<S> {
    inner: S,
    silence: Duration,
}

impl<S, Q, A> Service<Request<Q>> for Patient<S>
where
    S: Service<Request<Q>, Response = Response<A>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send,
    A: Send,
{
    type Response = Response<Either<Pin<Box<TimeoutBody<A>>>, A>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let silence = (request.method() == Method::GET).then_some(self.silence);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = match silence {
                Some(silence) => tokio::time::timeout(silence, answer).await?,
                None => answer.await,
            };
            let answer = answer.map_err(Into::into)?;
            if let Some(pause) = pause(answer.status(), answer.headers()) {
                tokio::time::sleep(pause).await;
            }
            Ok(answer.map(|body| match silence {
                Some(silence) => Either::Left(Box::pin(TimeoutBody::new(silence, body))),
                None => Either::Right(body),
            }))
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
mod tests {
    use super::*;

    #[test]
    fn only_a_busy_server_that_says_when_is_waited_for() {
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
}
