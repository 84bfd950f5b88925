//! Access, adoption, deletion, tags and protected policies.

use serde_json::json;

use super::*;

#[test]
fn a_role_has_full_access_only_where_it_is_allowed() {
    let minimal = || Gives("/attached", json!(OWN_POLICY));
    for unset in [json!({ "allowFullAccess": false }), json!({ "allowFullAccess": null })] {
        check(
            "allowFullAccess",
            unset,
            [
                (json!({}), minimal()),
                (json!({ "access": null }), minimal()),
                (json!({ "access": "Minimal" }), minimal()),
                (groups(json!(["*"])), minimal()),
                (json!({ "access": "FullAccess" }), Forbidden("spec.access")),
                (json!({ "access": "FullAccess", "scope": null }), Forbidden("spec.access")),
                (json!({ "access": "FullAccess", "permissionsBoundary": BOUNDARY }), Forbidden("spec.access")),
                (json!({ "access": "FullAccess", "managementPolicy": "Observe" }), Forbidden("spec.access")),
                (json!({ "access": "FullAccess", "suspend": true }), Forbidden("spec.access")),
            ],
        );
    }
    let full = "arn:aws:iam::aws:policy/CloudWatchLogsFullAccess";
    let cell = (json!({ "access": "FullAccess" }), Gives("/attached", json!(full)));
    check("allowFullAccess", json!({ "allowFullAccess": true }), [cell]);
}

#[test]
fn resources_without_an_owner_are_adopted_only_where_it_is_allowed() {
    for unset in [json!({ "allowAdoption": false }), json!({ "allowAdoption": null })] {
        check(
            "allowAdoption",
            unset,
            [
                (json!({}), Gives("/adoption", json!("Never"))),
                (json!({ "adoptionPolicy": null }), Gives("/adoption", json!("Never"))),
                (json!({ "adoptionPolicy": "Tagged" }), Gives("/adoption", json!("Tagged"))),
                (json!({ "adoptionPolicy": "Always" }), Forbidden("spec.adoptionPolicy")),
                (
                    json!({ "adoptionPolicy": "Always", "managementPolicy": "Observe" }),
                    Forbidden("spec.adoptionPolicy"),
                ),
                // The consent tag cannot come from the spec.
                (json!({ "tags": { "auroralogexport.dev/adoptable-by": "prod/shop/orders" } }), Invalid("spec.tags")),
                (json!({ "tags": { "AuroraLogExport.dev/Adoptable-By": "prod/shop/orders" } }), Invalid("spec.tags")),
            ],
        );
    }
}

#[test]
fn nothing_is_deleted_where_the_account_demands_retain() {
    let retained = || Gives("/deletion", json!("Retain"));
    check(
        "maxDeletionPolicy",
        json!({ "maxDeletionPolicy": "Retain" }),
        [
            // The operator's own default is Delete.
            (json!({}), retained()),
            (json!({ "deletionPolicy": null }), retained()),
            (json!({ "deletionPolicy": "Retain" }), retained()),
            (json!({ "access": "FullAccess" }), retained()),
            (json!({ "deletionPolicy": "Delete" }), Forbidden("spec.deletionPolicy")),
            (json!({ "deletionPolicy": "Delete", "suspend": true }), Forbidden("spec.deletionPolicy")),
        ],
    );
    for lax in [json!({ "maxDeletionPolicy": "Delete" }), json!({ "maxDeletionPolicy": null })] {
        check("maxDeletionPolicy", lax, [(json!({}), Gives("/deletion", json!("Delete")))]);
    }
}

#[test]
fn policy_and_role_have_the_required_tags_as_the_account_spells_them() {
    let set = || Gives("/tags/Team", json!("core"));
    check(
        "requiredTags",
        json!({ "requiredTags": { "Team": "core" } }),
        [
            (json!({}), set()),
            (json!({ "tags": null }), set()),
            (json!({ "tags": {} }), set()),
            (json!({ "tags": { "Team": "core" } }), set()),
            (json!({ "tags": { "Team ": "mine", "Teams": "mine" } }), set()),
            (json!({ "access": "FullAccess" }), set()),
            // Role tag keys ignore case, policy tag keys do not: both resources get the account's spelling.
            (json!({ "tags": { "team": "core" } }), set()),
            (json!({ "tags": { "team": "core" } }), Gives("/tags/team", Value::Null)),
            (json!({ "tags": { "TEAM": "core" } }), set()),
            (json!({ "tags": { "Team": "mine" } }), Forbidden("spec.tags[\"Team\"]")),
            (json!({ "tags": { "team": "mine" } }), Forbidden("spec.tags[\"team\"]")),
            (json!({ "tags": { "TEAM": "Core" } }), Forbidden("spec.tags[\"TEAM\"]")),
            (json!({ "tags": { "Team": "" } }), Forbidden("spec.tags[\"Team\"]")),
            (json!({ "tags": { "Team": "core " } }), Forbidden("spec.tags[\"Team\"]")),
            (json!({ "tags": { "TEAM": "core", "Team": "mine" } }), Invalid("spec.tags[\"Team\"]")),
        ],
    );
    let with_defaults =
        json!({ "requiredTags": { "Team": "core" }, "defaultTags": { "TEAM": "none", "team": "none" } });
    check(
        "requiredTags",
        with_defaults,
        [
            (json!({}), set()),
            (json!({}), Gives("/tags/TEAM", Value::Null)),
            (json!({ "tags": { "team": "core" } }), set()),
        ],
    );
}

