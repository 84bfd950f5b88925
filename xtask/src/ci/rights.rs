//! The operator's rights in Kubernetes against the API server's audit log of a whole run of the tests: every right that
//! `deploy/` grants is used there, and nothing that the operator asked for was refused for want of one.

use anyhow::{Context, Result, ensure};
use aurora_test_support::recording::audit_path;
use aurora_test_support::rights::{granted_to_the_operator, requests};
use serde_json::Value;

use super::{process, say, suite};

/// Fewer than this is no whole run.
const LEAST_REQUESTS: usize = 1_000;

pub(super) async fn check() -> Result<()> {
    suite::recorded().await?;
    let text = process::read(&audit_path()).context("the tests ran on a cluster without an audit log of ours")?;
    let events: Vec<Value> =
        text.lines().map(serde_json::from_str).collect::<Result<_, _>>().context("the audit log")?;
    let (found, rights) = (requests(&events), granted_to_the_operator()?);
    say(&format!(
        "{} requests of operators in an audit log of {}: {} lacked a right, {} were refused by admission",
        found.count,
        events.len(),
        found.refused.len(),
        found.refused_by_admission
    ));
    ensure!(found.count >= LEAST_REQUESTS, "that is no whole run");
    ensure!(found.refused.is_empty(), "refused:\n{}", found.refused.join("\n"));
    let idle: Vec<_> = rights.difference(&found.used).collect();
    ensure!(idle.is_empty(), "granted and not used: {idle:#?}");
    say(&format!("each of {} rights granted is used", rights.len()));
    Ok(())
}
