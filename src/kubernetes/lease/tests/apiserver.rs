//! A minimal API server for one Lease: it compares versions, and can fail per client.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::coordination::v1::Lease;
use kube::core::Status;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How the requests of one client are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Normal,
    /// Requests are never answered.
    Hanging,
    /// RBAC denies them.
    Forbidden,
    /// The namespace is missing.
    NoNamespace,
}

#[derive(Debug, Default)]
struct Stored {
    lease: Option<Lease>,
    version: u64,
}

/// The Lease that all clients share.
#[derive(Clone, Debug, Default)]
pub(super) struct ApiServer(Arc<Mutex<Stored>>);

impl ApiServer {
    pub(super) fn lease(&self) -> Option<Lease> {
        self.0.lock().unwrap().lease.clone()
    }

    pub(super) fn holder(&self) -> Option<String> {
        self.lease()?.spec?.holder_identity
    }

    /// `kubectl edit`.
    pub(super) fn edit(&self, change: impl FnOnce(&mut Lease)) {
        let mut stored = self.0.lock().unwrap();
        stored.version += 1;
        let version = stored.version.to_string();
        let lease = stored.lease.as_mut().unwrap();
        change(lease);
        lease.metadata.resource_version = Some(version);
    }

    /// `kubectl delete`.
    pub(super) fn delete(&self) {
        self.0.lock().unwrap().lease = None;
    }

    /// A client, with a mode of its own.
    pub(super) async fn client(&self) -> (kube::Client, watch::Sender<Mode>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, mode) = watch::channel(Mode::Normal);
        let server = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (server, mode) = (server.clone(), mode.clone());
                let service = service_fn(move |request| {
                    let (server, mode) = (server.clone(), mode.clone());
                    async move { Ok::<_, Infallible>(server.respond(mode, request).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        let config = kube::Config::new(format!("http://{address}").parse().unwrap());
        (kube::Client::try_from(config).unwrap(), sender)
    }

    async fn respond(&self, mut mode: watch::Receiver<Mode>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let mode = *mode.borrow_and_update();
        match mode {
            Mode::Normal => self.handle(request).await,
            Mode::Hanging => std::future::pending().await,
            Mode::Forbidden => refuse(StatusCode::FORBIDDEN, "Forbidden"),
            Mode::NoNamespace => refuse(StatusCode::NOT_FOUND, "NotFound"),
        }
    }

    async fn handle(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let method = request.method().clone();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let mut stored = self.0.lock().unwrap();
        match (method, &stored.lease) {
            (Method::GET, Some(lease)) => return answer(lease),
            (Method::GET | Method::PUT, None) => return refuse(StatusCode::NOT_FOUND, "NotFound"),
            (Method::POST, Some(_)) => return refuse(StatusCode::CONFLICT, "AlreadyExists"),
            _ => {}
        }
        let mut sent: Lease = serde_json::from_slice(&body).unwrap();
        if let Some(lease) = &stored.lease
            && lease.metadata.resource_version != sent.metadata.resource_version
        {
            return refuse(StatusCode::CONFLICT, "Conflict");
        }
        if stored.lease.is_none() && sent.metadata.resource_version.is_some() {
            return refuse(StatusCode::BAD_REQUEST, "BadRequest");
        }
        stored.version += 1;
        sent.metadata.resource_version = Some(stored.version.to_string());
        stored.lease = Some(sent.clone());
        answer(&sent)
    }
}

fn answer(lease: &Lease) -> Response<Full<Bytes>> {
    Response::new(Full::new(serde_json::to_vec(lease).unwrap().into()))
}

fn refuse(code: StatusCode, reason: &str) -> Response<Full<Bytes>> {
    let status = Status::failure("refused", reason).with_code(code.as_u16());
    let mut response = Response::new(Full::new(serde_json::to_vec(&status).unwrap().into()));
    *response.status_mut() = code;
    response
}
