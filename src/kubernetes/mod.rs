//! What the operator writes to Kubernetes: finalizers, statuses, events. Each call has a timeout. `spec` and labels are
//! never touched.

pub mod call;
pub mod client;
mod events;
pub mod gone;
mod kubeconfig;
pub mod lease;
pub mod managed;
pub mod refusal;
mod revisions;
mod token_file;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde::Serialize;
use serde_json::{Value, json};

use crate::api::{FIELD_MANAGER, FINALIZER};
use crate::telemetry::metrics::Metrics;
use call::{Result, bounded};
use events::Events;
use lease::Fence;
use managed::Managed;

pub use call::KubernetesError;

/// The operator's writes to the API server.
#[derive(Clone)]
pub struct Kubernetes {
    client: Client,
    fence: Fence,
    metrics: Metrics,
    events: Events,
}

impl Kubernetes {
    /// For this replica. `instance` is its name, for events.
    pub fn new(client: Client, fence: Fence, metrics: Metrics, instance: String) -> Self {
        let events = Events::new(client.clone(), instance);
        Self { client, fence, metrics, events }
    }

    /// The client, for watches.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// UID of the namespace `kube-system`, which identifies the cluster.
    ///
    /// # Errors
    /// If the API server refuses or does not answer.
    pub async fn cluster_uid(&self) -> Result<String> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let namespace = bounded("get", "namespace kube-system", api.get("kube-system")).await?;
        Ok(namespace.uid().unwrap_or_default())
    }

    /// Labels of a namespace, as they are now.
    ///
    /// # Errors
    /// If the API server refuses or does not answer.
    pub async fn namespace_labels(&self, name: &str) -> Result<BTreeMap<String, String>> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let namespace = bounded("get", &format!("namespace {name}"), api.get_metadata(name)).await?;
        Ok(namespace.metadata.labels.unwrap_or_default())
    }

    /// Adds our finalizer, unless the object is another one by now. Returns the object as it is then.
    ///
    /// # Errors
    /// A conflict if it has changed since; the watch brings the change.
    pub async fn add_finalizer<K: Managed>(&self, object: &K) -> Result<K> {
        let mut operations = vec![json!({ "op": "test", "path": "/metadata/uid", "value": object.meta().uid })];
        match &object.meta().finalizers {
            Some(finalizers) if !finalizers.is_empty() => {
                operations.push(json!({ "op": "test", "path": "/metadata/finalizers", "value": finalizers }));
                operations.push(json!({ "op": "add", "path": "/metadata/finalizers/-", "value": FINALIZER }));
            }
            _ => operations.push(json!({ "op": "add", "path": "/metadata/finalizers", "value": [FINALIZER] })),
        }
        self.patch_json(object, operations).await
    }

    /// Removes our finalizer. Returns false if the object no longer exists.
    ///
    /// # Errors
    /// A conflict if the finalizers have changed since.
    pub async fn remove_finalizer(&self, object: &impl Managed) -> Result<bool> {
        let finalizers = object.meta().finalizers.as_deref().unwrap_or_default();
        let Some(index) = finalizers.iter().position(|finalizer| finalizer == FINALIZER) else {
            return Ok(true);
        };
        let path = format!("/metadata/finalizers/{index}");
        let operations = vec![
            json!({ "op": "test", "path": "/metadata/uid", "value": object.meta().uid }),
            json!({ "op": "test", "path": path, "value": FINALIZER }),
            json!({ "op": "remove", "path": path }),
        ];
        match self.patch_json(object, operations).await {
            Err(error) if error.is_not_found() => Ok(false),
            result => result.map(|_| true),
        }
    }

    /// Writes the complete status by server-side apply, so that nothing of an older one remains. Returns the updated
    /// object.
    ///
    /// # Errors
    /// A conflict if the object has been replaced by another one.
    pub async fn write_status<K: Managed>(&self, object: &K, status: &K::Status) -> Result<K> {
        let body = Applied {
            api_version: K::api_version(&()),
            kind: K::kind(&()),
            metadata: AppliedTo { name: object.meta().name.as_deref(), uid: object.meta().uid.as_deref() },
            status,
        };
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let request = object.request().patch_subresource("status", &object.name_any(), &params, &Patch::Apply(&body));
        let written = match self.patch::<K>(&format!("status of {}", object.describe()), request).await {
            // The API server cannot apply to an object whose spec was stored under another schema than today's
            // ("failed to create typed live object"). That is when its owner needs the status most.
            Err(error) if error.status() == Some(500) => self.replace_status(object, status).await?,
            // Server-side apply keeps what a JSON Patch or another field manager wrote.
            Ok(written) if written.status() != status => self.replace_status(&written, status).await?,
            applied => applied?,
        };
        self.metrics.status_written();
        Ok(written)
    }

    /// Writes the status by JSON Patch, which does not validate the rest of the object.
    async fn replace_status<K: Managed>(&self, object: &K, status: &K::Status) -> Result<K> {
        let operations = vec![
            json!({ "op": "test", "path": "/metadata/uid", "value": object.meta().uid }),
            json!({ "op": "add", "path": "/status", "value": status }),
        ];
        let patch = json_patch(object, operations)?;
        let request = object.request().patch_subresource("status", &object.name_any(), &patch_params(), &patch);
        self.patch(&format!("status of {}", object.describe()), request)
            .await
            .map_err(|error| failed_test(error, object))
    }

    /// Publishes an event in the background. Never waits and never fails: an event that cannot be published is logged.
    pub fn event<K: Managed>(&self, object: &K, warning: bool, reason: &str, action: &str, note: &str) {
        self.events.publish(object, warning, reason, action, note);
    }

    /// Waits until all events are published.
    pub async fn events_published(&self) {
        self.events.published().await;
    }

    /// Returns an error unless this replica holds the lease. Call it right before a write.
    ///
    /// # Errors
    /// [`KubernetesError::NotLeader`].
    pub fn check_fence(&self) -> Result<()> {
        if self.fence.may_write(Duration::ZERO) { Ok(()) } else { Err(KubernetesError::NotLeader) }
    }

    async fn patch_json<K: Managed>(&self, object: &K, operations: Vec<Value>) -> Result<K> {
        let patch = json_patch(object, operations)?;
        let request = object.request().patch(&object.name_any(), &patch_params(), &patch);
        self.patch(&object.describe(), request).await.map_err(|error| failed_test(error, object))
    }

    async fn patch<K: Managed>(
        &self,
        what: &str,
        request: std::result::Result<hyper::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<K> {
        self.check_fence()?;
        let patch = async { self.client.request(request.map_err(kube::Error::BuildRequest)?).await };
        bounded("patch", what, patch).await
    }
}

