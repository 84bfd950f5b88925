//! An `AuroraLogExportPolicy` as the operator holds it: what the pipeline needs, not its JSON.
//!
//! A spec that cannot be read does not stop the watch: it arrives as an error with the field's path, beside the
//! metadata and the status, which deletion needs all the same.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::api::{
    ABANDON, AuroraLogExportPolicy, AuroraLogExportPolicySpec, AuroraLogExportPolicyStatus, FINALIZER, RECONCILE_AT,
};
use crate::model::names::Owner;

/// An object, read leniently.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Metadata, without what only other tools need.
    pub metadata: ObjectMeta,
    /// The spec, or why it cannot be read.
    pub spec: Result<Box<AuroraLogExportPolicySpec>, Unreadable>,
    /// The status; the default where there is none.
    pub status: AuroraLogExportPolicyStatus,
}

/// Why a spec cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}; correct the field, or delete the object")]
pub struct Unreadable {
    /// Path of the field, as in `spec.scope.regions[1]`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl Object {
    /// `<namespace>/<name>`.
    pub fn key(&self) -> Owner {
        key(&self.metadata)
    }

    /// UID; empty only in objects that no API server has seen.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Generation of the spec.
    pub fn generation(&self) -> i64 {
        self.metadata.generation.unwrap_or_default()
    }

    /// Is it being deleted?
    pub fn is_deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Does it carry our finalizer?
    pub fn has_finalizer(&self) -> bool {
        self.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
    }

    /// Does its deletion leave AWS alone, by annotation?
    pub fn is_abandoned(&self) -> bool {
        self.annotation(ABANDON) == Some("true")
    }

    /// The last value of the annotation that asks for a reconcile now.
    pub fn reconcile_at(&self) -> Option<&str> {
        self.annotation(RECONCILE_AT)
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// Name of the `AwsAccount` that the spec refers to.
    pub fn account_ref(&self) -> Option<&str> {
        Some(self.spec.as_ref().ok()?.account_ref.as_ref()?.name.as_str())
    }

    /// `resourceVersion` as a number: the API server's are ordered (KEP-5504), which tells an old event from a new.
    pub fn resource_version(&self) -> Option<u64> {
        resource_version(&self.metadata)
    }
}

fn key(metadata: &ObjectMeta) -> Owner {
    let part = |text: &Option<String>| Arc::from(text.as_deref().unwrap_or_default());
    Owner { namespace: part(&metadata.namespace), name: part(&metadata.name) }
}

fn resource_version(metadata: &ObjectMeta) -> Option<u64> {
    metadata.resource_version.as_ref()?.parse().ok()
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Unread::deserialize(deserializer).map(Self::from)
    }
}

impl From<Unread> for Object {
    fn from(Unread { metadata, spec, status }: Unread) -> Self {
        Self { metadata, spec: read_spec(spec), status: read_status(status.as_deref()) }
    }
}

/// The spec, or why it cannot be read, with the path of the field.
pub(crate) fn read_spec<T: serde::de::DeserializeOwned>(spec: Value) -> Result<Box<T>, Unreadable> {
    // A list would be read as the fields' values in order.
    if spec.is_array() {
        return Err(Unreadable { field: "spec".into(), message: "must be an object, not a list".into() });
    }
    serde_path_to_error::deserialize(spec).map(Box::new).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "spec".to_owned() } else { format!("spec.{path}") };
        Unreadable { field, message: error.into_inner().to_string() }
    })
}

/// The status; what cannot be read counts as absent.
pub(crate) fn read_status<T: Default + serde::de::DeserializeOwned>(status: Option<&RawValue>) -> T {
    status.and_then(|status| serde_json::from_str(status.get()).ok()).unwrap_or_default()
}

/// An object of either kind of which the metadata are read. Each of our own writes comes twice, as its answer and by the
/// watch: the rest is read if the metadata say that it is news.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = Object)]
pub struct Unread {
    /// Metadata, without what only other tools need.
    #[serde(default, deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) spec: Value,
    /// Its text: it is read straight into its type, and may be unreadable.
    #[serde(default)]
    pub(crate) status: Option<Box<RawValue>>,
}

