//! The exporter's HTTP client: hyper, and rustls with ring, as for everything else that the operator calls.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use async_trait::async_trait;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;

use super::EXPORT_TIMEOUT;

/// An answer says what was rejected; more than this is no answer of a collector.
const MAX_ANSWER: usize = 64 * 1024;

/// Sends exports from the exporter's thread by way of the operator's runtime, and says when that begins to fail.
pub(super) struct Client<C> {
    pool: Pool<C, Full<Bytes>>,
    runtime: Handle,
    collector: Uri,
    failing: AtomicBool,
}

impl<C> fmt::Debug for Client<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("collector", &self.collector).finish_non_exhaustive()
    }
}

impl Client<HttpConnector> {
    /// Without TLS, and without a need for root certificates.
    pub(super) fn http(collector: &Uri, runtime: &Handle) -> Self {
        Self::new(HttpConnector::new(), collector, runtime)
    }
}

impl Client<HttpsConnector<HttpConnector>> {
    /// With TLS and the system's root certificates.
    pub(super) fn https(collector: &Uri, runtime: &Handle) -> io::Result<Self> {
        let connector = HttpsConnectorBuilder::new().with_native_roots()?.https_only().enable_http1().build();
        Ok(Self::new(connector, collector, runtime))
    }
}

impl<C> Client<C>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    fn new(connector: C, collector: &Uri, runtime: &Handle) -> Self {
        Self {
            pool: Pool::builder(TokioExecutor::new()).build(connector),
            runtime: runtime.clone(),
            collector: collector.clone(),
            failing: AtomicBool::new(false),
        }
    }

    /// One line when exporting begins to fail, one when it works again.
    fn report(&self, result: &anyhow::Result<Response<Bytes>>) {
        let failure = match result {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answers {}", answer.status())),
            Err(error) => Some(format!("{error:#}")),
        };
        match failure {
            Some(error) if !self.failing.swap(true, Ordering::Relaxed) => tracing::warn!(
                collector = %self.collector,
                error,
                "traces cannot be exported and are dropped: check --otlp-endpoint, the collector and the network policy"
            ),
            None if self.failing.swap(false, Ordering::Relaxed) => {
                tracing::info!(collector = %self.collector, "traces are exported again");
            }
            _ => {}
        }
    }
}

#[async_trait]
impl<C> HttpClient for Client<C>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // The exporter's thread has no runtime.
        let exchange = self.runtime.spawn(exchange(self.pool.clone(), request));
        let result = match exchange.await {
            Ok(result) => result,
            // The runtime has ended: nobody is left to tell.
            Err(error) => return Err(error.into()),
        };
        self.report(&result);
        Ok(result?)
    }
}

async fn exchange<C>(pool: Pool<C, Full<Bytes>>, request: Request<Bytes>) -> anyhow::Result<Response<Bytes>>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let whole = async {
        let answer = pool.request(request.map(Full::new)).await?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(anyhow::Error::from_boxed).context("its answer cannot be read")?;
        Ok(Response::from_parts(head, body.to_bytes()))
    };
    match tokio::time::timeout(EXPORT_TIMEOUT, whole).await {
        Ok(result) => result,
        Err(_) => bail!("no answer within {} s", EXPORT_TIMEOUT.as_secs()),
    }
}
