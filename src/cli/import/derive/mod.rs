//! Derives a spec that describes a role and its policies exactly, or the reason why none does. Pure.
//!
//! Each derived spec is verified: what [`desired`] computes from it must have the same meaning as what was found.

use std::collections::{BTreeMap, BTreeSet};

use super::found::{FoundPolicy, FoundRole};
use super::inverse::{scope_of, trust_of, why_not};
use crate::api::policy::{
    Access, AccountRef, AdoptionPolicy, AuroraLogExportPolicySpec, DeletionPolicy, ManagementPolicy, Scope,
};
use crate::api::{RESERVED_TAG_PREFIX, TAG_MANAGED_BY, TAG_OWNER};
use crate::model::documents::Meaning;
use crate::model::names::{Owner, PolicyArn};
use crate::model::ownership::{Ownership, Tags};
use crate::model::settings::{AccountFacts, Settings};
use crate::pipeline::desired::desired;
use crate::pipeline::port::PolicyUsers;

/// Three ownership tags and one consent tag.
const TAGS_NEEDED: usize = 4;
const MAX_TAGS: usize = 50;

/// The choices of the user.
#[derive(Clone, Debug)]
pub(super) struct Choices {
    pub(super) namespace: String,
    pub(super) observe: bool,
    pub(super) account_ref: Option<String>,
}

/// The verdicts on what was found, by `role x` and `policy arn:…`.
#[derive(Debug, Default)]
pub(super) struct Import {
    pub(super) verdicts: BTreeMap<String, Verdict>,
    /// What could not be read.
    pub(super) notes: Vec<String>,
}

impl Import {
    /// Returns what was found and not imported, and the reason.
    pub(super) fn not_imported(&self) -> impl Iterator<Item = (&String, &String)> {
        self.verdicts.iter().filter_map(|(what, verdict)| match verdict {
            Verdict::Left(why) => Some((what, why)),
            Verdict::Imported(_) => None,
        })
    }
}

#[derive(Debug)]
pub(super) enum Verdict {
    Imported(Box<Manifest>),
    /// Not imported, for this reason.
    Left(String),
}

/// An object that adopts a role and its policy.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) owner: Owner,
    pub(super) spec: AuroraLogExportPolicySpec,
    pub(super) role_name: String,
    pub(super) policy_arn: Option<String>,
    /// Value of the consent tag.
    pub(super) consent: String,
    /// What is not managed and stays unchanged.
    pub(super) notes: Vec<String>,
}

impl Import {
    pub(super) fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.verdicts.values().filter_map(|verdict| match verdict {
            Verdict::Imported(manifest) => Some(&**manifest),
            Verdict::Left(_) => None,
        })
    }
}

/// Returns a verdict on each role, and on each policy that matches the AWS guide and is not attached.
pub(super) fn derive(
    roles: &[FoundRole],
    policies: &BTreeMap<String, FoundPolicy>,
    choices: &Choices,
    settings: &Settings,
    account: &AccountFacts,
) -> Import {
    let mut import = Import::default();
    let mut names = BTreeSet::new();
    for role in roles {
        let owner = Owner::new(choices.namespace.as_str(), object_name(&role.name, &mut names));
        let verdict = match manifest(role, policies, owner, choices, settings, account) {
            Ok(manifest) => Verdict::Imported(Box::new(manifest)),
            Err(why) => Verdict::Left(why),
        };
        import.verdicts.insert(format!("role {}", role.name), verdict);
    }
    let taken: BTreeSet<_> = import.manifests().filter_map(|manifest| manifest.policy_arn.clone()).collect();
    for (arn, policy) in policies {
        let unused = PolicyUsers::default() == policy.users;
        if unused && !taken.contains(arn) && scope_of(&Meaning::of(&policy.document), &account.partition).is_some() {
            let why = "matches the AWS guide but is not attached: attach it to a role that trusts RDS, or delete it";
            import.verdicts.insert(format!("policy {arn}"), Verdict::Left(why.to_owned()));
        }
    }
    import
}

/// Returns a valid name for the object, different from the names before.
fn object_name(role: &str, taken: &mut BTreeSet<String>) -> String {
    let mut name: String = role
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .collect();
    while name.contains("..") || name.contains(".-") || name.contains("-.") {
        name = name.replace("..", ".").replace(".-", "-").replace("-.", "-");
    }
    let trimmed = name.trim_matches(|c| c == '-' || c == '.');
    let base = if trimmed.is_empty() { "imported" } else { trimmed };
    let mut unique = base.to_owned();
    let mut number = 2;
    while !taken.insert(unique.clone()) {
        unique = format!("{base}-{number}");
        number += 1;
    }
    unique
}

