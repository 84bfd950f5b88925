//! A custom resource as the operator keeps it in memory: what the pipeline needs, not its JSON. One type for all kinds.
//!
//! A spec that cannot be parsed does not stop the watch. It becomes an error with the field's path; the metadata and
//! the status are kept, because deletion needs them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::account_key::AccountKey;
use super::names::Owner;
use crate::api::known::{Restricting, ignore_unknown};
use crate::api::{
    ABANDON, AuroraLogExportPolicy, AuroraLogExportPolicySpec, AuroraLogExportPolicyStatus, AwsAccount, AwsAccountSpec,
    AwsAccountStatus, FINALIZER, RECONCILE_AT,
};

/// More finalizers than any object needs.
const MAX_FINALIZERS: usize = 64;
/// Bytes of an annotation's value that are kept. The operator's annotations are `true` or a time.
const MAX_ANNOTATION: usize = 64;

/// An `AuroraLogExportPolicy`.
pub type PolicyObject = Stored<AuroraLogExportPolicySpec, AuroraLogExportPolicyStatus>;

/// An `AwsAccount`.
pub type AccountObject = Stored<AwsAccountSpec, AwsAccountStatus>;

/// The kind that a spec belongs to.
pub trait Kind: Clone + Debug + PartialEq + DeserializeOwned + Send + Sync + 'static {
    /// The custom resource, with its group, version, plural and scope.
    type Resource: Resource<DynamicType = ()>;
}

impl Kind for AuroraLogExportPolicySpec {
    type Resource = AuroraLogExportPolicy;
}

impl Kind for AwsAccountSpec {
    type Resource = AwsAccount;
}

/// An object, parsed leniently.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<Spec, Status> {
    /// Metadata, without the fields that only other tools need.
    pub metadata: ObjectMeta,
    /// The spec, or why it cannot be parsed.
    pub spec: Result<Box<Spec>, UnreadableSpec>,
    /// What is ignored in the spec, because a newer version knows it and this one does not.
    pub ignored: Vec<String>,
    /// The status; the default if it is missing or cannot be parsed.
    pub status: Status,
}

/// Why a spec cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}; correct the field, or delete the object")]
pub struct UnreadableSpec {
    /// Path of the field, as in `spec.scope.regions[1]`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl<Spec, Status> Stored<Spec, Status> {
    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// `metadata.namespace`; empty for a cluster-scoped object.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// `<namespace>/<name>`.
    pub fn key(&self) -> Owner {
        Owner { namespace: Arc::from(self.namespace()), name: Arc::from(self.name()) }
    }

    /// UID; empty only in objects that do not come from an API server.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// When the API server created it.
    pub fn created(&self) -> Option<jiff::Timestamp> {
        self.metadata.creation_timestamp.as_ref().map(|time| time.0)
    }

    /// Generation of the spec.
    pub fn generation(&self) -> i64 {
        self.metadata.generation.unwrap_or_default()
    }

    /// `resourceVersion` as a number. The API server's values are ordered (KEP-5504), so an old event can be detected.
    pub fn resource_version(&self) -> Option<u64> {
        self.metadata.resource_version.as_ref()?.parse().ok()
    }

    /// True while the object is being deleted.
    pub fn is_deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// True if the object has our finalizer.
    pub fn has_finalizer(&self) -> bool {
        self.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
    }

    /// True if the operator has released the object: it waits for the finalizers of others only.
    pub fn is_released(&self) -> bool {
        self.is_deleting() && !self.has_finalizer()
    }

    /// True if the `abandon` annotation allows a deletion without AWS calls.
    pub fn is_abandoned(&self) -> bool {
        self.annotation(ABANDON) == Some("true")
    }

    /// The value of the annotation that triggers a reconcile.
    pub fn reconcile_at(&self) -> Option<&str> {
        self.annotation(RECONCILE_AT)
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }
}

impl PolicyObject {
    /// Name of the `AwsAccount` that the spec refers to.
    pub fn account_ref(&self) -> Option<&str> {
        Some(self.spec.as_ref().ok()?.account_ref.as_ref()?.name.as_str())
    }

    /// The account that the object works in.
    pub fn account_key(&self) -> AccountKey {
        AccountKey::from_ref(self.account_ref())
    }
}

