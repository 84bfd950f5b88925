//! `AuroraLogExportPolicy`: the spec that users write.
//!
//! The schema sets no defaults here: an unset field stays unset, so that GitOps tools see no diff and the
//! defaults of the operator and of the account can apply. The effective value is computed in
//! [`crate::pipeline::desired`]. Rules that concern one object alone are in the schema (patterns, limits, CEL);
//! [`crate::pipeline::desired`] checks them again, for objects that were stored before a rule existed.

use std::collections::BTreeMap;

use kube::CustomResource;
use kube::core::Duration;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::status::AuroraLogExportPolicyStatus;

/// What Aurora needs in AWS to export its logs to CloudWatch Logs: an IAM policy and the role that RDS assumes.
///
/// Every field is optional; `spec: {}` gives exactly the policy of the AWS guide.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "auroralogexport.dev",
    version = "v1alpha1",
    kind = "AuroraLogExportPolicy",
    plural = "auroralogexportpolicies",
    shortname = "alep",
    category = "aws",
    category = "aurora",
    namespaced,
    status = "AuroraLogExportPolicyStatus",
    derive = "PartialEq",
    doc = "An IAM policy and role for Aurora log export to CloudWatch Logs, kept in sync with AWS. `spec: {}` gives exactly the policy of the AWS guide.",
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Role", type_ = "string", json_path = ".status.role.arn"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Policy", type_ = "string", json_path = ".status.policy.arn", priority = 1),
    printcolumn(name = "Account", type_ = "string", json_path = ".status.accountId", priority = 1),
    printcolumn(
        name = "Drifted",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Drifted")].status"#,
        priority = 1
    ),
    printcolumn(
        name = "Effective",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Effective")].status"#,
        priority = 1
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuroraLogExportPolicySpec {
    /// Name of the IAM policy, 1 to 128 characters of `[\w+=,.@-]`. Unset: `<namespace>.<name>`, shortened with
    /// a hash beyond 64 characters. Immutable, because a rename would orphan the old policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9_+=,.@-]+$"))]
    pub policy_name: Option<String>,

    /// Name of the IAM role, 1 to 64 characters of `[\w+=,.@-]`. Unset: `<namespace>.<name>`, shortened with a
    /// hash beyond 64 characters. Immutable, because a rename would orphan the old role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9_+=,.@-]+$"))]
    pub role_name: Option<String>,

    /// IAM path of the policy: `/` or `/x/…/`. Unset: the operator's `--iam-path`. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::iam_path")]
    pub policy_path: Option<String>,

    /// IAM path of the role: `/` or `/x/…/`. Unset: the operator's `--iam-path`. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::iam_path")]
    pub role_path: Option<String>,

    /// Description of the policy and the role, at most 1,000 characters; `""` is allowed. Unset: generated. The role's
    /// description is kept in sync. IAM does not allow a policy's description to change, so a later edit is only
    /// reported in the `Drifted` condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000), regex(pattern = r"^[\t\n\r -~¡-ÿ]*$"))]
    pub description: Option<String>,

    /// `Minimal` (when unset) manages a customer policy with the guide's three statements; `FullAccess` attaches
    /// the AWS-managed `CloudWatchLogsFullAccess` instead. A switch attaches the new policy before it detaches the old
    /// one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::choice::<Access>")]
    pub access: Option<Access>,

    /// What the policy covers, as in the guide's "Add ARN(s)" dialog. Only with `access: Minimal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,

    /// Conditions of the role's trust policy. Only RDS may assume the role, by default only for the target account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,

    /// ARN of the role's permissions boundary. Unset: the boundary of the account's guardrails, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 20, max = 2048),
        regex(pattern = r"^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/([A-Za-z0-9.,+@=_-]+/)*[A-Za-z0-9_+=,.@-]+$")
    )]
    pub permissions_boundary: Option<String>,

    /// Tags of the policy and the role. Keys that begin with `aws:` or `auroralogexport.dev/` are reserved. Keys that
    /// differ only in case are refused, because IAM ignores the case of role tag keys. At most 50 tags in total, with
    /// required, default and ownership tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::tags")]
    pub tags: Option<BTreeMap<String, String>>,

    /// What happens in AWS when this object is deleted: `Delete` deletes the policy and the role, `Retain` keeps them
    /// with their tags. Unset: the stricter of the operator's `--default-deletion-policy` and the account's
    /// `maxDeletionPolicy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::choice::<DeletionPolicy>")]
    pub deletion_policy: Option<DeletionPolicy>,

    /// Whether an existing policy or role is adopted: `Never` (when unset); `Tagged`: if it has the tag
    /// `auroralogexport.dev/adoptable-by` = `<cluster>/<namespace>/<name>`; `Always`: also if it has no owner, where
    /// the operator or the account allows it. A role without an owner must trust only RDS and have no other policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::choice::<AdoptionPolicy>")]
    pub adoption_policy: Option<AdoptionPolicy>,

    /// `Enforce` (when unset) creates and repairs resources; `Observe` never writes to AWS and reports differences in
    /// `status.drift`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::choice::<ManagementPolicy>")]
    pub management_policy: Option<ManagementPolicy>,

    /// Other policies found on the role: `Additive` (when unset) reports them, `Exclusive` removes them, which needs
    /// `deploy/aws/operator-policy-exclusive.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::choice::<AttachmentPolicy>")]
    pub attachment_policy: Option<AttachmentPolicy>,

    /// `true` stops all AWS calls for this object until it is unset. Deletion still follows `deletionPolicy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// How often this object is checked for drift, for example `10m`; at least `30s`. Unset: the operator's
    /// `--drift-check-interval`. A shorter interval adds resyncs of this object, not sweeps of the account.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "duration")]
    #[schemars(schema_with = "super::schema::drift_check_interval")]
    pub drift_check_interval: Option<Duration>,

    /// The `AwsAccount` of the policy and the role. Unset: the account of the operator's own credentials. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_ref: Option<AccountRef>,

    /// Where to publish the results in addition to `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Outputs>,
}

