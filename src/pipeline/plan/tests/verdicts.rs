//! Ownership, adoption and competing claims. A plan never contains a resource that is not owned.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{OTHERS_POLICY, in_sync, plan_for, policy, role, wanted, writes};
use crate::model::names::Owner;
use crate::model::ownership::Tags;
use crate::pipeline::observe::Observed;
use crate::pipeline::plan::{Claimant, Conflict, EarlierClaims, Plan, plan};

const MANAGED_BY: &str = "auroralogexport.dev/managed-by";
const CLUSTER_UID: &str = "auroralogexport.dev/cluster-uid";
const OWNER: &str = "auroralogexport.dev/owner";
const CONSENT: &str = "auroralogexport.dev/adoptable-by";

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// AWS as wanted, except for these tags on both resources.
fn tagged(spec: Value, tags: &Tags) -> (crate::pipeline::desired::Desired, Observed) {
    let desired = wanted(spec);
    let mut observed = in_sync(&desired);
    observed.role.as_mut().unwrap().tags = tags.clone();
    if let Some(policy) = observed.policy.as_mut() {
        policy.tags = tags.clone();
    }
    (desired, observed)
}

fn verdict(spec: Value, tags: &Tags) -> Result<Plan, Conflict> {
    let (desired, observed) = tagged(spec, tags);
    plan_for(&desired, &observed)
}

#[test]
fn a_conflict_names_the_owner_and_the_next_step() {
    for (others, expected) in [
        (tags(&[]), "not managed by this object"),
        (tags(&[(MANAGED_BY, "prod"), (OWNER, "shop/orders")]), "not managed by this object"),
        (tags(&[(MANAGED_BY, "prod"), (CLUSTER_UID, "uid-1")]), "not managed by this object"),
        (tags(&[(MANAGED_BY, "prod"), (CLUSTER_UID, "uid-1"), (OWNER, "shop/bills")]), "belongs to shop/bills"),
        (tags(&[(MANAGED_BY, "test"), (CLUSTER_UID, "uid-1"), (OWNER, "shop/orders")]), "cluster \"test\""),
        (
            tags(&[(MANAGED_BY, "prod"), (CLUSTER_UID, "uid-9"), (OWNER, "shop/orders")]),
            "another cluster with the same name",
        ),
    ] {
        for adoption in ["Never", "Tagged"] {
            let conflict = verdict(json!({ "adoptionPolicy": adoption }), &others).unwrap_err();
            for message in [conflict.policy.as_ref().unwrap(), conflict.role.as_ref().unwrap()] {
                assert!(message.contains(expected), "{message}");
                assert!(message.contains("prod/shop/orders") && message.contains(CONSENT), "{message}");
            }
            assert!(conflict.message().contains("arn:aws:iam::123456789012:policy/x/shop.orders"));
            assert!(conflict.message().contains("arn:aws:iam::123456789012:role/x/shop.orders"));
        }
    }
}

#[test]
fn a_conflict_on_one_resource_stops_the_writes_to_both() {
    let desired = wanted(json!({}));
    let mut role = role(&desired);
    role.tags.clear();
    let observed = Observed { role: Some(role), ..Observed::default() };
    let conflict = plan_for(&desired, &observed).unwrap_err();
    assert!(conflict.policy.is_none() && conflict.role.is_some());
}

#[test]
fn a_role_under_another_path_or_in_other_case_is_another_role() {
    for arn in ["arn:aws:iam::123456789012:role/y/shop.orders", "arn:aws:iam::123456789012:role/x/Shop.Orders"] {
        let desired = wanted(json!({ "adoptionPolicy": "Always" }));
        let mut observed = in_sync(&desired);
        // Even if it has our own tags.
        observed.role.as_mut().unwrap().arn = arn.to_owned();
        let conflict = plan_for(&desired, &observed).unwrap_err();
        assert!(conflict.role.unwrap().contains(arn));
    }
}

