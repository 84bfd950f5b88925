//! What a namespace may have and detach in an account.

use anyhow::{Result, ensure};
use aurora_log_export_operator::api::FINALIZER;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::fixture::{Fixture, READ_ONLY, actions};

const ID: &str = "111111111111";

#[tokio::test]
async fn a_namespace_has_no_more_objects_than_its_account_allows() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let account = fixture.account("prod", ID, json!({ "guardrails": { "maxObjectsPerNamespace": 2 } })).await?;
    let spec = json!({ "accountRef": { "name": account } });
    // The creation time has seconds only: of equals, the name decides.
    for name in ["a", "b", "c", "d"] {
        fixture.apply(name, spec.clone()).await?;
    }
    fixture.ready("a").await?;
    fixture.ready("b").await?;
    for name in ["c", "d"] {
        let message = fixture.refusal(name, "NotPermitted").await?;
        ensure!(message.contains("(guardrail maxObjectsPerNamespace)"), "{message}");
    }
    assert_eq!(fixture.holds(ID), (2, 2));
    fixture.deleted("a").await?;
    fixture.ready("c").await?;
    fixture.not_ready("d", "NotPermitted").await?;
    fixture.finish().await
}

#[tokio::test]
async fn a_protected_policy_is_reported_and_never_detached() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let guardrails = json!({ "protectedPolicies": ["arn:aws:iam::aws:policy/ReadOnly*"] });
    let account = fixture.account("prod", ID, json!({ "guardrails": guardrails })).await?;
    fixture.applied("a", json!({ "accountRef": { "name": account }, "attachmentPolicy": "Exclusive" })).await?;
    let role = fixture.name("a");
    let iam = fixture.aws.world().account(ID);
    iam.lock().attach_role_policy(&role, READ_ONLY)?;
    fixture.until("a", "Drifted", "True", "UnexpectedAttachments").await?;
    fixture.delete("a").await?;
    let message = fixture.refusal("a", "DeletionBlocked").await?;
    ensure!(message.contains(READ_ONLY) && message.contains("protectedPolicies"), "{message}");
    ensure!(iam.lock().attached_to(&role).contains(&READ_ONLY.to_owned()));
    iam.lock().detach_role_policy(&role, READ_ONLY)?;
    fixture.gone("a").await?;
    fixture.finish().await
}

#[tokio::test]
async fn a_namespace_that_an_account_does_not_admit_causes_no_calls_there() -> Result<()> {
    let fixture = Fixture::with(&[]).namespaces(2).start().await?;
    // Open to the first namespace only.
    let account = fixture.account("prod", ID, json!({})).await?;
    fixture.applied("bystander", json!({ "accountRef": { "name": account } })).await?;
    let attacker = format!("{}/attacker", fixture.namespaces[1]);
    fixture.apply(&attacker, json!({ "accountRef": { "name": account } })).await?;
    fixture.refusal(&attacker, "NotPermitted").await?;
    let finalizers = json!({ "metadata": { "finalizers": [FINALIZER] } });
    let api = fixture.api_in(&fixture.namespaces[1]);
    let mark = fixture.mark();
    api.patch("attacker", &PatchParams::default(), &Patch::Merge(&finalizers)).await?;
    fixture.deleted(&attacker).await?;
    let calls = fixture.calls_in(ID, mark).into_iter().filter(|call| call.resource.contains("attacker"));
    assert_eq!(actions(calls.collect()), Vec::<String>::new());
    fixture.finish().await
}
