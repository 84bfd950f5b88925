//! All fields against all guardrails, and random scopes against random limits: a spec is refused, or its result is within
//! every guardrail.

use std::cell::Cell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::outside::outside;
use super::{guarded, settings, spec, wanted_in};
use crate::api::known::schema;
use crate::api::policy::{AdoptionPolicy, DeletionPolicy};
use crate::model::settings::AccountFacts;
use crate::pipeline::desired::{Desired, deletion_policy};

const BOUNDARY: &str = "arn:aws:iam::123456789012:policy/Boundary";
const PROTECTED: &str = "arn:aws:iam::123456789012:policy/aurora-log-export/quarantine";

/// A guardrail: its value, a spec within it, the fields at which it refuses values, and whether a result is within it.
struct Rail {
    name: &'static str,
    value: Value,
    fits: Value,
    refuses: &'static [&'static str],
    holds: fn(&Desired, &Value, &AccountFacts) -> bool,
}

fn document(desired: &Desired) -> Value {
    desired.policy.as_ref().map_or(Value::Null, |it| serde_json::from_str(&it.document.to_json()).unwrap())
}

fn keeps_document(desired: &Desired, account: &AccountFacts) -> bool {
    let guardrails = account.guardrails().unwrap();
    let (regions, groups) = (guardrails.allowed_regions.as_deref(), guardrails.allowed_log_groups.as_deref());
    desired.policy.is_some() && outside(&document(desired), regions, groups).is_empty()
}

