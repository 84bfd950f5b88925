//! Every guardrail over the wire: its name in the message, and no AWS call for who breaks it.

use anyhow::{Result, ensure};
use aurora_test_support::iam_model::CreatePolicy;
use aurora_test_support::wait::wait_for;
use serde_json::{Value, json};

use super::bench::{Bench, HUB, start_operator};

const ID: &str = "111111111111";

fn boundary() -> String {
    format!("arn:aws:iam::{ID}:policy/boundary")
}

#[tokio::test]
async fn each_guardrail_refuses_by_name_and_makes_no_aws_call() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    let guardrails = json!({
        "iamPath": "/exports/", "namePrefix": "team-", "requireNamespaceInName": true, "permissionsBoundary": boundary(),
        "allowFullAccess": false, "allowAdoption": false, "maxDeletionPolicy": "Retain",
        "requiredTags": { "cost": "42" }, "allowedRegions": ["eu-west-1"], "allowedLogGroups": ["/aws/rds/cluster/*"],
        "requireTrustProtection": true,
    });
    let account = bench.account("prod", ID, json!({ "guardrails": guardrails })).await?;
    let fits = json!({ "accountRef": { "name": account },
                       "scope": { "regions": ["eu-west-1"], "logGroups": ["/aws/rds/cluster/orders/*"] } });
    let ns = bench.ns().to_owned();
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
        for (key, value) in breach.as_object().into_iter().flatten() {
            match (key.as_str(), value) {
                (_, Value::Null) => drop(spec.as_object_mut().and_then(|spec| spec.remove(key))),
                ("scope", Value::Object(inner)) => {
                    for (key, value) in inner {
                        spec["scope"][key] = value.clone();
                    }
                }
                _ => spec[key] = value.clone(),
            }
        }
        bench.policy(&ns, name, spec).await?;
    }
    for (name, guardrail, _) in &cases {
        let message = bench.wait_policy(&ns, name, "NotPermitted").await?;
        assert!(message.contains(&format!("(guardrail {guardrail})")), "{name}: {message}");
    }
    // The account's own look for the service-linked role aside.
    let calls: Vec<_> =
        bench.iam_calls_since(0, ID).into_iter().filter(|call| call.resource != "AWSServiceRoleForRDS").collect();
    assert!(calls.is_empty(), "{calls:?}");
    Ok(())
}

#[tokio::test]
async fn what_guardrails_demand_is_there_without_being_asked_for() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    let request = CreatePolicy {
        name: "boundary".into(),
        document: r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"logs:*","Resource":"*"}]}"#
            .into(),
        ..CreatePolicy::default()
    };
    bench.server.world().account(ID).lock().create_policy(&request)?;
    let guardrails = json!({
        "iamPath": "/exports/", "namePrefix": "team-", "permissionsBoundary": boundary(),
        "requiredTags": { "cost": "42" }, "defaultTags": { "env": "prod", "team": "platform" }, "maxDeletionPolicy": "Retain",
    });
    let account = bench.account("prod", ID, json!({ "guardrails": guardrails })).await?;
    let ns = bench.ns().to_owned();
    let spec = json!({ "accountRef": { "name": account }, "tags": { "team": "orders" }, "roleName": "team-orders" });
    bench.policy(&ns, "orders", spec).await?;
    bench.wait_policy(&ns, "orders", "InSync").await?;
    let role = bench.snapshot(ID)["roles"]["team-orders"].clone();
    assert_eq!(role["path"], "/exports/");
    assert_eq!(role["boundary"], boundary().as_str());
    assert_eq!(
        (&role["tags"]["cost"], &role["tags"]["env"], &role["tags"]["team"]),
        (&json!("42"), &json!("prod"), &json!("orders")),
        "{role}"
    );
    let policy = bench.policies(&ns).get("orders").await?.status.unwrap_or_default().policy.unwrap_or_default();
    assert!(policy.arn.contains(":policy/exports/team-"), "{}", policy.arn);
    // Retained, though nothing in the object says so.
    let (before, mark) = (bench.snapshot(ID), bench.server.gate().last_seq());
    bench.delete_policy(&ns, "orders").await?;
    assert_eq!(bench.snapshot(ID), before);
    assert!(bench.writes_since(mark).is_empty());
    Ok(())
}

