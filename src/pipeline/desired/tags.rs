//! All tags of the policy and the role: the spec's, the account's and the ownership tags, within IAM's limits.

use std::collections::BTreeMap;

use super::problem::Problem;
use crate::api::{AuroraLogExportPolicySpec, RESERVED_TAG_PREFIX};
use crate::model::ownership::{Ownership, Tags, is_same_key};
use crate::model::settings::AccountFacts;

/// The most tags that IAM allows on a resource.
const MAX_TAGS: usize = 50;

/// The spec's tags, the required and default tags that the spec does not set, and the ownership tags.
pub(super) fn tags(
    spec: &AuroraLogExportPolicySpec,
    account: &AccountFacts,
    ownership: &Ownership,
    problems: &mut Vec<Problem>,
) -> Tags {
    let empty = BTreeMap::new();
    let own = spec.tags.as_ref().unwrap_or(&empty);
    problems.extend(tag_problems("spec.tags", own));
    let mut tags = own.clone();
    if let Some(guardrails) = account.guardrails() {
        for (key, value) in guardrails.required_tags.iter().flatten() {
            // In the account's spelling: keys of policy tags are case-sensitive.
            tags.retain(|own, _| !is_same_key(own, key));
            tags.insert(key.clone(), value.clone());
        }
        for (key, value) in guardrails.default_tags.iter().flatten() {
            if !tags.keys().any(|own| is_same_key(own, key)) {
                tags.insert(key.clone(), value.clone());
            }
        }
    }
    tags.extend(ownership.tags().map(|(key, value)| (key.to_owned(), value)));
    if tags.len() > MAX_TAGS {
        problems.push(Problem::invalid(
            "spec.tags",
            format!(
                "results in {} tags with the account's tags and the three ownership tags: IAM allows {MAX_TAGS}",
                tags.len()
            ),
        ));
    }
    tags
}

/// What is wrong with each tag of the map in this field.
pub fn tag_problems(path: &str, tags: &BTreeMap<String, String>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut by_folded_key: BTreeMap<String, &str> = BTreeMap::new();
    for (key, value) in tags {
        let field = format!("{path}[{key:?}]");
        let folded = key.to_lowercase();
        if folded.starts_with("aws:") || folded.starts_with(RESERVED_TAG_PREFIX) {
            problems.push(Problem::invalid(&field, "keys that begin with aws: or auroralogexport.dev/ are reserved"));
        }
        if let Some(other) = by_folded_key.insert(folded, key) {
            problems.push(Problem::invalid(
                &field,
                format!("differs from {other:?} only in case: IAM treats them as one key"),
            ));
        }
        if !(1..=128).contains(&key.chars().count()) || !key.chars().all(is_tag_character) {
            problems.push(Problem::invalid(&field, "a key must have 1 to 128 letters, digits, spaces or _.:/=+-@"));
        }
        if value.chars().count() > 256 || !value.chars().all(is_tag_character) {
            problems
                .push(Problem::invalid(&field, "a value must have at most 256 letters, digits, spaces or _.:/=+-@"));
        }
    }
    problems
}

/// Source: botocore's IAM model, `[\p{L}\p{Z}\p{N}_.:/=+\-@]`.
fn is_tag_character(c: char) -> bool {
    c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "_.:/=+-@".contains(c)
}
