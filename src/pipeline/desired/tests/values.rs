//! The effective values: defaults, tags, boundary, access, deletion policy.

use serde_json::{Value, json};

use super::{account, guarded, owner, settings, spec, wanted, wanted_in};
use crate::api::policy::{AdoptionPolicy, DeletionPolicy, ManagementPolicy};
use crate::model::names::{Owner, Partition};
use crate::model::settings::AccountFacts;
use crate::pipeline::desired::{deletion_policy, desired};

#[test]
fn an_empty_spec_gives_the_guides_policy_with_default_names() {
    let desired = wanted(json!({})).unwrap();
    let identity = &desired.identity;
    assert_eq!(identity.policy_arn.as_str(), "arn:aws:iam::123456789012:policy/aurora-log-export/shop.orders");
    assert_eq!(identity.role_arn.as_str(), "arn:aws:iam::123456789012:role/aurora-log-export/shop.orders");
    let policy = desired.policy.as_ref().unwrap();
    assert!(policy.document.to_json().contains("arn:aws:logs:*:*:log-group:/aws/rds/*:log-stream:*"));
    assert_eq!(policy.fingerprint, policy.document.meaning().fingerprint());
    assert!(desired.trust.to_json().contains(r#""aws:SourceAccount":"123456789012""#));
    assert_eq!(desired.boundary, None);
    assert_eq!(desired.attachment(), &identity.policy_arn);
    assert_eq!(desired.superseded_attachment(), &identity.full_access_arn);
    assert!(desired.description.contains("prod/shop/orders"), "{}", desired.description);
    assert_eq!(
        (desired.adoption, desired.management, identity.attachments.exclusive),
        (AdoptionPolicy::Never, ManagementPolicy::Enforce, false)
    );
}

#[test]
fn long_default_names_are_shortened_with_their_prefix() {
    let far = Owner::new("n".repeat(63), "m".repeat(128));
    let desired = |account: &AccountFacts| desired(&far, &spec(json!({})), &settings(), account).unwrap().identity;
    let identity = desired(&account());
    assert_eq!(identity.role_name.as_str().len(), 64);
    assert_eq!(identity.policy_name.as_str(), identity.role_name.as_str());
    let prefixed = desired(&guarded(json!({ "namePrefix": "acme-" })));
    assert!(prefixed.role_name.as_str().starts_with("acme-nnn"));
    assert_eq!(prefixed.role_name.as_str().len(), 64);
    let short = wanted_in(&guarded(json!({ "namePrefix": "acme-" })), json!({})).unwrap();
    assert_eq!(short.identity.role_name.as_str(), "acme-shop.orders");
}

#[test]
fn names_and_paths_come_from_the_spec_then_the_account_then_the_operator() {
    let own = wanted(json!({ "policyName": "p", "roleName": "r", "policyPath": "/", "rolePath": "/x/" })).unwrap();
    assert_eq!(own.identity.policy_arn.as_str(), "arn:aws:iam::123456789012:policy/p");
    assert_eq!(own.identity.role_arn.as_str(), "arn:aws:iam::123456789012:role/x/r");
    let account = wanted_in(&guarded(json!({ "iamPath": "/acme/" })), json!({})).unwrap();
    assert_eq!(account.identity.role_path.as_str(), "/acme/");
}

#[test]
fn full_access_attaches_the_aws_managed_policy_of_the_partition() {
    let china = AccountFacts { partition: Partition::parse("aws-cn").unwrap(), ..account() };
    let desired = wanted_in(&china, json!({ "access": "FullAccess" })).unwrap();
    assert!(desired.policy.is_none());
    assert_eq!(desired.attachment().as_str(), "arn:aws-cn:iam::aws:policy/CloudWatchLogsFullAccess");
    assert_eq!(desired.superseded_attachment(), &desired.identity.policy_arn);
}

#[test]
fn tags_come_from_the_spec_the_account_and_ownership() {
    let account = guarded(json!({
        "requiredTags": { "cost": "42", "Team": "core" },
        "defaultTags": { "env": "prod", "stage": "live" },
    }));
    let wanted = wanted_in(&account, json!({ "tags": { "Env": "test", "team": "core" } })).unwrap();
    assert_eq!(wanted.own_tag_keys(), ["Env", "Team", "cost", "stage"], "without the ownership tags");
    let tags = wanted.tags;
    let expected = [
        ("Env", "test"),
        ("Team", "core"),
        ("auroralogexport.dev/cluster-uid", "uid-1"),
        ("auroralogexport.dev/managed-by", "prod"),
        ("auroralogexport.dev/owner", "shop/orders"),
        ("cost", "42"),
        ("stage", "live"),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    assert_eq!(tags, expected, "a required key has the account's spelling, a default key the spec's");
}

#[test]
fn the_tag_limit_includes_the_tags_of_account_and_ownership() {
    let own: serde_json::Map<_, _> = (0..46).map(|i| (format!("k{i}"), json!(""))).collect();
    let one = guarded(json!({ "requiredTags": { "a": "b" } }));
    assert_eq!(wanted_in(&one, json!({ "tags": own })).unwrap().tags.len(), 50);
    let two = guarded(json!({ "requiredTags": { "a": "b" }, "defaultTags": { "c": "d" } }));
    let refused = wanted_in(&two, json!({ "tags": own })).unwrap_err();
    assert_eq!(refused.0[0].field, "spec.tags");
    assert!(refused.0[0].message.contains("51"), "{refused}");
}

#[test]
fn the_boundary_comes_from_the_spec_or_the_account() {
    let arn = "arn:aws:iam::123456789012:policy/b";
    let of = |account: &AccountFacts, spec| wanted_in(account, spec).unwrap().boundary;
    assert_eq!(of(&account(), json!({})), None);
    assert_eq!(of(&account(), json!({ "permissionsBoundary": arn })).as_deref(), Some(arn));
    let requiring = guarded(json!({ "permissionsBoundary": arn }));
    assert_eq!(of(&requiring, json!({})).as_deref(), Some(arn));
    assert_eq!(of(&requiring, json!({ "permissionsBoundary": arn })).as_deref(), Some(arn));
}

#[test]
fn the_trust_policy_allows_rds_with_the_protection() {
    let trust = |trust| {
        let json = wanted(json!({ "trust": trust })).unwrap().trust.to_json();
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["Statement"][0]["Principal"], json!({ "Service": "rds.amazonaws.com" }));
        value["Statement"][0]["Condition"].clone()
    };
    assert_eq!(trust(json!({ "protection": "None" })), json!(null));
    let arn = "arn:aws:rds:*:123456789012:cluster:a";
    assert_eq!(
        trust(json!({ "sourceArns": [arn] })),
        json!({ "StringEquals": { "aws:SourceAccount": "123456789012" }, "ArnLike": { "aws:SourceArn": arn } })
    );
}

#[test]
fn the_deletion_policy_is_the_stricter_of_spec_and_account() {
    use DeletionPolicy::{Delete, Retain};
    for (own, default, limit, expected) in [
        (None, Delete, None, Delete),
        (None, Retain, None, Retain),
        (None, Delete, Some(Retain), Retain),
        (Some(Delete), Delete, None, Delete),
        (Some(Retain), Delete, None, Retain),
        // An explicit value overrides the operator's default, but not the account.
        (Some(Delete), Retain, None, Delete),
        (Some(Delete), Delete, Some(Retain), Retain),
        (Some(Retain), Delete, Some(Delete), Retain),
    ] {
        let spec = spec(json!({ "deletionPolicy": own }));
        let settings = crate::model::settings::Settings { default_deletion_policy: default, ..settings() };
        let account = guarded(json!({ "maxDeletionPolicy": limit }));
        assert_eq!(deletion_policy(&spec, &settings, Some(&account)), expected, "{own:?} {default:?} {limit:?}");
        if limit.is_none() {
            assert_eq!(deletion_policy(&spec, &settings, None), expected);
        }
    }
}

#[test]
fn ownership_is_derived_from_namespace_and_name() {
    let ownership = wanted(json!({})).unwrap().identity.ownership;
    assert_eq!(ownership.owner(), &owner());
    assert_eq!(ownership.consent(), "prod/shop/orders");
}

#[test]
fn limits_of_regions_and_log_groups_bind_the_creation_of_groups_too() {
    let creation = |guardrails: Value, spec: Value| {
        let document = wanted_in(&guarded(guardrails), spec).unwrap().policy.unwrap().document;
        let document: Value = serde_json::from_str(&document.to_json()).unwrap();
        document["Statement"][2]["Resource"].clone()
    };
    let regions = json!({ "scope": { "regions": ["eu-west-1"] } });
    assert_eq!(creation(json!({}), regions.clone()), "*", "as in the guide");
    let limited = creation(json!({ "allowedRegions": ["eu-west-1"] }), regions);
    assert_eq!(limited, "arn:aws:logs:eu-west-1:*:log-group:/aws/rds/*");
    let limited = creation(json!({ "allowedLogGroups": ["/aws/*"] }), json!({}));
    assert_eq!(limited, "arn:aws:logs:*:*:log-group:/aws/rds/*");
    assert_eq!(creation(json!({ "allowedRegions": ["*"], "allowedLogGroups": ["*"] }), json!({})), "*");
}

#[test]
fn a_policy_that_the_operator_keeps_is_no_boundary() {
    let boundary = |path: &str| {
        let arn = format!("arn:aws:iam::123456789012:policy{path}victim");
        wanted_in(&guarded(json!({})), json!({ "permissionsBoundary": arn })).map(|desired| desired.boundary)
    };
    for path in ["/aurora-log-export/", "/aurora-log-export/deeper/"] {
        let refused = boundary(path).expect_err(path).to_string();
        assert!(refused.contains("spec.permissionsBoundary: is below /aurora-log-export/"), "{refused}");
    }
    boundary("/").unwrap();
    boundary("/aurora-log-exports/").unwrap();
}