#[test]
fn default_tags_are_set_where_the_spec_does_not_set_the_key() {
    check(
        "defaultTags",
        json!({ "defaultTags": { "env": "prod" }, "requiredTags": { "Team": "core" } }),
        [
            (json!({}), Gives("/tags/env", json!("prod"))),
            (json!({ "tags": null }), Gives("/tags/env", json!("prod"))),
            (json!({ "tags": { "stage": "test" } }), Gives("/tags/env", json!("prod"))),
            (json!({ "access": "FullAccess" }), Gives("/tags/env", json!("prod"))),
            // A default is not a limit: the spec's value is used, and its spelling.
            (json!({ "tags": { "env": "test" } }), Gives("/tags/env", json!("test"))),
            (json!({ "tags": { "env": "" } }), Gives("/tags/env", json!(""))),
            (json!({ "tags": { "Env": "test" } }), Gives("/tags/Env", json!("test"))),
            (json!({ "tags": { "Env": "test" } }), Gives("/tags/env", Value::Null)),
        ],
    );
}

#[test]
fn a_protected_policy_is_not_detached() {
    let detached = |it: bool| Gives("/detaches/quarantine", json!(it));
    let exclusive = || json!({ "attachmentPolicy": "Exclusive" });
    for protected in [json!([QUARANTINE]), json!(["arn:aws:iam::123456789012:policy/quarantine*"]), json!(["*"])] {
        check(
            "protectedPolicies",
            json!({ "protectedPolicies": protected }),
            [
                (json!({}), detached(false)),
                (json!({ "attachmentPolicy": null }), detached(false)),
                (json!({ "attachmentPolicy": "Additive" }), detached(false)),
                (exclusive(), detached(false)),
                (exclusive(), Gives("/detaches/other", json!(protected != json!(["*"])))),
            ],
        );
    }
    for none in [json!(null), json!([]), json!(["arn:aws:iam::aws:policy/*"])] {
        check("protectedPolicies", json!({ "protectedPolicies": none }), [(exclusive(), detached(true))]);
    }
}

#[test]
fn an_object_does_not_take_a_protected_policy_for_its_own() {
    let named = |more: Value| {
        let mut spec = json!({ "policyName": "quarantine-1", "policyPath": "/" });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    // FullAccess detaches the object's own policy, and adoption makes an existing policy its own.
    let full = json!({ "access": "FullAccess" });
    let adopting = json!({ "adoptionPolicy": "Always" });
    check(
        "protectedPolicies",
        json!({ "protectedPolicies": ["arn:aws:iam::123456789012:policy/quarantine*"] }),
        [
            (named(full.clone()), Forbidden("spec.policyName")),
            (named(adopting.clone()), Forbidden("spec.policyName")),
            // If the policy exists, this is a conflict; otherwise it is the object's own.
            (named(json!({})), Gives("/attached", json!(QUARANTINE))),
            (named(json!({ "adoptionPolicy": "Tagged" })), Gives("/attached", json!(QUARANTINE))),
            (json!({ "roleName": "quarantine-1", "access": "FullAccess" }), Gives("/role/name", json!("quarantine-1"))),
            (full.clone(), Gives("/policy/name", json!("shop.orders"))),
        ],
    );
    // A pattern that covers the operator's own policies too leaves their default names alone.
    check(
        "protectedPolicies",
        json!({ "protectedPolicies": ["arn:aws:iam::123456789012:policy/*"] }),
        [
            (full, Gives("/policy/name", json!("shop.orders"))),
            (adopting, Gives("/attached", json!(OWN_POLICY))),
            (json!({ "policyPath": "/", "access": "FullAccess" }), Forbidden("spec.policyName")),
        ],
    );
}
