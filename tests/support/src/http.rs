//! The smallest HTTP client that does for local servers: one request, one connection, no TLS, no proxy.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use hyper::header::HeaderValue;
use k8s_openapi::jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimePrinter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_secs(30);

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The body, or an error for any status but 2xx.
    pub fn ok(self) -> Result<String> {
        if !(200..300).contains(&self.status) {
            bail!("HTTP {}: {}", self.status, self.body.trim());
        }
        Ok(self.body)
    }
}

/// The time of day for a `Date` header, from a clock that is ahead by so many seconds.
pub(crate) fn date(ahead: i64) -> Result<HeaderValue> {
    let time = Timestamp::now() + SignedDuration::from_secs(ahead);
    Ok(HeaderValue::from_str(&DateTimePrinter::new().timestamp_to_rfc9110_string(&time)?)?)
}

/// GET of `path` from `127.0.0.1:port`-like `address`.
pub async fn get(address: &str, path: &str) -> Result<Answer> {
    send(address, "GET", path, &[], "").await
}

/// POST of `body`.
pub async fn post(address: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Result<Answer> {
    send(address, "POST", path, headers, body).await
}

async fn send(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Result<Answer> {
    // HTTP/1.0: the answer ends with the connection, and is never chunked.
    let mut request = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        request.extend([*name, ": ", *value, "\r\n"]);
    }
    request += "\r\n";
    request += body;
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        anyhow::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = tokio::time::timeout(LIMIT, exchange)
        .await
        .with_context(|| format!("{address} gave no answer to {method} {path} within {LIMIT:?}"))?
        .with_context(|| format!("{method} http://{address}{path} failed"))?;
    parse(&answer).with_context(|| format!("{address} did not answer {method} {path} in HTTP: {answer:?}"))
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}
