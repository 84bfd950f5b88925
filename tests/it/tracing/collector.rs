//! A collector of traces as small as can be: it takes OTLP over HTTP, keeps what came, and answers as it is told.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use prost::Message;
use tokio::net::TcpListener;

/// A span, with its attributes and those of its resource as text.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) name: String,
    pub(super) trace: Vec<u8>,
    pub(super) id: Vec<u8>,
    /// Empty for a root.
    pub(super) parent: Vec<u8>,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) resource: BTreeMap<String, String>,
    /// What went wrong, of a span that failed.
    pub(super) error: Option<String>,
    /// Start and end, in nanoseconds.
    pub(super) times: (u64, u64),
}

/// One request of the exporter.
#[derive(Clone, Debug)]
pub(super) struct Export {
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) spans: Vec<Span>,
}

#[derive(Default)]
struct State {
    connections: AtomicUsize,
    requests: AtomicUsize,
    status: AtomicU16,
    taken: Mutex<Vec<Export>>,
}

/// It listens as long as the test runs.
pub(super) struct Collector {
    pub(super) url: String,
    state: Arc<State>,
}

impl Collector {
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let state = Arc::new(State::default());
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let state = shared.clone();
                let service = service_fn(move |request| answer(state.clone(), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        let collector = Self { url, state };
        collector.answers(200);
        Ok(collector)
    }

    /// From now on it answers with this status; 0: never.
    pub(super) fn answers(&self, status: u16) {
        self.state.status.store(status, Ordering::SeqCst);
    }

    pub(super) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Requests so far, those it refused included.
    pub(super) fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// What it has taken.
    pub(super) fn exports(&self) -> Vec<Export> {
        self.state.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn spans(&self) -> Vec<Span> {
        self.exports().into_iter().flat_map(|export| export.spans).collect()
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    state.requests.fetch_add(1, Ordering::SeqCst);
    let status = state.status.load(Ordering::SeqCst);
    if status == 0 {
        std::future::pending::<Infallible>().await;
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    if status == 200 {
        let headers = head.headers.iter();
        let export = Export {
            path: head.uri.path().to_owned(),
            headers: headers
                .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
                .collect(),
            spans: spans(ExportTraceServiceRequest::decode(body).context("no export request")?),
        };
        state.taken.lock().unwrap_or_else(PoisonError::into_inner).push(export);
    }
    Ok(Response::builder().status(status).body(Full::default())?)
}

fn spans(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let resource = texts(of_resource.resource.unwrap_or_default().attributes);
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let failed = span.status.filter(|status| status.code == 2);
            spans.push(Span {
                name: span.name,
                trace: span.trace_id,
                id: span.span_id,
                parent: span.parent_span_id,
                attributes: texts(span.attributes),
                resource: resource.clone(),
                error: failed.map(|status| status.message),
                times: (span.start_time_unix_nano, span.end_time_unix_nano),
            });
        }
    }
    spans
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|attribute| (attribute.key, text(attribute.value))).collect()
}
