//! The operator's own HTTP endpoints: `/metrics`, `/livez`, `/readyz`.
//!
//! Other Pods can reach them unless a `NetworkPolicy` forbids it, so they limit what a client can use: few connections, short
//! timeouts, no request bodies, one metrics page per second, and no answer that depends on anything but path and method.

mod health;
mod page;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::io::Errno;
use rustix::net::sockopt::set_ipv6_v6only;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::telemetry::metrics::{self, Metrics};
pub use health::{CheckHandle, Health, Report};
use page::MetricsPage;

/// With every further connection, the oldest is closed, so that clients that hold connections cannot keep probes out.
const MAX_CONNECTIONS: usize = 64;
/// Timeout for the head of a request, and therefore for an idle connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection is closed after this time, so that slow clients cannot occupy all connections.
const MAX_CONNECTION_AGE: Duration = Duration::from_mins(1);
/// Time for responses in progress when a connection is closed.
const DRAIN: Duration = Duration::from_secs(2);
/// Pause after a failed accept (for example without free file descriptors), to prevent a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

const PLAIN: &str = "text/plain; charset=utf-8";

/// Listens on this address. `[::]` means all addresses of the node, IPv6 and IPv4; on a node without IPv6, those of IPv4.
///
/// # Errors
/// If the address is in use, or does not belong to this node.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match bind(address) {
        Err(error) => match ipv4_fallback(address, &error) {
            Some(ipv4) => {
                tracing::info!(%error, "this node has no IPv6; listening on {ipv4} instead of {address}");
                bind(ipv4)
            }
            None => Err(error),
        },
        listener => listener,
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        // The node's default, net.ipv6.bindv6only, may exclude IPv4.
        set_ipv6_v6only(&socket, false)?;
    }
    // As `TcpListener::bind` does: a restart must not wait for the connections of before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The IPv4 address to use where `[::]` fails because there is no IPv6: a kernel without it refuses the socket
/// (`EAFNOSUPPORT`), one where it is disabled may refuse the address (`EADDRNOTAVAIL`).
fn ipv4_fallback(address: SocketAddr, error: &io::Error) -> Option<SocketAddr> {
    let no_ipv6 = error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error())
        || error.kind() == io::ErrorKind::AddrNotAvailable;
    (address.ip() == Ipv6Addr::UNSPECIFIED && no_ipv6).then(|| (Ipv4Addr::UNSPECIFIED, address.port()).into())
}

/// Serves until `shutdown` is ready, then closes open connections within 2 s.
pub async fn serve<S: Future>(listener: TcpListener, metrics: Metrics, health: Health, shutdown: S) {
    let page = Arc::new(MetricsPage::new(metrics));
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut by_age: VecDeque<AbortHandle> = VecDeque::new();
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            _ = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                by_age.retain(|connection| !connection.is_finished());
                if by_age.len() >= MAX_CONNECTIONS
                    && let Some(oldest) = by_age.pop_front()
                {
                    oldest.abort();
                }
                let answering = answer_all(stream, page.clone(), health.clone(), stopping.clone());
                by_age.push_back(connections.spawn(answering));
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop((stop, listener));
    while connections.join_next().await.is_some() {}
}

/// Answers the requests of one connection until it ends, reaches its maximum age, or `stopping` changes.
async fn answer_all(stream: TcpStream, page: Arc<MetricsPage>, health: Health, mut stopping: watch::Receiver<()>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let ((request, _), page, health) = (request.into_parts(), page.clone(), health.clone());
        async move { Ok::<_, Infallible>(answer(&request, &page, &health).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        result = &mut connection => Some(result),
        // Always an error: the sender was dropped.
        _ = stopping.changed() => None,
        () = sleep(MAX_CONNECTION_AGE) => None,
    };
    let result = if let Some(result) = ended {
        result
    } else {
        connection.as_mut().graceful_shutdown();
        timeout(DRAIN, connection).await.unwrap_or(Ok(()))
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection to the HTTP endpoints ended early");
    }
}

async fn answer(request: &Parts, page: &MetricsPage, health: &Health) -> Response<Full<Bytes>> {
    let path = request.uri.path();
    if !["/metrics", "/livez", "/readyz"].contains(&path) {
        return respond(StatusCode::NOT_FOUND, PLAIN, "not found; the endpoints are /metrics, /livez and /readyz\n");
    }
    if ![Method::GET, Method::HEAD].contains(&request.method) {
        let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "method not allowed; use GET or HEAD\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let verbose = request.uri.query().is_some_and(|query| query.split('&').any(|part| part.starts_with("verbose")));
    match path {
        "/metrics" => respond(StatusCode::OK, metrics::CONTENT_TYPE, page.text().await),
        "/livez" => probe(&health.live(), verbose),
        _ => probe(&health.ready(), verbose),
    }
}

fn probe(report: &Report, verbose: bool) -> Response<Full<Bytes>> {
    match (report.ok, verbose) {
        (true, false) => respond(StatusCode::OK, PLAIN, "ok\n"),
        (true, true) => respond(StatusCode::OK, PLAIN, format!("{}ok\n", report.details)),
        (false, _) => respond(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{}failed\n", report.details)),
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests;
