//! What users of comparable operators suffer from, each named after its symptom.

use anyhow::{Result, ensure};
use aurora_test_support::iam_model::faults::{Effect, FaultPlan, RateLimit, Rule};
use kube::api::ListParams;
use serde_json::json;

use super::bystanders::CONTESTED;
use super::stage::{Stage, condition, message};

#[tokio::test]
async fn entity_already_exists_after_a_crash_between_create_and_status() -> Result<()> {
    let mut stage = Stage::without_operator(&["--drift-check-interval=1s"]).await?;
    let slow = Effect::Latency { ms: 60_000, jitter_ms: 0 };
    stage.server.gate().set_faults(FaultPlan::of(1, vec![Rule::new(slow, &["AttachRolePolicy"])]));
    stage.start_operator().await?;
    stage.apply("a", json!({})).await?;
    stage
        .eventually("policy and role, not yet attached", || {
            stage.role("a")?;
            stage.policy("a")?;
            Ok(())
        })
        .await?;
    if let Some(operator) = stage.operator.take() {
        operator.kill()?;
    }
    stage.server.gate().clear_faults();
    let ids = (stage.role("a")?.id, stage.policy("a")?.id);
    stage.start_operator().await?;
    stage.ready("a").await?;
    assert_eq!((stage.role("a")?.id, stage.policy("a")?.id), ids);
    stage.deleted("a").await?;
    stage.nothing_left("a")?;
    stage.finish().await
}

#[tokio::test]
async fn a_role_it_never_created_was_deleted_after_a_rename() -> Result<()> {
    let stage = Stage::start().await?;
    stage.applied("a", json!({})).await?;
    stage.foreign_role("b", super::stage::RDS_TRUST, &super::stage::tags(&[]))?;
    for field in ["roleName", "policyName"] {
        let refused = stage.apply("a", json!({ field: stage.name("b") })).await;
        let said = refused.err().map(|error| error.to_string()).unwrap_or_default();
        ensure!(said.contains(field) && said.contains("cannot be changed"), "{said}");
    }
    stage.deleted("a").await?;
    stage.role("b")?;
    stage.finish().await
}

#[tokio::test]
async fn timestamps_of_conditions_change_with_every_loop() -> Result<()> {
    let stage = Stage::start().await?;
    let writes = stage.metric("auroralogexport_status_writes_total", &[]).await?;
    stage.applied("a", json!({})).await?;
    let before = stage.api().get("a").await?;
    let writes = stage.metric("auroralogexport_status_writes_total", &[]).await? - writes;
    let mark = stage.mark();
    stage
        .eventually("five more looks", || {
            ensure!(stage.iam_calls(mark).iter().filter(|call| call.action == "GetPolicy").count() >= 5);
            Ok(())
        })
        .await?;
    let after = stage.api().get("a").await?;
    assert_eq!(after.metadata.resource_version, before.metadata.resource_version);
    assert_eq!(after.data["status"], before.data["status"]);
    ensure!(writes <= 2.0, "{writes} status writes to create one object");
    assert_eq!(stage.writes(mark), Vec::<String>::new());
    stage.finish().await
}

#[tokio::test]
async fn a_write_a_second_for_every_role_because_json_differs_in_form() -> Result<()> {
    let stage = Stage::start().await?;
    stage.applied("a", json!({ "scope": { "regions": ["us-east-1", "eu-west-1"] } })).await?;
    // The same meaning in another form: keys, statements and lists turned around, Sids gone, actions in other case.
    let mut document: serde_json::Value = serde_json::from_str(&stage.document("a")?)?;
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
    let (arn, name) = (stage.policy_arn("a"), stage.name("a"));
    let trust = stage.role("a")?.trust.as_str().replace("\"sts:AssumeRole\"", "[\"STS:assumerole\"]");
    let text = serde_json::to_string_pretty(&document)?;
    stage.by_hand(|iam| iam.create_policy_version(&arn, &text, true))?;
    stage.by_hand(|iam| iam.update_assume_role_policy(&name, &trust))?;
    let mark = stage.mark();
    stage
        .eventually("five more looks", || {
            ensure!(stage.iam_calls(mark).iter().filter(|call| call.action == "GetPolicy").count() >= 5);
            Ok(())
        })
        .await?;
    assert_eq!(stage.writes(mark), Vec::<String>::new());
    assert_eq!(stage.policy("a")?.default_version, "v2");
    stage.ready("a").await?;
    stage.finish().await
}

