//! `Effective`: whether anything uses the role, by what IAM says of its last use.

use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::start;
use crate::fixture::{Fixture, actions, message_of};

/// As RDS does, so many days ago.
fn assumed(fixture: &Fixture<'_>, object: &str, days_ago: i64) -> Result<()> {
    let at = Timestamp::now() - SignedDuration::from_hours(24 * days_ago);
    let name = fixture.name(object);
    fixture.by_hand(|iam| iam.assumed(&name, u64::try_from(at.as_millisecond()).unwrap_or_default()))
}

#[tokio::test]
async fn a_role_is_effective_while_iam_reports_its_use_and_ready_does_not_care() -> Result<()> {
    let fixture = start().await?;
    let status = fixture.applied("a", json!({})).await?;
    let message = message_of(&status, "Effective");
    for part in
        ["aws_default_logs_role=arn:aws:iam::", "server_audit_logs_upload=1", "use AWSServiceRoleForRDS instead"]
    {
        ensure!(message.contains(part), "{message}");
    }
    fixture.until("a", "Effective", "Unknown", "NotAssumed").await?;
    assumed(&fixture, "a", 1)?;
    fixture.until("a", "Effective", "True", "RoleAssumed").await?;
    // A later use is no news.
    assumed(&fixture, "a", 0)?;
    let before = fixture.object("a").await?;
    fixture.resyncs(2).await?;
    assert_eq!(fixture.object("a").await?.metadata.resource_version, before.metadata.resource_version);
    assumed(&fixture, "a", 8)?;
    fixture.until("a", "Effective", "Unknown", "NotAssumed").await?;
    fixture.ready("a").await?;
    fixture.finish().await
}

#[tokio::test]
async fn an_answer_without_the_last_use_leaves_effective_unknown() -> Result<()> {
    let fixture = start().await?;
    fixture.applied("a", json!({})).await?;
    let name = fixture.name("a");
    fixture.by_hand(|iam| iam.withhold_last_use(&name))?;
    fixture.until("a", "Effective", "Unknown", "Unknown").await?;
    fixture.ready("a").await?;
    fixture.finish().await
}

#[tokio::test]
async fn a_sweep_notices_the_first_use_of_a_role() -> Result<()> {
    let fixture = Fixture::with(&["--drift-scan=bulk"]).start().await?;
    fixture.applied_many(2).await?;
    assumed(&fixture, "o1", 0)?;
    fixture.until("o1", "Effective", "True", "RoleAssumed").await?;
    fixture.until("o0", "Effective", "Unknown", "NotAssumed").await?;
    // Then both are in sync again, and sweeps are all that is asked.
    let sweeps = async |least: usize| {
        let mark = fixture.mark();
        let asked = || actions(fixture.iam_calls(mark));
        fixture.eventually_true("sweeps", || Ok(asked().len() >= least)).await?;
        anyhow::Ok(asked())
    };
    sweeps(2).await?;
    let asked = sweeps(3).await?;
    ensure!(asked.iter().all(|action| action == "GetAccountAuthorizationDetails"), "{asked:?}");
    fixture.finish().await
}
