//! Names, paths and the boundary.

use serde_json::json;

use super::*;

#[test]
fn policy_and_role_have_no_path_but_the_accounts() {
    check(
        "iamPath",
        json!({ "iamPath": "/acme/" }),
        [
            (json!({}), Gives("/policy/path", json!("/acme/"))),
            (json!({}), Gives("/role/path", json!("/acme/"))),
            (json!({ "policyPath": null, "rolePath": null }), Gives("/role/path", json!("/acme/"))),
            (json!({ "policyPath": "/acme/", "rolePath": "/acme/" }), Gives("/policy/path", json!("/acme/"))),
            (json!({ "policyPath": "/" }), Forbidden("spec.policyPath")),
            (json!({ "rolePath": "/" }), Forbidden("spec.rolePath")),
            (json!({ "policyPath": "/acme/x/" }), Forbidden("spec.policyPath")),
            (json!({ "rolePath": "/acme/x/" }), Forbidden("spec.rolePath")),
            (json!({ "rolePath": "/acme/../" }), Forbidden("spec.rolePath")),
            (json!({ "policyPath": "/Acme/" }), Forbidden("spec.policyPath")),
            (json!({ "rolePath": "/ACME/" }), Forbidden("spec.rolePath")),
            // The operator's own default is no exception.
            (json!({ "rolePath": "/aurora-log-export/" }), Forbidden("spec.rolePath")),
            (json!({ "access": "FullAccess", "policyPath": "/" }), Forbidden("spec.policyPath")),
            (json!({ "managementPolicy": "Observe", "rolePath": "/" }), Forbidden("spec.rolePath")),
            (json!({ "rolePath": "" }), Invalid("spec.rolePath")),
            (json!({ "policyPath": "/acme" }), Invalid("spec.policyPath")),
            // Names contain no slash, so they do not change the path.
            (json!({ "policyName": "x/y" }), Invalid("spec.policyName")),
            (json!({ "roleName": "/x" }), Invalid("spec.roleName")),
        ],
    );
}

#[test]
fn policy_and_role_have_no_name_without_the_prefix() {
    check(
        "namePrefix",
        json!({ "namePrefix": "acme-" }),
        [
            (json!({}), Gives("/policy/name", json!("acme-shop.orders"))),
            (json!({}), Gives("/role/name", json!("acme-shop.orders"))),
            (json!({ "policyName": null, "roleName": null }), Gives("/role/name", json!("acme-shop.orders"))),
            (json!({ "policyName": "acme-x" }), Gives("/policy/name", json!("acme-x"))),
            // Policy and role are bound each by itself.
            (json!({ "policyName": "acme-x", "roleName": "x" }), Forbidden("spec.roleName")),
            (json!({ "policyName": "x", "roleName": "acme-x" }), Forbidden("spec.policyName")),
            // IAM ignores the case of names.
            (json!({ "roleName": "ACME-x" }), Forbidden("spec.roleName")),
            (json!({ "policyName": "Acme-x" }), Forbidden("spec.policyName")),
            (json!({ "roleName": "x-acme-" }), Forbidden("spec.roleName")),
            (json!({ "roleName": "acme" }), Forbidden("spec.roleName")),
            (json!({ "policyName": "shop.orders" }), Forbidden("spec.policyName")),
            (json!({ "access": "FullAccess", "policyName": "x" }), Forbidden("spec.policyName")),
            (json!({ "policyName": "acme-*" }), Invalid("spec.policyName")),
            (json!({ "roleName": "" }), Invalid("spec.roleName")),
        ],
    );
}

