//! An `AwsAccount` from its making to its end.

use anyhow::{Result, ensure};
use aurora_test_support::wait::wait_for;
use serde_json::json;

use super::bench::{Bench, LIMIT, role_arn, start_operator};

const ID: &str = "111111111111";

#[tokio::test]
async fn the_status_of_an_account_says_who_we_are_and_who_uses_it_and_then_is_quiet() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    let account = bench.account("prod", ID, json!({})).await?;
    let status = bench.wait_account(&account, "InSync").await?.status.unwrap_or_default();
    let arn = format!("arn:aws:sts::{ID}:assumed-role/aurora-log-export-operator-member/aurora-log-export-operator");
    assert_eq!(status.caller_arn.as_deref(), Some(arn.as_str()));
    assert_eq!(status.service_linked_role, Some(false));
    let scan = status.drift_scan.unwrap_or_default();
    assert!(scan.contains(": "), "a mode and why: {scan:?}");
    bench.policy(bench.ns(), "orders", json!({ "accountRef": { "name": account } })).await?;
    bench.wait_policy(bench.ns(), "orders", "InSync").await?;
    assert_eq!(bench.holds(ID), (1, 1));
    let counted = wait_for("the count of policies", LIMIT, async || {
        let object = bench.accounts().get(&account).await?;
        ensure!(object.status.as_ref().is_some_and(|status| status.policies == Some(1)), "{object:?}");
        Ok(object)
    })
    .await?;
    // Ten more looks at the policy, and nobody has anything to say about the account.
    let mark = bench.server.gate().last_seq();
    wait_for("ten looks", LIMIT, async || {
        let looks = bench.iam_calls_since(mark, ID).iter().filter(|call| call.action == "GetRole").count();
        ensure!(looks >= 10, "{looks} looks");
        Ok(())
    })
    .await?;
    let later = bench.accounts().get(&account).await?;
    assert_eq!(later.metadata.resource_version, counted.metadata.resource_version);
    let events = bench
        .env
        .kubectl(&[
            "get",
            "events.events.k8s.io",
            "-n",
            "default",
            "-o",
            "jsonpath={range .items[*]}{.regarding.name} {.reason}{\"\\n\"}{end}",
        ])
        .await?;
    let told: Vec<_> = events.lines().filter(|line| line.starts_with(&format!("{account} "))).collect();
    assert_eq!(told, [format!("{account} InSync")]);
    bench.delete_policy(bench.ns(), "orders").await?;
    bench.delete_account(&account).await
}

#[tokio::test]
async fn an_account_stays_while_policies_use_it_and_says_which() -> Result<()> {
    let bench = Bench::start(2, &[]).await?;
    let account = bench.account("prod", ID, json!({})).await?;
    let (team, stranger) = (bench.namespaces[0].clone(), bench.namespaces[1].clone());
    bench.policy(&team, "orders", json!({ "accountRef": { "name": account } })).await?;
    bench.policy(&stranger, "visitor", json!({ "accountRef": { "name": account } })).await?;
    bench.wait_policy(&team, "orders", "InSync").await?;
    bench.wait_policy(&stranger, "visitor", "NotPermitted").await?;
    bench.accounts().delete(&account, &Default::default()).await?;
    let held = bench.wait_account(&account, "InUse").await?;
    let conditions = held.status.unwrap_or_default().conditions;
    assert!(conditions[0].message.contains(&format!("{team}/orders")), "{conditions:?}");
    assert!(!conditions[0].message.contains("visitor"), "{conditions:?}");
    assert_eq!(conditions[1].type_, "Reconciling", "{conditions:?}");
    // Its policy still works, and goes; then it goes by itself.
    bench.delete_policy(&team, "orders").await?;
    assert_eq!(bench.holds(ID), (0, 0));
    bench.wait_account_gone(&account).await?;
    let message = bench.wait_policy(&stranger, "visitor", "AccountNotReady").await?;
    assert!(message.contains("does not exist"), "{message}");
    bench.delete_policy(&stranger, "visitor").await
}

#[tokio::test]
async fn an_operator_that_starts_lets_no_account_go_before_it_knows_the_policies() -> Result<()> {
    let mut bench = Bench::start(2, &[]).await?;
    let team = bench.namespaces[1].clone();
    let account = bench.account("prod", ID, json!({ "allowedNamespaces": { "names": [team] } })).await?;
    bench.policy(&team, "orders", json!({ "accountRef": { "name": account } })).await?;
    bench.wait_policy(&team, "orders", "InSync").await?;
    for _ in 0..3 {
        let next = start_operator(bench.env, &bench.namespaces, &bench.server, &[]).await?;
        std::mem::replace(&mut bench.operator, next).stop().await?;
        bench.accounts().delete(&account, &Default::default()).await?;
        bench.wait_account(&account, "InUse").await?;
    }
    let ready = bench.policies(&team).get("orders").await?.status.unwrap_or_default().conditions;
    assert_eq!(ready[0].reason, "InSync", "a restart judges nothing that it has not seen: {ready:?}");
    bench.delete_policy(&team, "orders").await?;
    bench.wait_account_gone(&account).await
}

#[tokio::test]
async fn an_edited_account_is_entered_anew() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    let account = bench.account("prod", ID, json!({})).await?;
    bench.wait_account(&account, "InSync").await?;
    let other = role_arn(ID).replace("member", "other");
    bench.account("prod", ID, json!({ "assumeRole": { "roleArn": other, "sessionName": "exports" } })).await?;
    wait_for("the other caller", LIMIT, async || {
        let status = bench.accounts().get(&account).await?.status.unwrap_or_default();
        let caller = status.caller_arn.unwrap_or_default();
        ensure!(caller.ends_with("assumed-role/aurora-log-export-operator-other/exports"), "{caller}");
        Ok(())
    })
    .await?;
    bench.delete_account(&account).await
}
