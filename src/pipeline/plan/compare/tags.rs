//! Tags: what is missing, changed, or no longer wanted.

use super::{Comparison, NONE};
use crate::model::ownership::{Tags, is_same_key};
use crate::pipeline::plan::{Action, Field, Part, Step};

impl Comparison<'_> {
    /// Tags of ours that are missing or changed, and those that the spec no longer has; others' stay.
    pub(super) fn tags(&mut self, part: Part, actual: &Tags) {
        let desired = self.desired;
        let wrong: Tags = desired
            .tags
            .iter()
            .filter(|(key, value)| actual.get(*key) != Some(value))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let same = |one: &str, other: &str| match part {
            Part::Policy => one == other,
            Part::Role => is_same_key(one, other),
        };
        let removed: Vec<String> = self
            .former_tag_keys
            .iter()
            .filter(|key| actual.contains_key(*key))
            // A role's tag key that was only respelt has been replaced; a policy's stands beside the new one.
            .filter(|key| !desired.tags.keys().any(|wanted| same(wanted, key)))
            .cloned()
            .collect();
        let role = desired.identity.role_name.clone();
        let arn = desired.identity.policy_arn.clone();
        for (key, value) in &wrong {
            self.differs(part, Field::Tags, Some(key), value, actual.get(key).map_or(NONE, String::as_str), Vec::new());
        }
        for key in &removed {
            self.differs(part, Field::Tags, Some(key), NONE, actual.get(key).map_or(NONE, String::as_str), Vec::new());
        }
        // What goes makes room for what comes: IAM allows 50 tags.
        if !removed.is_empty() {
            let action = match part {
                Part::Policy => Action::UntagPolicy { arn: arn.clone(), keys: removed },
                Part::Role => Action::UntagRole { role: role.clone(), keys: removed },
            };
            self.plan.steps.push(Step { action, part, field: Field::Tags });
        }
        if !wrong.is_empty() {
            let action = match part {
                Part::Policy => Action::TagPolicy { arn, tags: wrong },
                Part::Role => Action::TagRole { role, tags: wrong },
            };
            self.plan.steps.push(Step { action, part, field: Field::Tags });
        }
    }
}