#[tokio::test]
async fn an_object_that_had_delete_before_retain_was_demanded_is_retained() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    let account = bench.account("prod", ID, json!({})).await?;
    let ns = bench.ns().to_owned();
    let spec = json!({ "accountRef": { "name": account }, "deletionPolicy": "Delete" });
    bench.policy(&ns, "orders", spec).await?;
    bench.wait_policy(&ns, "orders", "InSync").await?;
    bench.account("prod", ID, json!({ "guardrails": { "maxDeletionPolicy": "Retain" } })).await?;
    let message = bench.wait_policy(&ns, "orders", "NotPermitted").await?;
    assert!(message.contains("guardrail maxDeletionPolicy"), "{message}");
    let before = bench.snapshot(ID);
    bench.delete_policy(&ns, "orders").await?;
    assert_eq!(bench.snapshot(ID), before);
    Ok(())
}

#[tokio::test]
async fn who_breaks_a_new_guardrail_keeps_what_it_has_and_may_delete_it() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    let account = bench.account("prod", ID, json!({ "guardrails": { "allowFullAccess": true } })).await?;
    let ns = bench.ns().to_owned();
    let spec = json!({ "accountRef": { "name": account }, "access": "FullAccess" });
    bench.policy(&ns, "orders", spec).await?;
    bench.wait_policy(&ns, "orders", "InSync").await?;
    bench.account("prod", ID, json!({ "guardrails": { "allowFullAccess": false } })).await?;
    bench.wait_policy(&ns, "orders", "NotPermitted").await?;
    let mark = bench.server.gate().last_seq();
    bench.delete_policy(&ns, "orders").await?;
    assert_eq!(bench.holds(ID), (0, 0));
    let deleted: Vec<_> = bench.writes_since(mark).into_iter().map(|call| call.action).collect();
    assert_eq!(deleted, ["DetachRolePolicy", "DeleteRole"]);
    Ok(())
}

#[tokio::test]
async fn an_object_made_again_under_old_names_owns_what_was_retained_under_them() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    let ns = bench.ns().to_owned();
    let account = bench.account("prod", ID, json!({})).await?;
    let spec = json!({ "accountRef": { "name": account }, "deletionPolicy": "Retain" });
    bench.policy(&ns, "orders", spec.clone()).await?;
    bench.wait_policy(&ns, "orders", "InSync").await?;
    let made = bench.snapshot(ID);
    bench.delete_policy(&ns, "orders").await?;
    assert_eq!(bench.snapshot(ID), made);
    let mark = bench.server.gate().last_seq();
    // To anybody else it is somebody else's.
    let role = made["roles"].as_object().and_then(|roles| roles.keys().next().cloned()).unwrap_or_default();
    bench.policy(&ns, "other", json!({ "accountRef": { "name": account }, "roleName": role })).await?;
    bench.wait_policy(&ns, "other", "Conflict").await?;
    bench.policy(&ns, "orders", spec).await?;
    bench.wait_policy(&ns, "orders", "InSync").await?;
    let writes: Vec<_> = bench.writes_since(mark).into_iter().filter(|call| call.executed).collect();
    assert!(writes.is_empty(), "{writes:?}");
    assert_eq!(bench.snapshot(ID), made);
    Ok(())
}

#[tokio::test]
async fn the_operators_flags_hold_where_no_account_stands_between() -> Result<()> {
    let mut bench = Bench::start(1, &["--allow-full-access=false"]).await?;
    let ns = bench.ns().to_owned();
    bench.policy(&ns, "full", json!({ "access": "FullAccess" })).await?;
    bench.policy(&ns, "adopt", json!({ "adoptionPolicy": "Always" })).await?;
    bench.policy(&ns, "publish", json!({ "outputs": { "configMapRef": { "name": "out" } } })).await?;
    for (name, flag) in
        [("full", "--allow-full-access"), ("adopt", "--allow-adopt-existing"), ("publish", "--enable-outputs")]
    {
        let message = bench.wait_policy(&ns, name, "NotPermitted").await?;
        assert!(message.contains(flag), "{name}: {message}");
    }
    let next = start_operator(bench.env, &bench.namespaces, &bench.server, &["--require-account-ref=true"]).await?;
    std::mem::replace(&mut bench.operator, next).stop().await?;
    bench.policy(&ns, "plain", json!({})).await?;
    let message = bench.wait_policy(&ns, "plain", "NotPermitted").await?;
    assert!(message.contains("--require-account-ref"), "{message}");
    assert!(bench.iam_calls_since(0, HUB).is_empty());
    // Without the flag it is let in, by nobody's doing in Kubernetes.
    let next = start_operator(bench.env, &bench.namespaces, &bench.server, &[]).await?;
    std::mem::replace(&mut bench.operator, next).stop().await?;
    bench.wait_policy(&ns, "plain", "InSync").await?;
    wait_for("the role", super::bench::LIMIT, async || {
        ensure!(bench.holds(HUB).1 >= 1, "no role");
        Ok(())
    })
    .await
}
