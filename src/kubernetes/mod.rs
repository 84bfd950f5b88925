//! What the operator does to Kubernetes: the finalizer, the status, events. Each call has a timeout, and none touches
//! `spec` or labels.

pub mod client;
mod events;
pub mod lease;

use std::borrow::Cow;
use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::api::account::AwsAccountStatus;
use crate::api::{AuroraLogExportPolicyStatus, FIELD_MANAGER, FINALIZER};
use crate::kubernetes::lease::Fence;
use crate::model::account_object::AccountObject;
use crate::model::object::{Object, Unread};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace;

/// No call to the API server takes longer.
pub const TIMEOUT: Duration = Duration::from_secs(10);

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
            format!("{}; grant it in the operator's ClusterRole (deploy/kustomize/base)", status.message)
        }
        kube::Error::Api(status) => format!("{} ({})", status.message, status.code),
        other => other.to_string(),
    }
}

/// The kinds that the operator writes to: the finalizer, the status, and events about them.
pub trait Managed: Resource<DynamicType = ()> + Sized {
    /// What it says of itself.
    type Status: Serialize + PartialEq + Debug;

    /// Requests about objects that live where this one does.
    fn request(&self) -> kube::core::Request {
        kube::core::Request::new(Self::url_path(&(), self.meta().namespace.as_deref()))
    }

    /// Its status.
    fn status(&self) -> &Self::Status;

    /// What it is called in errors: kind and name.
    fn describe(&self) -> String {
        let kind = Self::kind(&()).to_lowercase();
        match &self.meta().namespace {
            Some(namespace) => format!("{kind} {namespace}/{}", self.name_any()),
            None => format!("{kind} {}", self.name_any()),
        }
    }
}

impl Managed for Object {
    type Status = AuroraLogExportPolicyStatus;

    fn status(&self) -> &Self::Status {
        &self.status
    }
}

impl Managed for AccountObject {
    type Status = AwsAccountStatus;

    fn status(&self) -> &Self::Status {
        &self.status
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
    /// Places for events under way.
    events: Arc<Semaphore>,
}

impl Kubernetes {
    /// A way to the API server for this replica.
    pub fn new(client: Client, fence: Fence, metrics: Metrics, instance: String) -> Self {
        let events = Arc::new(Semaphore::new(events::AT_ONCE));
        Self { client, fence, metrics, instance, events }
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
    pub async fn add_finalizer(&self, object: &impl Managed) -> Result<Unread> {
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

    /// Removes our finalizer.
    ///
    /// # Errors
    /// A conflict if the finalizers have changed since.
    pub async fn remove_finalizer(&self, object: &impl Managed) -> Result<()> {
        let finalizers = object.meta().finalizers.as_deref().unwrap_or_default();
        let Some(index) = finalizers.iter().position(|finalizer| finalizer == FINALIZER) else {
            return Ok(());
        };
        let path = format!("/metadata/finalizers/{index}");
        let operations = vec![
            json!({ "op": "test", "path": "/metadata/uid", "value": object.meta().uid }),
            json!({ "op": "test", "path": path, "value": FINALIZER }),
            json!({ "op": "remove", "path": path }),
        ];
        match self.patch_json(object, operations).await {
            Err(error) if error.is_not_found() => Ok(()),
            result => result.map(drop),
        }
    }

    async fn patch_json(&self, object: &impl Managed, operations: Vec<Value>) -> Result<Unread> {
        self.fenced()?;
        let patch = json_patch(object, operations)?;
        self.patch(&object.describe(), object.request().patch(&object.name_any(), &updating(), &patch)).await
    }

    /// Writes the complete status by server-side apply, so that nothing of an older one can linger. `read` takes in the
    /// answer, and says what the object is like by it, or by what is known that is newer.
    ///
    /// # Errors
    /// A conflict if the object is another one by now.
    pub async fn write_status<K: Managed>(
        &self,
        object: &K,
        status: &K::Status,
        read: impl Fn(Unread) -> Arc<K>,
    ) -> Result<Arc<K>> {
        self.fenced()?;
        let body = Applied {
            api_version: K::api_version(&()),
            kind: K::kind(&()),
            metadata: AppliedTo { name: object.meta().name.as_deref(), uid: object.meta().uid.as_deref() },
            status,
        };
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let request = object.request().patch_subresource("status", &object.name_any(), &params, &Patch::Apply(&body));
        let written = match self.patch(&format!("status of {}", object.describe()), request).await.map(&read) {
            // The API server cannot apply to an object whose spec was stored under another schema than today's
            // ("failed to create typed live object"), which is when its owner must be told.
            Err(error) if error.status() == Some(500) => read(self.replace_status(object, status).await?),
            // What such a replacement wrote, or anybody else, an apply leaves in place.
            Ok(written) if written.status() != status => read(self.replace_status(&*written, status).await?),
            applied => applied?,
        };
        self.metrics.status_written();
        Ok(written)
    }

    /// The same by JSON Patch, which asks nothing of the rest of the object.
    async fn replace_status<K: Managed>(&self, object: &K, status: &K::Status) -> Result<Unread> {
        let operations = vec![
            json!({ "op": "test", "path": "/metadata/uid", "value": object.meta().uid }),
            json!({ "op": "add", "path": "/status", "value": status }),
        ];
        let patch = json_patch(object, operations)?;
        let request = object.request().patch_subresource("status", &object.name_any(), &updating(), &patch);
        self.patch(&format!("status of {}", object.describe()), request).await
    }

    /// Sends a patch; the answer is the object as it is then.
    async fn patch(
        &self,
        what: &str,
        request: std::result::Result<hyper::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Unread> {
        let patch = async { self.client.request(request.map_err(kube::Error::BuildRequest)?).await };
        bounded("patch", what, patch).await
    }

    pub(crate) fn fenced(&self) -> Result<()> {
        if self.fence.may_write(Duration::ZERO) { Ok(()) } else { Err(KubernetesError::NotLeader) }
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

/// Which object: with its UID, so that another one of that name is refused.
#[derive(Debug, Serialize)]
struct AppliedTo<'a> {
    name: Option<&'a str>,
    uid: Option<&'a str>,
}

/// For writes that are no server-side apply.
fn updating() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() }
}

fn json_patch(object: &impl Managed, operations: Vec<Value>) -> Result<Patch<()>> {
    let operations = serde_json::from_value(Value::Array(operations)).map_err(|error| KubernetesError::Api {
        verb: "patch",
        what: object.describe(),
        source: Box::new(kube::Error::SerdeError(error)),
    })?;
    Ok(Patch::Json(operations))
}

/// A call with a timeout, and an error that names verb and resource.
pub async fn bounded<T>(
    verb: &'static str,
    what: &str,
    call: impl Future<Output = std::result::Result<T, kube::Error>>,
) -> Result<T> {
    let span = trace::kubernetes_call(verb, what);
    let result = match tokio::time::timeout(TIMEOUT, call).instrument(span.clone()).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(KubernetesError::Api { verb, what: what.to_owned(), source: Box::new(error) }),
        Err(_) => Err(KubernetesError::Timeout { verb, what: what.to_owned() }),
    };
    let outcome = result.as_ref().err().map_or("success", KubernetesError::outcome);
    let failure = result.as_ref().err().filter(|error| !error.is_not_found());
    trace::call_ended(&span, outcome, failure.map(|error| error as &dyn Display));
    result
}