#[test]
fn a_restored_cluster_owns_the_resources_of_the_old_one() {
    let old = tags(&[(MANAGED_BY, "prod"), (CLUSTER_UID, "uid-0"), (OWNER, "shop/orders")]);
    let plan = verdict(json!({}), &old).unwrap();
    assert_eq!(writes(&plan), [format!("TagPolicy {CLUSTER_UID}"), format!("TagRole {CLUSTER_UID}")]);
    assert!(plan.adopted.is_empty(), "it was already ours");
}

#[test]
fn the_consent_tag_overrides_the_tags_of_another_owner() {
    let own = [MANAGED_BY, CLUSTER_UID, OWNER];
    for previous in [
        &[][..],
        &[(MANAGED_BY, "prod"), (CLUSTER_UID, "uid-1"), (OWNER, "shop/bills")],
        &[(MANAGED_BY, "old"), (CLUSTER_UID, "uid-9"), (OWNER, "a/b")],
    ] {
        let mut consenting = tags(previous);
        consenting.insert(CONSENT.into(), "prod/shop/orders".into());
        consenting.insert("theirs".into(), "stays".into());
        for adoption in ["Tagged", "Always"] {
            let plan = verdict(json!({ "adoptionPolicy": adoption }), &consenting).unwrap();
            assert_eq!(plan.adopted.len(), 2, "{plan:?}");
            assert!(plan.adopted[0].1.starts_with("policy arn:") && plan.adopted[1].1.starts_with("role arn:"));
            assert_eq!(writes(&plan).len(), 2);
            assert!(writes(&plan).iter().all(|write| own.iter().any(|key| write.contains(key))));
        }
        assert!(verdict(json!({}), &consenting).is_err(), "Never is never");
    }
    let someone_else = tags(&[(CONSENT, "prod/shop/bills")]);
    assert!(verdict(json!({ "adoptionPolicy": "Tagged" }), &someone_else).is_err());
}

#[test]
fn always_adopts_unowned_resources_and_never_owned_ones() {
    let always = || json!({ "adoptionPolicy": "Always" });
    assert_eq!(verdict(always(), &tags(&[])).unwrap().adopted.len(), 2);
    let others = tags(&[(MANAGED_BY, "prod"), (CLUSTER_UID, "uid-1"), (OWNER, "shop/bills")]);
    assert!(verdict(always(), &others).is_err());
}

#[test]
fn always_refuses_a_role_with_another_principal_or_policy() {
    type Change = fn(&mut crate::pipeline::port::ObservedRole);
    let table: [(Change, &str); 5] = [
        (
            |role| {
                role.trust = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":["rds.amazonaws.com","ec2.amazonaws.com"]},"Action":"sts:AssumeRole"}}"#.into();
            },
            "its trust policy",
        ),
        (
            |role| {
                role.trust = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}"#.into();
            },
            "its trust policy",
        ),
        (
            |role| {
                role.trust = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","NotPrincipal":{"Service":"rds.amazonaws.com"},"Action":"sts:AssumeRole"}}"#.into();
            },
            "its trust policy",
        ),
        (|role| role.attached.push(OTHERS_POLICY.into()), OTHERS_POLICY),
        (|role| role.inline.push("byhand".into()), "byhand"),
    ];
    for (change, why) in table {
        let (desired, mut observed) = tagged(json!({ "adoptionPolicy": "Always" }), &tags(&[]));
        change(observed.role.as_mut().unwrap());
        let conflict = plan_for(&desired, &observed).unwrap_err();
        assert!(conflict.policy.is_none());
        assert!(conflict.role.as_ref().unwrap().contains(why), "{conflict:?}");
        // With the consent tag, the role is adopted and repaired.
        observed.role.as_mut().unwrap().tags = tags(&[(CONSENT, "prod/shop/orders")]);
        assert!(plan_for(&desired, &observed).is_ok());
    }
}

