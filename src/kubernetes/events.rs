//! Events about the objects, published in the background: a repair in AWS does not wait for the API server to store them.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::core::Request;
use kube::{Client, Resource, ResourceExt};
use tokio::sync::{Semaphore, watch};
use tracing::Instrument;

use super::call::{Result, bounded};
use super::managed::Managed;
use crate::api::FIELD_MANAGER;

/// Events in flight at once.
const IN_FLIGHT: usize = 32;
/// Events of one namespace that are in flight or wait for it. Further ones are dropped: they must neither hold up the work
/// nor fill the memory.
const PENDING: usize = 64;
/// Longest note that the API server accepts, in bytes (Kubernetes API reference, events.k8s.io/v1).
const MAX_NOTE: usize = 1024;
/// Attempts to publish an event while the API server is busy.
const TRIES: usize = 2;

/// Publishes events for this replica.
#[derive(Clone)]
pub(super) struct Events {
    client: Client,
    /// Name of this replica.
    instance: String,
    in_flight: Arc<Semaphore>,
    pending: Pending,
}

impl Events {
    pub(super) fn new(client: Client, instance: String) -> Self {
        Self { client, instance, in_flight: Arc::new(Semaphore::new(IN_FLIGHT)), pending: Pending::default() }
    }

    /// Publishes an event. Never waits and never fails: an event that cannot be published is logged.
    ///
    /// Not through kube's `Recorder`, which keeps the first note of an action and reason for six minutes: our events come
    /// on transitions only, and each has a note of its own.
    pub(super) fn publish<K: Managed>(&self, object: &K, warning: bool, reason: &str, action: &str, note: &str) {
        // Events about cluster-scoped objects live in the namespace default.
        let namespace = object.namespace().unwrap_or_else(|| "default".to_owned());
        let event = Event {
            metadata: ObjectMeta {
                generate_name: Some(format!("{}-", object.name_any())),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            action: Some(action.to_owned()),
            event_time: Some(MicroTime(Timestamp::now())),
            note: Some(shortened(note).to_owned()),
            reason: Some(reason.to_owned()),
            regarding: Some(reference(object)),
            reporting_controller: Some(FIELD_MANAGER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(if warning { "Warning" } else { "Normal" }.to_owned()),
            ..Event::default()
        };
        let what = format!("event {reason} of {}", object.describe());
        let Some(place) = self.pending.enter(&namespace) else {
            tracing::warn!("{what} dropped: {PENDING} events of namespace {namespace} are not published yet");
            return;
        };
        let (client, in_flight) = (self.client.clone(), self.in_flight.clone());
        let publishing = async move {
            // The semaphore is never closed.
            let _permit = in_flight.acquire().await;
            if let Err(error) = send(&client, &namespace, &event, &what).await {
                tracing::warn!(%error, "event could not be published");
            }
            drop(place);
        };
        tokio::spawn(publishing.in_current_span());
    }

    /// Waits until every event is published.
    pub(super) async fn published(&self) {
        // The sender lives as long as `self`.
        let _ = self.pending.0.subscribe().wait_for(HashMap::is_empty).await;
    }
}

/// How many events of each namespace are not published yet.
#[derive(Clone, Default)]
struct Pending(watch::Sender<HashMap<String, usize>>);

impl Pending {
    /// A place for one more event; `None`: the namespace has too many.
    fn enter(&self, namespace: &str) -> Option<Place> {
        let entered = self.0.send_if_modified(|pending| {
            let count = pending.entry(namespace.to_owned()).or_default();
            let has_room = *count < PENDING;
            *count += usize::from(has_room);
            has_room
        });
        entered.then(|| Place { pending: self.clone(), namespace: namespace.to_owned() })
    }
}

/// The place of one event, until it is dropped.
struct Place {
    pending: Pending,
    namespace: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pending.0.send_modify(|pending| {
            let Some(count) = pending.get_mut(&self.namespace) else { return };
            *count -= 1;
            if *count == 0 {
                pending.remove(&self.namespace);
            }
        });
    }
}

fn shortened(note: &str) -> &str {
    &note[..note.floor_char_boundary(MAX_NOTE)]
}

fn reference<K: Managed>(object: &K) -> ObjectReference {
    let metadata = object.meta();
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        field_path: None,
    }
}

async fn send(client: &Client, namespace: &str, event: &Event, what: &str) -> Result<()> {
    let request = Request::new(Event::url_path(&(), Some(namespace)));
    let mut tries = 0;
    loop {
        tries += 1;
        let create = async {
            let body = serde_json::to_vec(event).map_err(kube::Error::SerdeError)?;
            let create = request.create(&PostParams::default(), body).map_err(kube::Error::BuildRequest)?;
            // The answer, the event as it was stored, is not needed.
            client.request_text(create).await
        };
        let published = bounded("create", what, create).await;
        let busy = published.as_ref().is_err_and(|error| matches!(error.status(), Some(429 | 503)));
        if !busy || tries == TRIES {
            return published.map(drop);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_with_too_many_events_loses_its_own_and_no_other() {
        let pending = Pending::default();
        let mut places: Vec<_> = (0..PENDING).map(|_| pending.enter("busy").unwrap()).collect();
        assert!(pending.enter("busy").is_none());
        let other = pending.enter("quiet").unwrap();
        places.pop();
        assert!(pending.enter("busy").is_some());
        drop((places, other));
        assert!(pending.0.borrow().is_empty());
    }

    #[test]
    fn a_note_is_cut_to_the_bytes_that_the_api_server_takes_and_between_characters() {
        assert_eq!(shortened("all is well"), "all is well");
        for character in ["x", "ä", "€", "🦀"] {
            let long = shortened(&character.repeat(2000)).len();
            assert!((1021..=1024).contains(&long), "{character}: {long}");
        }
    }
}
