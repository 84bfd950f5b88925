//! Events about the objects, published beside the work that they tell of: a repair in AWS does not wait for the API server
//! to take note of it.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::core::Request;
use kube::{Client, Resource, ResourceExt};
use tracing::Instrument;

use super::{Kubernetes, Managed, Result, bounded};
use crate::api::FIELD_MANAGER;

/// So many are under way at most: with more, the work waits, and none is lost.
pub(super) const AT_ONCE: usize = 32;
/// Bytes of a note that the API server takes (Kubernetes API reference, events.k8s.io/v1).
const MAX_NOTE: usize = 1024;
/// How often an event is sent to an API server that is busy.
const TRIES: usize = 2;

impl Kubernetes {
    /// Publishes an event. Never fails: an event that cannot be published is logged.
    ///
    /// Events are made directly, not through kube's `Recorder`, which keeps the first note of an action and reason for
    /// six minutes: ours come on transitions only and carry the object at hand in their note.
    pub async fn event<K: Managed>(&self, object: &K, warning: bool, reason: &str, action: &str, note: &str) {
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
        let client = self.client.clone();
        // An error says that no more places are given, which nobody does.
        let Ok(place) = self.events.clone().acquire_owned().await else { return };
        let publishing = async move {
            if let Err(error) = publish(&client, &namespace, &event, &what).await {
                tracing::warn!(%error, "an event could not be published");
            }
            drop(place);
        };
        tokio::spawn(publishing.in_current_span());
    }

    /// Waits until no event is under way.
    pub async fn events_published(&self) {
        let all = u32::try_from(AT_ONCE).unwrap_or(u32::MAX);
        drop(self.events.acquire_many(all).await);
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

async fn publish(client: &Client, namespace: &str, event: &Event, what: &str) -> Result<()> {
    let request = Request::new(Event::url_path(&(), Some(namespace)));
    let mut tries = 0;
    loop {
        tries += 1;
        let create = async {
            let body = serde_json::to_vec(event).map_err(kube::Error::SerdeError)?;
            let create = request.create(&PostParams::default(), body).map_err(kube::Error::BuildRequest)?;
            // Nobody reads the answer: the event as it was stored.
            client.request_text(create).await
        };
        let published = bounded("create", what, create).await;
        let busy = published.as_ref().is_err_and(|error| matches!(error.status(), Some(429 | 503)));
        // Nothing else repeats it.
        if !busy || tries == TRIES {
            return published.map(drop);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn a_note_is_cut_to_the_bytes_that_the_api_server_takes_and_between_characters() {
        assert_eq!(shortened("all is well"), "all is well");
        for character in ["x", "ä", "€", "🦀"] {
            let long = shortened(&character.repeat(2000)).len();
            assert!((1021..=1024).contains(&long), "{character}: {long}");
        }
    }
}
