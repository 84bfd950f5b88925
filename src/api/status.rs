//! `AuroraLogExportPolicy.status`: what the operator reports. It is computed only by [`crate::pipeline::status`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::Condition;

/// `observedGeneration` of an object that has not been reconciled yet, so that no tool treats it as ready.
pub const fn never_observed() -> i64 {
    -1
}

/// Observed state of the policy and the role.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuroraLogExportPolicyStatus {
    /// The generation of the spec that the conditions describe; -1 before the first reconcile.
    #[serde(default = "never_observed")]
    pub observed_generation: i64,

    /// The AWS account of the policy and the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,

    /// The AWS partition: `aws`, `aws-cn`, `aws-us-gov`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,

    /// The managed IAM policy; absent with `access: FullAccess`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyStatus>,

    /// The IAM role that RDS assumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<RoleStatus>,

    /// Keys of the tags that this object has set on the policy and the role. A key that is removed from the spec is
    /// removed in AWS; other tags are kept.
    #[serde(default, deserialize_with = "super::schema::null_as_default", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::schema::tag_keys")]
    pub tag_keys: Vec<String>,

    /// What is published in addition to this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<OutputsStatus>,

    /// Differences in AWS that are not repaired, at most 32.
    #[serde(default, deserialize_with = "super::schema::null_as_default", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub drift: Vec<DriftEntry>,

    /// `Ready`, `Reconciling` and `Stalled` follow the kstatus conventions; `PolicyReady`, `RoleReady`,
    /// `PolicyAttached`, `Drifted` and `Effective` give details.
    #[serde(default, deserialize_with = "super::schema::null_as_default", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::schema::conditions")]
    pub conditions: Vec<Condition>,
}

impl Default for AuroraLogExportPolicyStatus {
    fn default() -> Self {
        Self {
            observed_generation: never_observed(),
            account_id: None,
            partition: None,
            policy: None,
            role: None,
            tag_keys: Vec::new(),
            outputs: None,
            drift: Vec::new(),
            conditions: Vec::new(),
        }
    }
}

/// The managed IAM policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// Name of the policy.
    pub name: String,
    /// ARN of the policy.
    pub arn: String,
    /// IAM's stable id of the policy (`ANPA…`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Id of the default version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// SHA-256 of the default version's document in normalized form, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document_sha256: Option<String>,
}

/// The IAM role that RDS assumes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoleStatus {
    /// Name of the role.
    pub name: String,
    /// ARN of the role.
    pub arn: String,
    /// IAM's stable id of the role (`AROA…`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// What is published in addition to the status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutputsStatus {
    /// Name of the ConfigMap that contains the outputs. It is deleted when the spec no longer names it.
    pub config_map_name: String,
}

/// One difference between the spec and AWS.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftEntry {
    /// `Policy` or `Role`.
    pub resource: String,
    /// What differs, for example `document`, `trust`, `attachments`, `tags.team`.
    pub field: String,
    /// The value that the spec requires, cut at 256 characters.
    #[schemars(length(max = 256))]
    pub expected: String,
    /// The value in AWS, cut at 256 characters.
    #[schemars(length(max = 256))]
    pub actual: String,
}
