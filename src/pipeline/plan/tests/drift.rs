//! Drift by kind: the finding, and the writes that repair it.

use serde_json::{Value, json};

use super::{OTHERS_POLICY, found, in_sync, plan_for, role, wanted, writes};
use crate::api::{Field, TAG_ADOPTABLE_BY};
use crate::model::ownership::Tags;
use crate::pipeline::observe::{Content, Observed, ObservedPolicy};
use crate::pipeline::plan::{Action, EarlierClaims, Part, Plan, Repair, plan, role_differences};
use crate::pipeline::port::{ObservedRole, PolicyVersion};

const BOUNDARY: &str = "arn:aws:iam::123456789012:policy/b";

fn with_policy(spec: Value, change: impl FnOnce(&mut ObservedPolicy)) -> Plan {
    let desired = wanted(spec);
    let mut observed = in_sync(&desired);
    change(observed.policy.as_mut().unwrap());
    plan_for(&desired, &observed).unwrap()
}

fn with_role(spec: Value, change: impl FnOnce(&mut ObservedRole)) -> Plan {
    let desired = wanted(spec);
    let mut observed = in_sync(&desired);
    change(observed.role.as_mut().unwrap());
    plan_for(&desired, &observed).unwrap()
}

fn versions(ids: &[&str], default: &str) -> Vec<PolicyVersion> {
    let version = |id: &&str| PolicyVersion { id: (*id).to_owned(), is_default: *id == default };
    ids.iter().map(version).collect()
}

fn differing(policy: &mut ObservedPolicy, ids: &[&str], default: &str, matching: Option<&str>) {
    policy.content = Content::Differs { text: "{}".into() };
    policy.versions = versions(ids, default);
    policy.default_version = default.into();
    policy.matching_version = matching.map(str::to_owned);
}

#[test]
fn missing_resources_are_created_in_three_writes() {
    let desired = wanted(json!({ "permissionsBoundary": BOUNDARY, "tags": { "a": "b" }, "description": "d" }));
    let plan = plan_for(&desired, &Observed::default()).unwrap();
    let own = desired.identity.policy_arn.as_str();
    assert_eq!(writes(&plan), ["CreatePolicy shop.orders", "CreateRole shop.orders", &format!("Attach {own}")]);
    let Action::CreatePolicy(policy) = &plan.steps[0].action else { unreachable!() };
    let Action::CreateRole(role) = &plan.steps[1].action else { unreachable!() };
    assert_eq!((&policy.tags, &role.tags), (&desired.tags, &desired.tags));
    assert_eq!((policy.path.as_str(), role.path.as_str()), ("/x/", "/x/"));
    assert_eq!((policy.description.as_str(), role.description.as_str()), ("d", "d"));
    assert_eq!(role.boundary.as_deref(), Some(BOUNDARY));
    assert_eq!(role.trust, desired.trust.to_json());
    assert_eq!(
        found(&plan),
        [
            (Part::Policy, Field::Existence, None),
            (Part::Role, Field::Existence, None),
            (Part::Role, Field::Attachments, None),
        ]
    );
}

#[test]
fn full_access_creates_a_role_and_no_policy() {
    let desired = wanted(json!({ "access": "FullAccess" }));
    let plan = plan_for(&desired, &Observed::default()).unwrap();
    assert_eq!(writes(&plan), ["CreateRole shop.orders", "Attach arn:aws:iam::aws:policy/CloudWatchLogsFullAccess"]);
}

#[test]
fn each_difference_of_a_role_has_its_finding_and_its_write() {
    type Change = fn(&mut ObservedRole);
    type Row<'a> = (Value, Change, Field, Option<&'a str>, &'a [&'a str]);
    let table: [Row<'_>; 9] = [
        (json!({}), |role| role.trust = "{}".into(), Field::Trust, None, &["UpdateTrust"]),
        (
            json!({ "description": "d" }),
            |role| role.description = Some("x".into()),
            Field::Description,
            None,
            &["UpdateDescription d"],
        ),
        (
            json!({ "description": "" }),
            |role| role.description = Some("x".into()),
            Field::Description,
            None,
            &["UpdateDescription "],
        ),
        (
            json!({ "permissionsBoundary": BOUNDARY }),
            |role| role.boundary = None,
            Field::PermissionsBoundary,
            None,
            &["PutBoundary arn:aws:iam::123456789012:policy/b"],
        ),
        (
            json!({ "permissionsBoundary": BOUNDARY }),
            |role| role.boundary = Some("other".into()),
            Field::PermissionsBoundary,
            None,
            &["PutBoundary arn:aws:iam::123456789012:policy/b"],
        ),
        (
            json!({}),
            |role| role.boundary = Some(BOUNDARY.into()),
            Field::PermissionsBoundary,
            None,
            &["DeleteBoundary"],
        ),
        (json!({ "tags": { "a": "b" } }), |role| drop(role.tags.remove("a")), Field::Tags, Some("a"), &["TagRole a"]),
        (
            json!({ "tags": { "a": "b" } }),
            |role| drop(role.tags.insert("a".into(), "x".into())),
            Field::Tags,
            Some("a"),
            &["TagRole a"],
        ),
        (
            json!({}),
            |role| role.attached.clear(),
            Field::Attachments,
            None,
            &["Attach arn:aws:iam::123456789012:policy/x/shop.orders"],
        ),
    ];
    for (spec, change, field, item, expected) in table {
        let plan = with_role(spec, change);
        assert_eq!(found(&plan), [(Part::Role, field, item)]);
        assert_eq!(writes(&plan), expected, "{field:?}");
        assert!(plan.steps.iter().all(|step| (step.part, step.field) == (Part::Role, field)));
        assert_eq!(plan.unrepaired().count(), 0);
    }
}

