//! The client for the API server: which one, for how long silence is borne, and that it is asked again only when it says.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use kube::client::ClientBuilder;
use tower::Service;
use tower::layer::layer_fn;
use tower::timeout::TimeoutLayer;
use tower_http::timeout::ResponseBodyTimeoutLayer;

/// The API server's own limit to what it asks for, with priority and fairness.
const LONGEST_PAUSE: Duration = Duration::from_secs(32);

/// A client for the cluster that the environment names; nothing is asked of it yet. A request that nothing comes of for
/// `silence`, an answer or the next part of it, fails and its connection is closed.
///
/// # Errors
/// If the environment names none, or nothing that makes sense.
pub async fn connect(silence: Duration) -> anyhow::Result<kube::Client> {
    let mut config = kube::Config::infer()
        .await
        .context("no access to Kubernetes: run in a Pod with a service account, or set KUBECONFIG")?;
    // Its timer is set to the present whenever something comes, and fires: it wakes the connection for nothing.
    config.read_timeout = None;
    // kube would repeat a refused request up to 15 times, a few milliseconds later at first and minutes later at last.
    // Watches, reconciles and the lease have pauses of their own.
    config.default_retry = false;
    let agent = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
    config.headers.push((USER_AGENT, HeaderValue::from_static(agent)));
    let builder =
        ClientBuilder::try_from(config).context("Kubernetes' client cannot be made from its configuration")?;
    let begun = TimeoutLayer::new(silence);
    let goes_on = ResponseBodyTimeoutLayer::new(silence);
    Ok(builder.with_layer(&goes_on).with_layer(&begun).with_layer(&layer_fn(HeedRetryAfter)).build())
}

/// Holds an answer back that says when to ask again, until then: whoever asked asks again later than that.
struct HeedRetryAfter<S>(S);

impl<S, Q, A> Service<Request<Q>> for HeedRetryAfter<S>
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
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            if let Some(pause) = pause(answer.status(), answer.headers()) {
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
