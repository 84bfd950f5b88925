//! Spec + account facts → desired state in AWS. No I/O, no clock. Invalid input is refused here, with the field's path.

mod attachments;
mod guardrails;
mod identity;
mod problem;
mod references;
mod scope;
mod tags;
#[cfg(test)]
mod tests;

use crate::api::RESERVED_TAG_PREFIX;
use crate::api::policy::{
    Access, AdoptionPolicy, AuroraLogExportPolicySpec, DeletionPolicy, ManagementPolicy, TrustProtection,
};
use crate::model::documents::meaning::Fingerprint;
use crate::model::documents::permissions::MANAGED_POLICY_LIMIT;
use crate::model::documents::{Document, permissions, trust};
use crate::model::names::{IamPath, Owner, PolicyArn, PolicyName};
use crate::model::ownership::{Ownership, Tags};
use crate::model::settings::{AccountFacts, Settings};
pub use attachments::Attachments;
pub use identity::{Identity, identity};
pub use problem::{Problem, Refused};
pub use tags::tag_problems;

/// The managed policy that must exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredPolicy {
    /// The document.
    pub document: Document,
    /// Its meaning, hashed.
    pub fingerprint: Fingerprint,
}

/// The desired state in AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The resources.
    pub identity: Identity,
    /// The managed policy; none with `FullAccess`.
    pub policy: Option<DesiredPolicy>,
    /// Trust policy of the role.
    pub trust: Document,
    /// Description of both.
    pub description: String,
    /// Permissions boundary of the role.
    pub boundary: Option<String>,
    /// All tags of both, ownership included.
    pub tags: Tags,
    /// Whether existing resources are adopted.
    pub adoption: AdoptionPolicy,
    /// Whether differences are repaired or only reported.
    pub management: ManagementPolicy,
}

impl AsRef<Identity> for Desired {
    fn as_ref(&self) -> &Identity {
        &self.identity
    }
}

impl Desired {
    /// The policy that the role must have attached.
    pub fn attachment(&self) -> &PolicyArn {
        if self.policy.is_some() { &self.identity.policy_arn } else { &self.identity.full_access_arn }
    }

    /// Keys of the tags that the operator sets on resources, without the ownership tags.
    pub fn own_tag_keys(&self) -> Vec<String> {
        self.tags.keys().filter(|key| !key.starts_with(RESERVED_TAG_PREFIX)).cloned().collect()
    }

    /// The policy of the other `access` mode, which the operator detaches.
    pub fn superseded_attachment(&self) -> &PolicyArn {
        if self.policy.is_some() { &self.identity.full_access_arn } else { &self.identity.policy_arn }
    }
}

/// The desired state in AWS.
///
/// # Errors
/// All problems of the spec at once: invalid fields, and guardrails that it violates.
pub fn desired(
    owner: &Owner,
    spec: &AuroraLogExportPolicySpec,
    settings: &Settings,
    account: &AccountFacts,
) -> Result<Desired, Refused> {
    let identity = identity(owner, spec, settings, account)?;
    let mut problems = Vec::new();

    let policy = policy(spec, account, &mut problems);
    let trust = trust_document(spec, account, &mut problems);
    let description = description(spec, &identity.ownership, &mut problems);
    let boundary = boundary(spec, settings, account, &mut problems);
    let tags = tags::tags(spec, account, &identity.ownership, &mut problems);
    references::check(owner, spec, &mut problems);
    guardrails::check(&identity, spec, settings, account, &mut problems);

    if !problems.is_empty() {
        return Err(Refused(problems));
    }
    Ok(Desired {
        identity,
        policy,
        trust,
        description,
        boundary,
        tags,
        adoption: spec.adoption_policy.unwrap_or_default(),
        management: spec.management_policy.unwrap_or_default(),
    })
}

/// The effective deletion policy: the spec's or the operator's default, but never laxer than the account allows.
pub fn deletion_policy(
    spec: &AuroraLogExportPolicySpec,
    settings: &Settings,
    account: Option<&AccountFacts>,
) -> DeletionPolicy {
    let allowed = account
        .and_then(AccountFacts::guardrails)
        .and_then(|guardrails| guardrails.max_deletion_policy)
        .unwrap_or_default();
    spec.deletion_policy.unwrap_or(settings.default_deletion_policy).max(allowed)
}

