//! `AwsAccount`: the platform team's object. It names an AWS account, its credentials, the namespaces that may use it,
//! and the limits for them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::policy::DeletionPolicy;

/// An AWS account that policies may refer to: credentials, allowed namespaces, guardrails and rate limits.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "auroralogexport.dev",
    version = "v1alpha1",
    kind = "AwsAccount",
    plural = "awsaccounts",
    category = "aws",
    category = "aurora",
    status = "AwsAccountStatus",
    derive = "PartialEq",
    doc = "An AWS account that AuroraLogExportPolicies may refer to: its credentials, the namespaces that may use it, its guardrails and its rate limits. It is managed by the platform team.",
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Account", type_ = "string", json_path = ".spec.accountId"),
    printcolumn(name = "Policies", type_ = "integer", json_path = ".status.policies"),
    printcolumn(name = "Caller", type_ = "string", json_path = ".status.callerArn", priority = 1),
    printcolumn(name = "Scan", type_ = "string", json_path = ".status.driftScan", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AwsAccountSpec {
    /// The account's id, 12 digits. If the credentials belong to another account, no other call is sent. Immutable.
    #[schemars(length(min = 12, max = 12), regex(pattern = r"^[0-9]{12}$"))]
    pub account_id: String,

    /// AWS Region whose STS endpoint is used. Unset: the operator's Region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[a-z]{2,}(-[a-z]+)+-[0-9]+$"))]
    pub region: Option<String>,

    /// The role that the operator assumes in the account. Unset: the operator uses its own credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<AssumeRole>,

    /// Namespaces whose policies may refer to this account: the union of `names` and `selector`. Unset: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,

    /// Limits on what policies in this account may request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardrails: Option<Guardrails>,

    /// Rate limits of IAM calls in this account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,

    /// How drift is detected: `Bulk` reads the whole account in pages, `PerResource` reads the resources of each
    /// object. `Auto` (when unset) uses the cheaper of the two that the operator's permissions allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::choice::<DriftScan>")]
    pub drift_scan: Option<DriftScan>,
}

/// The role that the operator assumes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AssumeRole {
    /// ARN of the role, in the account of `spec.accountId`.
    #[schemars(
        length(min = 20, max = 2048),
        regex(pattern = r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/([A-Za-z0-9.,+@=_-]+/)*[A-Za-z0-9_+=,.@-]+$")
    )]
    pub role_arn: String,

    /// External id that the role's trust policy requires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 1224), regex(pattern = r"^[A-Za-z0-9_+=,.@:/-]+$"))]
    pub external_id: Option<String>,

    /// Name of the session, as shown in CloudTrail. Unset: `aurora-log-export-operator`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 64), regex(pattern = r"^[A-Za-z0-9_+=,.@-]+$"))]
    pub session_name: Option<String>,
}

/// Namespaces whose policies may refer to the account: the union of both fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowedNamespaces {
    /// Names of namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::namespace_names")]
    pub names: Option<Vec<String>>,

    /// Label selector of namespaces; `{}` selects all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::label_selector")]
    pub selector: Option<LabelSelector>,
}

/// Limits on what policies in the account may request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Guardrails {
    /// IAM path of all policies and roles in this account. Another path in a policy's spec is refused. Unset: the
    /// operator's `--iam-path` is the default, and other paths are allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::iam_path")]
    pub iam_path: Option<String>,

    /// Prefix of all names. It is prepended to default names, and explicit names must begin with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[A-Za-z0-9_+=,.@-]+$"))]
    pub name_prefix: Option<String>,

    /// Requires explicit names to begin with `<namePrefix><namespace>.`, as default names do. Unset: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_namespace_in_name: Option<bool>,

    /// ARN of the permissions boundary of every role. Another boundary in a policy's spec is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 20, max = 2048),
        regex(pattern = r"^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/([A-Za-z0-9.,+@=_-]+/)*[A-Za-z0-9_+=,.@-]+$")
    )]
    pub permissions_boundary: Option<String>,

    /// Allows policies to use `access: FullAccess`. Unset: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_full_access: Option<bool>,

    /// Allows policies to use `adoptionPolicy: Always`. Unset: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_adoption: Option<bool>,

    /// `Retain` refuses an explicit `deletionPolicy: Delete`. An object that already has it is treated as `Retain` when
    /// it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::choice::<DeletionPolicy>")]
    pub max_deletion_policy: Option<DeletionPolicy>,

    /// Tags of all policies and roles in this account. Another value in a policy's spec is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::tags")]
    pub required_tags: Option<BTreeMap<String, String>>,

    /// Tags that are added unless a policy's spec sets the same key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::tags")]
    pub default_tags: Option<BTreeMap<String, String>>,

    /// Regions that `scope.regions` may contain. `*` is refused unless it is in this list. Without `*` in this list,
    /// `logs:CreateLogGroup` is limited to the log groups of the scope too, and `groupCreation: Any` is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::regions")]
    pub allowed_regions: Option<Vec<String>>,

    /// Patterns of log groups; `*` matches any characters. Every item of `scope.logGroups` must be within one of them.
    /// Without `*` in this list, `logs:CreateLogGroup` is limited to the log groups of the scope too, and
    /// `groupCreation: Any` is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::log_groups")]
    pub allowed_log_groups: Option<Vec<String>>,

    /// Refuses `trust.protection: None`. Unset: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_trust_protection: Option<bool>,

    /// Number of objects that each namespace may have in this account; the earliest count. Unset: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub max_objects_per_namespace: Option<u32>,

    /// Patterns of ARNs of policies that the operator never detaches, such as a quarantine policy; `*` matches any
    /// characters. `attachmentPolicy: Exclusive` reports them, and they block a deletion until they are detached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::policy_patterns")]
    pub protected_policies: Option<Vec<String>>,
}

/// Rate limits of IAM calls in the account. Unset: the operator's flags.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Read calls per second, shared by all objects of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub reads_per_second: Option<u32>,

    /// Write calls per second, shared by all objects of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub writes_per_second: Option<u32>,
}

/// How drift is detected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DriftScan {
    /// The cheaper of the two that the operator's permissions allow.
    #[default]
    Auto,
    /// Reads the whole account in pages.
    Bulk,
    /// Reads the resources of each object.
    PerResource,
}

/// Observed state of the account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsAccountStatus {
    /// The generation of the spec that the conditions describe; -1 before the first check.
    #[serde(default = "super::status::never_observed")]
    pub observed_generation: i64,

    /// ARN of the operator's identity in this account, as returned by `sts:GetCallerIdentity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_arn: Option<String>,

    /// The drift scan mode in effect, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift_scan: Option<String>,

    /// Number of policies that refer to this account; updated at most once a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<i64>,

    /// Number of roles with this cluster's ownership tags that belong to no object, as the last sweep found it; absent
    /// where the account is not swept. Updated at most once a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orphans: Option<i64>,

    /// Whether the account has `AWSServiceRoleForRDS`, which log exports use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_linked_role: Option<bool>,

    /// `Ready`, `Reconciling` and `Stalled`, which follow the kstatus conventions.
    #[serde(default, deserialize_with = "super::schema::null_as_default", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::schema::conditions")]
    pub conditions: Vec<Condition>,
}

impl Default for AwsAccountStatus {
    fn default() -> Self {
        Self {
            observed_generation: super::status::never_observed(),
            caller_arn: None,
            drift_scan: None,
            policies: None,
            orphans: None,
            service_linked_role: None,
            conditions: Vec::new(),
        }
    }
}
