//! A stand-in between a program and the API server that refuses, delays and breaks off by rule, and counts requests.
//!
//! The program's kubeconfig names [`ApiserverProxy::url`]; what no [`Rule`] strikes goes on to the real API server with the
//! access rights of the kubeconfig that the proxy was started with, watches as they come.

mod rule;
mod watch;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HOST, RETRY_AFTER, TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use kube::config::{Config, KubeConfigOptions};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

use crate::kubeconfig;
pub use rule::{Asked, Fault, Rule, Verb};
pub use watch::Ending;

type ProxyBody = UnsyncBoxBody<Bytes, anyhow::Error>;

/// One request that came.
#[derive(Clone, Debug)]
pub struct Record {
    /// What it asked for.
    pub asked: Asked,
    /// When it came.
    pub at: std::time::Instant,
    /// Whether a rule struck.
    pub struck: bool,
}

/// A running proxy. Needs a tokio runtime that keeps running; dropping it closes every connection.
#[derive(Debug)]
pub struct ApiserverProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    rules: Mutex<Vec<Rule>>,
    log: Mutex<Vec<Record>>,
    endings: watch::Endings,
}

impl ApiserverProxy {
    /// Listens on a free port of 127.0.0.1, before the API server of this kubeconfig.
    pub async fn before(kubeconfig: &Path) -> Result<Self> {
        let config = kubeconfig::read(kubeconfig)?;
        let mut config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        config.proxy_url = None;
        // A proxy adds no requests of its own.
        config.default_retry = false;
        let upstream = Client::try_from(config)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen on 127.0.0.1")?;
        let addr = listener.local_addr()?;
        let shared =
            Arc::new(Shared { rules: Mutex::default(), log: Mutex::default(), endings: watch::Endings::new() });
        let task = tokio::spawn(accept(listener, upstream, shared.clone())).abort_handle();
        Ok(Self { addr, shared, task })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// For the program's kubeconfig.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// From now on these rules hold, and no others; the first that fits a request strikes.
    pub fn set_rules(&self, rules: Vec<Rule>) {
        *lock(&self.shared.rules) = rules;
    }

    /// From now on everything goes through. What a rule holds up already stays held up.
    pub fn clear_rules(&self) {
        self.set_rules(Vec::new());
    }

    /// Ends (or silences) the open watches of this resource. Those that open later are not concerned.
    pub fn end_watches(&self, resource: &str, ending: Ending) {
        self.shared.endings.send(resource, ending);
    }

    /// A mark for [`ApiserverProxy::since`].
    pub fn mark(&self) -> usize {
        lock(&self.shared.log).len()
    }

    /// The requests since a mark.
    pub fn since(&self, mark: usize) -> Vec<Record> {
        lock(&self.shared.log).get(mark..).unwrap_or_default().to_vec()
    }

    /// Those of them that ask for this.
    pub fn count(&self, mark: usize, verb: Verb, resource: &str) -> usize {
        let log = self.since(mark);
        log.iter().filter(|record| record.asked.verb == verb && record.asked.resource == resource).count()
    }
}

impl Drop for ApiserverProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// What strikes this request, noting it down.
    fn judge(&self, asked: &Asked) -> Option<Fault> {
        let fault = lock(&self.rules).iter_mut().find_map(|rule| rule.strike(asked));
        let record = Record { asked: asked.clone(), at: std::time::Instant::now(), struck: fault.is_some() };
        lock(&self.log).push(record);
        fault
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, upstream: Client, shared: Arc<Shared>) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (upstream, shared) = (upstream.clone(), shared.clone());
        connections.spawn(async move {
            let service = service_fn(move |request| serve(upstream.clone(), shared.clone(), request));
            // An error is a caller that hung up, or a connection that a rule closes.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(upstream: Client, shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<ProxyBody>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let asked = Asked::of(&head.method, &head.uri);
    // Before it goes on: an ending that is sent from now on concerns it.
    let ending = shared.endings.subscribe(&asked.resource);
    let mut ahead = None;
    match shared.judge(&asked) {
        None => {}
        Some(Fault::ClockAhead(seconds)) => ahead = Some(seconds),
        Some(Fault::Refuse { status, retry_after }) => return refusal(&asked, status, retry_after),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
        Some(Fault::LoseAnswer) => {
            forward(&upstream, &head, body).await?;
            return Err(anyhow!("by rule, the answer is lost"));
        }
    }
    let answer = forward(&upstream, &head, body).await?;
    let (mut head, body) = answer.into_parts();
    for name in [CONTENT_LENGTH, CONNECTION, TRANSFER_ENCODING] {
        head.headers.remove(name);
    }
    if let Some(seconds) = ahead {
        head.headers.insert(DATE, crate::http::date(seconds)?);
    }
    let body = if asked.verb == Verb::Watch && head.status.is_success() {
        watch::body(body, ending)
    } else {
        Full::new(body.collect().await?.to_bytes()).map_err(|never| match never {}).boxed_unsync()
    };
    Ok(Response::from_parts(head, body))
}

async fn forward(upstream: &Client, head: &Parts, body: Bytes) -> Result<Response<Body>> {
    let path = head.uri.path_and_query().context("a request without a path")?;
    let mut request = Request::builder().method(head.method.clone()).uri(path.as_str());
    if let Some(headers) = request.headers_mut() {
        headers.clone_from(&head.headers);
        for name in [HOST, AUTHORIZATION, CONTENT_LENGTH, CONNECTION, TRANSFER_ENCODING] {
            headers.remove(name);
        }
    }
    Ok(upstream.send(request.body(Body::from(body))?).await?)
}

/// As the API server words it.
fn refusal(asked: &Asked, status: u16, retry_after: Option<u32>) -> Result<Response<ProxyBody>> {
    let body = rule::status(status, retry_after, &format!("by rule, {asked} is refused"));
    let mut response =
        Response::builder().status(StatusCode::from_u16(status)?).header(CONTENT_TYPE, "application/json");
    if let Some(seconds) = retry_after {
        response = response.header(RETRY_AFTER, seconds);
    }
    Ok(response.body(Full::new(Bytes::from(body.to_string())).map_err(|never| match never {}).boxed_unsync())?)
}