fn policy(
    spec: &AuroraLogExportPolicySpec,
    account: &AccountFacts,
    problems: &mut Vec<Problem>,
) -> Option<DesiredPolicy> {
    if spec.access.unwrap_or_default() == Access::FullAccess {
        if spec.scope.is_some() {
            problems.push(Problem::invalid(
                "spec.scope",
                "access: FullAccess covers everything: remove scope, or use access: Minimal",
            ));
        }
        return None;
    }
    let before = problems.len();
    let mut scope = scope::scope(spec.scope.as_ref(), problems);
    scope.creation_limited_to_groups |= account.guardrails().is_some_and(guardrails::limits_group_creation);
    if problems.len() > before {
        return None;
    }
    // The size is computed before the document is built: thirty kilobytes of scope can expand to gigabytes.
    let size = permissions::counted_size(&scope, &account.partition);
    if size > MANAGED_POLICY_LIMIT {
        problems.push(Problem::invalid(
            "spec.scope",
            format!(
                "results in a policy of {size} characters, but IAM allows {MANAGED_POLICY_LIMIT}: use fewer items, use \
                 wildcards, or split it into several objects"
            ),
        ));
        return None;
    }
    let document = permissions::document(&scope, &account.partition);
    Some(DesiredPolicy { fingerprint: document.meaning().fingerprint(), document })
}

fn trust_document(spec: &AuroraLogExportPolicySpec, account: &AccountFacts, problems: &mut Vec<Problem>) -> Document {
    let trust = spec.trust.clone().unwrap_or_default();
    let source_account = match trust.protection.unwrap_or_default() {
        TrustProtection::SourceAccount => Some(&account.id),
        TrustProtection::None => None,
    };
    if let Some(source_arns) = &trust.source_arns {
        scope::check_source_arns(source_arns, account, problems);
    }
    let source_arns = trust.source_arns.unwrap_or_default();
    trust::document(source_account, &source_arns)
}

fn description(spec: &AuroraLogExportPolicySpec, ownership: &Ownership, problems: &mut Vec<Problem>) -> String {
    let Some(text) = &spec.description else {
        return format!("Aurora log export to CloudWatch Logs, managed by {}", ownership.consent());
    };
    let length = text.chars().count();
    if length > 1000 {
        problems
            .push(Problem::invalid("spec.description", format!("has {length} characters; at most 1000 are allowed")));
    }
    // Source: botocore's IAM model, roleDescriptionType.
    let accepted = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{a1}'..='\u{ff}');
    if let Some(found) = text.chars().find(|c| !accepted(*c)) {
        problems.push(Problem::invalid(
            "spec.description",
            format!("contains {found:?}, which IAM does not allow: use Latin-1 characters"),
        ));
    }
    text.clone()
}

fn boundary(
    spec: &AuroraLogExportPolicySpec,
    settings: &Settings,
    account: &AccountFacts,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    if let Some(arn) = &spec.permissions_boundary {
        let own = format!("arn:{}:iam::{}:policy/", account.partition, account.id);
        let path = account.guardrails().and_then(|guardrails| guardrails.iam_path.as_ref());
        let path = path.map_or(settings.iam_path.as_str(), String::as_str);
        if path != "/" && arn.starts_with(&format!("{own}{}", &path[1..])) {
            problems.push(Problem::invalid(
                "spec.permissionsBoundary",
                format!("is below {path}, where the operator keeps the policies of objects: use another policy"),
            ));
        }
        let managed = format!("arn:{}:iam::aws:policy/", account.partition);
        let name = arn.strip_prefix(&own).or_else(|| arn.strip_prefix(&managed));
        let named = |rest: &str| match rest.rsplit_once('/') {
            Some((path, name)) => IamPath::parse(format!("/{path}/")).is_ok() && PolicyName::parse(name).is_ok(),
            None => PolicyName::parse(rest).is_ok(),
        };
        if !name.is_some_and(named) {
            problems.push(Problem::invalid(
                "spec.permissionsBoundary",
                format!(
                    "must be the ARN of a policy in this account ({own}…) or of an AWS-managed policy ({managed}…)"
                ),
            ));
        }
    }
    spec.permissions_boundary.clone().or_else(|| account.guardrails()?.permissions_boundary.clone())
}
