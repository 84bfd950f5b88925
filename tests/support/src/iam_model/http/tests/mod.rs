//! Over the wire, with plain requests: what an SDK sends and parses.

mod faults;
mod wire;

use super::{Server, ServerOptions};
use anyhow::Context;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::net::SocketAddr;
use tokio::net::TcpStream;

pub(super) const ACCOUNT: &str = "111122223333";
pub(super) const KEY: &str = "AKIATESTONE";

pub(super) const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"rds.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
pub(super) const DOCUMENT: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"logs:PutLogEvents","Resource":"*"}]}"#;

/// A server with one account and one key.
pub(super) fn server() -> anyhow::Result<Server> {
    let server = Server::start(ServerOptions::default())?;
    server.world().add_key(KEY, ACCOUNT);
    Ok(server)
}

/// Status and body of one request on its own connection.
pub(super) async fn send(
    addr: SocketAddr,
    method: Method,
    path: &str,
    key: Option<&str>,
    body: String,
) -> anyhow::Result<(u16, String)> {
    let stream = TcpStream::connect(addr).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header("host", addr.to_string());
    if let Some(key) = key {
        let credential = format!("AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/iam/aws4_request, Signature=0");
        request = request.header("authorization", credential);
    }
    let response = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.context("the body is incomplete")?.to_bytes();
    drop(sender);
    let _ = connection.await;
    Ok((status, String::from_utf8(body.to_vec())?))
}

/// A Query call with the test's key.
pub(super) async fn call(addr: SocketAddr, action: &str, params: &[(&str, &str)]) -> anyhow::Result<(u16, String)> {
    call_as(addr, Some(KEY), action, params).await
}

pub(super) async fn call_as(
    addr: SocketAddr,
    key: Option<&str>,
    action: &str,
    params: &[(&str, &str)],
) -> anyhow::Result<(u16, String)> {
    let pairs = [("Action", action), ("Version", "2010-05-08")];
    let form: Vec<String> = pairs
        .iter()
        .chain(params)
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
        .collect();
    send(addr, Method::POST, "/", key, form.join("&")).await
}

/// The text of the first element of that name.
pub(super) fn element<'a>(xml: &'a str, tag: &str) -> anyhow::Result<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{tag}>")).with_context(|| format!("no {tag} in {xml}"))?;
    let (text, _) = rest.split_once(&format!("</{tag}>")).with_context(|| format!("{tag} has no end in {xml}"))?;
    Ok(text)
}
