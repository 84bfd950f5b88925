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

/// What an object leaves in AWS keeps its owner's tags. The next object of that name is told both ways to get it.
#[tokio::test]
async fn a_name_that_an_object_left_behind_can_be_had_again() -> Result<()> {
    let fixture = Fixture::with(&[]).namespaces(2).start().await?;
    for (way, last) in [
        ("abandon", json!({})),
        ("retain", json!({ "deletionPolicy": "Retain" })),
        ("observe", json!({ "managementPolicy": "Observe" })),
    ] {
        let name = fixture.unique(way);
        let names = |mut spec: serde_json::Value| {
            spec["policyName"] = json!(name);
            spec["roleName"] = json!(name);
            spec
        };
        fixture.applied(way, names(json!({}))).await?;
        fixture.applied(way, names(last)).await?;
        if way == "abandon" {
            fixture.annotate(way, "auroralogexport.dev/abandon", "true").await?;
        }
        fixture.deleted(way).await?;
        let next = format!("{}/{way}", fixture.namespaces[1]);
        fixture.apply(&next, names(json!({ "adoptionPolicy": "Tagged" }))).await?;
        let message = fixture.refusal(&next, "Conflict").await?;
        for hint in ["does not exist any more, delete the resource in AWS", "auroralogexport.dev/adoptable-by"] {
            ensure!(message.contains(hint), "{way}: {message}");
        }
        let arn = fixture.policy_arn(way).replace(&fixture.name(way), &name);
        if way == "abandon" {
            fixture.by_hand(|iam| iam.detach_role_policy(&name, &arn))?;
            fixture.by_hand(|iam| iam.delete_role(&name))?;
            fixture.by_hand(|iam| iam.delete_policy(&arn))?;
        } else {
            let consent = fixture.consent(&next);
            fixture.by_hand(|iam| iam.tag_role(&name, &consent))?;
            fixture.by_hand(|iam| iam.tag_policy(&arn, &consent))?;
        }
        fixture.nudge(&next).await?;
        fixture.ready(&next).await?;
        fixture.deleted(&next).await?;
        ensure!(fixture.iam().get_role(&name).is_err(), "{way}: the role is left");
    }
    fixture.finish().await
}

#[tokio::test]
async fn a_message_does_not_tell_an_account_of_others_from_none() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let theirs =
        fixture.account("prod", "111111111111", json!({ "allowedNamespaces": { "names": ["other"] } })).await?;
    fixture.apply("exists", json!({ "accountRef": { "name": theirs } })).await?;
    fixture.apply("missing", json!({ "accountRef": { "name": "no-such-account" } })).await?;
    let exists = fixture.refusal("exists", "NotPermitted").await?;
    let missing = fixture.refusal("missing", "AccountNotReady").await?;
    assert_eq!(exists.replace(&theirs, "NAME"), missing.replace("no-such-account", "NAME"));
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
    // Outside of the operator's path, too.
    let status = fixture.applied(&victim, json!({ "policyPath": "/elsewhere/", "rolePath": "/elsewhere/" })).await?;
    fixture.apply("another", json!({ "permissionsBoundary": status["policy"]["arn"] })).await?;
    let message = fixture.refusal("another", "InvalidSpec").await?;
    ensure!(message.contains("spec.permissionsBoundary is the policy of another object"), "{message}");
    fixture.deleted(&victim).await?;
    fixture.finish().await
}
