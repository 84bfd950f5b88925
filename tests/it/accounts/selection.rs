//! Which account an object works in, and never another.

use anyhow::{Result, ensure};
use aurora_test_support::wait::{wait_for, wait_gone};
use serde_json::json;

use super::bench::{Bench, HUB, LIMIT, start_operator};

const ID: &str = "111111111111";

#[tokio::test]
async fn a_namespace_may_use_an_account_while_its_labels_say_so() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    let (ns, team) = (bench.ns().to_owned(), bench.unique("team"));
    let selector = json!({ "names": null, "selector": { "matchLabels": { "team": team } } });
    let account = bench.account("prod", ID, json!({ "allowedNamespaces": selector })).await?;
    bench.policy(&ns, "orders", json!({ "accountRef": { "name": account } })).await?;
    let message = bench.wait_policy(&ns, "orders", "NotPermitted").await?;
    assert!(message.contains("guardrail allowedNamespaces"), "{message}");
    assert!(bench.iam_calls_since(0, ID).is_empty());

    let label = async |value: &str| bench.env.kubectl(&["label", "--overwrite", "namespace", &ns, value]).await;
    label(&format!("team={team}")).await?;
    bench.wait_policy(&ns, "orders", "InSync").await?;
    let status = bench.wait_account(&account, "InSync").await?.status;
    ensure!(status.is_some(), "an account that a namespace came to is looked after");

    label("team=other").await?;
    bench.wait_policy(&ns, "orders", "NotPermitted").await?;
    // What it made stays as it is, whatever happens to it in AWS.
    let world = bench.server.world().account(ID);
    let before = bench.snapshot(ID);
    let role = before["roles"].as_object().and_then(|roles| roles.keys().next().cloned()).unwrap_or_default();
    world.lock().update_role_description(&role, "edited by hand")?;
    let (edited, mark) = (bench.snapshot(ID), bench.server.gate().last_seq());
    bench.policy(&ns, "orders", json!({ "accountRef": { "name": account }, "description": "new" })).await?;
    bench.wait_policy(&ns, "orders", "NotPermitted").await?;
    assert_eq!(bench.snapshot(ID), edited);
    assert!(bench.iam_calls_since(mark, ID).is_empty(), "no call for who may not");
    // Its account may not go without it, and it may go.
    bench.accounts().delete(&account, &Default::default()).await?;
    bench.wait_account(&account, "InUse").await?;
    bench.delete_policy(&ns, "orders").await?;
    assert_eq!(bench.holds(ID), (0, 0));
    bench.wait_account_gone(&account).await
}

#[tokio::test]
async fn a_missing_account_is_waited_for_and_never_replaced_by_the_operators_own() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    let (ns, name) = (bench.ns().to_owned(), bench.unique("prod"));
    bench.policy(&ns, "orders", json!({ "accountRef": { "name": name } })).await?;
    let message = bench.wait_policy(&ns, "orders", "AccountNotReady").await?;
    assert!(message.contains(&name), "{message}");
    bench.account("prod", ID, json!({})).await?;
    bench.wait_policy(&ns, "orders", "InSync").await?;
    assert_eq!((bench.holds(ID), bench.holds(HUB)), ((1, 1), (0, 0)));
    bench.delete_policy(&ns, "orders").await?;
    bench.delete_account(&name).await
}

#[tokio::test]
async fn an_account_that_vanished_by_force_stops_its_policies_until_it_is_back() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    let ns = bench.ns().to_owned();
    let account = bench.account("prod", ID, json!({})).await?;
    bench.policy(&ns, "orders", json!({ "accountRef": { "name": account } })).await?;
    bench.wait_policy(&ns, "orders", "InSync").await?;
    // Somebody takes the finalizer away.
    bench.accounts().delete(&account, &Default::default()).await?;
    bench.wait_account(&account, "InUse").await?;
    let patch = json!({ "metadata": { "finalizers": null } });
    bench.accounts().patch(&account, &Default::default(), &kube::api::Patch::Merge(&patch)).await?;
    bench.wait_policy(&ns, "orders", "AccountNotReady").await?;
    let (before, mark) = (bench.snapshot(ID), bench.server.gate().last_seq());
    bench.policies(&ns).delete("orders", &Default::default()).await?;
    let message = wait_for("the deletion to say what it waits for", LIMIT, async || {
        let conditions = bench.policies(&ns).get("orders").await?.status.unwrap_or_default().conditions;
        let message = conditions.first().map(|ready| ready.message.clone()).unwrap_or_default();
        ensure!(message.contains("make the account again"), "{message}");
        Ok(message)
    })
    .await?;
    assert!(message.contains("auroralogexport.dev/abandon"), "{message}");
    assert_eq!(bench.snapshot(ID), before);
    assert!(bench.writes_since(mark).is_empty());
    // Back again: the deletion goes on by itself.
    bench.account("prod", ID, json!({})).await?;
    wait_gone(&bench.policies(&ns), "orders", LIMIT).await?;
    assert_eq!((bench.holds(ID), bench.holds(HUB)), ((0, 0), (0, 0)));
    bench.delete_account(&account).await
}

