//! The API as users see it: kinds, names, vocabularies. Manifests and dashboards depend on it.

pub mod account;
pub mod condition;
pub mod field;
pub(crate) mod known;
pub mod policy;
pub mod reason;
mod schema;
pub mod status;
#[cfg(test)]
mod tests;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::json;

pub use account::{AwsAccount, AwsAccountSpec, AwsAccountStatus};
pub use condition::Condition;
pub use field::Field;
pub use policy::{AuroraLogExportPolicy, AuroraLogExportPolicySpec};
pub use reason::{ConditionType, EventReason, Reason};
pub(crate) use schema::MAX_TAG_KEYS;
pub use status::{AuroraLogExportPolicyStatus, DriftEntry, OutputsStatus, PolicyStatus, RoleStatus};

/// Field manager of the operator's writes, reporting controller of its events, and name of its Lease.
pub const FIELD_MANAGER: &str = "aurora-log-export-operator";
/// Finalizer of both kinds.
pub const FINALIZER: &str = "auroralogexport.dev/cleanup";
/// Annotation: any new value triggers a reconcile.
pub const RECONCILE_AT: &str = "auroralogexport.dev/reconcile-at";
/// Annotation: `"true"` lets a deletion finish without touching AWS.
pub const ABANDON: &str = "auroralogexport.dev/abandon";
/// Prefix of the tag keys that are reserved for the operator.
pub const RESERVED_TAG_PREFIX: &str = "auroralogexport.dev/";
/// Ownership tag: the cluster's name.
pub const TAG_MANAGED_BY: &str = "auroralogexport.dev/managed-by";
/// Ownership tag: UID of the cluster's namespace `kube-system`.
pub const TAG_CLUSTER_UID: &str = "auroralogexport.dev/cluster-uid";
/// Ownership tag: `<namespace>/<name>`.
pub const TAG_OWNER: &str = "auroralogexport.dev/owner";
/// Consent tag: the object `<cluster>/<namespace>/<name>` may adopt the resource.
pub const TAG_ADOPTABLE_BY: &str = "auroralogexport.dev/adoptable-by";

/// Both CRDs, as in `crds/` and as installed in a cluster.
pub fn crds() -> Vec<CustomResourceDefinition> {
    // On the root object: the API server skips the rules of a spec that is null, or was.
    let immutable = |field: &str| {
        let is_set = |object: &str| format!("has({object}.spec) && has({object}.spec.{field})");
        let (now, before) = (is_set("self"), is_set("oldSelf"));
        json!({
            "rule": format!("({now}) == ({before}) && (!({now}) || self.spec.{field} == oldSelf.spec.{field})"),
            "message": format!("{field} cannot be changed, set or unset once the object exists: create a new object with the new \
                                value and delete this one"),
            "fieldPath": format!(".spec.{field}"),
            "reason": "FieldValueForbidden",
        })
    };
    let policy = schema::finish(
        AuroraLogExportPolicy::crd(),
        &json!({ "observedGeneration": status::never_observed() }),
        &[
            // Without a fieldPath: the API server does not accept one that points into metadata.
            json!({
                "rule": "size(self.metadata.name) <= 128",
                "message": "metadata.name must have at most 128 characters, so that the owner tag fits",
            }),
            immutable("policyName"),
            immutable("roleName"),
            immutable("policyPath"),
            immutable("rolePath"),
            immutable("accountRef"),
        ],
        &[json!({
            "rule": "!(has(self.access) && self.access == 'FullAccess' && has(self.scope))",
            "message": "access: FullAccess covers everything: remove scope, or use access: Minimal",
            "fieldPath": ".scope",
            "reason": "FieldValueForbidden",
        })],
    );
    let account = schema::finish(
        AwsAccount::crd(),
        &json!({ "observedGeneration": status::never_observed() }),
        &[],
        &[
            json!({
                "rule": "self.accountId == oldSelf.accountId",
                "message": "accountId cannot be changed: create a new AwsAccount",
                "fieldPath": ".accountId",
                "reason": "FieldValueForbidden",
            }),
            json!({
                "rule": "!has(self.assumeRole) || self.assumeRole.roleArn.contains('::' + self.accountId + ':')",
                "message": "the role to assume must be in the account of accountId",
                "fieldPath": ".assumeRole.roleArn",
            }),
            json!({
                "rule": "!has(self.guardrails) || !has(self.guardrails.permissionsBoundary) \
                         || self.guardrails.permissionsBoundary.contains('::aws:') \
                         || self.guardrails.permissionsBoundary.contains('::' + self.accountId + ':')",
                "message": "the permissions boundary must be a policy in the account of accountId, or an AWS-managed policy",
                "fieldPath": ".guardrails.permissionsBoundary",
            }),
        ],
    );
    vec![policy, account]
}