#[test]
fn a_trust_policy_is_compared_by_meaning() {
    let desired = wanted(json!({}));
    let mut observed = in_sync(&desired);
    let reformatted = r#"{"Statement":{"Condition":{"StringEquals":{"aws:sourceaccount":["123456789012"]}},"Action":["sts:assumerole"],"Effect":"Allow","Sid":"x","Principal":{"Service":["rds.amazonaws.com"]}},"Version":"2012-10-17"}"#;
    observed.role.as_mut().unwrap().trust = reformatted.into();
    assert_eq!(plan_for(&desired, &observed), Ok(Plan::default()));
}

#[test]
fn a_property_that_was_not_read_is_no_difference() {
    let desired = wanted(json!({ "description": "d" }));
    let mut observed = in_sync(&desired);
    observed.role.as_mut().unwrap().description = None;
    assert_eq!(plan_for(&desired, &observed), Ok(Plan::default()));
}

#[test]
fn all_differences_are_found_at_once_and_repaired_in_a_safe_order() {
    let desired = wanted(json!({
        "permissionsBoundary": BOUNDARY, "tags": { "a": "b" }, "description": "d", "attachmentPolicy": "Exclusive",
    }));
    let mut observed = in_sync(&desired);
    let role = observed.role.as_mut().unwrap();
    role.tags.remove("a");
    (role.boundary, role.description, role.trust) = (None, Some("x".into()), "x".into());
    role.attached = vec![OTHERS_POLICY.into()];
    role.inline = vec!["byhand".into()];
    let policy = observed.policy.as_mut().unwrap();
    policy.tags.remove("a");
    policy.description = "y".into();
    differing(policy, &["v1"], "v1", None);
    let plan = plan_for(&desired, &observed).unwrap();
    // What protects the role comes first, and the boundary before the trust policy and the attachment.
    assert_eq!(
        writes(&plan),
        [
            &format!("PutBoundary {BOUNDARY}"),
            "UpdateTrust",
            "CreatePolicyVersion",
            &format!("Detach {OTHERS_POLICY}"),
            "DeleteInlinePolicy byhand",
            "Attach arn:aws:iam::123456789012:policy/x/shop.orders",
            "TagPolicy a",
            "TagRole a",
            "UpdateDescription d",
        ]
    );
    assert_eq!(plan.findings.len(), 10, "{:#?}", plan.findings);
    let impossible: Vec<_> = plan.unrepaired().collect();
    assert_eq!(impossible.len(), 1);
    assert_eq!((impossible[0].part, impossible[0].field), (Part::Policy, Field::Description));
}

#[test]
fn a_policys_description_is_reported_and_not_changed() {
    let plan = with_policy(json!({ "description": "new" }), |policy| {
        policy.description = "old".into();
    });
    assert!(plan.is_empty());
    let [finding] = plan.findings.as_slice() else { panic!("{plan:?}") };
    assert_eq!((finding.field, finding.repair), (Field::Description, Repair::Impossible));
    assert_eq!((finding.expected.as_str(), finding.actual.as_str()), ("new", "old"));
}

#[test]
fn an_existing_version_that_matches_becomes_the_default() {
    // An older default was set by hand: the newer version becomes the default again.
    let back = with_policy(json!({}), |policy| differing(policy, &["v1", "v2"], "v1", Some("v2")));
    assert_eq!(found(&back), [(Part::Policy, Field::DefaultVersion, None)]);
    assert_eq!(writes(&back), ["SetDefaultPolicyVersion v2"]);
    // Versions are compared as numbers: v10 comes after v9.
    let numbers = with_policy(json!({}), |policy| differing(policy, &["v9", "v10"], "v9", Some("v10")));
    assert_eq!(found(&numbers), [(Part::Policy, Field::DefaultVersion, None)]);
    // A newer version was created by hand, or the spec was reverted: the older version becomes the default again.
    let undo = with_policy(json!({}), |policy| differing(policy, &["v1", "v2"], "v2", Some("v1")));
    assert_eq!(found(&undo), [(Part::Policy, Field::Document, None)]);
    assert_eq!(writes(&undo), ["SetDefaultPolicyVersion v1"]);
}