impl Unread {
    /// `<namespace>/<name>`.
    pub fn key(&self) -> Owner {
        key(&self.metadata)
    }

    /// Is it this state of the object, or an older one?
    pub fn is_known_by(&self, known: &Object) -> bool {
        let version = known.resource_version();
        known.metadata.uid == self.metadata.uid && version.is_some() && version >= resource_version(&self.metadata)
    }
}

fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    Metadata::deserialize(deserializer).map(ObjectMeta::from)
}

/// What is kept of the metadata. `managedFields`, often the largest part of an object, is skipped, not built and dropped.
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

impl From<Metadata> for ObjectMeta {
    fn from(metadata: Metadata) -> Self {
        let mut annotations = metadata.annotations.unwrap_or_default();
        annotations.retain(|key, _| key == ABANDON || key == RECONCILE_AT);
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

impl Resource for Object {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(dt: &()) -> Cow<'_, str> {
        AuroraLogExportPolicy::kind(dt)
    }

    fn group(dt: &()) -> Cow<'_, str> {
        AuroraLogExportPolicy::group(dt)
    }

    fn version(dt: &()) -> Cow<'_, str> {
        AuroraLogExportPolicy::version(dt)
    }

    fn plural(dt: &()) -> Cow<'_, str> {
        AuroraLogExportPolicy::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Object {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn an_unreadable_spec_names_its_field_and_keeps_metadata_and_status() {
        let object = read(json!({
            "apiVersion": "auroralogexport.dev/v1alpha1",
            "kind": "AuroraLogExportPolicy",
            "metadata": { "namespace": "shop", "name": "orders", "uid": "u", "generation": 3, "finalizers": [FINALIZER] },
            "spec": { "scope": { "regions": ["eu-west-1", 7] } },
            "status": { "observedGeneration": 2, "accountId": "123456789012" },
        }));
        let error = object.spec.clone().unwrap_err();
        assert_eq!(error.field, "spec.scope.regions[1]");
        assert!(error.message.contains("expected a string"), "{error}");
        assert_eq!(object.key(), Owner::new("shop", "orders"));
        assert!(object.has_finalizer());
        assert_eq!(object.status.account_id.as_deref(), Some("123456789012"));
    }

    #[test]
    fn a_status_that_cannot_be_read_counts_as_none() {
        let status = |status: Value| read(json!({ "metadata": {}, "spec": {}, "status": status })).status;
        assert_eq!(status(json!({ "observedGeneration": 7, "unknown": [{}] })).observed_generation, 7);
        for unreadable in [Value::Null, json!(7), json!([]), json!({ "observedGeneration": "7", "accountId": "1" })] {
            assert_eq!(status(unreadable.clone()), AuroraLogExportPolicyStatus::default(), "{unreadable}");
        }
    }

    #[test]
    fn an_unknown_field_or_value_is_an_error_with_its_path() {
        let field = |spec: Value| read(json!({ "metadata": {}, "spec": spec })).spec.unwrap_err().field;
        assert_eq!(field(json!({ "access": "Everything" })), "spec.access");
        assert_eq!(field(json!({ "acess": "Minimal" })), "spec.acess");
        assert_eq!(field(json!({ "driftCheckInterval": "soon" })), "spec.driftCheckInterval");
        assert_eq!(field(Value::Null), "spec");
        assert_eq!(field(json!(["exports"])), "spec");
    }

    #[test]
    fn only_what_the_pipeline_needs_is_kept() {
        let object = read(json!({
            "metadata": {
                "name": "orders",
                "labels": { "a": "b" },
                "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "{}", RECONCILE_AT: "now" },
                "managedFields": [{ "manager": "x" }],
            },
            "spec": {},
        }));
        assert_eq!(object.reconcile_at(), Some("now"));
        assert_eq!(object.metadata.annotations.as_ref().map(BTreeMap::len), Some(1));
        assert_eq!(object.metadata.labels, None);
        assert_eq!(object.metadata.managed_fields, None);
    }
}