#[allow(clippy::too_many_lines)] // one table
fn rails() -> Vec<Rail> {
    let rail = |name, value, fits, refuses, holds| Rail { name, value, fits, refuses, holds };
    let nothing = || json!({});
    vec![
        rail("iamPath", json!("/acme/"), nothing(), &["spec.policyPath", "spec.rolePath"], |it, _, _| {
            it.identity.policy_path.as_str() == "/acme/" && it.identity.role_path.as_str() == "/acme/"
        }),
        rail("namePrefix", json!("acme-"), nothing(), &["spec.policyName", "spec.roleName"], |it, _, _| {
            it.identity.policy_name.as_str().starts_with("acme-") && it.identity.role_name.as_str().starts_with("acme-")
        }),
        rail(
            "requireNamespaceInName",
            json!(true),
            nothing(),
            &["spec.policyName", "spec.roleName"],
            |it, _, account| {
                let prefix = account.guardrails().unwrap().name_prefix.clone().unwrap_or_default();
                let names = [it.identity.policy_name.as_str(), it.identity.role_name.as_str()];
                names.iter().all(|name| name.starts_with(&format!("{prefix}shop.")))
            },
        ),
        rail(
            "permissionsBoundary",
            json!(BOUNDARY),
            nothing(),
            &["spec.permissionsBoundary", "spec.policyName"],
            |it, _, _| {
                let is_own = it.identity.policy_name.as_str().eq_ignore_ascii_case("boundary");
                it.boundary.as_deref() == Some(BOUNDARY) && !is_own
            },
        ),
        rail("allowFullAccess", json!(false), nothing(), &["spec.access"], |it, _, _| {
            it.attachment() == &it.identity.policy_arn
        }),
        rail("allowAdoption", json!(false), nothing(), &["spec.adoptionPolicy"], |it, _, _| {
            it.adoption != AdoptionPolicy::Always
        }),
        rail("maxDeletionPolicy", json!("Retain"), nothing(), &["spec.deletionPolicy"], |_, value, account| {
            deletion_policy(&spec(value.clone()), &settings(), Some(account)) == DeletionPolicy::Retain
        }),
        rail("requiredTags", json!({ "Team": "core" }), nothing(), &["spec.tags"], |it, _, _| {
            let spelled = it.tags.keys().filter(|key| key.eq_ignore_ascii_case("team"));
            it.tags.get("Team").is_some_and(|value| value == "core") && spelled.count() == 1
        }),
        rail("defaultTags", json!({ "env": "prod" }), nothing(), &[], |it, _, _| {
            it.tags.keys().filter(|key| key.eq_ignore_ascii_case("env")).count() == 1
        }),
        rail(
            "allowedRegions",
            json!(["eu-west-1"]),
            json!({ "scope": { "regions": ["eu-west-1"] } }),
            &["spec.access", "spec.scope.groupCreation", "spec.scope.regions"],
            |it, _, account| keeps_document(it, account),
        ),
        rail(
            "allowedLogGroups",
            json!(["/aws/rds/cluster/a*", "/aws/rds/*/b*"]),
            json!({ "scope": { "logGroups": ["/aws/rds/cluster/a"] } }),
            &["spec.access", "spec.scope.groupCreation", "spec.scope.logGroups"],
            |it, _, account| keeps_document(it, account),
        ),
        rail("requireTrustProtection", json!(true), nothing(), &["spec.trust.protection"], |it, _, _| {
            it.trust.to_json().contains(r#""StringEquals":{"aws:SourceAccount":"123456789012"}"#)
        }),
        // Counts the objects of a namespace, whatever their spec: the driver checks it.
        rail("maxObjectsPerNamespace", json!(1), nothing(), &[], |_, _, _| true),
        rail("protectedPolicies", json!([PROTECTED]), nothing(), &["spec.policyName"], |it, _, _| {
            let is_own = it.identity.policy_arn.as_str() == PROTECTED;
            let takes = it.policy.is_none() || it.adoption == AdoptionPolicy::Always;
            !(it.identity.attachments.detaches(PROTECTED) || is_own && takes)
        }),
    ]
}

/// Each field of the spec with values that could evade a guardrail; null is tried as well, except for [`REQUIRED`].
fn fields() -> Vec<(&'static str, Vec<Value>)> {
    let names = || vec![json!("x"), json!("acme-x"), json!("ACME-x"), json!("shop.x"), json!("acme-shop.x"), json!("")];
    let paths = || vec![json!("/"), json!("/acme/"), json!("/Acme/"), json!("/acme/x/"), json!("")];
    let mut policy_names = names();
    policy_names.extend([json!("boundary"), json!("quarantine")]);
    vec![
        ("policyName", policy_names),
        ("roleName", names()),
        ("policyPath", paths()),
        ("rolePath", paths()),
        ("description", vec![json!(""), json!("arn:aws:logs:*:*:*")]),
        ("access", vec![json!("Minimal"), json!("FullAccess")]),
        ("scope", vec![json!({})]),
        (
            "scope.regions",
            vec![json!(["eu-west-1"]), json!(["*"]), json!(["us-east-1"]), json!(["EU-WEST-1"]), json!([])],
        ),
        ("scope.accountIds", vec![json!(["*"]), json!(["210987654321"]), json!([])]),
        (
            "scope.logGroups",
            vec![
                json!(["/aws/rds/cluster/a*"]),
                json!(["*"]),
                json!(["/aws/rds/*a"]),
                json!(["/aws/rds/*/b*"]),
                json!(["/aws/rds/cluster/A"]),
                json!(["/aws/rds/cluster/a?"]),
                json!([]),
            ],
        ),
        ("scope.logStreams", vec![json!(["*"]), json!(["?*/a"]), json!([])]),
        ("scope.groupCreation", vec![json!("Any"), json!("LogGroups")]),
        ("trust", vec![json!({})]),
        ("trust.protection", vec![json!("SourceAccount"), json!("None")]),
        ("trust.sourceArns", vec![json!(["arn:aws:rds:us-east-1:123456789012:*"]), json!(["*"]), json!([])]),
        ("permissionsBoundary", vec![json!(BOUNDARY), json!("arn:aws:iam::aws:policy/x"), json!("")]),
        (
            "tags",
            vec![
                json!({}),
                json!({ "Team": "core", "env": "x" }),
                json!({ "team": "core", "ENV": "x" }),
                json!({ "team": "mine" }),
                json!({ "Team": "mine", "team": "core" }),
                json!({ "Team": "" }),
            ],
        ),
        ("deletionPolicy", vec![json!("Delete"), json!("Retain")]),
        ("adoptionPolicy", vec![json!("Never"), json!("Tagged"), json!("Always")]),
        ("managementPolicy", vec![json!("Enforce"), json!("Observe")]),
        ("attachmentPolicy", vec![json!("Additive"), json!("Exclusive")]),
        ("suspend", vec![json!(true), json!(false)]),
        ("driftCheckInterval", vec![json!("30s")]),
        ("accountRef", vec![json!({ "name": "other" })]),
        ("accountRef.name", vec![json!("other")]),
        ("outputs", vec![json!({})]),
        ("outputs.configMapRef", vec![json!({ "name": "x" })]),
        ("outputs.configMapRef.name", vec![json!("x")]),
    ]
}

/// Fields that must be set in their object: null cannot be read.
const REQUIRED: [&str; 2] = ["accountRef.name", "outputs.configMapRef.name"];

/// The paths of all fields in the properties of a schema.
fn paths(properties: &Value, parent: &str) -> BTreeSet<String> {
    let fields = properties.as_object().into_iter().flatten();
    fields
        .flat_map(|(name, schema)| {
            let path = if parent.is_empty() { name.clone() } else { format!("{parent}.{name}") };
            let mut below = paths(&schema["properties"], &path);
            below.insert(path);
            below
        })
        .collect()
}

fn set(spec: &mut Value, path: &str, value: &Value) {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    if !spec.is_object() {
        *spec = json!({});
    }
    match rest {
        None => spec[name] = value.clone(),
        Some(rest) => set(&mut spec[name], rest, value),
    }
}

/// An account that allows everything but what these guardrails forbid.
fn account_with<'a>(rails: impl IntoIterator<Item = &'a Rail>) -> AccountFacts {
    let mut guardrails = json!({ "allowFullAccess": true, "allowAdoption": true });
    for rail in rails {
        guardrails[rail.name] = rail.value.clone();
    }
    guarded(guardrails)
}