#[test]
fn the_oldest_non_default_version_is_deleted_only_at_five() {
    let four = with_policy(json!({}), |policy| {
        differing(policy, &["v1", "v2", "v3", "v4"], "v4", None);
    });
    assert_eq!(writes(&four), ["CreatePolicyVersion"]);
    let ids = ["v10", "v9", "v8", "v7", "v2"];
    let five = with_policy(json!({}), |policy| differing(policy, &ids, "v10", None));
    assert_eq!(writes(&five), ["DeletePolicyVersion v2", "CreatePolicyVersion"]);
    let oldest_is_default = with_policy(json!({}), |policy| differing(policy, &ids, "v2", None));
    assert_eq!(writes(&oldest_is_default), ["DeletePolicyVersion v7", "CreatePolicyVersion"]);
    assert_eq!(found(&five), [(Part::Policy, Field::Document, None)]);
}

#[test]
fn attachments_of_others_are_reported_or_removed() {
    let others = |role: &mut ObservedRole| {
        role.attached.insert(0, OTHERS_POLICY.into());
        role.inline = vec!["byhand".into()];
    };
    let additive = with_role(json!({}), others);
    assert!(additive.is_empty());
    assert_eq!(additive.unrepaired().count(), 2);
    assert!(additive.findings.iter().all(|finding| finding.repair == Repair::LeftToOthers));
    let exclusive = with_role(json!({ "attachmentPolicy": "Exclusive" }), others);
    assert_eq!(writes(&exclusive), [&format!("Detach {OTHERS_POLICY}"), "DeleteInlinePolicy byhand"]);
    assert_eq!(exclusive.unrepaired().count(), 0);
    let actual: Vec<_> = exclusive.findings.iter().map(|finding| finding.actual.as_str()).collect();
    assert_eq!(actual, [OTHERS_POLICY, "byhand"]);
}

#[test]
fn exclusive_detaches_others_before_it_attaches_ours() {
    let plan = with_role(json!({ "attachmentPolicy": "Exclusive" }), |role| {
        role.attached = vec![OTHERS_POLICY.into()];
    });
    assert!(writes(&plan)[0].starts_with("Detach"), "{:?}", writes(&plan));
    assert!(writes(&plan)[1].starts_with("Attach"));
}

#[test]
fn switching_access_attaches_the_new_before_it_detaches_the_old() {
    let (minimal, full) = (wanted(json!({})), wanted(json!({ "access": "FullAccess" })));
    let (own, managed) = (minimal.identity.policy_arn.as_str(), full.identity.full_access_arn.as_str());
    let mut observed = in_sync(&minimal);
    observed.policy.as_mut().unwrap().versions = versions(&["v3", "v2", "v1"], "v2");
    let to_full = plan_for(&full, &observed).unwrap();
    assert_eq!(
        writes(&to_full),
        [
            &format!("Attach {managed}"),
            &format!("Detach {own}"),
            "DeletePolicyVersion v3",
            "DeletePolicyVersion v1",
            "DeletePolicy",
        ]
    );
    let to_minimal = plan_for(&minimal, &in_sync(&full)).unwrap();
    assert_eq!(
        writes(&to_minimal),
        ["CreatePolicy shop.orders", &format!("Attach {own}"), &format!("Detach {managed}")]
    );
}

#[test]
fn full_access_keeps_a_policy_that_is_not_ours_or_is_being_handed_over() {
    let desired = wanted(json!({ "access": "FullAccess" }));
    let minimal = wanted(json!({}));
    let with = |tags: Tags| {
        let policy = ObservedPolicy { tags, ..super::policy(&minimal) };
        let observed = Observed { role: Some(role(&desired)), policy: Some(policy), ..Observed::default() };
        plan_for(&desired, &observed)
    };
    let ours = super::policy(&minimal).tags;
    assert!(with(ours.clone()).is_ok_and(|plan| !plan.is_empty()), "it is deleted otherwise");
    assert_eq!(with(Tags::new()), Ok(Plan::default()));
    let offer = (TAG_ADOPTABLE_BY.to_owned(), "prod/shop/heir".to_owned());
    assert_eq!(with(ours.into_iter().chain([offer]).collect()), Ok(Plan::default()));
}

#[test]
fn a_role_without_its_policy_has_the_differences_of_the_whole_plan() {
    let desired = wanted(json!({ "tags": { "a": "b" } }));
    let mut observed = in_sync(&desired);
    let role = observed.role.as_mut().unwrap();
    role.tags.remove("a");
    role.tags.insert("former".into(), "x".into());
    role.attached.clear();
    let former = ["former".to_owned()];
    let whole = plan(&desired, &observed, &EarlierClaims::default(), &former).unwrap();
    let alone = role_differences(&desired, observed.role.as_ref().unwrap(), &former);
    assert_eq!((&alone.findings, &alone.steps), (&whole.findings, &whole.steps));
    let own = desired.identity.policy_arn.as_str();
    assert_eq!(writes(&alone), [&format!("Attach {own}"), "UntagRole former", "TagRole a"]);
    let in_sync = in_sync(&desired);
    assert_eq!(role_differences(&desired, in_sync.role.as_ref().unwrap(), &[]), Plan::default());
}
