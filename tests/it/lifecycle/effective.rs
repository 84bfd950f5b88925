//! `Effective`: is there a service-linked role that overrides ours?

use anyhow::{Result, ensure};
use aurora_test_support::iam_model::faults::{Effect, Rule};
use serde_json::json;

use super::{contested, start};
use crate::fixture::{ACCOUNT, Fixture, message_of};

const SERVICE_LINKED: &str = "AWSServiceRoleForRDS";

fn asked(fixture: &Fixture<'_>) -> usize {
    let calls = fixture.aws.gate().calls_since(0);
    calls.iter().filter(|call| call.resource == SERVICE_LINKED).count()
}

#[tokio::test]
async fn without_the_service_linked_role_ours_is_effective_and_the_account_is_asked_once() -> Result<()> {
    let fixture = start().await?;
    for name in ["a", "b", "c"] {
        fixture.applied(name, json!({})).await?;
        fixture.until(name, "Effective", "True", "NoServiceLinkedRole").await?;
    }
    assert_eq!(asked(&fixture), 1, "once for the account, not once an object");
    fixture.finish().await
}

#[tokio::test]
async fn the_service_linked_role_overrides_ours_and_ready_does_not_care() -> Result<()> {
    let mut fixture = contested(&[]).prepare().await?;
    fixture.aws.world().account(ACCOUNT).lock().plant_service_linked_role(SERVICE_LINKED, "rds.amazonaws.com");
    fixture.start_operator().await?;
    fixture.applied("a", json!({})).await?;
    let status = fixture.until("a", "Effective", "False", "ServiceLinkedRoleOverrides").await?;
    ensure!(message_of(&status, "Effective").contains(SERVICE_LINKED), "{status}");
    fixture.finish().await
}

#[tokio::test]
async fn without_the_permission_to_read_it_effective_is_unknown_and_ready_stays_true() -> Result<()> {
    let mut fixture = contested(&[]).prepare().await?;
    let denied = Rule::new(Effect::AccessDenied, &["GetRole"]).about(SERVICE_LINKED);
    fixture.set_faults([denied]);
    fixture.start_operator().await?;
    for name in ["a", "b"] {
        fixture.applied(name, json!({})).await?;
        fixture.until(name, "Effective", "Unknown", "Unknown").await?;
    }
    assert_eq!(asked(&fixture), 1, "a refusal is remembered as well");
    fixture.finish().await
}