#[test]
fn the_earlier_object_gets_a_name_that_does_not_exist_yet() {
    let desired = wanted(json!({}));
    let earlier = |policy: bool, role: bool| EarlierClaims {
        policy: policy.then(|| Claimant::Object(Owner::new("other", "first"))),
        role: role.then(|| Claimant::Object(Owner::new("other", "first"))),
    };
    for (policy, role) in [(true, false), (false, true), (true, true)] {
        let conflict = plan(&desired, &Observed::default(), &earlier(policy, role), &[]).unwrap_err();
        assert_eq!((conflict.policy.is_some(), conflict.role.is_some()), (policy, role));
        assert!(conflict.message().contains("other/first"), "{}", conflict.message());
    }
    // If a resource exists, its tags decide, not the order of the objects.
    assert_eq!(plan(&desired, &in_sync(&desired), &earlier(true, true), &[]), Ok(Plan::default()));
    // Always does not adopt a resource that an earlier object claims; the consent tag decides between both.
    let (desired, observed) = tagged(json!({ "adoptionPolicy": "Always" }), &tags(&[]));
    let conflict = plan(&desired, &observed, &earlier(true, true), &[]).unwrap_err();
    assert!(conflict.policy.is_some() && conflict.role.is_some());
    let (desired, observed) = tagged(json!({ "adoptionPolicy": "Tagged" }), &tags(&[(CONSENT, "prod/shop/orders")]));
    assert!(plan(&desired, &observed, &earlier(true, true), &[]).is_ok());
    // FullAccess does not need the policy's name.
    let full = wanted(json!({ "access": "FullAccess" }));
    assert!(plan(&full, &Observed::default(), &earlier(true, false), &[]).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever tags the resources have: without all three of ours, and without consent, there is no plan.
    #[test]
    fn nothing_unowned_is_ever_in_a_plan(
        on_policy in ownership_tags(),
        on_role in ownership_tags(),
        exists in (any::<bool>(), any::<bool>()),
        adoption in prop::sample::select(vec!["Never", "Tagged"]),
        full in any::<bool>(),
    ) {
        let access = if full { "FullAccess" } else { "Minimal" };
        let desired = wanted(json!({ "adoptionPolicy": adoption, "access": access }));
        let minimal = wanted(json!({}));
        let observed = Observed {
            policy: exists.0.then(|| crate::pipeline::observe::ObservedPolicy { tags: on_policy.clone(), ..policy(&minimal) }),
            role: exists.1.then(|| crate::pipeline::port::ObservedRole { tags: on_role.clone(), ..role(&desired) }),
            ..Observed::default()
        };
        let allowed = |tags: &Tags| {
            let has = |key: &str, values: &[&str]| tags.get(key).is_some_and(|value| values.contains(&value.as_str()));
            has(MANAGED_BY, &["prod"]) && has(CLUSTER_UID, &["uid-1", "uid-0"]) && has(OWNER, &["shop/orders"])
                || adoption == "Tagged" && has(CONSENT, &["prod/shop/orders"])
        };
        let policy_ok = !exists.0 || allowed(&on_policy);
        let role_ok = !exists.1 || allowed(&on_role);
        match plan_for(&desired, &observed) {
            Err(conflict) => {
                prop_assert_eq!(conflict.role.is_some(), !role_ok);
                prop_assert_eq!(conflict.policy.is_some(), !policy_ok && !full);
            }
            Ok(plan) => {
                prop_assert!(role_ok && (policy_ok || full));
                let touched = writes(&plan).iter().any(|write| write.contains("Policy") && !write.contains("Attach") && !write.contains("Detach"));
                prop_assert!(!touched || !exists.0 || policy_ok, "{:?}", writes(&plan));
            }
        }
    }
}

fn ownership_tags() -> impl Strategy<Value = Tags> {
    let one = |key: &'static str, values: Vec<&'static str>| {
        prop::option::weighted(0.8, prop::sample::select(values))
            .prop_map(move |value| value.map(|value| (key.to_owned(), value.to_owned())))
    };
    (
        one(MANAGED_BY, vec!["prod", "prod", "prod", "test"]),
        one(CLUSTER_UID, vec!["uid-1", "uid-1", "uid-0", "uid-9"]),
        one(OWNER, vec!["shop/orders", "shop/orders", "shop/orders", "shop/bills", "x"]),
        prop::option::weighted(0.3, prop::sample::select(vec!["prod/shop/orders", "prod/shop/bills"]))
            .prop_map(|value| value.map(|value| (CONSENT.to_owned(), value.to_owned()))),
    )
        .prop_map(|(a, b, c, d)| [a, b, c, d].into_iter().flatten().collect())
}
