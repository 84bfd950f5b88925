//! The exporter's HTTP client: the AWS SDK's, which supports proxies, and rustls with ring.
//!
//! The exporter offers reqwest, whose rustls brings a second crypto library, and hyper without TLS and proxies.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use async_trait::async_trait;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_types::body::SdkBody;
use http_body_util::{BodyExt, Limited};
use hyper::Uri;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;

/// The largest answer that is read.
const MAX_ANSWER: usize = 64 * 1024;

/// Sends exports from the exporter's thread on the operator's runtime, and logs when exporting begins to fail.
#[derive(Debug)]
pub(super) struct Client {
    connector: Connector,
    runtime: Handle,
    collector: Uri,
    timeout: Duration,
    failing: AtomicBool,
}

impl Client {
    pub(super) fn new(collector: &Uri, proxy: ProxyConfig, timeout: Duration, runtime: &Handle) -> Self {
        let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        Self {
            connector: Connector::builder().proxy_config(proxy).tls_provider(tls).build(),
            runtime: runtime.clone(),
            collector: collector.clone(),
            timeout,
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
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // The exporter's thread has no runtime.
        let answer = {
            let _runtime = self.runtime.enter();
            self.connector.call(request.map(SdkBody::from).try_into()?)
        };
        let timeout = self.timeout;
        let exchange = self.runtime.spawn(async move {
            let whole = async {
                let (head, body) = answer.await?.try_into_http1x()?.into_parts();
                let body = Limited::new(body, MAX_ANSWER).collect().await;
                let body = body.map_err(anyhow::Error::from_boxed).context("the response cannot be read")?;
                Ok(Response::from_parts(head, body.to_bytes()))
            };
            match tokio::time::timeout(timeout, whole).await {
                Ok(result) => result,
                Err(_) => bail!("no response within {} s", timeout.as_secs()),
            }
        });
        // An error: the runtime has ended, and with it the log.
        let result = exchange.await?;
        self.report(&result);
        Ok(result?)
    }
}
