//! `AwsAccount`: the platform team's object. Where to work, who may ask for it, and within which limits.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::policy::DeletionPolicy;

/// An AWS account that policies may refer to: credentials, allowed namespaces, guardrails and limits.
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
    doc = "An AWS account that AuroraLogExportPolicies may refer to: its credentials, who may use it, its guardrails and its limits. It belongs to the platform team.",
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
    /// The account's id, 12 digits. The credentials must belong to it, else no call is made. Immutable.
    #[schemars(length(min = 12, max = 12), regex(pattern = r"^[0-9]{12}$"))]
    pub account_id: String,

    /// AWS Region whose STS endpoint is used. Unset: the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[a-z]{2,}(-[a-z]+)+-[0-9]+$"))]
    pub region: Option<String>,

    /// The role to assume in the account. Unset: the operator's own credentials are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<AssumeRole>,

    /// Which namespaces may refer to this account (the union of names and selector). Unset: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,

    /// What policies in this account may ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardrails: Option<Guardrails>,

    /// How fast IAM may be called in this account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,

    /// How drift is looked for: `Bulk` reads the whole account in pages, `PerResource` reads object by object,
    /// `Auto` (when unset) takes what is allowed and costs less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::choice::<DriftScan>")]
    pub drift_scan: Option<DriftScan>,
}

/// The role to assume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AssumeRole {
    /// ARN of the role, in the account of `spec.accountId`.
    #[schemars(
        length(min = 20, max = 2048),
        regex(pattern = r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/([A-Za-z0-9.,+@=_-]+/)*[A-Za-z0-9_+=,.@-]+$")
    )]
    pub role_arn: String,

    /// External id that the role's trust policy demands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 1224), regex(pattern = r"^[A-Za-z0-9_+=,.@:/-]+$"))]
    pub external_id: Option<String>,

    /// Name of the session, seen in CloudTrail. Unset: `aurora-log-export-operator`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 64), regex(pattern = r"^[A-Za-z0-9_+=,.@-]+$"))]
    pub session_name: Option<String>,
}

/// Which namespaces may refer to the account: the union of both fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowedNamespaces {
    /// Namespaces by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::namespace_names")]
    pub names: Option<Vec<String>>,

    /// Namespaces by label; `{}` allows all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::label_selector")]
    pub selector: Option<LabelSelector>,
}

/// What policies in the account may ask for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Guardrails {
    /// The IAM path of everything made here; another in a policy's spec is refused. Unset: the operator's
    /// `--iam-path` is the default, others are allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::iam_path")]
    pub iam_path: Option<String>,

    /// Prepended to default names and demanded of explicit ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[A-Za-z0-9_+=,.@-]+$"))]
    pub name_prefix: Option<String>,

    /// Explicit names must contain the object's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_namespace_in_name: Option<bool>,

    /// ARN of the permissions boundary that every role gets; another in a policy's spec is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 20, max = 2048),
        regex(pattern = r"^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/([A-Za-z0-9.,+@=_-]+/)*[A-Za-z0-9_+=,.@-]+$")
    )]
    pub permissions_boundary: Option<String>,

    /// May policies use `access: FullAccess`? Unset: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_full_access: Option<bool>,

    /// May policies use `adoptionPolicy: Always`? Unset: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_adoption: Option<bool>,

    /// `Retain` refuses an explicit `deletionPolicy: Delete`; objects that already have it are deleted as `Retain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::choice::<DeletionPolicy>")]
    pub max_deletion_policy: Option<DeletionPolicy>,

    /// Tags that everything made here carries; another value in a policy's spec is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::tags")]
    pub required_tags: Option<BTreeMap<String, String>>,

    /// Tags that are added where a policy's spec does not set them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::tags")]
    pub default_tags: Option<BTreeMap<String, String>>,

    /// Regions that `scope.regions` may name; `*` is then refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::regions")]
    pub allowed_regions: Option<Vec<String>>,

    /// Log groups that `scope.logGroups` must lie within; `*` at an end matches any rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::log_groups")]
    pub allowed_log_groups: Option<Vec<String>>,

    /// Refuses `trust.protection: None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_trust_protection: Option<bool>,
}

/// How fast IAM may be called in the account. Unset: the operator's flags.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Reading calls a second, over all objects of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub reads_per_second: Option<u32>,

    /// Writing calls a second, over all objects of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub writes_per_second: Option<u32>,
}

/// How drift is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DriftScan {
    /// What is allowed and costs less.
    #[default]
    Auto,
    /// The whole account in pages.
    Bulk,
    /// Object by object.
    PerResource,
}

/// What the operator found out about the account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsAccountStatus {
    /// The generation that the conditions speak of; -1 before the first look.
    #[serde(default = "super::status::never_observed")]
    pub observed_generation: i64,

    /// Who the operator is in this account, as `sts:GetCallerIdentity` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_arn: Option<String>,

    /// The drift scan in force, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift_scan: Option<String>,

    /// How many policies refer to this account; refreshed at most once a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<i64>,

    /// Whether the account has `AWSServiceRoleForRDS`, which overrides custom roles for log export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_linked_role: Option<bool>,

    /// `Ready`, `Reconciling` and `Stalled`, by the conventions of kstatus.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
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
            service_linked_role: None,
            conditions: Vec::new(),
        }
    }
}
