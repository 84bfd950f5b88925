//! Tags by kind of change: ours are set and removed, those of others are kept.

use crate::api::Field;
use serde_json::{Value, json};

use super::{found, in_sync, wanted, writes};
use crate::pipeline::plan::{EarlierClaims, Part, Plan, plan};

fn after_tags(before: &[&str], now: &Value, on_aws: &[(&str, &str)]) -> Plan {
    let desired = wanted(json!({ "tags": now }));
    let mut observed = in_sync(&desired);
    let edit = |tags: &mut crate::model::ownership::Tags| {
        tags.retain(|key, _| key.starts_with("auroralogexport.dev/"));
        tags.extend(on_aws.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    };
    edit(&mut observed.role.as_mut().unwrap().tags);
    edit(&mut observed.policy.as_mut().unwrap().tags);
    let before: Vec<_> = before.iter().map(|key| (*key).to_owned()).collect();
    plan(&desired, &observed, &EarlierClaims::default(), &before).unwrap()
}

#[test]
fn tags_of_others_are_kept_and_ours_are_removed_with_the_spec() {
    let plan = after_tags(&[], &json!({}), &[("others", "x")]);
    assert_eq!(plan, Plan::default(), "never ours");
    let plan = after_tags(&["old"], &json!({}), &[("old", "x"), ("others", "x")]);
    assert_eq!(writes(&plan), ["UntagPolicy old", "UntagRole old"]);
    assert_eq!(found(&plan), [(Part::Policy, Field::Tags, Some("old")), (Part::Role, Field::Tags, Some("old"))]);
    let plan = after_tags(&["old"], &json!({}), &[]);
    assert_eq!(plan, Plan::default(), "already removed");
}

#[test]
fn tags_are_removed_before_others_are_set() {
    let plan = after_tags(&["old"], &json!({ "new": "x" }), &[("old", "x")]);
    assert_eq!(writes(&plan), ["UntagPolicy old", "UntagRole old", "TagPolicy new", "TagRole new"]);
}

#[test]
fn a_key_in_another_case_is_replaced_on_roles_and_is_a_second_key_on_policies() {
    for (old, new) in [("Team", "team"), ("É", "é")] {
        let plan = after_tags(&[old], &json!({ new: "x" }), &[(old, "x")]);
        let expected = [format!("UntagPolicy {old}"), format!("TagPolicy {new}"), format!("TagRole {new}")];
        assert_eq!(writes(&plan), expected);
    }
}
