//! Which steps need which: what was refused prevents only what makes no sense without it.

use serde_json::{Value, json};

use super::{OTHERS_POLICY, in_sync, plan_for, wanted, write, writes};
use crate::model::ownership::Tags;
use crate::pipeline::desired::Desired;
use crate::pipeline::observe::{Content, Observed};
use crate::pipeline::plan::{Plan, Step, danger, deletion::plan_deletion};
use crate::pipeline::port::PolicyVersion;

/// The writes that are left if this one is refused, and the writes that need it, directly or not.
fn without(steps: &[Step], refused: &str) -> Vec<String> {
    let mut prevented = vec![false; steps.len()];
    for (index, step) in steps.iter().enumerate() {
        prevented[index] = write(&step.action) == refused || step.needs.iter().any(|&needed| prevented[needed]);
    }
    assert!(prevented.contains(&true), "no {refused} in the plan");
    steps.iter().zip(prevented).filter(|(_, prevented)| !prevented).map(|(step, _)| write(&step.action)).collect()
}

fn plan(spec: Value, change: impl FnOnce(&Desired, &mut Observed)) -> Plan {
    let desired = wanted(spec);
    let mut observed = in_sync(&desired);
    change(&desired, &mut observed);
    plan_for(&desired, &observed).unwrap()
}

#[test]
fn a_refused_repair_prevents_no_other_repair() {
    let plan = plan(json!({ "tags": { "a": "b" }, "attachmentPolicy": "Exclusive" }), |_, observed| {
        let (role, policy) = (observed.role.as_mut().unwrap(), observed.policy.as_mut().unwrap());
        (role.trust, role.description, role.boundary) = ("{}".into(), Some("x".into()), Some("b".into()));
        role.tags.remove("a");
        role.attached = vec![OTHERS_POLICY.into()];
        policy.tags.remove("a");
        policy.content = Content::Differs { text: "{}".into() };
    });
    let all = writes(&plan);
    assert_eq!(all.len(), 8, "{all:?}");
    for refused in &all {
        let others: Vec<_> = all.iter().filter(|write| *write != refused).cloned().collect();
        assert_eq!(without(&plan.steps, refused), others);
    }
}

#[test]
fn nothing_is_created_or_attached_without_its_policy_or_its_role() {
    let desired = wanted(json!({}));
    let creation = plan_for(&desired, &Observed::default()).unwrap();
    assert_eq!(without(&creation.steps, "CreatePolicy shop.orders"), Vec::<String>::new());
    assert_eq!(without(&creation.steps, "CreateRole shop.orders"), ["CreatePolicy shop.orders"]);
    let lost = plan(json!({}), |_, observed| {
        observed.policy = None;
        let role = observed.role.as_mut().unwrap();
        role.attached.clear();
        role.trust = "{}".into();
    });
    assert_eq!(without(&lost.steps, "CreatePolicy shop.orders"), ["UpdateTrust"]);
}

#[test]
fn a_version_is_created_only_after_one_was_deleted_where_five_exist() {
    let plan = plan(json!({ "tags": { "a": "b" } }), |_, observed| {
        let policy = observed.policy.as_mut().unwrap();
        policy.content = Content::Differs { text: "{}".into() };
        policy.default_version = "v5".into();
        policy.versions = (1..=5).map(|id| PolicyVersion { id: format!("v{id}"), is_default: id == 5 }).collect();
        policy.tags.remove("a");
    });
    assert_eq!(without(&plan.steps, "DeletePolicyVersion v1"), ["TagPolicy a"]);
}

#[test]
fn a_resource_that_is_adopted_is_changed_only_after_it_is_tagged() {
    let plan = plan(json!({ "adoptionPolicy": "Tagged" }), |_, observed| {
        let consent: Tags = [("auroralogexport.dev/adoptable-by".to_owned(), "prod/shop/orders".to_owned())].into();
        let (role, policy) = (observed.role.as_mut().unwrap(), observed.policy.as_mut().unwrap());
        (role.tags, policy.tags) = (consent.clone(), consent);
        role.trust = "{}".into();
        role.attached.clear();
        policy.content = Content::Differs { text: "{}".into() };
    });
    let tags = "auroralogexport.dev/cluster-uid,auroralogexport.dev/managed-by,auroralogexport.dev/owner";
    let (tag_policy, tag_role) = (format!("TagPolicy {tags}"), format!("TagRole {tags}"));
    assert_eq!(plan.adopted.len(), 2);
    assert_eq!(without(&plan.steps, &tag_policy), [&tag_role, "UpdateTrust"]);
    assert_eq!(without(&plan.steps, &tag_role), [&tag_policy, "CreatePolicyVersion"]);
}

#[test]
fn the_old_policy_stays_attached_until_the_new_one_is() {
    let (minimal, full) = (wanted(json!({})), wanted(json!({ "access": "FullAccess" })));
    let (own, managed) = (minimal.identity.policy_arn.as_str(), full.identity.full_access_arn.as_str());
    let to_full = plan_for(&full, &in_sync(&minimal)).unwrap();
    assert_eq!(without(&to_full.steps, &format!("Attach {managed}")), Vec::<String>::new());
    assert_eq!(without(&to_full.steps, &format!("Detach {own}")), [format!("Attach {managed}")]);
}

#[test]
fn a_deletion_goes_on_where_its_order_allows_it() {
    let steps = plan_deletion(&wanted(json!({})).identity, &super::deletion::leftovers_without_boundary()).unwrap();
    let detach = "Detach arn:aws:iam::123456789012:policy/x/shop.orders";
    assert_eq!(without(&steps, detach), Vec::<String>::new());
    assert_eq!(
        without(&steps, "DeleteRole"),
        [detach, "DeletePolicyVersion v3", "DeletePolicyVersion v1", "DeletePolicy"]
    );
    assert_eq!(without(&steps, "DeletePolicyVersion v3"), [detach, "DeleteRole", "DeletePolicyVersion v1"]);
}

#[test]
fn the_trust_policy_is_the_most_dangerous_difference_and_the_description_the_least() {
    let plan = plan(json!({ "tags": { "a": "b" }, "attachmentPolicy": "Exclusive" }), |_, observed| {
        let (role, policy) = (observed.role.as_mut().unwrap(), observed.policy.as_mut().unwrap());
        (role.trust, role.description, role.boundary) = ("{}".into(), Some("x".into()), Some("b".into()));
        role.tags.remove("a");
        role.attached.push(OTHERS_POLICY.into());
        role.inline.push("byhand".into());
        policy.content = Content::Differs { text: "{}".into() };
    });
    let mut steps: Vec<_> = plan.steps.iter().collect();
    steps.sort_by_key(|step| danger(step));
    let fields: Vec<_> = steps.iter().map(|step| step.field.as_str()).collect();
    assert_eq!(
        fields,
        ["trust", "document", "permissionsBoundary", "attachments", "inlinePolicies", "tags", "description"]
    );
}
