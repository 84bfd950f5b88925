//! An `AwsAccount` as the operator holds it. One whose spec cannot be read does not stop the watch of the others.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::ClusterResourceScope;
use serde::{Deserialize, Deserializer};

use crate::api::{AwsAccount, AwsAccountSpec, AwsAccountStatus, FINALIZER};
use crate::model::object::{Unread, Unreadable, read_spec, read_status};

/// An account, read leniently.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountObject {
    /// Metadata, without what only other tools need.
    pub metadata: ObjectMeta,
    /// The spec, or why it cannot be read.
    pub spec: Result<Box<AwsAccountSpec>, Unreadable>,
    /// The status; the default where there is none.
    pub status: AwsAccountStatus,
}

impl AccountObject {
    /// Its name.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
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
        let finalizers = self.metadata.finalizers.iter().flatten();
        finalizers.into_iter().any(|finalizer| finalizer == FINALIZER)
    }
}

impl<'de> Deserialize<'de> for AccountObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Unread::deserialize(deserializer).map(Self::from)
    }
}

impl From<Unread> for AccountObject {
    fn from(Unread { metadata, spec, status }: Unread) -> Self {
        Self { metadata, spec: read_spec(spec), status: read_status(status.as_deref()) }
    }
}

impl Resource for AccountObject {
    type DynamicType = ();
    type Scope = ClusterResourceScope;

    fn kind(dt: &()) -> Cow<'_, str> {
        AwsAccount::kind(dt)
    }

    fn group(dt: &()) -> Cow<'_, str> {
        AwsAccount::group(dt)
    }

    fn version(dt: &()) -> Cow<'_, str> {
        AwsAccount::version(dt)
    }

    fn plural(dt: &()) -> Cow<'_, str> {
        AwsAccount::plural(dt)
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

    #[test]
    fn an_unreadable_spec_names_its_field_and_keeps_the_rest() {
        let object: AccountObject = serde_json::from_value(json!({
            "metadata": { "name": "prod", "generation": 2, "finalizers": [FINALIZER] },
            "spec": { "accountId": "111122223333", "limits": { "readsPerSecond": "many" } },
            "status": { "observedGeneration": 1, "policies": 3 },
        }))
        .unwrap();
        assert_eq!(object.spec.as_ref().unwrap_err().field, "spec.limits.readsPerSecond");
        assert!(object.has_finalizer());
        assert_eq!(object.status.policies, Some(3));
    }
}