/// What server-side apply sends for a status.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Applied<'a, S> {
    api_version: Cow<'static, str>,
    kind: Cow<'static, str>,
    metadata: AppliedTo<'a>,
    status: &'a S,
}

/// The object to apply to. With its UID, so that another object of that name is refused.
#[derive(Debug, Serialize)]
struct AppliedTo<'a> {
    name: Option<&'a str>,
    uid: Option<&'a str>,
}

/// For writes other than server-side apply.
fn patch_params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}

/// The API server answers 422 to a JSON Patch whose test fails, which is a race, and to an object that breaks the schema,
/// which is a defect of ours. The second names the fields as causes, the first has none (apiserver, `handlers/patch.go`).
fn failed_test(error: KubernetesError, object: &impl Managed) -> KubernetesError {
    let failed = match &error {
        KubernetesError::Api { source, .. } => match &**source {
            kube::Error::Api(status) => {
                status.code == 422 && status.details.as_ref().is_none_or(|details| details.causes.is_empty())
            }
            _ => false,
        },
        KubernetesError::Timeout { .. } | KubernetesError::Changed { .. } | KubernetesError::NotLeader => false,
    };
    if failed { KubernetesError::Changed { what: object.describe() } } else { error }
}

fn json_patch(object: &impl Managed, operations: Vec<Value>) -> Result<Patch<()>> {
    let operations = serde_json::from_value(Value::Array(operations)).map_err(|error| KubernetesError::Api {
        verb: "patch",
        what: object.describe(),
        source: Box::new(kube::Error::SerdeError(error)),
    })?;
    Ok(Patch::Json(operations))
}