fn manifest(
    found: &FoundRole,
    policies: &BTreeMap<String, FoundPolicy>,
    owner: Owner,
    choices: &Choices,
    settings: &Settings,
    account: &AccountFacts,
) -> Result<Manifest, String> {
    unowned(&found.role.tags)?;
    room_for_tags(&found.role.tags)?;
    let trust = trust_of(&Meaning::of(&found.role.trust), account)?;
    let permissions = permissions(found, policies, account)?;
    let mut notes = Vec::new();
    let mut spec = AuroraLogExportPolicySpec {
        role_name: Some(found.name.clone()),
        role_path: Some(found.path.clone()),
        description: Some(found.role.description.clone()),
        permissions_boundary: found.role.boundary.clone(),
        trust,
        adoption_policy: Some(AdoptionPolicy::Tagged),
        // Resources that exist stay in AWS when their object is deleted, until the user changes this.
        deletion_policy: Some(DeletionPolicy::Retain),
        management_policy: choices.observe.then_some(ManagementPolicy::Observe),
        account_ref: choices.account_ref.clone().map(|name| AccountRef { name }),
        ..AuroraLogExportPolicySpec::default()
    };
    let mut tags = user_tags(&found.role.tags);
    let policy_arn = match permissions {
        Permissions::FullAccess => {
            spec.access = Some(Access::FullAccess);
            None
        }
        Permissions::Scope(policy, scope) => {
            let arn = &policy.policy.arn;
            let (path, name) =
                path_and_name(arn).ok_or_else(|| format!("its policy has an ARN that cannot be parsed ({arn})"))?;
            spec.policy_name = Some(name);
            spec.policy_path = Some(path);
            spec.scope = (scope != Scope::default()).then_some(scope);
            // spec.tags sets tags on both. A tag that only one of them has is not managed.
            let others = user_tags(&policy.policy.tags);
            tags.retain(|key, value| others.get(key) == Some(value));
            if policy.policy.description != found.role.description {
                notes.push(
                    "the policy keeps its description: IAM cannot change it after creation (condition Drifted)".into(),
                );
            }
            Some(arn.clone())
        }
    };
    foreign(found, policy_arn.as_deref(), &mut notes);
    if !tags.is_empty() {
        spec.tags = Some(tags);
    }
    verify(found, policy_arn.as_ref().and_then(|arn| policies.get(arn)), &owner, &spec, settings, account)?;
    let ownership = Ownership::new(settings.cluster.clone(), owner.clone());
    Ok(Manifest { consent: ownership.consent(), owner, spec, role_name: found.name.clone(), policy_arn, notes })
}

fn unowned(tags: &Tags) -> Result<(), String> {
    match (tags.get(TAG_MANAGED_BY), tags.get(TAG_OWNER)) {
        (Some(cluster), Some(owner)) => Err(format!("already belongs to {owner} of cluster {cluster:?}")),
        _ => Ok(()),
    }
}

fn room_for_tags(tags: &Tags) -> Result<(), String> {
    if tags.len() + TAGS_NEEDED > MAX_TAGS {
        return Err(format!(
            "has {} tags; IAM allows {MAX_TAGS}, and consent and ownership need {TAGS_NEEDED}: remove some tags",
            tags.len()
        ));
    }
    Ok(())
}