#[test]
fn every_guardrail_is_tried_with_every_field() {
    let tried = fields().iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(paths(&schema("AuroraLogExportPolicy")["properties"]["spec"]["properties"], ""), tried);
    let guardrails = &schema("AwsAccount")["properties"]["spec"]["properties"]["guardrails"]["properties"];
    assert_eq!(paths(guardrails, ""), rails().iter().map(|rail| rail.name.to_owned()).collect());
}

#[test]
fn no_field_evades_a_guardrail() {
    for rail in rails() {
        let account = account_with([&rail]);
        let mut full = rail.fits.clone();
        set(&mut full, "access", &json!("FullAccess"));
        set(&mut full, "scope", &Value::Null);
        let mut refused_at = BTreeSet::new();
        for base in [rail.fits.clone(), full] {
            for (path, values) in fields() {
                let null = Some(Value::Null).filter(|_| !REQUIRED.contains(&path));
                for value in values.iter().chain(null.iter()) {
                    let mut spec = base.clone();
                    set(&mut spec, path, value);
                    match wanted_in(&account, spec.clone()) {
                        Ok(desired) => assert!((rail.holds)(&desired, &spec, &account), "{}: {spec}", rail.name),
                        Err(refused) => refused_at.extend(
                            refused
                                .0
                                .iter()
                                .filter(|problem| problem.guardrail == Some(rail.name))
                                .map(|problem| problem.field.split('[').next().unwrap_or_default().to_owned()),
                        ),
                    }
                }
            }
        }
        assert_eq!(refused_at, rail.refuses.iter().map(ToString::to_string).collect(), "{}", rail.name);
    }
}

