//! Guardrails and flags, one by one: a refusal is `NotPermitted` and names the guardrail.

use serde_json::{Value, json};

use super::{account, guarded, owner, settings, spec, wanted_in};
use crate::api::Reason;
use crate::model::settings::Settings;
use crate::pipeline::desired::desired;

const BOUNDARY: &str = "arn:aws:iam::123456789012:policy/b";
const OTHER_BOUNDARY: &str = "arn:aws:iam::123456789012:policy/c";

fn everything() -> Value {
    json!({ "allowFullAccess": true, "allowAdoption": true })
}

fn with(mut guardrails: Value, guardrail: &str, value: Value) -> Value {
    guardrails[guardrail] = value;
    guardrails
}

#[test]
#[allow(clippy::too_many_lines)] // one table
fn a_guardrail_refuses_only_what_violates_it() {
    let scope = |list: &str, items: Value| json!({ "scope": { list: items } });
    for (guardrail, value, violating, field, allowed) in [
        (
            "namePrefix",
            json!("acme-"),
            json!({ "policyName": "x" }),
            "spec.policyName",
            json!({ "policyName": "acme-x" }),
        ),
        (
            "namePrefix",
            json!("acme-"),
            json!({ "roleName": "x-acme-" }),
            "spec.roleName",
            json!({ "roleName": "acme-x" }),
        ),
        (
            "requireNamespaceInName",
            json!(true),
            json!({ "roleName": "shop-eu.x" }),
            "spec.roleName",
            json!({ "roleName": "shop.x" }),
        ),
        (
            "requireNamespaceInName",
            json!(true),
            json!({ "policyName": "my-shop.x" }),
            "spec.policyName",
            json!({ "policyName": "shop.y" }),
        ),
        ("iamPath", json!("/acme/"), json!({ "rolePath": "/" }), "spec.rolePath", json!({ "rolePath": "/acme/" })),
        ("iamPath", json!("/acme/"), json!({ "policyPath": "/acme/x/" }), "spec.policyPath", json!({})),
        (
            "permissionsBoundary",
            json!(BOUNDARY),
            json!({ "permissionsBoundary": OTHER_BOUNDARY }),
            "spec.permissionsBoundary",
            json!({ "permissionsBoundary": BOUNDARY }),
        ),
        (
            "allowFullAccess",
            json!(false),
            json!({ "access": "FullAccess" }),
            "spec.access",
            json!({ "access": "Minimal" }),
        ),
        ("allowFullAccess", json!(null), json!({ "access": "FullAccess" }), "spec.access", json!({})),
        (
            "allowAdoption",
            json!(null),
            json!({ "adoptionPolicy": "Always" }),
            "spec.adoptionPolicy",
            json!({ "adoptionPolicy": "Tagged" }),
        ),
        (
            "maxDeletionPolicy",
            json!("Retain"),
            json!({ "deletionPolicy": "Delete" }),
            "spec.deletionPolicy",
            json!({ "deletionPolicy": "Retain" }),
        ),
        (
            "requiredTags",
            json!({ "team": "core" }),
            json!({ "tags": { "Team": "mine" } }),
            "spec.tags[\"Team\"]",
            json!({ "tags": { "team": "core" } }),
        ),
        (
            "allowedRegions",
            json!(["eu-west-1"]),
            scope("regions", json!(["us-east-1"])),
            "spec.scope.regions",
            scope("regions", json!(["eu-west-1"])),
        ),
        (
            "allowedRegions",
            json!(["eu-west-1"]),
            json!({}),
            "spec.scope.regions",
            scope("regions", json!(["eu-west-1"])),
        ),
        (
            "allowedRegions",
            json!(["eu-west-1"]),
            json!({ "access": "FullAccess" }),
            "spec.access",
            scope("regions", json!(["eu-west-1"])),
        ),
        (
            "allowedLogGroups",
            json!(["/aws/rds/cluster/shop-*"]),
            json!({}),
            "spec.scope.logGroups",
            scope("logGroups", json!(["/aws/rds/cluster/shop-1/*"])),
        ),
        ("allowedLogGroups", json!(["/aws/rds/*"]), json!({ "access": "FullAccess" }), "spec.access", json!({})),
        (
            "allowedLogGroups",
            json!(["/aws/rds/*"]),
            scope("groupCreation", json!("Any")),
            "spec.scope.groupCreation",
            scope("groupCreation", json!("LogGroups")),
        ),
        (
            "allowedRegions",
            json!(["eu-west-1"]),
            json!({ "scope": { "regions": ["eu-west-1"], "groupCreation": "Any" } }),
            "spec.scope.groupCreation",
            scope("regions", json!(["eu-west-1"])),
        ),
        (
            "requireTrustProtection",
            json!(true),
            json!({ "trust": { "protection": "None" } }),
            "spec.trust.protection",
            json!({ "trust": {} }),
        ),
    ] {
        let account = guarded(with(everything(), guardrail, value.clone()));
        let refused = wanted_in(&account, violating.clone()).expect_err(&format!("{guardrail}: {violating}"));
        assert_eq!(refused.reason(), Reason::NotPermitted, "{guardrail}: {refused}");
        let named: Vec<_> = refused.0.iter().map(|problem| (problem.guardrail, problem.field.as_str())).collect();
        assert_eq!(named, [(Some(guardrail), field)], "{violating}");
        assert!(refused.to_string().contains(guardrail), "{refused}");
        let result = wanted_in(&account, allowed.clone());
        assert!(result.is_ok(), "{guardrail} allows {allowed}: {}", result.unwrap_err());
        // Without the guardrail, the same spec is accepted.
        let free = wanted_in(&guarded(everything()), violating.clone());
        assert!(free.is_ok() || guardrail == "allowFullAccess" || guardrail == "allowAdoption", "{violating}");
    }
}

