//! Every guardrail: its name is in the message, and an object that breaks it makes no AWS call.

use anyhow::Result;
use aurora_test_support::iam_model::CreatePolicy;
use serde_json::json;

use super::objects::merge;
use crate::fixture::{ACCOUNT, Fixture, actions, is_service_linked};

const ID: &str = "111111111111";

fn boundary() -> String {
    format!("arn:aws:iam::{ID}:policy/boundary")
}

#[tokio::test]
async fn each_guardrail_refuses_by_name_and_makes_no_aws_call() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let guardrails = json!({
        "iamPath": "/exports/", "namePrefix": "team-", "requireNamespaceInName": true, "permissionsBoundary": boundary(),
        "allowFullAccess": false, "allowAdoption": false, "maxDeletionPolicy": "Retain",
        "requiredTags": { "cost": "42" }, "allowedRegions": ["eu-west-1"], "allowedLogGroups": ["/aws/rds/cluster/*"],
        "requireTrustProtection": true,
    });
    let account = fixture.account("prod", ID, json!({ "guardrails": guardrails })).await?;
    let fits = json!({ "accountRef": { "name": account },
                       "scope": { "regions": ["eu-west-1"], "logGroups": ["/aws/rds/cluster/orders/*"] } });
    let ns = fixture.namespace();
    let cases = [
        ("path", "iamPath", json!({ "rolePath": "/elsewhere/" })),
        ("policy-path", "iamPath", json!({ "policyPath": "/" })),
        ("prefix", "namePrefix", json!({ "roleName": format!("{ns}.x") })),
        ("ns", "requireNamespaceInName", json!({ "policyName": "team-somebody.else" })),
        (
            "bound",
            "permissionsBoundary",
            json!({ "permissionsBoundary": "arn:aws:iam::aws:policy/AdministratorAccess" }),
        ),
        ("full", "allowFullAccess", json!({ "access": "FullAccess", "scope": null })),
        ("adopt", "allowAdoption", json!({ "adoptionPolicy": "Always" })),
        ("delete", "maxDeletionPolicy", json!({ "deletionPolicy": "Delete" })),
        ("tag", "requiredTags", json!({ "tags": { "cost": "0" } })),
        ("tag-case", "requiredTags", json!({ "tags": { "COST": "0" } })),
        ("region", "allowedRegions", json!({ "scope": { "regions": ["us-east-1"] } })),
        ("all-regions", "allowedRegions", json!({ "scope": { "regions": ["*"] } })),
        ("group", "allowedLogGroups", json!({ "scope": { "logGroups": ["/aws/lambda/*"] } })),
        ("wider", "allowedLogGroups", json!({ "scope": { "logGroups": ["/aws/rds/*"] } })),
        ("trust", "requireTrustProtection", json!({ "trust": { "protection": "None" } })),
    ];
    for (name, _, breach) in &cases {
        let mut spec = fits.clone();
        merge(&mut spec, breach.clone());
        fixture.apply(name, spec).await?;
    }
    for (name, guardrail, _) in &cases {
        let message = fixture.refusal(name, "NotPermitted").await?;
        assert!(message.contains(&format!("(guardrail {guardrail})")), "{name}: {message}");
    }
    // The account's own check for the service-linked role aside.
    let calls: Vec<_> = fixture.calls_in(ID, 0).into_iter().filter(|call| !is_service_linked(call)).collect();
    assert_eq!(calls, []);
    Ok(())
}

#[tokio::test]
async fn what_guardrails_demand_is_there_without_being_asked_for() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let request = CreatePolicy {
        name: "boundary".into(),
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"logs:*","Resource":"*"}]}"#
            .into(),
        ..CreatePolicy::default()
    };
    fixture.aws.world().account(ID).lock().create_policy(&request)?;
    let guardrails = json!({
        "iamPath": "/exports/", "namePrefix": "team-", "permissionsBoundary": boundary(),
        "requiredTags": { "cost": "42" }, "defaultTags": { "env": "prod", "team": "platform" }, "maxDeletionPolicy": "Retain",
    });
    let account = fixture.account("prod", ID, json!({ "guardrails": guardrails })).await?;
    let spec = json!({ "accountRef": { "name": account }, "tags": { "team": "orders" }, "roleName": "team-orders" });
    fixture.applied("orders", spec).await?;
    let role = fixture.snapshot(ID)["roles"]["team-orders"].clone();
    assert_eq!(role["path"], "/exports/");
    assert_eq!(role["boundary"], boundary().as_str());
    assert_eq!(
        (&role["tags"]["cost"], &role["tags"]["env"], &role["tags"]["team"]),
        (&json!("42"), &json!("prod"), &json!("orders")),
        "{role}"
    );
    let status = fixture.status("orders").await?;
    assert!(status["policy"]["arn"].to_string().contains(":policy/exports/team-"), "{status}");
    // Retained, without a `deletionPolicy` in the object.
    let (before, mark) = (fixture.snapshot(ID), fixture.mark());
    fixture.deleted("orders").await?;
    assert_eq!(fixture.snapshot(ID), before);
    assert!(fixture.writes(mark).is_empty());
    Ok(())
}