/// Which policy the role gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Access {
    /// The customer policy with the guide's three statements.
    #[default]
    Minimal,
    /// The AWS-managed `CloudWatchLogsFullAccess`.
    FullAccess,
}

/// What the policy covers: all combinations of the lists' items. `*` must be the only item of its list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scope {
    /// The guide's *Region*: AWS Regions, or `*` (when unset).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::regions")]
    pub regions: Option<Vec<String>>,

    /// The guide's *Account*: 12-digit account ids, or `*` (when unset).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::account_ids")]
    pub account_ids: Option<Vec<String>>,

    /// The guide's *Log Group Name*, `/aws/rds/*` when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::log_groups")]
    pub log_groups: Option<Vec<String>>,

    /// The guide's *Log Stream Name*, `*` when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::log_streams")]
    pub log_streams: Option<Vec<String>>,

    /// Resource of `logs:CreateLogGroup`: `Any` (when unset) is `*`, as in the guide; `LogGroups` is only the log
    /// groups of `logGroups`, as in newer AWS documentation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::choice::<GroupCreation>")]
    pub group_creation: Option<GroupCreation>,
}

/// Resource of `logs:CreateLogGroup`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GroupCreation {
    /// `*`, as in the guide.
    #[default]
    Any,
    /// Only the log groups in scope.
    LogGroups,
}

/// The trust policy's conditions. The principal is always `rds.amazonaws.com`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Trust {
    /// Protection against the confused deputy problem. `SourceAccount` (when unset): `aws:SourceAccount` must equal the
    /// target account; `None`: no such condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::choice::<TrustProtection>")]
    pub protection: Option<TrustProtection>,

    /// ARNs of RDS resources in the target account and partition, for the condition `ArnLike aws:SourceArn`. `*` is
    /// allowed in them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::source_arns")]
    pub source_arns: Option<Vec<String>>,
}

/// Confused-deputy condition of the trust policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TrustProtection {
    /// `StringEquals aws:SourceAccount` = the target account.
    #[default]
    SourceAccount,
    /// No condition on the account.
    None,
}

/// What happens in AWS when the object is deleted. Ordered from lax to strict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// The policy and the role are deleted.
    #[default]
    Delete,
    /// The policy and the role are kept, with their tags.
    Retain,
}

/// Whether an existing policy or role is adopted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AdoptionPolicy {
    /// Never.
    #[default]
    Never,
    /// If it has our consent tag.
    Tagged,
    /// Also if it has no owner, where the operator or the account allows it.
    Always,
}

/// Whether the operator writes to AWS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ManagementPolicy {
    /// Creates and repairs.
    #[default]
    Enforce,
    /// Reports only.
    Observe,
}

/// What happens to other policies on our role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AttachmentPolicy {
    /// They are reported.
    #[default]
    Additive,
    /// They are removed.
    Exclusive,
}

/// Reference to an `AwsAccount`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountRef {
    /// Name of the `AwsAccount`.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: String,
}

/// Where results are published in addition to `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Outputs {
    /// A ConfigMap in the same namespace, created and owned by this object, with the keys `roleArn`, `roleName`,
    /// `policyArn` and `accountId`. Requires the operator's flag `--enable-outputs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapRef>,
}

/// Reference to a ConfigMap in the object's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigMapRef {
    /// Name of the ConfigMap.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: String,
}

/// Go's longest duration, and so the API server's.
const LONGEST_DURATION: std::time::Duration = std::time::Duration::from_nanos(i64::MAX.unsigned_abs());

/// Parses a duration of at most 32 characters without signs. `kube`'s own parser drops a minus sign and panics on
/// numbers out of its range, and an object that was stored before a rule existed may contain any text.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    const LONGEST_NUMBER: usize = 13;
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let mut numbers = text.split(|character: char| !character.is_ascii_digit());
    let sound = text.len() <= 32 && !text.contains(['-', '+']) && numbers.all(|it| it.len() <= LONGEST_NUMBER);
    let parsed = sound.then(|| text.parse::<Duration>().ok()).flatten();
    let refused = || D::Error::custom(format!("{text:?} is not a duration such as 10m or 1h30m"));
    parsed.filter(|duration| *duration <= LONGEST_DURATION).map(Some).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn interval(text: &str) -> Result<Option<std::time::Duration>, serde_json::Error> {
        let spec: AuroraLogExportPolicySpec = serde_json::from_value(json!({ "driftCheckInterval": text }))?;
        Ok(spec.drift_check_interval.map(Into::into))
    }

    #[test]
    fn durations_are_parsed_as_kubernetes_writes_them() {
        for (text, seconds) in [("30s", 30), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("2562047h", 9_223_369_200)]
        {
            assert_eq!(interval(text).unwrap().map(|it| it.as_secs()), Some(seconds), "{text}");
        }
    }

    #[test]
    fn an_invalid_duration_is_an_error_and_not_a_panic() {
        for text in
            ["soon", "-5m", "5m-3s", "+5m", "9999999999999h", "2562048h", "1e9h", "10", "10 m", &"1m".repeat(17)]
        {
            let error = interval(text).unwrap_err().to_string();
            assert!(error.contains("is not a duration such as 10m"), "{text}: {error}");
        }
    }
}
