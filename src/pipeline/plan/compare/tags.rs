//! Tags: what is missing, changed, or no longer wanted.

use crate::model::ownership::{Tags, is_same_key};
use crate::pipeline::plan::action::Part;

/// What differs in the tags of one resource.
pub(super) struct TagDifferences {
    /// Missing or changed, with the wanted values.
    pub(super) wrong: Tags,
    /// Keys that this object has set before and that are no longer wanted.
    pub(super) removed: Vec<String>,
}

/// Compares our tags. Other tags are kept.
pub(super) fn compare(part: Part, wanted: &Tags, actual: &Tags, former_keys: &[String]) -> TagDifferences {
    let wrong = wanted
        .iter()
        .filter(|(key, value)| actual.get(*key) != Some(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let same = |one: &str, other: &str| match part {
        Part::Policy => one == other,
        Part::Role => is_same_key(one, other),
    };
    let removed = former_keys
        .iter()
        .filter(|key| actual.contains_key(*key))
        // On a role, a key in another case replaces the old one. On a policy, both exist.
        .filter(|key| !wanted.keys().any(|wanted| same(wanted, key)))
        .cloned()
        .collect();
    TagDifferences { wrong, removed }
}