#[tokio::test]
async fn an_object_that_had_delete_before_retain_was_demanded_is_retained() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let account = fixture.account("prod", ID, json!({})).await?;
    let spec = json!({ "accountRef": { "name": account }, "deletionPolicy": "Delete" });
    fixture.applied("orders", spec.clone()).await?;
    fixture.applied("vanished", spec).await?;
    fixture.account("prod", ID, json!({ "guardrails": { "maxDeletionPolicy": "Retain" } })).await?;
    for name in ["orders", "vanished"] {
        let message = fixture.refusal(name, "NotPermitted").await?;
        assert!(message.contains("guardrail maxDeletionPolicy"), "{message}");
    }
    let before = fixture.snapshot(ID);
    fixture.deleted("orders").await?;
    assert_eq!(fixture.snapshot(ID), before);
    // An object that lost its finalizer as well.
    let key = format!("auroralogexport.dev/auroralogexportpolicies/{}/vanished", fixture.namespace());
    fixture.env.control_plane()?.remove_from_etcd(&key).await?;
    fixture.event("vanished", "Retained").await?;
    assert_eq!(fixture.snapshot(ID), before);
    Ok(())
}

#[tokio::test]
async fn who_breaks_a_new_guardrail_keeps_what_it_has_and_may_delete_it() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let account = fixture.account("prod", ID, json!({ "guardrails": { "allowFullAccess": true } })).await?;
    let spec = json!({ "accountRef": { "name": account }, "access": "FullAccess" });
    fixture.applied("orders", spec).await?;
    fixture.account("prod", ID, json!({ "guardrails": { "allowFullAccess": false } })).await?;
    fixture.not_ready("orders", "NotPermitted").await?;
    let mark = fixture.mark();
    fixture.deleted("orders").await?;
    assert_eq!(fixture.holds(ID), (0, 0));
    assert_eq!(actions(fixture.writes(mark)), ["DetachRolePolicy", "DeleteRole"]);
    Ok(())
}

#[tokio::test]
async fn an_object_made_again_under_old_names_owns_what_was_retained_under_them() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let account = fixture.account("prod", ID, json!({})).await?;
    let spec = json!({ "accountRef": { "name": account }, "deletionPolicy": "Retain" });
    fixture.applied("orders", spec.clone()).await?;
    let made = fixture.snapshot(ID);
    fixture.deleted("orders").await?;
    assert_eq!(fixture.snapshot(ID), made);
    let mark = fixture.mark();
    // For any other object it is a conflict.
    let role = made["roles"].as_object().and_then(|roles| roles.keys().next().cloned()).unwrap_or_default();
    fixture.apply("other", json!({ "accountRef": { "name": account }, "roleName": role })).await?;
    fixture.not_ready("other", "Conflict").await?;
    fixture.applied("orders", spec).await?;
    let writes: Vec<_> = fixture.writes(mark).into_iter().filter(|call| call.executed).collect();
    assert!(writes.is_empty(), "{writes:?}");
    assert_eq!(fixture.snapshot(ID), made);
    Ok(())
}

#[tokio::test]
async fn the_operators_flags_hold_where_no_account_stands_between() -> Result<()> {
    let mut fixture = Fixture::with(&["--allow-full-access=false"]).start().await?;
    fixture.apply("full", json!({ "access": "FullAccess" })).await?;
    fixture.apply("adopt", json!({ "adoptionPolicy": "Always" })).await?;
    fixture.apply("publish", json!({ "outputs": { "configMapRef": { "name": "out" } } })).await?;
    for (name, flag) in
        [("full", "--allow-full-access"), ("adopt", "--allow-adopt-existing"), ("publish", "--enable-outputs")]
    {
        let message = fixture.refusal(name, "NotPermitted").await?;
        assert!(message.contains(flag), "{name}: {message}");
    }
    fixture.restart_with(&["--require-account-ref=true"]).await?;
    fixture.apply("plain", json!({})).await?;
    let message = fixture.refusal("plain", "NotPermitted").await?;
    assert!(message.contains("--require-account-ref"), "{message}");
    assert!(fixture.calls_in(ACCOUNT, 0).is_empty());
    // Without the flag it is permitted; nothing changes in Kubernetes.
    fixture.restart_with(&[]).await?;
    fixture.ready("plain").await?;
    fixture.eventually_true("the role", || Ok(fixture.holds(ACCOUNT).1 >= 1)).await
}
