//! What the operator does to Kubernetes: the finalizer, the status, events. Each call has a timeout, and none touches
//! `spec` or labels.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, ObjectReference};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Resource, ResourceExt};
use serde_json::{Value, json};

use crate::api::{AuroraLogExportPolicyStatus, FIELD_MANAGER, FINALIZER};
use crate::lease::Fence;
use crate::metrics::Metrics;
use crate::object::Object;

/// No call to the API server takes longer.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// A note of an event has at most 1,024 bytes (Kubernetes API reference, events.k8s.io/v1).
const MAX_NOTE: usize = 1000;

/// Why a call to Kubernetes failed.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// The API server refused or could not be reached.
    #[error("{verb} of {what}: {}", describe(source))]
    Api {
        /// What was tried.
        verb: &'static str,
        /// On what.
        what: String,
        /// What was said.
        #[source]
        source: Box<kube::Error>,
    },
    /// No answer in time.
    #[error("{verb} of {what}: no answer from the API server within {} s", TIMEOUT.as_secs())]
    Timeout {
        /// What was tried.
        verb: &'static str,
        /// On what.
        what: String,
    },
    /// This replica may not write any more.
    #[error("this replica no longer holds the lease")]
    NotLeader,
}

impl KubernetesError {
    /// The object is not there (any more).
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// The object has changed since it was read, or is another one now.
    pub fn is_conflict(&self) -> bool {
        // A JSON Patch whose test fails is 422 "Invalid".
        matches!(self.status(), Some(409 | 422))
    }

    /// The API server does not allow it.
    pub fn is_forbidden(&self) -> bool {
        self.status() == Some(403)
    }

    fn status(&self) -> Option<u16> {
        match self {
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            Self::Timeout { .. } | Self::NotLeader => None,
        }
    }
}

fn describe(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            format!(
                "{}; grant it in the operator's ClusterRole (deploy/kustomize/base)",
                status.message
            )
        }
        kube::Error::Api(status) => format!("{} ({})", status.message, status.code),
        other => other.to_string(),
    }
}

/// Result of a call.
pub type Result<T> = std::result::Result<T, KubernetesError>;

/// The way to the API server.
#[derive(Clone)]
pub struct Kubernetes {
    client: Client,
    fence: Fence,
    metrics: Metrics,
    /// Name of this replica, for events.
    instance: String,
}

impl Kubernetes {
    /// A way to the API server for this replica.
    pub fn new(client: Client, fence: Fence, metrics: Metrics, instance: String) -> Self {
        Self {
            client,
            fence,
            metrics,
            instance,
        }
    }

