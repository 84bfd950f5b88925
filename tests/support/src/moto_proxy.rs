//! A proxy in front of moto that records the calls of our programs (see [`crate::calls`]) and changes nothing.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::aws_query::{text, texts};
use crate::iam_model::http::judged::{Entity, judged};
use crate::iam_model::http::reply::{self, Reply, ReplyBody};
use crate::iam_model::http::{Query, listen};
use crate::{calls, moto};

/// A running proxy; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct MotoProxy {
    addr: SocketAddr,
    runtime: Option<Runtime>,
}

impl MotoProxy {
    /// Listens on 127.0.0.1 and forwards to the moto at this address.
    pub(crate) fn start(moto: SocketAddr) -> Result<Self> {
        let (addr, runtime) = listen(2, move |request| serve(moto, request))?;
        Ok(Self { addr, runtime: Some(runtime) })
    }

    /// `http://127.0.0.1:{port}`, for `AWS_ENDPOINT_URL`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

impl Drop for MotoProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(moto: SocketAddr, request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    // AWS executes a call that it has received, even if the caller is gone: the task outlives the connection.
    let forwarded = tokio::spawn(async move {
        if let Some(program) = calls::caller(&head.headers) {
            record(moto, &program, &head, &body).await;
        }
        send(moto, &head, body).await
    });
    let answer = forwarded.await.map_err(io::Error::other)?;
    Ok(answer.map_or_else(|error| reply::whole(502, "text/plain", format!("{error:#}\n")), Answer::into_response))
}

/// Before the call is executed: its conditions are about what exists at that time.
async fn record(moto: SocketAddr, program: &str, head: &Parts, body: &Bytes) {
    let authorization = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let query = Query::parse(body, authorization);
    let entity = entity(moto, head, &query).await;
    calls::call(program, moto::ACCOUNT, "aws", judged(&query, "aws", moto::ACCOUNT, entity));
}

/// The role or policy that a call is about, as moto has it.
async fn entity(moto: SocketAddr, head: &Parts, query: &Query) -> Option<Entity> {
    let by_key = [("GetRole", "RoleName"), ("GetPolicy", "PolicyArn")];
    let (action, key, value) =
        by_key.into_iter().find_map(|(action, key)| Some((action, key, query.params.get(key)?)))?;
    let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
    let form = format!("Action={action}&Version=2010-05-08&{key}={value}");
    let answer = send(moto, head, form.into()).await.ok()?;
    let found = String::from_utf8_lossy(&answer.body);
    Some(Entity {
        arn: text(&found, "Arn")?,
        tags: texts(&found, "Key").into_iter().zip(texts(&found, "Value")).collect(),
        boundary: text(&found, "PermissionsBoundaryArn"),
    })
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn into_response(self) -> Response<ReplyBody> {
        let mut response = reply::whole(self.status.as_u16(), "text/xml", self.body);
        for (name, value) in &self.headers {
            response.headers_mut().insert(name, value.clone());
        }
        response
    }
}

/// Sends a request with this head and body on a connection of its own.
async fn send(moto: SocketAddr, head: &Parts, body: Bytes) -> Result<Answer> {
    let mut request = Request::builder().method(head.method.clone()).uri(head.uri.clone());
    if let Some(headers) = request.headers_mut() {
        headers.clone_from(&head.headers);
        remove_hop_headers(headers);
    }
    let request = request.body(Full::new(body))?;
    let stream = TcpStream::connect(moto).await.with_context(|| format!("moto at {moto} accepts no connections"))?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.context("moto closed the connection")?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.context("moto's answer broke off")?.to_bytes();
    connection.abort();
    let mut headers = head.headers;
    remove_hop_headers(&mut headers);
    Ok(Answer { status: head.status, headers, body })
}

/// Length and connection headers belong to one hop.
fn remove_hop_headers(headers: &mut HeaderMap) {
    for name in [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION] {
        headers.remove(name);
    }
}