#[tokio::test]
async fn an_account_name_that_comes_to_mean_another_account_gets_no_writes_there() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    let ns = bench.ns().to_owned();
    let account = bench.account("prod", ID, json!({})).await?;
    bench.policy(&ns, "orders", json!({ "accountRef": { "name": account } })).await?;
    bench.wait_policy(&ns, "orders", "InSync").await?;
    let other = "222222222222";
    let made = bench.snapshot(ID);
    // accountId is immutable, so this takes force: the finalizer is removed by hand.
    bench.accounts().delete(&account, &Default::default()).await?;
    let patch = json!({ "metadata": { "finalizers": null } });
    bench.accounts().patch(&account, &Default::default(), &kube::api::Patch::Merge(&patch)).await?;
    bench.wait_account_gone(&account).await?;
    bench.account("prod", other, json!({})).await?;
    bench.wait_account(&account, "InSync").await?;
    let message = wait_for("the policy to say where it lives", LIMIT, async || {
        let message = bench.wait_policy(&ns, "orders", "AccountNotReady").await?;
        ensure!(message.contains(&format!("lives in account {ID}")), "{message}");
        Ok(message)
    })
    .await?;
    assert!(message.contains(other), "{message}");
    assert_eq!(bench.holds(other), (0, 0));
    assert_eq!(bench.snapshot(ID), made);
    Ok(())
}

#[tokio::test]
async fn an_account_in_another_partition_has_its_arns_documents_and_managed_policies_there() -> Result<()> {
    let mut bench = Bench::start(1, &[]).await?;
    // No role is assumed across partitions: the operator's own credentials are of that one as well.
    let hub = "777788889999";
    bench.server.world().account_in(hub, "aws-us-gov");
    bench.server.world().add_key("test", hub);
    let next = start_operator(bench.env, &bench.namespaces, &bench.server, &[]).await?;
    std::mem::replace(&mut bench.operator, next).stop().await?;
    let ns = bench.ns().to_owned();
    let role = "arn:aws-us-gov:iam::444455556666:role/aurora-log-export-operator-member";
    let there = json!({ "assumeRole": { "roleArn": role }, "guardrails": { "allowFullAccess": true } });
    let account = bench.account("gov", "444455556666", there).await?;
    let spec = json!({ "accountRef": { "name": account }, "roleName": "orders", "policyName": "orders" });
    bench.policy(&ns, "orders", spec.clone()).await?;
    bench.wait_policy(&ns, "orders", "InSync").await?;
    let status = serde_json::to_value(bench.policies(&ns).get("orders").await?.status)?;
    assert_eq!((&status["partition"], &status["accountId"]), (&json!("aws-us-gov"), &json!("444455556666")));
    assert_eq!(status["policy"]["arn"], "arn:aws-us-gov:iam::444455556666:policy/aurora-log-export/orders");
    assert_eq!(status["role"]["arn"], "arn:aws-us-gov:iam::444455556666:role/aurora-log-export/orders");
    let made = bench.snapshot("444455556666").to_string();
    assert!(made.contains("arn:aws-us-gov:logs:") && !made.contains("arn:aws:"), "{made}");
    let mut full = spec;
    full["access"] = json!("FullAccess");
    bench.policy(&ns, "orders", full).await?;
    bench.wait_policy(&ns, "orders", "InSync").await?;
    let attached = bench.snapshot("444455556666")["roles"]["orders"]["attached"].clone();
    assert_eq!(attached, json!(["arn:aws-us-gov:iam::aws:policy/CloudWatchLogsFullAccess"]));
    bench.delete_policy(&ns, "orders").await?;
    assert_eq!(bench.holds("444455556666"), (0, 0));
    Ok(())
}
