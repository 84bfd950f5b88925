//! Known problems of comparable operators, each test named after the symptom.

use anyhow::{Result, ensure};
use aurora_test_support::iam_model::faults::{Effect, FaultPlan, RateLimit, Rule};
use aurora_test_support::moto::ACCESS_KEY;
use serde_json::json;

use super::{contested, start, still};
use crate::fixture::{ACCOUNT, CONTESTED, RDS_TRUST, condition, message, tags};

#[tokio::test]
async fn entity_already_exists_after_a_crash_between_create_and_status() -> Result<()> {
    let mut fixture = contested(&[]).prepare().await?;
    let slow = Effect::Latency { ms: 60_000 };
    fixture.set_faults([Rule::new(slow, &["AttachRolePolicy"])]);
    fixture.start_operator().await?;
    fixture.apply("a", json!({})).await?;
    let created = || Ok(fixture.role("a").is_ok() && fixture.policy("a").is_ok());
    fixture.eventually_true("policy and role, not yet attached", created).await?;
    fixture.kill_operator()?;
    fixture.clear_faults();
    let ids = (fixture.role("a")?.id, fixture.policy("a")?.id);
    fixture.start_operator().await?;
    fixture.ready("a").await?;
    assert_eq!((fixture.role("a")?.id, fixture.policy("a")?.id), ids);
    fixture.deleted("a").await?;
    fixture.nothing_left("a")?;
    fixture.finish().await
}

#[tokio::test]
async fn a_role_it_never_created_was_deleted_after_a_rename() -> Result<()> {
    let fixture = start().await?;
    fixture.applied("a", json!({})).await?;
    fixture.foreign_role("b", RDS_TRUST, &tags(&[]))?;
    for field in ["roleName", "policyName"] {
        let refused = fixture.apply("a", json!({ field: fixture.name("b") })).await;
        let said = refused.err().map(|error| error.to_string()).unwrap_or_default();
        ensure!(said.contains(field) && said.contains("cannot be changed"), "{said}");
    }
    fixture.deleted("a").await?;
    fixture.role("b")?;
    fixture.finish().await
}

#[tokio::test]
async fn timestamps_of_conditions_change_with_every_loop() -> Result<()> {
    let fixture = start().await?;
    let writes = fixture.metric("auroralogexport_status_writes_total", &[]).await?;
    fixture.applied("a", json!({})).await?;
    let before = fixture.object("a").await?;
    let writes = fixture.metric("auroralogexport_status_writes_total", &[]).await? - writes;
    let mark = fixture.mark();
    fixture.resyncs(5).await?;
    let after = fixture.object("a").await?;
    assert_eq!(after.metadata.resource_version, before.metadata.resource_version);
    assert_eq!(after.data["status"], before.data["status"]);
    ensure!(writes <= 2.0, "{writes} status writes to create one object");
    assert_eq!(fixture.writes(mark), []);
    fixture.finish().await
}

