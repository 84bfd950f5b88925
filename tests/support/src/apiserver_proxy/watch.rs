//! The answers to watches, which can be ended while they are under way.

use anyhow::{Error, anyhow};
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use kube::client::Body;
use serde_json::json;
use tokio::sync::watch;

use super::{ProxyBody, rule};

/// How an open watch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With an `ERROR` event of this code; 410 says that the history it needs is gone.
    Error(u16),
    /// In the middle of an event, as when the API server or a load balancer dies.
    Broken,
    /// Not at all: no byte comes any more, and the connection stays open.
    Silent,
}

/// Tells the open watches of a resource to end.
#[derive(Debug)]
pub(super) struct Endings(watch::Sender<Option<(String, Ending)>>);

/// What one watch hears of it.
pub(super) struct Told {
    resource: String,
    receiver: watch::Receiver<Option<(String, Ending)>>,
}

impl Endings {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    pub(super) fn send(&self, resource: &str, ending: Ending) {
        self.0.send_replace(Some((resource.to_owned(), ending)));
    }

    pub(super) fn subscribe(&self, resource: &str) -> Told {
        Told { resource: resource.to_owned(), receiver: self.0.subscribe() }
    }
}

impl Told {
    async fn ending(&mut self) -> Ending {
        while self.receiver.changed().await.is_ok() {
            let told = self.receiver.borrow_and_update().clone();
            if let Some((resource, ending)) = told
                && resource == self.resource
            {
                return ending;
            }
        }
        std::future::pending().await
    }
}

enum State {
    Open(Body, Told),
    BreaksOff,
    Ended,
}

/// What comes from the API server, until it is told to end.
pub(super) fn body(upstream: Body, told: Told) -> ProxyBody {
    let frames = stream::unfold(State::Open(upstream, told), |state| async {
        match state {
            State::Open(mut upstream, mut told) => {
                let ending = tokio::select! {
                    ending = told.ending() => ending,
                    frame = upstream.frame() => {
                        let frame = frame?.map_err(Error::from);
                        return Some((frame, State::Open(upstream, told)));
                    }
                };
                match ending {
                    Ending::Error(code) => {
                        let event =
                            json!({ "type": "ERROR", "object": rule::status(code, None, "by rule, the watch ends") });
                        Some((Ok(Frame::data(Bytes::from(format!("{event}\n")))), State::Ended))
                    }
                    Ending::Broken => {
                        let half = Bytes::from_static(br#"{"type":"MODIFIED","object":{"#);
                        Some((Ok(Frame::data(half)), State::BreaksOff))
                    }
                    // The API server's end is kept open as well.
                    Ending::Silent => std::future::pending().await,
                }
            }
            State::BreaksOff => {
                // hyper flushes when it finds nothing to read.
                tokio::task::yield_now().await;
                Some((Err(anyhow!("by rule, the watch breaks off")), State::Ended))
            }
            State::Ended => None,
        }
    });
    BodyExt::boxed_unsync(StreamBody::new(frames))
}