impl<'de, Spec: Kind, Status: Default + DeserializeOwned> Deserialize<'de> for Stored<Spec, Status> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Json { mut metadata, spec, status } = Json::deserialize(deserializer)?;
        let (spec, ignored) = match metadata.limit_finalizers().and_then(|()| read_spec::<Spec>(spec)) {
            Ok((spec, ignored)) => (Ok(spec), ignored),
            Err(error) => (Err(error), Vec::new()),
        };
        Ok(Self {
            metadata: metadata.into(),
            spec,
            ignored,
            status: serde_json::from_value(status).unwrap_or_default(),
        })
    }
}

/// The object as the API server sends it.
#[derive(Deserialize)]
struct Json {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default, deserialize_with = "with_null")]
    spec: Option<Value>,
    #[serde(default)]
    status: Value,
}

/// Tells a null from a field that is missing.
fn with_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn read_spec<Spec: Kind>(spec: Option<Value>) -> Result<(Box<Spec>, Vec<String>), UnreadableSpec> {
    let unreadable = |field: &str, message: &str| UnreadableSpec { field: field.into(), message: message.into() };
    let mut spec = match spec {
        // A server-side apply that removes the last field stores null.
        Some(Value::Null) => Value::Object(serde_json::Map::new()),
        // serde would accept a list as the fields' values in order.
        Some(Value::Array(_)) => return Err(unreadable("spec", "must be an object, not a list")),
        Some(spec) => spec,
        None => return Err(unreadable("spec", "is required, and may be {}")),
    };
    let ignored = ignore_unknown(&Spec::Resource::kind(&()), &mut spec).map_err(|Restricting(field)| {
        let message = "unknown field, which may restrict access and must not be ignored; update the operator";
        unreadable(&field, message)
    })?;
    let read = serde_path_to_error::deserialize(spec).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "spec".to_owned() } else { format!("spec.{path}") };
        UnreadableSpec { field, message: error.into_inner().to_string() }
    })?;
    Ok((Box::new(read), ignored))
}

/// The metadata fields that are kept. `managedFields`, often the largest part of an object, is skipped.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    annotations: Option<BTreeMap<String, String>>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    finalizers: Option<Vec<String>>,
    generation: Option<i64>,
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
    uid: Option<String>,
}

impl Metadata {
    /// Keeps the operator's memory in proportion: an object can carry a megabyte of finalizers.
    fn limit_finalizers(&mut self) -> Result<(), UnreadableSpec> {
        let Some(finalizers) = self.finalizers.as_mut().filter(|finalizers| finalizers.len() > MAX_FINALIZERS) else {
            return Ok(());
        };
        finalizers.retain(|finalizer| finalizer == FINALIZER);
        finalizers.shrink_to_fit();
        let message = format!("has more than {MAX_FINALIZERS} entries");
        Err(UnreadableSpec { field: "metadata.finalizers".into(), message })
    }
}

impl From<Metadata> for ObjectMeta {
    fn from(metadata: Metadata) -> Self {
        let mut annotations = metadata.annotations.unwrap_or_default();
        annotations.retain(|key, _| key == ABANDON || key == RECONCILE_AT);
        for value in annotations.values_mut() {
            value.truncate(value.floor_char_boundary(MAX_ANNOTATION));
            value.shrink_to_fit();
        }
        Self {
            annotations: (!annotations.is_empty()).then_some(annotations),
            creation_timestamp: metadata.creation_timestamp,
            deletion_timestamp: metadata.deletion_timestamp,
            finalizers: metadata.finalizers,
            generation: metadata.generation,
            name: metadata.name,
            namespace: metadata.namespace,
            resource_version: metadata.resource_version,
            uid: metadata.uid,
            ..Self::default()
        }
    }
}

impl<Spec: Kind, Status> Resource for Stored<Spec, Status> {
    type DynamicType = ();
    type Scope = <Spec::Resource as Resource>::Scope;

    fn kind(dt: &()) -> Cow<'_, str> {
        Spec::Resource::kind(dt)
    }

    fn group(dt: &()) -> Cow<'_, str> {
        Spec::Resource::group(dt)
    }

    fn version(dt: &()) -> Cow<'_, str> {
        Spec::Resource::version(dt)
    }

    fn plural(dt: &()) -> Cow<'_, str> {
        Spec::Resource::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests;
