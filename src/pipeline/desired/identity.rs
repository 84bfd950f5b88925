//! Spec + account facts → which AWS resources an object is about. Deletion needs nothing else.

use super::attachments::Attachments;
use super::problem::{Problem, Refused};
use crate::api::policy::AuroraLogExportPolicySpec;
use crate::model::names::{IamPath, NameError, Owner, PolicyArn, PolicyName, RoleArn, RoleName, default_name};
use crate::model::ownership::Ownership;
use crate::model::settings::{AccountFacts, Settings};

/// The AWS resources of an object. Derived from the spec each time, never stored; deletion needs nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster and the object, as ownership tags name them.
    pub ownership: Ownership,
    /// Name of the policy.
    pub policy_name: PolicyName,
    /// Path of the policy.
    pub policy_path: IamPath,
    /// ARN of the policy. Also set with `FullAccess`: the policy may be left from `Minimal`.
    pub policy_arn: PolicyArn,
    /// Name of the role.
    pub role_name: RoleName,
    /// Path of the role.
    pub role_path: IamPath,
    /// ARN of the role.
    pub role_arn: RoleArn,
    /// The AWS-managed policy of `FullAccess`.
    pub full_access_arn: PolicyArn,
    /// What may be removed from the role besides the operator's own policies.
    pub attachments: Attachments,
}

impl AsRef<Identity> for Identity {
    fn as_ref(&self) -> &Identity {
        self
    }
}

/// The AWS resources of an object.
///
/// # Errors
/// Names or paths that IAM does not allow, with the field's path.
pub fn identity(
    owner: &Owner,
    spec: &AuroraLogExportPolicySpec,
    settings: &Settings,
    account: &AccountFacts,
) -> Result<Identity, Refused> {
    let mut problems = Vec::new();
    let prefix = account.guardrails().and_then(|guardrails| guardrails.name_prefix.as_deref()).unwrap_or_default();
    let generated = default_name(prefix, owner);
    let policy_name =
        parsed(&mut problems, "spec.policyName", spec.policy_name.as_ref().unwrap_or(&generated), PolicyName::parse);
    let role_name =
        parsed(&mut problems, "spec.roleName", spec.role_name.as_ref().unwrap_or(&generated), RoleName::parse);
    let default_path = account
        .guardrails()
        .and_then(|guardrails| guardrails.iam_path.as_deref())
        .unwrap_or(settings.iam_path.as_str())
        .to_owned();
    let mut path = |field: &str, value: Option<&String>| {
        let path = parsed(&mut problems, field, value.unwrap_or(&default_path), IamPath::parse)?;
        if path.is_reserved_for_aws() {
            problems.push(Problem::invalid(field, "is a path of AWS's own roles: choose another"));
            return None;
        }
        Some(path)
    };
    let policy_path = path("spec.policyPath", spec.policy_path.as_ref());
    let role_path = path("spec.rolePath", spec.role_path.as_ref());
    match (policy_name, role_name, policy_path, role_path) {
        (Some(policy_name), Some(role_name), Some(policy_path), Some(role_path)) if problems.is_empty() => {
            Ok(Identity {
                ownership: Ownership::new(settings.cluster.clone(), owner.clone()),
                policy_arn: PolicyArn::derive(&account.partition, &account.id, &policy_path, &policy_name),
                role_arn: RoleArn::derive(&account.partition, &account.id, &role_path, &role_name),
                full_access_arn: PolicyArn::cloud_watch_logs_full_access(&account.partition),
                policy_name,
                policy_path,
                role_name,
                role_path,
                attachments: Attachments::new(spec, account.guardrails()),
            })
        }
        _ => Err(Refused(problems)),
    }
}

fn parsed<T>(
    problems: &mut Vec<Problem>,
    field: &str,
    value: &str,
    parse: fn(String) -> Result<T, NameError>,
) -> Option<T> {
    parse(value.to_owned()).map_err(|error| problems.push(Problem::invalid(field, error.to_string()))).ok()
}
