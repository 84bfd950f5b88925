//! `Effective`: is there a service-linked role that overrides ours?

use anyhow::{Result, ensure};
use aurora_test_support::iam_model::faults::{Effect, FaultPlan, Rule};
use serde_json::json;

use super::stage::{ACCOUNT, Stage, message};

const SERVICE_LINKED: &str = "AWSServiceRoleForRDS";

fn asked(stage: &Stage) -> usize {
    let calls = stage.server.gate().calls_since(0);
    calls.iter().filter(|call| call.resource == SERVICE_LINKED).count()
}

#[tokio::test]
async fn without_the_service_linked_role_ours_is_effective_and_the_account_is_asked_once() -> Result<()> {
    let stage = Stage::start().await?;
    for name in ["a", "b", "c"] {
        stage.applied(name, json!({})).await?;
        stage.until(name, "Effective", "True", "NoServiceLinkedRole").await?;
    }
    assert_eq!(asked(&stage), 1, "once for the account, not once an object");
    stage.finish().await
}

#[tokio::test]
async fn the_service_linked_role_overrides_ours_and_ready_does_not_care() -> Result<()> {
    let mut stage = Stage::without_operator(&["--drift-check-interval=1s"]).await?;
    stage.server.world().account(ACCOUNT).lock().plant_service_linked_role(SERVICE_LINKED, "rds.amazonaws.com");
    stage.start_operator().await?;
    stage.applied("a", json!({})).await?;
    let status = stage.until("a", "Effective", "False", "ServiceLinkedRoleOverrides").await?;
    ensure!(message(&status, "Effective").contains(SERVICE_LINKED), "{status}");
    stage.finish().await
}

#[tokio::test]
async fn where_the_look_is_not_allowed_it_is_unknown_and_ready_does_not_care() -> Result<()> {
    let mut stage = Stage::without_operator(&["--drift-check-interval=1s"]).await?;
    let denied = Rule::new(Effect::AccessDenied, &["GetRole"]).about(SERVICE_LINKED);
    stage.server.gate().set_faults(FaultPlan::of(1, vec![denied]));
    stage.start_operator().await?;
    for name in ["a", "b"] {
        stage.applied(name, json!({})).await?;
        stage.until(name, "Effective", "Unknown", "Unknown").await?;
    }
    assert_eq!(asked(&stage), 1, "a refusal is remembered as well");
    stage.finish().await
}
