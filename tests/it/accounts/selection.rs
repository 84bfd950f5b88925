//! The account of an object, and that it never works in another.

use anyhow::{Result, ensure};
use aurora_test_support::moto::ACCESS_KEY;
use aurora_test_support::wait::wait_for;
use serde_json::json;

use super::objects::of_account;
use crate::fixture::{ACCOUNT, Fixture, LIMIT, message};

const ID: &str = "111111111111";

#[tokio::test]
async fn a_namespace_may_use_an_account_while_its_labels_say_so() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let team = fixture.unique("team");
    let selector = json!({ "names": null, "selector": { "matchLabels": { "team": team } } });
    let account = fixture.account("prod", ID, json!({ "allowedNamespaces": selector })).await?;
    fixture.apply("orders", of_account(&account)).await?;
    let message = fixture.refusal("orders", "NotPermitted").await?;
    assert!(message.contains("guardrail allowedNamespaces"), "{message}");
    assert!(fixture.calls_in(ID, 0).is_empty());

    let label = async |value: &str| fixture.kubectl(&["label", "--overwrite", "ns", fixture.namespace(), value]).await;
    label(&format!("team={team}")).await?;
    fixture.ready("orders").await?;
    // An account that a namespace starts to use is checked.
    fixture.account_ready(&account).await?;

    label("team=other").await?;
    fixture.not_ready("orders", "NotPermitted").await?;
    // Its resources stay as they are, whatever happens to them in AWS.
    let world = fixture.aws.world().account(ID);
    let before = fixture.snapshot(ID);
    let role = before["roles"].as_object().and_then(|roles| roles.keys().next().cloned()).unwrap_or_default();
    world.lock().update_role_description(&role, "edited by hand")?;
    let (edited, mark) = (fixture.snapshot(ID), fixture.mark());
    fixture.apply("orders", json!({ "accountRef": { "name": account }, "description": "new" })).await?;
    fixture.not_ready("orders", "NotPermitted").await?;
    assert_eq!(fixture.snapshot(ID), edited);
    assert!(fixture.calls_in(ID, mark).is_empty(), "a call for an object that is not permitted");
    // The account cannot be deleted before the object, which can be deleted.
    fixture.delete_account(&account).await?;
    fixture.account_not_ready(&account, "InUse").await?;
    fixture.deleted("orders").await?;
    assert_eq!(fixture.holds(ID), (0, 0));
    fixture.account_gone(&account).await
}

#[tokio::test]
async fn a_missing_account_is_waited_for_and_never_replaced_by_the_operators_own() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let name = fixture.unique("prod");
    fixture.apply("orders", of_account(&name)).await?;
    let message = fixture.refusal("orders", "AccountNotReady").await?;
    assert!(message.contains(&name), "{message}");
    fixture.account("prod", ID, json!({})).await?;
    fixture.ready("orders").await?;
    assert_eq!((fixture.holds(ID), fixture.holds(ACCOUNT)), ((1, 1), (0, 0)));
    fixture.deleted("orders").await?;
    fixture.account_deleted(&name).await
}

#[tokio::test]
async fn an_account_that_vanished_by_force_stops_its_policies_until_it_is_back() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let account = fixture.account("prod", ID, json!({})).await?;
    fixture.applied("orders", of_account(&account)).await?;
    // The finalizer is removed by hand.
    fixture.delete_account(&account).await?;
    fixture.account_not_ready(&account, "InUse").await?;
    fixture.release_account(&account).await?;
    fixture.not_ready("orders", "AccountNotReady").await?;
    let (before, mark) = (fixture.snapshot(ID), fixture.mark());
    fixture.delete("orders").await?;
    let message = wait_for("the deletion to say what it waits for", LIMIT, async || {
        let message = message(&fixture.status("orders").await?);
        ensure!(message.contains("create the account again"), "{message}");
        Ok(message)
    })
    .await?;
    assert!(message.contains("auroralogexport.dev/abandon"), "{message}");
    assert_eq!(fixture.snapshot(ID), before);
    assert!(fixture.writes(mark).is_empty());
    // With the account back, the deletion continues by itself.
    fixture.account("prod", ID, json!({})).await?;
    fixture.gone("orders").await?;
    assert_eq!((fixture.holds(ID), fixture.holds(ACCOUNT)), ((0, 0), (0, 0)));
    fixture.account_deleted(&account).await
}

#[tokio::test]
async fn an_account_name_that_comes_to_mean_another_account_gets_no_writes_there() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let account = fixture.account("prod", ID, json!({})).await?;
    fixture.applied("orders", of_account(&account)).await?;
    let other = "222222222222";
    let made = fixture.snapshot(ID);
    // accountId is immutable, so this takes force: the finalizer is removed by hand.
    fixture.delete_account(&account).await?;
    fixture.release_account(&account).await?;
    fixture.account_gone(&account).await?;
    fixture.account("prod", other, json!({})).await?;
    fixture.account_ready(&account).await?;
    let message = wait_for("the policy to say where it lives", LIMIT, async || {
        let message = fixture.refusal("orders", "AccountNotReady").await?;
        ensure!(message.contains(&format!("are in account {ID}")), "{message}");
        Ok(message)
    })
    .await?;
    assert!(message.contains(other), "{message}");
    assert_eq!(fixture.holds(other), (0, 0));
    assert_eq!(fixture.snapshot(ID), made);
    Ok(())
}

#[tokio::test]
async fn an_account_in_another_partition_has_its_arns_documents_and_managed_policies_there() -> Result<()> {
    let mut fixture = Fixture::with(&[]).start().await?;
    // Roles cannot be assumed across partitions, so the operator's own credentials are in that partition as well.
    let own = "777788889999";
    fixture.aws.world().account_in(own, "aws-us-gov");
    fixture.aws.world().add_key(ACCESS_KEY, own);
    fixture.restart_with(&[]).await?;
    let role = "arn:aws-us-gov:iam::444455556666:role/aurora-log-export-operator-member";
    let there = json!({ "assumeRole": { "roleArn": role }, "guardrails": { "allowFullAccess": true } });
    let account = fixture.account("gov", "444455556666", there).await?;
    let spec = json!({ "accountRef": { "name": account }, "roleName": "orders", "policyName": "orders" });
    fixture.applied("orders", spec.clone()).await?;
    let status = fixture.status("orders").await?;
    assert_eq!(status["partition"], "aws-us-gov");
    assert_eq!(status["accountId"], "444455556666");
    assert_eq!(status["policy"]["arn"], "arn:aws-us-gov:iam::444455556666:policy/aurora-log-export/orders");
    assert_eq!(status["role"]["arn"], "arn:aws-us-gov:iam::444455556666:role/aurora-log-export/orders");
    let made = fixture.snapshot("444455556666").to_string();
    assert!(made.contains("arn:aws-us-gov:logs:") && !made.contains("arn:aws:"), "{made}");
    let mut full = spec;
    full["access"] = json!("FullAccess");
    fixture.applied("orders", full).await?;
    let attached = fixture.snapshot("444455556666")["roles"]["orders"]["attached"].clone();
    assert_eq!(attached, json!(["arn:aws-us-gov:iam::aws:policy/CloudWatchLogsFullAccess"]));
    fixture.deleted("orders").await?;
    assert_eq!(fixture.holds("444455556666"), (0, 0));
    Ok(())
}
