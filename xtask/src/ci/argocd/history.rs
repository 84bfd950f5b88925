//! Everything that the watch says of Applications, kept with what IAM had at that moment.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use aurora_test_support::iam_model::handle::Shared;
use futures::StreamExt;
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{ResourceExt, api::ApiResource, core::GroupVersionKind};
use serde_json::Value;
use tokio::task::JoinHandle;

/// An Application as one event of the watch showed it.
#[derive(Clone, Debug)]
pub(super) struct Observation {
    pub(super) app: String,
    pub(super) at: Instant,
    /// `Synced`, `OutOfSync`, `Unknown`; empty before the first comparison.
    pub(super) sync: String,
    /// `Healthy`, `Progressing`, `Degraded`, `Suspended`, `Missing`, `Unknown`; empty before the first comparison.
    pub(super) health: String,
    /// The commit compared with.
    pub(super) revision: String,
    /// Successful syncs so far.
    pub(super) syncs: usize,
    /// When it was last compared.
    pub(super) compared: String,
    /// Its conditions and the last operation, in words.
    pub(super) message: String,
    /// [`aurora_test_support::iam_model::Iam::snapshot`] of the account when the event came.
    pub(super) iam: Value,
}

impl Observation {
    fn new(object: &DynamicObject, iam: Value) -> Self {
        let status = &object.data["status"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let operation = &status["operationState"];
        let mut message: Vec<String> = conditions.map(|condition| text(&condition["message"])).collect();
        message.push(format!("{} {}", text(&operation["phase"]), text(&operation["message"])));
        Self {
            app: object.name_any(),
            at: Instant::now(),
            sync: text(&status["sync"]["status"]),
            health: text(&status["health"]["status"]),
            revision: text(&status["sync"]["revision"]),
            syncs: status["history"].as_array().map_or(0, Vec::len),
            compared: text(&status["reconciledAt"]),
            message: message.join("; "),
            iam,
        }
    }

    /// `Synced Healthy`.
    pub(super) fn state(&self) -> String {
        format!("{} {}", self.sync, self.health)
    }
}

/// The observations so far, oldest first.
#[derive(Debug)]
pub(super) struct History {
    observations: Arc<Mutex<Vec<Observation>>>,
    task: JoinHandle<()>,
}

impl History {
    /// Watches all Applications from now on.
    pub(super) fn start(client: kube::Client, account: Shared) -> Self {
        let observations = Arc::new(Mutex::new(Vec::new()));
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Application"));
        let api: Api<DynamicObject> = Api::namespaced_with(client, super::server::NAMESPACE, &kind);
        let seen = Arc::clone(&observations);
        let task = tokio::spawn(async move {
            let mut events = watcher(api, watcher::Config::default()).default_backoff().applied_objects().boxed();
            while let Some(event) = events.next().await {
                if let Ok(object) = event {
                    let iam = account.lock().snapshot();
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(Observation::new(&object, iam));
                }
            }
        });
        Self { observations, task }
    }

    /// Of one Application, since a moment.
    pub(super) fn of(&self, app: &str, since: Instant) -> Vec<Observation> {
        let observations = self.observations.lock().unwrap_or_else(PoisonError::into_inner);
        observations.iter().filter(|seen| seen.app == app && seen.at >= since).cloned().collect()
    }

    /// The newest of one Application.
    pub(super) fn last(&self, app: &str) -> Option<Observation> {
        let observations = self.observations.lock().unwrap_or_else(PoisonError::into_inner);
        observations.iter().rev().find(|seen| seen.app == app).cloned()
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.task.abort();
    }
}
