//! Placeholder until the endpoints land.
#![allow(missing_docs)]
use crate::metrics::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
#[derive(Clone)]
pub struct Health;
pub struct CheckHandle;
impl Health {
    pub fn new() -> Self {
        Self
    }
    pub fn check(&self, _name: &'static str) -> CheckHandle {
        CheckHandle
    }
    pub fn heartbeat(&self) {}
}
impl CheckHandle {
    pub fn ok(&self) {}
    pub fn failing(&self, _r: &str) {}
}
pub async fn serve(listener: TcpListener, metrics: Metrics, _health: Health, _shutdown: impl Future<Output = ()>) {
    while let Ok((mut s, _)) = listener.accept().await {
        let m = metrics.clone();
        tokio::spawn(async move {
            let mut b = [0u8; 4096];
            let n = s.read(&mut b).await.unwrap_or(0);
            let body = if String::from_utf8_lossy(&b[..n]).contains("/metrics") {
                m.encode()
            } else {
                "ok".into()
            };
            let _ = s
                .write_all(
                    format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                        body.len()
                    )
                    .as_bytes(),
                )
                .await;
        });
    }
}
