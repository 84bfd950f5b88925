//! The page `/metrics`. With many objects it takes a while to encode, so it is encoded beside the work, and at most once
//! per second.

use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::telemetry::metrics::Metrics;

/// From the beginning of one page to the beginning of the next.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct MetricsPage {
    metrics: Metrics,
    last: Mutex<Option<(Instant, Bytes)>>,
}

impl MetricsPage {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { metrics, last: Mutex::default() }
    }

    /// The page as of this call or later. Requests within a second wait for the next page and share it.
    pub(super) async fn text(&self) -> Bytes {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((began, text)) = &*last {
            if *began >= asked {
                return text.clone();
            }
            sleep_until(*began + PAUSE).await;
        }
        let began = Instant::now();
        let metrics = self.metrics.clone();
        // Encoding does not panic, and the runtime does not stop before the server does.
        let text = tokio::task::spawn_blocking(move || metrics.encode()).await.map(Bytes::from).unwrap_or_default();
        *last = Some((began, text.clone()));
        text
    }
}