/// Runs a property, and returns how many specs were accepted.
fn accepted<S: Strategy>(cases: u32, strategy: S, property: impl Fn(S::Value) -> Result<bool, TestCaseError>) -> u32 {
    let accepted = Cell::new(0);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let result = TestRunner::new(config).run(&strategy, |case| {
        accepted.set(accepted.get() + u32::from(property(case)?));
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    accepted.get()
}

#[test]
fn no_combination_of_fields_evades_a_combination_of_guardrails() {
    let (rails, fields) = (rails(), fields());
    let strategy = (
        prop::sample::subsequence((0..rails.len()).collect::<Vec<_>>(), 0..=4),
        prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..5),
    );
    let accepted = accepted(3000, strategy, |(some, values)| {
        let some: Vec<&Rail> = some.into_iter().map(|index| &rails[index]).collect();
        let mut value = json!({});
        for (field, fit) in some.iter().flat_map(|rail| rail.fits["scope"].as_object().into_iter().flatten()) {
            set(&mut value, &format!("scope.{field}"), fit);
        }
        for (field, index) in values {
            let (path, values) = field.get(&fields);
            set(&mut value, path, index.get(values));
        }
        let account = account_with(some.iter().copied());
        let Ok(desired) = wanted_in(&account, value.clone()) else { return Ok(false) };
        for rail in some {
            prop_assert!((rail.holds)(&desired, &value, &account), "{}: {value}", rail.name);
        }
        Ok(true)
    });
    assert!(accepted > 300, "only {accepted} were accepted");
}

/// A pattern of log groups near one of the limits: the same, longer, or with its stars filled.
fn near(limits: Vec<String>) -> impl Strategy<Value = String> {
    (prop::sample::select(limits), "[abm*/]{0,2}", 0..4).prop_map(|(limit, more, how)| match how {
        0 => limit,
        1 => limit.replace('*', &more),
        2 => limit + &more,
        _ => format!("/a/{more}"),
    })
}

#[test]
fn a_random_scope_is_refused_or_stays_within_random_limits() {
    let regions = || prop::sample::subsequence(vec!["eu-west-1", "us-east-1", "ap-south-1"], 1..=2);
    let any_or = |items: Vec<&'static str>| prop_oneof![1 => Just(json!(["*"])), 5 => Just(json!(items))];
    let limits = prop_oneof![1 => Just(vec!["*".to_owned()]), 6 => prop::collection::vec("/a/[abm/*]{0,4}", 1..3)];
    let strategy = limits.prop_flat_map(move |limits| {
        (
            prop::option::of(Just(limits.clone())),
            prop::option::of(regions().prop_flat_map(any_or)),
            prop::option::weighted(0.9, prop::collection::vec(near(limits), 1..3)),
            prop::option::weighted(0.9, regions().prop_flat_map(any_or)),
            prop::option::of("[ab*/]{1,3}"),
            prop::sample::select(vec![json!(null), json!("Any"), json!("LogGroups")]),
        )
    });
    let accepted = accepted(4000, strategy, |(allowed_groups, allowed_regions, groups, regions, stream, creation)| {
        let account = guarded(json!({ "allowedLogGroups": allowed_groups, "allowedRegions": allowed_regions }));
        let spec = json!({ "scope": {
            "logGroups": groups, "regions": regions, "logStreams": stream.map(|it| [it]), "groupCreation": creation,
        } });
        let Ok(desired) = wanted_in(&account, spec.clone()) else { return Ok(false) };
        let guardrails = account.guardrails().unwrap();
        let (regions, groups) = (guardrails.allowed_regions.as_deref(), guardrails.allowed_log_groups.as_deref());
        let found = outside(&document(&desired), regions, groups);
        prop_assert!(found.is_empty(), "{spec} within {guardrails:?}: {found:?}");
        Ok(true)
    });
    assert!(accepted > 400, "only {accepted} were accepted");
}
