//! Changes that meet: what the operator has not seen yet must not open an account, nor undo a handover.

use anyhow::{Context, Result, ensure};
use aurora_test_support::apiserver_proxy::Ending;
use aurora_test_support::wait::wait_for;
use serde_json::json;

use crate::fixture::{Fixture, LIMIT, is_about};

const ID: &str = "111111111111";

/// As after the namespace was deleted and created again without its label: the objects of the new one arrive before the
/// watch of namespaces brings the change.
#[tokio::test]
async fn a_label_that_is_gone_admits_nothing_new_also_before_the_watch_says_so() -> Result<()> {
    let mut fixture = Fixture::with(&[]).prepare().await?;
    let team = fixture.unique("team");
    let ns = fixture.namespace().to_owned();
    fixture.kubectl(&["label", "ns", &ns, &format!("team={team}")]).await?;
    let proxy = fixture.start_behind_proxy().await?;
    let selector = json!({ "names": null, "selector": { "matchLabels": { "team": team } } });
    let account = fixture.account("prod", ID, json!({ "allowedNamespaces": selector })).await?;
    fixture.applied("before", json!({ "accountRef": { "name": account } })).await?;

    proxy.end_watches("namespaces", Ending::Silent);
    fixture.kubectl(&["label", "ns", &ns, "team-"]).await?;
    let mark = fixture.mark();
    fixture.apply("after", json!({ "accountRef": { "name": account } })).await?;
    let message = fixture.refusal("after", "NotPermitted").await?;
    ensure!(message.contains("guardrail allowedNamespaces"), "{message}");
    let calls = fixture.calls_in(ID, mark);
    ensure!(!calls.iter().any(|call| call.resource.ends_with(&fixture.name("after"))), "{calls:?}");
    fixture.finish().await
}

#[tokio::test]
async fn a_deletion_keeps_what_is_being_handed_over() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    fixture.applied("orders", json!({})).await?;
    let (name, arn) = (fixture.name("orders"), fixture.policy_arn("orders"));
    let consent = fixture.consent("heir");
    fixture.by_hand(|iam| iam.tag_role(&name, &consent))?;
    fixture.by_hand(|iam| iam.tag_policy(&arn, &consent))?;
    fixture.deleted("orders").await?;
    ensure!(fixture.role("orders").is_ok() && fixture.policy("orders").is_ok());
    wait_for("an event that tells of it", LIMIT, async || {
        let events = fixture.events().await?;
        let told = events.iter().find(|event| is_about(event, "orders", "Deleted")).context("no event")?;
        let note = told.note.as_deref().unwrap_or_default();
        ensure!(note.contains("offers it to another object"), "{note}");
        Ok(())
    })
    .await?;
    let heir = json!({ "policyName": name, "roleName": name, "adoptionPolicy": "Tagged" });
    fixture.applied("heir", heir).await?;
    fixture.deleted("heir").await?;
    fixture.nothing_left("orders")?;
    fixture.finish().await
}