#[tokio::test]
async fn terminal_errors_are_not_retried_until_the_pod_restarts() -> Result<()> {
    let stage = Stage::start().await?;
    let denied = Rule::new(Effect::AccessDenied, &["CreateRole"]);
    stage.server.gate().set_faults(FaultPlan::of(1, vec![denied]));
    stage.apply("a", json!({})).await?;
    let status = stage.until("a", "Ready", "False", "AccessDenied").await?;
    let said = message(&status, "Ready");
    ensure!(said.contains("CreateRole"), "it names the action: {said}");
    ensure!(condition(&status, "Stalled").is_some() && condition(&status, "Reconciling").is_none());
    // The permission is granted in AWS; nobody touches the object.
    stage.server.gate().clear_faults();
    stage.ready("a").await?;
    stage.finish().await
}

#[tokio::test]
async fn wedged_under_throttling() -> Result<()> {
    let stage = Stage::still().await?;
    stage.server.gate().set_faults(FaultPlan {
        rate_limit: Some(RateLimit {
            reads_per_second: 20.0,
            read_burst: 10.0,
            writes_per_second: 10.0,
            write_burst: 5.0,
        }),
        ..FaultPlan::none()
    });
    for number in 0..10 {
        stage.apply(&format!("a{number}"), json!({})).await?;
    }
    for number in 0..10 {
        stage.ready(&format!("a{number}")).await?;
    }
    let throttled = stage.server.gate().outcomes().get("Throttling").copied().unwrap_or_default();
    ensure!(throttled > 0, "the limit was never reached");
    stage.finish().await
}

#[tokio::test]
async fn the_wrong_account_was_used() -> Result<()> {
    let mut stage = Stage::with(&["--drift-check-interval=1s", "--account-id=999999999999"]).await?;
    let before = stage.iam().snapshot();
    stage.apply("a", json!({})).await?;
    stage.until("a", "Ready", "False", "AccountNotReady").await?;
    assert_eq!(stage.iam().snapshot(), before);
    stage.restart_with(&["--drift-check-interval=1s"]).await?;
    stage.ready("a").await?;
    // Credentials of another account later: neither writes nor a release. (What never was anywhere may be made there.)
    stage.deleted(CONTESTED).await?;
    stage.stop_operator().await?;
    let world = stage.server.world().clone();
    world.add_key(aurora_test_support::moto::ACCESS_KEY, "444455556666");
    let here = stage.iam().snapshot();
    stage.start_operator().await?;
    let status = stage.until("a", "Ready", "False", "AccountNotReady").await?;
    ensure!(message(&status, "Ready").contains("444455556666"), "{status}");
    stage.delete("a").await?;
    stage.until("a", "Ready", "False", "AccountNotReady").await?;
    assert_eq!(stage.iam().snapshot(), here);
    ensure!(world.account("444455556666").lock().counts() == (0, 0));
    world.add_key(aurora_test_support::moto::ACCESS_KEY, super::stage::ACCOUNT);
    stage.restart_with(&["--drift-check-interval=1s"]).await?;
    stage.gone("a").await?;
    stage.nothing_left("a")?;
    stage.finish().await
}

#[tokio::test]
async fn no_observed_generation_no_columns_no_events() -> Result<()> {
    let stage = Stage::start().await?;
    stage.applied("a", json!({})).await?;
    let object = stage.api().get("a").await?;
    assert_eq!(object.data["status"]["observedGeneration"], json!(object.metadata.generation));
    let namespace = stage.namespace.as_str();
    let table = stage.env.kubectl(&["get", "alep", "a", "-n", namespace]).await?;
    ensure!(table.contains("READY") && table.contains("InSync") && table.contains(&stage.role("a")?.arn), "{table}");
    for reason in ["PolicyCreated", "RoleCreated", "PolicyAttached", "InSync"] {
        stage.event("a", reason).await?;
    }
    let events: kube::Api<k8s_openapi::api::events::v1::Event> = kube::Api::namespaced(stage.client.clone(), namespace);
    let before = events.list(&ListParams::default()).await?.items.len();
    let mark = stage.mark();
    stage
        .eventually("three more looks", || {
            ensure!(stage.iam_calls(mark).iter().filter(|call| call.action == "GetPolicy").count() >= 3);
            Ok(())
        })
        .await?;
    assert_eq!(events.list(&ListParams::default()).await?.items.len(), before, "events come on transitions only");
    stage.finish().await
}
