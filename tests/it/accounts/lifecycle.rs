//! An `AwsAccount` from its creation to its deletion.

use anyhow::{Result, ensure};
use aurora_test_support::wait::wait_for;
use serde_json::json;

use super::objects::{of_account, role_arn};
use crate::fixture::{Fixture, LIMIT, message};

const ID: &str = "111111111111";

#[tokio::test]
async fn the_status_of_an_account_says_who_we_are_and_who_uses_it_and_then_is_quiet() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let account = fixture.account("prod", ID, json!({})).await?;
    let status = fixture.account_ready(&account).await?;
    let arn = format!("arn:aws:sts::{ID}:assumed-role/aurora-log-export-operator-member/aurora-log-export-operator");
    assert_eq!(status["callerArn"], arn);
    assert_eq!(status["serviceLinkedRole"], false);
    let scan = status["driftScan"].as_str().unwrap_or_default();
    assert!(scan.contains(": "), "a mode and why: {scan:?}");
    fixture.applied("orders", of_account(&account)).await?;
    assert_eq!(fixture.holds(ID), (1, 1));
    let counted = wait_for("the count of policies", LIMIT, async || {
        let object = fixture.accounts().get(&account).await?;
        ensure!(object.data["status"]["policies"] == 1, "{object:?}");
        Ok(object)
    })
    .await?;
    // Ten more resyncs of the policy change nothing about the account.
    fixture.resyncs(10).await?;
    let later = fixture.accounts().get(&account).await?;
    assert_eq!(later.metadata.resource_version, counted.metadata.resource_version);
    let reasons = "jsonpath={range .items[*]}{.regarding.name} {.reason}{\"\\n\"}{end}";
    let events = fixture.env.kubectl(&["get", "events.events.k8s.io", "-n", "default", "-o", reasons]).await?;
    let told: Vec<_> = events.lines().filter(|line| line.starts_with(&format!("{account} "))).collect();
    assert_eq!(told, [format!("{account} InSync")]);
    fixture.deleted("orders").await?;
    fixture.account_deleted(&account).await
}

#[tokio::test]
async fn an_account_stays_while_policies_use_it_and_says_which() -> Result<()> {
    let fixture = Fixture::with(&[]).namespaces(2).start().await?;
    let account = fixture.account("prod", ID, json!({})).await?;
    let visitor = format!("{}/visitor", fixture.namespaces[1]);
    fixture.apply(&visitor, of_account(&account)).await?;
    fixture.applied("orders", of_account(&account)).await?;
    fixture.not_ready(&visitor, "NotPermitted").await?;
    fixture.delete_account(&account).await?;
    let status = fixture.account_not_ready(&account, "InUse").await?;
    assert!(message(&status).contains(&format!("{}/orders", fixture.namespace())), "{status}");
    assert!(!message(&status).contains("visitor"), "{status}");
    assert_eq!(status["conditions"][1]["type"], "Reconciling", "{status}");
    // Its policy still works and can be deleted; then the account is deleted by itself.
    fixture.deleted("orders").await?;
    assert_eq!(fixture.holds(ID), (0, 0));
    fixture.account_gone(&account).await?;
    let message = fixture.refusal(&visitor, "AccountNotReady").await?;
    assert!(message.contains("does not exist"), "{message}");
    fixture.deleted(&visitor).await
}

#[tokio::test]
async fn an_operator_that_starts_lets_no_account_go_before_it_knows_the_policies() -> Result<()> {
    let mut fixture = Fixture::with(&[]).namespaces(2).start().await?;
    let team = fixture.namespaces[1].clone();
    let orders = format!("{team}/orders");
    let account = fixture.account("prod", ID, json!({ "allowedNamespaces": { "names": [team] } })).await?;
    fixture.applied(&orders, of_account(&account)).await?;
    for _ in 0..3 {
        fixture.restart_with(&[]).await?;
        fixture.delete_account(&account).await?;
        fixture.account_not_ready(&account, "InUse").await?;
    }
    let status = fixture.status(&orders).await?;
    assert_eq!(status["conditions"][0]["reason"], "InSync", "the restart changed the status: {status}");
    fixture.deleted(&orders).await?;
    fixture.account_gone(&account).await
}

#[tokio::test]
async fn an_edited_account_is_entered_anew() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let account = fixture.account("prod", ID, json!({})).await?;
    fixture.account_ready(&account).await?;
    let other = role_arn(ID).replace("member", "other");
    fixture.account("prod", ID, json!({ "assumeRole": { "roleArn": other, "sessionName": "exports" } })).await?;
    wait_for("the other caller", LIMIT, async || {
        let status = fixture.account_status(&account).await?;
        let caller = status["callerArn"].as_str().unwrap_or_default();
        ensure!(caller.ends_with("assumed-role/aurora-log-export-operator-other/exports"), "{caller}");
        Ok(())
    })
    .await?;
    fixture.account_deleted(&account).await
}
