//! `AuroraLogExportPolicy`: the spec that users write.
//!
//! The schema sets no defaults here: an unset field stays unset, so that GitOps tools see no diff and the
//! defaults of the operator and of the account can apply. The value in force is computed in
//! [`crate::pipeline::desired`]. Rules that one object can break by itself are in the schema (patterns, limits, CEL);
//! [`crate::pipeline::desired`] checks them again, for objects stored before a rule existed.

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
    doc = "An IAM policy and role for Aurora's log export to CloudWatch Logs, kept right in AWS. `spec: {}` gives exactly the policy of the AWS guide.",
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
    /// a hash beyond 64 characters. Immutable, since a rename would orphan the old policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9_+=,.@-]+$"))]
    pub policy_name: Option<String>,

    /// Name of the IAM role, 1 to 64 characters of `[\w+=,.@-]`. Unset: `<namespace>.<name>`, shortened with a
    /// hash beyond 64 characters. Immutable, since a rename would orphan the old role.
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

    /// Description of policy and role, at most 1,000 characters; `""` is allowed. Unset: generated. The role's is
    /// kept in sync; IAM fixes a policy's at creation, so a later edit is reported in condition `Drifted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000), regex(pattern = r"^[\t\n\r -~¡-ÿ]*$"))]
    pub description: Option<String>,

    /// `Minimal` (when unset) manages a customer policy with the guide's three statements; `FullAccess` attaches
    /// the AWS-managed `CloudWatchLogsFullAccess` instead. Switching attaches the new before it detaches the old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::choice::<Access>")]
    pub access: Option<Access>,

    /// What the policy covers, as in the guide's "Add ARN(s)" dialog. Only with `access: Minimal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,

    /// Who may assume the role: always RDS, by default only on behalf of the target account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,

    /// ARN of an IAM policy that becomes the role's permissions boundary. Unset: none, or the account's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 20, max = 2048),
        regex(pattern = r"^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/([A-Za-z0-9.,+@=_-]+/)*[A-Za-z0-9_+=,.@-]+$")
    )]
    pub permissions_boundary: Option<String>,

    /// Tags for both policy and role. Keys under `aws:` and `auroralogexport.dev/` are reserved; keys equal but for
    /// case are refused, because IAM's role tag keys ignore case. At most 50 with required and ownership tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::tags")]
    pub tags: Option<BTreeMap<String, String>>,

    /// What deleting this object does in AWS: `Delete` policy and role, or `Retain` them with their tags. Unset:
    /// the stricter of the operator's `--default-deletion-policy` and the account's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::choice::<DeletionPolicy>")]
    pub deletion_policy: Option<DeletionPolicy>,

    /// May an existing policy or role that nobody here owns be taken over: `Never` (when unset); `Tagged`: if it
    /// carries the tag `auroralogexport.dev/adoptable-by` = `<cluster>/<namespace>/<name>`; `Always`: where the
    /// operator or the account allows it, and only a role that trusts nobody but RDS and has no other policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::choice::<AdoptionPolicy>")]
    pub adoption_policy: Option<AdoptionPolicy>,

    /// `Enforce` (when unset) creates and repairs; `Observe` never writes to AWS and reports differences in
    /// `status.drift`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::choice::<ManagementPolicy>")]
    pub management_policy: Option<ManagementPolicy>,

    /// Other policies found on the role: `Additive` (when unset) reports them, `Exclusive` removes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::choice::<AttachmentPolicy>")]
    pub attachment_policy: Option<AttachmentPolicy>,

    /// `true` stops every AWS call for this object until it is unset; deletion still follows `deletionPolicy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// How often to look at AWS for drift, for example `10m`; at least `30s`. Unset: the operator's
    /// `--drift-check-interval`. Asks for more looks at this object, never for more account scans.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "duration")]
    #[schemars(schema_with = "super::schema::drift_check_interval")]
    pub drift_check_interval: Option<Duration>,

    /// The `AwsAccount` to work in. Unset: the account of the operator's own credentials. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_ref: Option<AccountRef>,

    /// Where to publish the results, besides `status`.
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

/// What the policy covers. Lists multiply out; `*` stands alone.
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

    /// Where `logs:CreateLogGroup` is allowed: `Any` (when unset) is `*`, as in the guide; `LogGroups` only the log
    /// groups above, as newer AWS documentation shows.
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
    /// `SourceAccount` (when unset): `aws:SourceAccount` must equal the target account, against the confused
    /// deputy; `None`: no such condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::schema::choice::<TrustProtection>")]
    pub protection: Option<TrustProtection>,

    /// Adds `ArnLike aws:SourceArn`: ARNs of RDS resources in the target account and partition, `*` allowed in them.
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

/// What deleting the object does in AWS. Ordered from lax to strict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Policy and role are deleted.
    #[default]
    Delete,
    /// Policy and role stay, with their tags.
    Retain,
}

/// May an existing, unowned policy or role be taken over?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AdoptionPolicy {
    /// Never.
    #[default]
    Never,
    /// If it carries our consent tag.
    Tagged,
    /// Where the operator or the account allows it.
    Always,
}

/// Does the operator write to AWS?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ManagementPolicy {
    /// Creates and repairs.
    #[default]
    Enforce,
    /// Reports only.
    Observe,
}

/// What happens to other policies on our role?
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

/// Where results are published, besides `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Outputs {
    /// A ConfigMap in the same namespace, made and owned by this object, with the keys `roleArn`, `roleName`,
    /// `policyArn` and `accountId`. Only where the operator runs with `--enable-outputs`.
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

/// Go's longest duration, which is the API server's.
const LONGEST_DURATION: std::time::Duration = std::time::Duration::from_nanos(i64::MAX.unsigned_abs());

/// Reads a duration of 32 characters without signs. `kube`'s own reading drops a minus sign and panics on numbers that
/// leave its range, and an object that was stored before a rule existed may hold anything.
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
    fn durations_are_read_as_kubernetes_writes_them() {
        for (text, seconds) in [("30s", 30), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("2562047h", 9_223_369_200)]
        {
            assert_eq!(interval(text).unwrap().map(|it| it.as_secs()), Some(seconds), "{text}");
        }
    }

    #[test]
    fn a_duration_that_no_rule_has_checked_is_an_error_and_not_a_panic() {
        for text in
            ["soon", "-5m", "5m-3s", "+5m", "9999999999999h", "2562048h", "1e9h", "10", "10 m", &"1m".repeat(17)]
        {
            let error = interval(text).unwrap_err().to_string();
            assert!(error.contains("is not a duration such as 10m"), "{text}: {error}");
        }
    }
}