#[test]
fn explicit_names_begin_with_the_namespace_where_it_is_required() {
    let cells = |prefix: &'static str| {
        let named = move |field: &str, name: &str| json!({ field: format!("{prefix}{name}") });
        [
            (json!({}), Gives("/role/name", json!(format!("{prefix}shop.orders")))),
            (json!({ "policyName": null }), Gives("/policy/name", json!(format!("{prefix}shop.orders")))),
            (named("policyName", "shop.x"), Gives("/policy/name", json!(format!("{prefix}shop.x")))),
            (named("roleName", "shop."), Gives("/role/name", json!(format!("{prefix}shop.")))),
            // `shop` is neither `shop-eu` nor `my-shop`, and a name without a dot is in no namespace.
            (named("policyName", "shop-eu.x"), Forbidden("spec.policyName")),
            (named("roleName", "my-shop.x"), Forbidden("spec.roleName")),
            (named("policyName", "shop"), Forbidden("spec.policyName")),
            (named("roleName", "shopx"), Forbidden("spec.roleName")),
            (named("policyName", "SHOP.x"), Forbidden("spec.policyName")),
            (named("roleName", "Shop.x"), Forbidden("spec.roleName")),
            (named("policyName", "x.shop.y"), Forbidden("spec.policyName")),
            (
                named("roleName", ""),
                if prefix.is_empty() { Invalid("spec.roleName") } else { Forbidden("spec.roleName") },
            ),
        ]
    };
    check("requireNamespaceInName", json!({ "requireNamespaceInName": true }), cells(""));
    check("requireNamespaceInName", json!({ "requireNamespaceInName": true, "namePrefix": "a-" }), cells("a-"));
    let shifted = json!({ "roleName": "shop.a-x" });
    let guardrails = json!({ "requireNamespaceInName": true, "namePrefix": "a-" });
    check("requireNamespaceInName", guardrails, [(shifted, Forbidden("spec.roleName"))]);
}

#[test]
fn every_role_has_the_boundary_of_the_account() {
    let set = || Gives("/boundary", json!(BOUNDARY));
    let forbidden = || Forbidden("spec.permissionsBoundary");
    check(
        "permissionsBoundary",
        json!({ "permissionsBoundary": BOUNDARY }),
        [
            (json!({}), set()),
            (json!({ "permissionsBoundary": null }), set()),
            (json!({ "permissionsBoundary": BOUNDARY }), set()),
            (json!({ "access": "FullAccess" }), set()),
            (json!({ "managementPolicy": "Observe" }), set()),
            (json!({ "adoptionPolicy": "Always" }), set()),
            (json!({ "permissionsBoundary": "" }), forbidden()),
            (json!({ "permissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess" }), forbidden()),
            (json!({ "permissionsBoundary": "arn:aws:iam::123456789012:policy/walls/boundary" }), forbidden()),
            (json!({ "permissionsBoundary": "arn:aws:iam::123456789012:policy/Boundary" }), forbidden()),
            (json!({ "permissionsBoundary": OWN_POLICY }), forbidden()),
        ],
    );
}

#[test]
fn an_object_does_not_manage_the_policy_that_is_its_boundary() {
    let forbidden = || Forbidden("spec.policyName");
    check(
        "permissionsBoundary",
        json!({ "permissionsBoundary": BOUNDARY }),
        [
            (json!({ "policyName": "Boundary", "policyPath": "/walls/", "adoptionPolicy": "Always" }), forbidden()),
            (json!({ "policyName": "Boundary", "policyPath": "/walls/" }), forbidden()),
            // IAM ignores case and path where it compares names.
            (json!({ "policyName": "boundary" }), forbidden()),
            (json!({ "policyName": "BOUNDARY", "policyPath": "/" }), forbidden()),
            (json!({ "policyName": "Boundary", "access": "FullAccess" }), forbidden()),
            // A role may have the name of a policy.
            (json!({ "roleName": "Boundary" }), Gives("/role/name", json!("Boundary"))),
            (json!({ "policyName": "Boundary-2" }), Gives("/policy/name", json!("Boundary-2"))),
        ],
    );
    let default_name = "arn:aws:iam::123456789012:policy/shop.orders";
    check("permissionsBoundary", json!({ "permissionsBoundary": default_name }), [(json!({}), forbidden())]);
    // A policy of AWS cannot be created in the account.
    let of_aws = "arn:aws:iam::aws:policy/PowerUserAccess";
    check(
        "permissionsBoundary",
        json!({ "permissionsBoundary": of_aws }),
        [(json!({ "policyName": "PowerUserAccess" }), Gives("/boundary", json!(of_aws)))],
    );
}
