//! Derives the fields of a spec from the meaning of a document, or the reason why no fields express it. Pure.

use std::collections::BTreeSet;

use super::found::FoundPolicy;
use crate::api::policy::{GroupCreation, Scope, Trust, TrustProtection};
use crate::model::documents::meaning::PRINCIPAL;
use crate::model::documents::permissions::{self, PermissionScope};
use crate::model::documents::{LANGUAGE_VERSION, Meaning, trust};
use crate::model::names::Partition;
use crate::model::settings::AccountFacts;

/// True if a statement of the trust policy names RDS.
pub(super) fn concerns_rds(trust: &Meaning) -> bool {
    let rds = rds();
    matches!(trust, Meaning::Grants { grants, .. } if grants.iter().any(|grant| grant.principal.as_deref() == Some(rds.as_str())))
}

/// RDS as a principal in the meaning of a document.
fn rds() -> String {
    format!("Service:{PRINCIPAL}")
}

/// Returns how a policy for logs differs from the policy of the AWS guide; `None` if it has no actions for logs.
pub(super) fn why_not(policy: &FoundPolicy) -> Option<String> {
    let arn = &policy.policy.arn;
    let Meaning::Grants { version, grants } = Meaning::of(&policy.document) else {
        return Some(format!("its policy {arn} has a document that cannot be parsed"));
    };
    let is_logs = |action: &Option<String>| action.as_deref().is_some_and(|action| action.starts_with("logs:"));
    if !grants.iter().any(|grant| is_logs(&grant.action)) {
        return None;
    }
    let guide = [
        "logs:getlogevents",
        "logs:putlogevents",
        "logs:createlogstream",
        "logs:describelogstreams",
        "logs:putretentionpolicy",
        "logs:createloggroup",
    ];
    let other: BTreeSet<&str> =
        grants.iter().filter_map(|grant| grant.action.as_deref()).filter(|action| !guide.contains(action)).collect();
    if !other.is_empty() {
        let other: Vec<_> = other.into_iter().collect();
        return Some(format!("its policy {arn} allows other actions ({})", other.join(", ")));
    }
    if grants.iter().any(|grant| grant.effect != "Allow" || !grant.condition.is_empty()) {
        return Some(format!("its policy {arn} has conditions or Deny statements"));
    }
    if version != LANGUAGE_VERSION {
        return Some(format!("its policy {arn} has the language version {version} instead of {LANGUAGE_VERSION}"));
    }
    let missing: Vec<_> = guide
        .into_iter()
        .filter(|action| !grants.iter().any(|grant| grant.action.as_deref() == Some(action)))
        .collect();
    if !missing.is_empty() {
        return Some(format!("its policy {arn} lacks actions of the AWS guide ({})", missing.join(", ")));
    }
    Some(format!("its policy {arn} covers resources that spec.scope cannot express"))
}

/// Returns the scope that produces a policy of this meaning. The default scope produces the policy of the AWS guide.
pub(super) fn scope_of(meaning: &Meaning, partition: &Partition) -> Option<Scope> {
    let Meaning::Grants { grants, .. } = meaning else {
        return None;
    };
    let resources = |wanted: &str| -> BTreeSet<&str> {
        grants
            .iter()
            .filter(|grant| grant.action.as_deref() == Some(wanted))
            .filter_map(|grant| grant.resource.as_deref())
            .collect()
    };
    let mut regions = BTreeSet::new();
    let mut account_ids = BTreeSet::new();
    let mut log_groups = BTreeSet::new();
    let mut log_streams = BTreeSet::new();
    let prefix = format!("arn:{partition}:logs:");
    for arn in resources("logs:putlogevents") {
        let mut parts = arn.strip_prefix(&prefix)?.splitn(3, ':');
        regions.insert(parts.next()?.to_owned());
        account_ids.insert(parts.next()?.to_owned());
        let (group, stream) = parts.next()?.strip_prefix("log-group:")?.split_once(":log-stream:")?;
        log_groups.insert(group.to_owned());
        log_streams.insert(stream.to_owned());
    }
    let scope = PermissionScope {
        regions: regions.into_iter().collect(),
        account_ids: account_ids.into_iter().collect(),
        log_groups: log_groups.into_iter().collect(),
        log_streams: log_streams.into_iter().collect(),
        creation_limited_to_groups: resources("logs:createloggroup") != BTreeSet::from(["*"]),
    };
    // The lists express the policy only if they multiply out to the same meaning again.
    if permissions::document(&scope, partition).meaning() != *meaning {
        return None;
    }
    let guide = PermissionScope::default();
    let unless = |items: Vec<String>, default: &Vec<String>| (items != *default).then_some(items);
    Some(Scope {
        regions: unless(scope.regions, &guide.regions),
        account_ids: unless(scope.account_ids, &guide.account_ids),
        log_groups: unless(scope.log_groups, &guide.log_groups),
        log_streams: unless(scope.log_streams, &guide.log_streams),
        group_creation: scope.creation_limited_to_groups.then_some(GroupCreation::LogGroups),
    })
}

/// Returns the `trust` that produces a trust policy of this meaning, or the reason why none does.
pub(super) fn trust_of(meaning: &Meaning, account: &AccountFacts) -> Result<Option<Trust>, String> {
    if !meaning.trusts_only_rds() {
        let rds = rds();
        let others: BTreeSet<&str> = match meaning {
            Meaning::Grants { grants, .. } => grants
                .iter()
                .filter_map(|grant| grant.principal.as_deref())
                .filter(|principal| *principal != rds)
                .collect(),
            Meaning::Opaque(_) => BTreeSet::new(),
        };
        let others: Vec<_> = others.into_iter().collect();
        return Err(format!("trusts principals other than RDS ({})", others.join(", ")));
    }
    let candidates = [(Some(TrustProtection::None), source_arns(meaning)), (None, source_arns(meaning))];
    for (protection, arns) in candidates {
        let id = protection.is_none().then_some(&account.id);
        let document = trust::document(id, arns.as_deref().unwrap_or_default());
        if document.meaning() == *meaning {
            let trust = Trust { protection, source_arns: arns };
            return Ok((trust != Trust::default()).then_some(trust));
        }
    }
    Err("has a trust policy whose conditions, actions or language version spec.trust cannot express".into())
}

fn source_arns(meaning: &Meaning) -> Option<Vec<String>> {
    let Meaning::Grants { grants, .. } = meaning else {
        return None;
    };
    // One grant for each ARN.
    let of = |condition: &String| {
        let parsed: serde_json::Value = serde_json::from_str(condition).ok()?;
        let arns = parsed["Condition"]["ArnLike"]["aws:sourcearn"].as_array()?;
        Some(arns.iter().filter_map(|arn| arn.as_str().map(str::to_owned)).collect::<Vec<_>>())
    };
    let arns: BTreeSet<String> = grants.iter().filter_map(|grant| of(&grant.condition)).flatten().collect();
    (!arns.is_empty()).then(|| arns.into_iter().collect())
}