#[tokio::test]
async fn a_write_a_second_for_every_role_because_json_differs_in_form() -> Result<()> {
    let fixture = start().await?;
    fixture.applied("a", json!({ "scope": { "regions": ["us-east-1", "eu-west-1"] } })).await?;
    // The same meaning in another form: keys, statements and lists in another order, no Sids, actions in another case.
    let mut document: serde_json::Value = serde_json::from_str(&fixture.document("a")?)?;
    let statements = document["Statement"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let turned = statements.into_iter().rev().map(|mut statement| {
        statement.as_object_mut().map(|fields| fields.remove("Sid"));
        for field in ["Action", "Resource"] {
            let value = statement[field].take();
            let mut list = value.as_array().cloned().unwrap_or_else(|| vec![value]);
            list.reverse();
            statement[field] = json!(list);
        }
        statement
    });
    document["Statement"] = turned.collect();
    let (arn, name) = (fixture.policy_arn("a"), fixture.name("a"));
    let trust = fixture.trust("a")?.replace("\"sts:AssumeRole\"", "[\"STS:assumerole\"]");
    let text = serde_json::to_string_pretty(&document)?;
    fixture.by_hand(|iam| iam.create_policy_version(&arn, &text, true))?;
    fixture.by_hand(|iam| iam.update_assume_role_policy(&name, &trust))?;
    let mark = fixture.mark();
    fixture.resyncs(5).await?;
    assert_eq!(fixture.writes(mark), []);
    assert_eq!(fixture.policy("a")?.default_version, "v2");
    fixture.ready("a").await?;
    fixture.finish().await
}

#[tokio::test]
async fn terminal_errors_are_not_retried_until_the_pod_restarts() -> Result<()> {
    let fixture = start().await?;
    let denied = Rule::new(Effect::AccessDenied, &["CreateRole"]);
    fixture.set_faults([denied]);
    fixture.apply("a", json!({})).await?;
    let status = fixture.not_ready("a", "AccessDenied").await?;
    let said = message(&status);
    ensure!(said.contains("CreateRole"), "it names the action: {said}");
    ensure!(condition(&status, "Stalled").is_some() && condition(&status, "Reconciling").is_none());
    // The permission is granted in AWS; the object does not change.
    fixture.clear_faults();
    fixture.ready("a").await?;
    fixture.finish().await
}

#[tokio::test]
async fn wedged_under_throttling() -> Result<()> {
    let fixture = still().await?;
    fixture.aws.gate().set_faults(FaultPlan {
        rate_limit: Some(RateLimit {
            reads_per_second: 20.0,
            read_burst: 10.0,
            writes_per_second: 10.0,
            write_burst: 5.0,
        }),
        ..FaultPlan::none()
    });
    for number in 0..10 {
        fixture.apply(&format!("a{number}"), json!({})).await?;
    }
    for number in 0..10 {
        fixture.ready(&format!("a{number}")).await?;
    }
    let throttled = fixture.aws.gate().outcomes().get("Throttling").copied().unwrap_or_default();
    ensure!(throttled > 0, "the limit was never reached");
    fixture.finish().await
}

#[tokio::test]
async fn the_wrong_account_was_used() -> Result<()> {
    let mut fixture = contested(&["--account-id=999999999999"]).start().await?;
    let before = fixture.iam().snapshot();
    fixture.apply("a", json!({})).await?;
    fixture.not_ready("a", "AccountNotReady").await?;
    assert_eq!(fixture.iam().snapshot(), before);
    fixture.restart_with(&[]).await?;
    fixture.ready("a").await?;
    // Later, with credentials of another account: no writes, and the finalizer stays. (A new object could be created there.)
    fixture.deleted(CONTESTED).await?;
    fixture.stop_operator().await?;
    let world = fixture.aws.world().clone();
    world.add_key(ACCESS_KEY, "444455556666");
    let here = fixture.iam().snapshot();
    fixture.start_operator().await?;
    let said = fixture.refusal("a", "AccountNotReady").await?;
    ensure!(said.contains("444455556666"), "{said}");
    fixture.delete("a").await?;
    fixture.not_ready("a", "AccountNotReady").await?;
    assert_eq!(fixture.iam().snapshot(), here);
    ensure!(world.account("444455556666").lock().counts() == (0, 0));
    world.add_key(ACCESS_KEY, ACCOUNT);
    fixture.restart_with(&[]).await?;
    fixture.gone("a").await?;
    fixture.nothing_left("a")?;
    fixture.finish().await
}

#[tokio::test]
async fn no_observed_generation_no_columns_no_events() -> Result<()> {
    let fixture = start().await?;
    fixture.applied("a", json!({})).await?;
    let object = fixture.object("a").await?;
    assert_eq!(object.data["status"]["observedGeneration"], json!(object.metadata.generation));
    let table = fixture.kubectl(&["get", "alep", "a"]).await?;
    ensure!(table.contains("READY") && table.contains("InSync") && table.contains(&fixture.role("a")?.arn), "{table}");
    for reason in ["PolicyCreated", "RoleCreated", "PolicyAttached", "InSync"] {
        fixture.event("a", reason).await?;
    }
    let before = fixture.events().await?.len();
    fixture.resyncs(3).await?;
    assert_eq!(fixture.events().await?.len(), before, "events come on transitions only");
    fixture.finish().await
}
