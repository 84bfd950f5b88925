//! What the platform team allows: the guardrails of an `AwsAccount`, or the operator's flags for objects without one.

use super::identity::Identity;
use super::problem::Problem;
use crate::api::account::Guardrails;
use crate::api::policy::{
    Access, AdoptionPolicy, AuroraLogExportPolicySpec, DeletionPolicy, GroupCreation, TrustProtection,
};
use crate::model::documents::pattern;
use crate::model::documents::permissions::PermissionScope;
use crate::model::names::Owner;
use crate::model::ownership::is_same_key;
use crate::model::settings::{AccountFacts, Settings};

/// Adds a problem for every guardrail that the spec violates.
pub(super) fn check(
    identity: &Identity,
    spec: &AuroraLogExportPolicySpec,
    settings: &Settings,
    account: &AccountFacts,
    problems: &mut Vec<Problem>,
) {
    if spec.outputs.as_ref().is_some_and(|outputs| outputs.config_map_ref.is_some()) && !settings.enable_outputs {
        problems.push(Problem::forbidden(
            "--enable-outputs",
            "spec.outputs.configMapRef",
            "the operator does not run with --enable-outputs=true: remove the field, or ask the platform team",
        ));
    }
    match account.guardrails() {
        Some(guardrails) => {
            check_account(identity.ownership.owner(), spec, guardrails, problems);
            check_own_policy(identity, spec, guardrails, problems);
        }
        None => check_flags(spec, settings, problems),
    }
}

fn check_flags(spec: &AuroraLogExportPolicySpec, settings: &Settings, problems: &mut Vec<Problem>) {
    if settings.require_account_ref {
        problems.push(Problem::forbidden(
            "--require-account-ref",
            "spec.accountRef",
            "the operator requires an AwsAccount: create a new object with spec.accountRef.name set",
        ));
    }
    if spec.access == Some(Access::FullAccess) && !settings.allow_full_access {
        problems.push(Problem::forbidden(
            "--allow-full-access",
            "spec.access",
            "FullAccess is not allowed: use Minimal",
        ));
    }
    if spec.adoption_policy == Some(AdoptionPolicy::Always) && !settings.allow_adopt_existing {
        problems.push(Problem::forbidden(
            "--allow-adopt-existing",
            "spec.adoptionPolicy",
            "Always is not allowed: use Tagged and tag the resource, or ask the platform team",
        ));
    }
}

fn check_account(
    owner: &Owner,
    spec: &AuroraLogExportPolicySpec,
    guardrails: &Guardrails,
    problems: &mut Vec<Problem>,
) {
    // Destructured without `..`: a new guardrail cannot be forgotten here.
    let Guardrails {
        // Names and paths: see `check_names`.
        iam_path: _,
        name_prefix: _,
        require_namespace_in_name: _,
        permissions_boundary,
        allow_full_access,
        allow_adoption,
        max_deletion_policy,
        required_tags,
        default_tags: _,
        allowed_regions,
        allowed_log_groups,
        require_trust_protection,
        // Needs the other objects: the driver checks it.
        max_objects_per_namespace: _,
        // Limits what a plan detaches; see also `check_own_policy`.
        protected_policies: _,
    } = guardrails;

    check_names(owner, spec, guardrails, problems);
    if let (Some(boundary), Some(required)) = (&spec.permissions_boundary, permissions_boundary)
        && boundary != required
    {
        problems.push(Problem::forbidden(
            "permissionsBoundary",
            "spec.permissionsBoundary",
            format!("must be {required:?}, or unset"),
        ));
    }
    if spec.access == Some(Access::FullAccess) && *allow_full_access != Some(true) {
        problems.push(Problem::forbidden("allowFullAccess", "spec.access", "FullAccess is not allowed: use Minimal"));
    }
    if spec.adoption_policy == Some(AdoptionPolicy::Always) && *allow_adoption != Some(true) {
        problems.push(Problem::forbidden(
            "allowAdoption",
            "spec.adoptionPolicy",
            "Always is not allowed: use Tagged and tag the resource",
        ));
    }
    if *max_deletion_policy == Some(DeletionPolicy::Retain) && spec.deletion_policy == Some(DeletionPolicy::Delete) {
        problems.push(Problem::forbidden(
            "maxDeletionPolicy",
            "spec.deletionPolicy",
            "Delete is not allowed: use Retain, or leave it unset",
        ));
    }
    for (key, required) in required_tags.iter().flatten() {
        let given = spec.tags.iter().flatten().find(|(own, _)| is_same_key(own, key));
        if let Some((own, value)) = given
            && value != required
        {
            problems.push(Problem::forbidden(
                "requiredTags",
                format!("spec.tags[{own:?}]"),
                format!("must be {required:?}, or unset"),
            ));
        }
    }
    check_scope(spec, allowed_regions.as_deref(), allowed_log_groups.as_deref(), problems);
    let unprotected = spec.trust.as_ref().and_then(|trust| trust.protection) == Some(TrustProtection::None);
    if *require_trust_protection == Some(true) && unprotected {
        problems.push(Problem::forbidden(
            "requireTrustProtection",
            "spec.trust.protection",
            "None is not allowed: use SourceAccount, or leave it unset",
        ));
    }
}