fn user_tags(tags: &Tags) -> Tags {
    tags.iter()
        .filter(|(key, _)| {
            let folded = key.to_lowercase();
            !folded.starts_with("aws:") && !folded.starts_with(RESERVED_TAG_PREFIX)
        })
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Adds notes on what else belongs to the role and stays.
fn foreign(found: &FoundRole, policy: Option<&str>, notes: &mut Vec<String>) {
    let others: Vec<_> = found
        .attached
        .iter()
        .filter(|arn| Some(arn.as_str()) != policy && (policy.is_some() || !is_full_access(arn)))
        .chain(&found.inline)
        .map(String::as_str)
        .collect();
    if !others.is_empty() {
        notes.push(format!("other policies stay on the role and are reported: {}", others.join(", ")));
    }
    if !found.instance_profiles.is_empty() {
        notes.push(format!(
            "the role is in the instance profile {}, which blocks its deletion",
            found.instance_profiles.join(", ")
        ));
    }
    if let Some(stack) = found.role.tags.get("aws:cloudformation:stack-name") {
        notes.push(format!(
            "CloudFormation stack {stack} manages the role: remove it from the stack first (DeletionPolicy: Retain)"
        ));
    }
}

enum Permissions<'a> {
    FullAccess,
    Scope(&'a FoundPolicy, Scope),
}

fn is_full_access(arn: &str) -> bool {
    arn.ends_with(":iam::aws:policy/CloudWatchLogsFullAccess")
}

fn permissions<'a>(
    found: &FoundRole,
    policies: &'a BTreeMap<String, FoundPolicy>,
    account: &AccountFacts,
) -> Result<Permissions<'a>, String> {
    let full_access = found.attached.iter().any(|arn| is_full_access(arn));
    let own: Vec<&FoundPolicy> = found.attached.iter().filter_map(|arn| policies.get(arn)).collect();
    let mut reasons = Vec::new();
    let mut fitting = Vec::new();
    for policy in &own {
        match scope_of(&Meaning::of(&policy.document), &account.partition) {
            Some(scope) => fitting.push((*policy, scope)),
            None => reasons.extend(why_not(policy)),
        }
    }
    match (fitting.into_iter().next(), full_access) {
        (Some((policy, _)), true) => Err(format!(
            "has both {} and CloudWatchLogsFullAccess, which adoption would detach: detach one of them first",
            policy.policy.arn
        )),
        (Some((policy, scope)), false) => {
            shared(found, policy)?;
            unowned(&policy.policy.tags)?;
            room_for_tags(&policy.policy.tags)?;
            Ok(Permissions::Scope(policy, scope))
        }
        (None, true) => Ok(Permissions::FullAccess),
        (None, false) if !reasons.is_empty() => Err(reasons.join("; ")),
        (None, false) if !found.inline.is_empty() => Err(format!(
            "has inline policies ({}) and no managed policy like that of the AWS guide: use a managed policy instead",
            found.inline.join(", ")
        )),
        (None, false) => Err("has no policy like that of the AWS guide: it serves another purpose".into()),
    }
}

fn shared(found: &FoundRole, policy: &FoundPolicy) -> Result<(), String> {
    let PolicyUsers { roles, users, groups, bounded } = &policy.users;
    let others: Vec<String> = roles
        .iter()
        .filter(|role| !role.eq_ignore_ascii_case(&found.name))
        .map(|role| format!("role {role}"))
        .chain(users.iter().map(|user| format!("user {user}")))
        .chain(groups.iter().map(|group| format!("group {group}")))
        .chain(bounded.iter().map(|holder| format!("{holder} as permissions boundary")))
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(format!(
        "shares the policy {} with {}: give each role a policy of its own",
        policy.policy.arn,
        others.join(", ")
    ))
}

fn path_and_name(arn: &str) -> Option<(String, String)> {
    let (_, path) = arn.split_once(":policy/")?;
    let (path, name) = match path.rsplit_once('/') {
        Some((path, name)) => (format!("/{path}/"), name),
        None => ("/".to_owned(), path),
    };
    Some((path, name.to_owned()))
}

/// Verifies that what the operator computes from the spec is what was found.
fn verify(
    found: &FoundRole,
    policy: Option<&FoundPolicy>,
    owner: &Owner,
    spec: &AuroraLogExportPolicySpec,
    settings: &Settings,
    account: &AccountFacts,
) -> Result<(), String> {
    let desired = desired(owner, spec, settings, account)
        .map_err(|refused| format!("the spec that describes it is not valid: {refused}"))?;
    let same_policy = policy.is_none_or(|policy| {
        desired.identity.policy_arn == PolicyArn::from_aws(&policy.policy.arn)
            && desired
                .policy
                .as_ref()
                .is_some_and(|wanted| wanted.fingerprint == Meaning::of(&policy.document).fingerprint())
    });
    let same = same_policy
        && desired.identity.role_arn.as_str() == found.role.arn
        && desired.trust.meaning() == Meaning::of(&found.role.trust)
        && desired.boundary == found.role.boundary
        && desired.description == found.role.description;
    let tags = |actual: &Tags| {
        desired
            .tags
            .iter()
            .filter(|(key, _)| !key.starts_with(RESERVED_TAG_PREFIX))
            .all(|(key, value)| actual.get(key) == Some(value))
    };
    if same && tags(&found.role.tags) && policy.is_none_or(|policy| tags(&policy.policy.tags)) {
        return Ok(());
    }
    Err("would be changed by defaults of the AwsAccount or the operator (boundary, required or default tags)".into())
}

#[cfg(test)]
mod tests;
