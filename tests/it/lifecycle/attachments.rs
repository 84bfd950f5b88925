//! Policies of others on our role, and the five versions that IAM keeps of ours.

use anyhow::{Result, ensure};
use serde_json::json;

use super::stage::{OTHER_DOCUMENT, READ_ONLY, Stage, drift_fields, message};

#[tokio::test]
async fn additive_reports_the_policies_of_others_and_exclusive_removes_them() -> Result<()> {
    let stage = Stage::start().await?;
    stage.applied("a", json!({})).await?;
    let name = stage.name("a");
    stage.by_hand(|iam| iam.attach_role_policy(&name, READ_ONLY))?;
    stage.by_hand(|iam| iam.put_role_policy(&name, "mine", OTHER_DOCUMENT))?;
    let status = stage.until("a", "Drifted", "True", "UnexpectedAttachments").await?;
    stage.ready("a").await?;
    let said = message(&status, "Drifted");
    ensure!(said.contains(READ_ONLY), "{said}");
    stage
        .eventually("both in place", || {
            ensure!(stage.attached("a").contains(&READ_ONLY.to_owned()));
            ensure!(stage.iam().get_role_policy(&name, "mine").is_ok());
            Ok(())
        })
        .await?;
    assert_eq!(drift_fields(&stage.until("a", "Drifted", "True", "UnexpectedAttachments").await?).len(), 2);

    stage.applied("a", json!({ "attachmentPolicy": "Exclusive" })).await?;
    assert_eq!(stage.attached("a"), [stage.policy_arn("a")]);
    ensure!(stage.iam().get_role_policy(&name, "mine").is_err());
    stage.until("a", "Drifted", "False", "NoDrift").await?;
    // And later ones too.
    stage.by_hand(|iam| iam.attach_role_policy(&name, READ_ONLY))?;
    stage
        .eventually("the attachment to go", || {
            ensure!(stage.attached("a") == [stage.policy_arn("a")]);
            Ok(())
        })
        .await?;
    stage.finish().await
}

#[tokio::test]
async fn an_existing_version_is_used_again_and_the_oldest_goes_when_five_are_there() -> Result<()> {
    let stage = Stage::start().await?;
    let region = |region: &str| json!({ "scope": { "regions": [region] } });
    for region_name in ["us-east-1", "us-east-2", "us-west-1", "us-west-2", "eu-west-1"] {
        stage.applied("a", region(region_name)).await?;
    }
    assert_eq!(stage.versions("a")?, ["v1", "v2", "v3", "v4", "v5"]);
    stage.applied("a", region("us-east-2")).await?;
    assert_eq!(stage.policy("a")?.default_version, "v2");
    assert_eq!(stage.versions("a")?, ["v1", "v2", "v3", "v4", "v5"]);
    // The oldest that is not the default makes room.
    stage.applied("a", region("eu-central-1")).await?;
    assert_eq!(stage.policy("a")?.default_version, "v6");
    assert_eq!(stage.versions("a")?, ["v2", "v3", "v4", "v5", "v6"]);
    stage.event("a", "PolicyVersionPruned").await?;
    ensure!(stage.document("a")?.contains("eu-central-1"));
    stage.deleted("a").await?;
    stage.nothing_left("a")?;
    stage.finish().await
}

#[tokio::test]
async fn an_older_version_made_the_default_by_hand_is_undone_without_a_new_one() -> Result<()> {
    let stage = Stage::start().await?;
    stage.applied("a", json!({ "scope": { "regions": ["us-east-1"] } })).await?;
    stage.applied("a", json!({})).await?;
    let arn = stage.policy_arn("a");
    assert_eq!(stage.policy("a")?.default_version, "v2");
    stage.by_hand(|iam| iam.set_default_policy_version(&arn, "v1"))?;
    stage
        .eventually("v2", || {
            ensure!(stage.policy("a")?.default_version == "v2");
            Ok(())
        })
        .await?;
    stage
        .eventually("two versions", || {
            ensure!(stage.versions("a")? == ["v1", "v2"]);
            Ok(())
        })
        .await?;
    let before = stage.mark();
    stage.nudge("a").await?;
    stage.ready("a").await?;
    assert_eq!(stage.writes(before), Vec::<String>::new());
    ensure!(stage.repaired("defaultVersion").await? >= 1.0);
    stage.finish().await
}
