//! Load that one namespace makes: it takes turns with the others, and is kept in no more memory than it needs. The figures
//! at full size are in `cargo xtask bench --tenants`.

use anyhow::{Context, Result, ensure};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::fixture::Fixture;

#[tokio::test]
async fn an_edit_does_not_wait_for_the_deletions_of_another_namespace() -> Result<()> {
    const OBJECTS: usize = 40;
    let mut fixture = Fixture::with(&[]).namespaces(2).start().await?;
    fixture.applied_many(OBJECTS).await?;
    let bystander = format!("{}/orders", fixture.namespaces[1]);
    fixture.applied(&bystander, json!({})).await?;
    // All deletions take 24 seconds then.
    fixture.restart_with(&["--iam-writes-per-second=5"]).await?;
    fixture.api().delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
    fixture.applied(&bystander, json!({ "description": "edited" })).await?;
    let left = fixture.objects().await?.len();
    ensure!(left > OBJECTS / 2, "the edit waited until {left} of {OBJECTS} objects were left");
    fixture.finish().await
}

#[tokio::test]
async fn metadata_of_an_object_is_not_kept_and_too_many_finalizers_are_refused() -> Result<()> {
    const OBJECTS: usize = 120;
    const SIZE: usize = 250_000;
    let fixture = Fixture::with(&[]).namespaces(2).start().await?;
    let bystander = format!("{}/orders", fixture.namespaces[1]);
    fixture.applied(&bystander, json!({})).await?;
    let before = resident(fixture.operator()?.id())?;
    let text = "x".repeat(SIZE);
    for number in 0..OBJECTS {
        let annotations = json!({ "annotations": { "example.com/text": text } });
        fixture.apply_with(&format!("o{number}"), annotations, json!({ "suspend": true })).await?;
    }
    let finalizers: Vec<_> = (0..100).map(|number| format!("example.com/{number}")).collect();
    fixture.apply_with("held", json!({ "finalizers": finalizers }), json!({})).await?;
    let message = fixture.refusal("held", "InvalidSpec").await?;
    ensure!(message.contains("finalizers"), "{message}");
    fixture.applied(&bystander, json!({ "description": "edited" })).await?;
    let growth = resident(fixture.operator()?.id())?.saturating_sub(before);
    ensure!(growth < OBJECTS * SIZE / 2, "{growth} bytes for {OBJECTS} objects with {SIZE} bytes each");
    fixture.apply_with("held", json!({ "finalizers": [] }), json!({})).await?;
    fixture.ready("held").await?;
    fixture.finish().await
}

#[tokio::test]
async fn names_of_accounts_that_do_not_exist_leave_no_trace() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    for number in 0..20 {
        let name = format!("o{number}");
        fixture.apply(&name, json!({ "accountRef": { "name": format!("none-{number}") } })).await?;
        fixture.not_ready(&name, "AccountNotReady").await?;
    }
    let page = fixture.operator()?.metrics().await?;
    ensure!(!page.contains("none-"), "{page}");
    let log = fixture.operator()?.log_text()?;
    ensure!(!log.contains("drift scan mode changed account=none-"), "{log}");
    fixture.finish().await
}

impl Fixture<'_> {
    /// Applies an object with this metadata.
    async fn apply_with(&self, name: &str, mut metadata: Value, spec: Value) -> Result<()> {
        metadata["name"] = json!(name);
        let body = json!({ "apiVersion": "auroralogexport.dev/v1alpha1", "kind": "AuroraLogExportPolicy",
                           "metadata": metadata, "spec": spec });
        self.api().patch(name, &PatchParams::apply("aurora-test").force(), &Patch::Apply(&body)).await?;
        Ok(())
    }
}

/// Resident memory of a process, in bytes.
fn resident(pid: u32) -> Result<usize> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<usize>()? * 1024)
}