fn check_names(owner: &Owner, spec: &AuroraLogExportPolicySpec, guardrails: &Guardrails, problems: &mut Vec<Problem>) {
    for (field, name) in [("spec.policyName", &spec.policy_name), ("spec.roleName", &spec.role_name)] {
        let Some(name) = name else { continue };
        if let Some(prefix) = &guardrails.name_prefix
            && !name.starts_with(prefix.as_str())
        {
            problems.push(Problem::forbidden("namePrefix", field, format!("must begin with {prefix:?}")));
        }
        let required = format!("{}{}.", guardrails.name_prefix.as_deref().unwrap_or_default(), owner.namespace);
        if guardrails.require_namespace_in_name == Some(true) && !name.starts_with(&required) {
            problems.push(Problem::forbidden(
                "requireNamespaceInName",
                field,
                format!("must begin with {required:?}, or be unset"),
            ));
        }
    }
    for (field, path) in [("spec.policyPath", &spec.policy_path), ("spec.rolePath", &spec.role_path)] {
        if let (Some(path), Some(required)) = (path, &guardrails.iam_path)
            && path != required
        {
            problems.push(Problem::forbidden("iamPath", field, format!("must be {required:?}, or unset")));
        }
    }
}

/// The object's own policy is neither the boundary nor, where the operator would detach or adopt it, a protected policy.
fn check_own_policy(
    identity: &Identity,
    spec: &AuroraLogExportPolicySpec,
    guardrails: &Guardrails,
    problems: &mut Vec<Problem>,
) {
    let (name, arn) = (identity.policy_name.as_str(), identity.policy_arn.as_str());
    if let Some(boundary) = &guardrails.permissions_boundary
        && !boundary.contains("::aws:")
        // Policy names are unique regardless of path and case.
        && boundary.rsplit('/').next().is_some_and(|taken| taken.eq_ignore_ascii_case(name))
    {
        problems.push(Problem::forbidden(
            "permissionsBoundary",
            "spec.policyName",
            format!("{name:?} is the name of the permissions boundary: choose another name"),
        ));
    }
    let is_explicit = spec.policy_name.is_some() || spec.policy_path.is_some();
    // `FullAccess` detaches the own policy, which the object need not own. `Minimal` needs to own it.
    let takes = spec.access == Some(Access::FullAccess) || spec.adoption_policy == Some(AdoptionPolicy::Always);
    if is_explicit && takes && identity.attachments.protects(arn) {
        problems.push(Problem::forbidden(
            "protectedPolicies",
            "spec.policyName",
            format!("{arn} is protected: choose another name or path, or leave both unset"),
        ));
    }
}

fn check_scope(
    spec: &AuroraLogExportPolicySpec,
    allowed_regions: Option<&[String]>,
    allowed_log_groups: Option<&[String]>,
    problems: &mut Vec<Problem>,
) {
    if spec.access == Some(Access::FullAccess) {
        // FullAccess has no scope that could be within the limits.
        for (guardrail, limit) in [("allowedRegions", allowed_regions), ("allowedLogGroups", allowed_log_groups)] {
            if limit.is_some_and(is_limited) {
                problems.push(Problem::forbidden(
                    guardrail,
                    "spec.access",
                    "FullAccess exceeds what is allowed: use Minimal",
                ));
            }
        }
        return;
    }
    let (scope, default) = (spec.scope.clone().unwrap_or_default(), PermissionScope::default());
    for (guardrail, limit) in [("allowedRegions", allowed_regions), ("allowedLogGroups", allowed_log_groups)] {
        if limit.is_some_and(is_limited) && scope.group_creation == Some(GroupCreation::Any) {
            problems.push(Problem::forbidden(
                guardrail,
                "spec.scope.groupCreation",
                "Any exceeds what is allowed: use LogGroups, or leave it unset",
            ));
        }
    }
    if let Some(allowed) = allowed_regions {
        let regions = scope.regions.unwrap_or(default.regions);
        for region in
            regions.iter().filter(|region| !allowed.contains(region) && !allowed.iter().any(|item| item == "*"))
        {
            problems.push(Problem::forbidden(
                "allowedRegions",
                "spec.scope.regions",
                format!("{region:?} is not one of {}", allowed.join(", ")),
            ));
        }
    }
    if let Some(allowed) = allowed_log_groups {
        let groups = scope.log_groups.unwrap_or(default.log_groups);
        let is_allowed = |group: &str| allowed.iter().any(|limit| pattern::contains(limit, group));
        for group in &groups {
            let reach = reach(group);
            let message = if !is_allowed(group) {
                format!("{group:?} is not within {}", allowed.join(", "))
            } else if !is_allowed(&reach) {
                format!(
                    "{group:?} reaches {reach:?} through the names of log streams, which is not within {}: use * at the end \
                     only",
                    allowed.join(", ")
                )
            } else {
                continue;
            };
            problems.push(Problem::forbidden("allowedLogGroups", "spec.scope.logGroups", message));
        }
    }
}

/// The log groups that a pattern reaches in the policy. IAM's `*` matches colons too: one within the name also matches the
/// end of a name and what follows it. `/a/*/b*` covers the log stream `x/b` of every group under `/a/`, and `/a/*-stream:*`
/// covers `/a/x:log-stream:`, on which AWS evaluates actions on a group.
fn reach(group: &str) -> String {
    match group.split_once('*') {
        // An empty end is that of a name that ends in `*`. Any other end is followed by `:*`.
        Some((start, rest)) if rest.rsplit('*').next().is_some_and(|end| "log-stream".ends_with(end)) => {
            format!("{start}*")
        }
        _ => group.to_owned(),
    }
}

/// True if a guardrail limits in which Regions or under which names log groups are created.
pub(super) fn limits_group_creation(guardrails: &Guardrails) -> bool {
    [&guardrails.allowed_regions, &guardrails.allowed_log_groups].into_iter().flatten().any(|list| is_limited(list))
}

fn is_limited(allowed: &[String]) -> bool {
    !allowed.iter().any(|item| item == "*")
}
