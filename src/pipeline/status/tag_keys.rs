//! `status.tagKeys`: which tag keys are on record as the object's own.

use crate::api::MAX_TAG_KEYS;
use crate::pipeline::observe::Observed;

/// The keys on record before new tags are written: those of earlier specs and those of this one. If they are too many for
/// the status, keys of earlier specs that AWS does not have are dropped: two resources have at most 100 tags.
pub fn tag_keys_on_record(former: &[String], own: &[String], observed: &Observed) -> Vec<String> {
    let added = own.iter().filter(|key| !former.contains(key));
    let mut keys: Vec<String> = former.iter().chain(added).cloned().collect();
    if keys.len() > MAX_TAG_KEYS {
        let (policy, role) = (observed.policy.as_ref(), observed.role.as_ref());
        let in_aws = |key: &String| {
            policy.is_some_and(|policy| policy.tags.contains_key(key))
                || role.is_some_and(|role| role.tags.contains_key(key))
        };
        keys.retain(|key| own.contains(key) || in_aws(key));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::port::{LastUse, ObservedRole};

    fn keys(prefix: &str, count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{prefix}{number}")).collect()
    }

    #[test]
    fn keys_of_earlier_specs_stay_on_record_beside_the_new_ones() {
        let recorded = tag_keys_on_record(&keys("old", 30), &keys("new", 30), &Observed::default());
        assert_eq!(recorded, [keys("old", 30), keys("new", 30)].concat());
    }

    #[test]
    fn the_record_never_exceeds_the_schema_and_keeps_what_aws_has_and_the_spec_names() {
        let role = ObservedRole {
            arn: String::new(),
            id: String::new(),
            description: None,
            trust: String::new(),
            boundary: None,
            tags: [("old7".to_owned(), "x".to_owned())].into(),
            attached: Vec::new(),
            inline: Vec::new(),
            last_use: LastUse::NotTold,
        };
        let observed = Observed { role: Some(role), ..Observed::default() };
        let own = [keys("new", 46), vec!["old9".to_owned()]].concat();
        let recorded = tag_keys_on_record(&keys("old", MAX_TAG_KEYS), &own, &observed);
        assert_eq!(recorded, [vec!["old7".to_owned(), "old9".to_owned()], keys("new", 46)].concat());
    }
}
