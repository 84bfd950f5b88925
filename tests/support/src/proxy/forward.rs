//! Requests to the emulator, one connection each: an emulator is slower than that by far.

use anyhow::Context;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// The emulator.
#[derive(Clone, Copy, Debug)]
pub struct Upstream(pub SocketAddr);

/// A whole answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Upstream {
    /// Sends a request with this head and body.
    pub(super) async fn send(self, head: &Parts, body: Bytes) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(head.method.clone()).uri(head.uri.clone());
        if let Some(headers) = request.headers_mut() {
            headers.clone_from(&head.headers);
            without_framing(headers);
        }
        let request = request.body(Full::new(body))?;
        let stream = TcpStream::connect(self.0)
            .await
            .with_context(|| format!("the emulator at {} does not accept connections", self.0))?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await.context("the emulator closed the connection")?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.context("the emulator's answer broke off")?.to_bytes();
        drop(sender);
        connection.abort();
        let mut headers = head.headers;
        without_framing(&mut headers);
        Ok(Answer { status: head.status, headers, body })
    }

    /// A Query call of the proxy's own, on behalf of the caller whose head this is.
    pub(super) async fn query(self, head: &Parts, action: &str, params: &[(&str, &str)]) -> anyhow::Result<Answer> {
        use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
        let mut form = format!("Action={action}&Version=2010-05-08");
        for (name, value) in params {
            form.extend(["&", *name, "="]);
            form.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
        }
        self.send(head, Bytes::from(form)).await
    }
}

/// Length and connection headers are each hop's own.
fn without_framing(headers: &mut HeaderMap) {
    for name in [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION] {
        headers.remove(name);
    }
}
