//! The operator's own HTTP endpoints, which other Pods may reach.

use std::time::Duration;

use anyhow::{Result, ensure};
use aurora_test_support::http;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fixture::Fixture;

/// The timeout of the chart's probes.
const PROBE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn metrics_name_no_object_and_no_secret() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    fixture.applied("unmistakable", json!({ "tags": { "team": "secretive" } })).await?;
    let page = fixture.operator()?.metrics().await?;
    for text in [fixture.namespace(), "unmistakable", "secretive", "arn:aws"] {
        ensure!(!page.contains(text), "{text} in {page}");
    }
    fixture.finish().await
}

#[tokio::test]
async fn held_connections_and_scrapes_in_a_loop_delay_neither_probes_nor_the_work() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let address = fixture.operator()?.http_address().to_owned();
    let mut held = Vec::new();
    for _ in 0..400 {
        let mut stream = TcpStream::connect(&address).await?;
        stream.write_all(b"GET /metrics HT").await?;
        held.push(stream);
    }
    let scrapes: Vec<_> = (0..8)
        .map(|_| {
            let address = address.clone();
            tokio::spawn(async move { while http::get(&address, "/metrics").await.is_ok() {} })
        })
        .collect();
    let answer = timeout(PROBE, http::get(&address, "/livez")).await??;
    ensure!(answer.ok().is_ok(), "the probe failed");
    fixture.applied("orders", json!({})).await?;
    scrapes.iter().for_each(tokio::task::JoinHandle::abort);
    fixture.finish().await
}