#[test]
fn an_account_that_allows_everything_allows_everything() {
    let account = guarded(json!({
        "allowFullAccess": true, "allowAdoption": true, "maxDeletionPolicy": "Delete",
        "allowedRegions": ["*"], "allowedLogGroups": ["*"], "requireNamespaceInName": false,
        "requireTrustProtection": false,
    }));
    for free in [
        json!({ "access": "FullAccess", "adoptionPolicy": "Always", "deletionPolicy": "Delete" }),
        json!({ "scope": { "regions": ["us-east-1"], "logGroups": ["*"] }, "trust": { "protection": "None" } }),
        json!({ "roleName": "anything", "rolePath": "/anywhere/" }),
    ] {
        let result = wanted_in(&account, free.clone());
        assert!(result.is_ok(), "{free}: {}", result.unwrap_err());
    }
}

#[test]
fn the_operators_flags_apply_to_objects_without_an_account() {
    let lax = settings;
    for (flag, settings, violating, field) in [
        (
            "--allow-full-access",
            Settings { allow_full_access: false, ..lax() },
            json!({ "access": "FullAccess" }),
            "spec.access",
        ),
        (
            "--allow-adopt-existing",
            Settings { allow_adopt_existing: false, ..lax() },
            json!({ "adoptionPolicy": "Always" }),
            "spec.adoptionPolicy",
        ),
        ("--require-account-ref", Settings { require_account_ref: true, ..lax() }, json!({}), "spec.accountRef"),
        (
            "--enable-outputs",
            Settings { enable_outputs: false, ..lax() },
            json!({ "outputs": { "configMapRef": { "name": "x" } } }),
            "spec.outputs.configMapRef",
        ),
    ] {
        let spec = spec(violating);
        let refused = desired(&owner(), &spec, &settings, &account()).unwrap_err();
        assert_eq!(refused.reason(), Reason::NotPermitted, "{refused}");
        assert_eq!(refused.0[0].field, field);
        assert!(refused.to_string().contains(flag), "{refused}");
        assert!(desired(&owner(), &spec, &lax(), &account()).is_ok(), "{flag}");
        // An account has its own guardrails; only outputs depend on the operator's flag.
        let account = guarded(everything());
        let behind = desired(&owner(), &spec, &settings, &account);
        assert_eq!(behind.is_err(), flag == "--enable-outputs", "{flag}");
    }
}

#[test]
fn an_invalid_spec_that_violates_a_guardrail_is_invalid() {
    let account = guarded(json!({ "allowFullAccess": false }));
    let refused = wanted_in(&account, json!({ "access": "FullAccess", "description": "€" })).unwrap_err();
    assert_eq!(refused.reason(), Reason::InvalidSpec);
    assert_eq!(refused.0.len(), 2, "{refused}");
}
