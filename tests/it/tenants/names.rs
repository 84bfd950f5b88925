//! Names in AWS, and policies of others as a boundary.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::fixture::Fixture;

#[tokio::test]
async fn a_default_name_of_another_namespace_cannot_be_taken() -> Result<()> {
    let fixture = Fixture::with(&[]).namespaces(2).start().await?;
    let (other, victim) = (&fixture.namespaces[1], format!("{}/orders", fixture.namespaces[1]));
    let theirs = format!("{other}.orders");
    fixture.apply("squatter", json!({ "policyName": theirs, "roleName": theirs.to_uppercase() })).await?;
    let message = fixture.refusal("squatter", "Conflict").await?;
    ensure!(message.contains(&format!("is reserved for objects in namespace {other}")), "{message}");
    fixture.applied(&victim, json!({})).await?;
    let status = fixture.status(&victim).await?;
    assert_eq!(status["role"]["name"], theirs.as_str());
    fixture.deleted("squatter").await?;
    ensure!(fixture.iam().get_role(&theirs).is_ok());
    fixture.finish().await
}

#[tokio::test]
async fn a_policy_of_another_object_is_no_boundary_and_its_owner_can_delete_it() -> Result<()> {
    let fixture = Fixture::with(&[]).namespaces(2).start().await?;
    let victim = format!("{}/orders", fixture.namespaces[1]);
    let status = fixture.applied(&victim, json!({})).await?;
    fixture.apply("holder", json!({ "permissionsBoundary": status["policy"]["arn"] })).await?;
    let message = fixture.refusal("holder", "InvalidSpec").await?;
    ensure!(message.contains("spec.permissionsBoundary") && message.contains("use another policy"), "{message}");
    fixture.deleted(&victim).await?;
    fixture.finish().await
}