    /// The client, for watches.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// UID of the namespace `kube-system`, which stands for the cluster.
    ///
    /// # Errors
    /// If the API server refuses or does not answer.
    pub async fn cluster_uid(&self) -> Result<String> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let namespace = bounded("get", "namespace kube-system", api.get("kube-system")).await?;
        Ok(namespace.uid().unwrap_or_default())
    }

    /// Adds our finalizer, unless the object is another one by now.
    ///
    /// # Errors
    /// A conflict if it has changed since; the next event brings it again.
    pub async fn add_finalizer(&self, object: &Object) -> Result<Object> {
        let mut operations = vec![json!({ "op": "test", "path": "/metadata/uid", "value": object.uid() })];
        match &object.metadata.finalizers {
            Some(finalizers) if !finalizers.is_empty() => {
                operations.push(json!({ "op": "test", "path": "/metadata/finalizers", "value": finalizers }));
                operations.push(json!({ "op": "add", "path": "/metadata/finalizers/-", "value": FINALIZER }));
            }
            _ => operations.push(json!({ "op": "add", "path": "/metadata/finalizers", "value": [FINALIZER] })),
        }
        self.patch_json(object, operations).await
    }

    /// Removes our finalizer.
    ///
    /// # Errors
    /// A conflict if the finalizers have changed since.
    pub async fn remove_finalizer(&self, object: &Object) -> Result<()> {
        let finalizers = object.metadata.finalizers.as_deref().unwrap_or_default();
        let Some(index) = finalizers.iter().position(|finalizer| finalizer == FINALIZER) else {
            return Ok(());
        };
        let path = format!("/metadata/finalizers/{index}");
        let operations = vec![
            json!({ "op": "test", "path": "/metadata/uid", "value": object.uid() }),
            json!({ "op": "test", "path": path, "value": FINALIZER }),
            json!({ "op": "remove", "path": path }),
        ];
        match self.patch_json(object, operations).await {
            Err(error) if error.is_not_found() => Ok(()),
            result => result.map(drop),
        }
    }

    async fn patch_json(&self, object: &Object, operations: Vec<Value>) -> Result<Object> {
        self.fenced()?;
        let patch: kube::core::params::Patch<()> = Patch::Json(
            serde_json::from_value(Value::Array(operations)).map_err(|error| KubernetesError::Api {
                verb: "patch",
                what: object.key().to_string(),
                source: Box::new(kube::Error::SerdeError(error)),
            })?,
        );
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.into()),
            ..PatchParams::default()
        };
        let what = format!("auroralogexportpolicy {}", object.key());
        bounded(
            "patch",
            &what,
            self.objects(object).patch(&object.name_any(), &params, &patch),
        )
        .await
    }

    /// Writes the complete status by server-side apply, so that nothing of an older one can linger.
    ///
    /// # Errors
    /// A conflict if the object is another one by now.
    pub async fn write_status(&self, object: &Object, status: &AuroraLogExportPolicyStatus) -> Result<Object> {
        self.fenced()?;
        let body = json!({
            "apiVersion": Object::api_version(&()),
            "kind": Object::kind(&()),
            "metadata": { "name": object.metadata.name, "namespace": object.metadata.namespace, "uid": object.uid() },
            "status": status,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let what = format!("status of auroralogexportpolicy {}", object.key());
        let written = bounded(
            "patch",
            &what,
            self.objects(object)
                .patch_status(&object.name_any(), &params, &Patch::Apply(&body)),
        )
        .await?;
        self.metrics.status_written();
        Ok(written)
    }

    /// Publishes an event. Never fails: an event that cannot be published is logged.
    ///
    /// Events are made directly, not through kube's `Recorder`, which keeps the first note of an action and reason for
    /// six minutes: ours come on transitions only and carry the object at hand in their note.
    pub async fn event(&self, object: &Object, warning: bool, reason: &str, action: &str, note: &str) {
        let reference = ObjectReference {
            api_version: Some(Object::api_version(&()).into_owned()),
            kind: Some(Object::kind(&()).into_owned()),
            name: object.metadata.name.clone(),
            namespace: object.metadata.namespace.clone(),
            uid: object.metadata.uid.clone(),
            resource_version: object.metadata.resource_version.clone(),
            field_path: None,
        };
        let event = Event {
            metadata: ObjectMeta {
                generate_name: Some(format!("{}-", object.name_any())),
                namespace: object.metadata.namespace.clone(),
                ..ObjectMeta::default()
            },
            action: Some(action.to_owned()),
            event_time: Some(MicroTime(Timestamp::now())),
            note: Some(note.chars().take(MAX_NOTE).collect()),
            reason: Some(reason.to_owned()),
            regarding: Some(reference),
            reporting_controller: Some(FIELD_MANAGER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(if warning { "Warning" } else { "Normal" }.to_owned()),
            ..Event::default()
        };
        let api: Api<Event> = Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default());
        let what = format!("event {reason} of {}", object.key());
        if let Err(error) = bounded("create", &what, api.create(&PostParams::default(), &event)).await {
            tracing::warn!(%error, "an event could not be published");
        }
    }

    pub(crate) fn fenced(&self) -> Result<()> {
        if self.fence.may_write(Duration::ZERO) {
            Ok(())
        } else {
            Err(KubernetesError::NotLeader)
        }
    }

    fn objects(&self, object: &Object) -> Api<Object> {
        Api::namespaced(self.client.clone(), &object.namespace().unwrap_or_default())
    }
}

/// A call with a timeout, and an error that names verb and resource.
pub async fn bounded<T>(
    verb: &'static str,
    what: &str,
    call: impl Future<Output = std::result::Result<T, kube::Error>>,
) -> Result<T> {
    match tokio::time::timeout(TIMEOUT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(KubernetesError::Api {
            verb,
            what: what.to_owned(),
            source: Box::new(error),
        }),
        Err(_) => Err(KubernetesError::Timeout {
            verb,
            what: what.to_owned(),
        }),
    }
}
