//! Policies of others on our role, and the five versions that IAM keeps of ours.

use anyhow::{Result, ensure};
use serde_json::json;

use super::start;
use crate::fixture::{OTHER_DOCUMENT, READ_ONLY, drift_fields, message_of};

#[tokio::test]
async fn additive_reports_the_policies_of_others_and_exclusive_removes_them() -> Result<()> {
    let fixture = start().await?;
    fixture.applied("a", json!({})).await?;
    let name = fixture.name("a");
    fixture.by_hand(|iam| iam.attach_role_policy(&name, READ_ONLY))?;
    fixture.by_hand(|iam| iam.put_role_policy(&name, "mine", OTHER_DOCUMENT))?;
    let status = fixture.until("a", "Drifted", "True", "UnexpectedAttachments").await?;
    fixture.ready("a").await?;
    let said = message_of(&status, "Drifted");
    ensure!(said.contains(READ_ONLY), "{said}");
    let in_place = || {
        let attached = fixture.attached("a").contains(&READ_ONLY.to_owned());
        Ok(attached && fixture.iam().get_role_policy(&name, "mine").is_ok())
    };
    fixture.eventually_true("both in place", in_place).await?;
    assert_eq!(drift_fields(&fixture.until("a", "Drifted", "True", "UnexpectedAttachments").await?).len(), 2);

    fixture.applied("a", json!({ "attachmentPolicy": "Exclusive" })).await?;
    assert_eq!(fixture.attached("a"), [fixture.policy_arn("a")]);
    ensure!(fixture.iam().get_role_policy(&name, "mine").is_err());
    fixture.until("a", "Drifted", "False", "NoDrift").await?;
    // And later ones too.
    fixture.by_hand(|iam| iam.attach_role_policy(&name, READ_ONLY))?;
    fixture.eventually_true("the attachment to go", || Ok(fixture.attached("a") == [fixture.policy_arn("a")])).await?;
    fixture.finish().await
}

#[tokio::test]
async fn an_existing_version_is_used_again_and_the_oldest_goes_when_five_are_there() -> Result<()> {
    let fixture = start().await?;
    let region = |region: &str| json!({ "scope": { "regions": [region] } });
    for region_name in ["us-east-1", "us-east-2", "us-west-1", "us-west-2", "eu-west-1"] {
        fixture.applied("a", region(region_name)).await?;
    }
    assert_eq!(fixture.versions("a")?, ["v1", "v2", "v3", "v4", "v5"]);
    fixture.applied("a", region("us-east-2")).await?;
    assert_eq!(fixture.policy("a")?.default_version, "v2");
    assert_eq!(fixture.versions("a")?, ["v1", "v2", "v3", "v4", "v5"]);
    // The oldest that is not the default makes room.
    fixture.applied("a", region("eu-central-1")).await?;
    assert_eq!(fixture.policy("a")?.default_version, "v6");
    assert_eq!(fixture.versions("a")?, ["v2", "v3", "v4", "v5", "v6"]);
    fixture.event("a", "PolicyVersionPruned").await?;
    ensure!(fixture.document("a")?.contains("eu-central-1"));
    fixture.deleted("a").await?;
    fixture.nothing_left("a")?;
    fixture.finish().await
}

#[tokio::test]
async fn an_older_version_made_the_default_by_hand_is_undone_without_a_new_one() -> Result<()> {
    let fixture = start().await?;
    fixture.applied("a", json!({ "scope": { "regions": ["us-east-1"] } })).await?;
    fixture.applied("a", json!({})).await?;
    let arn = fixture.policy_arn("a");
    assert_eq!(fixture.policy("a")?.default_version, "v2");
    fixture.by_hand(|iam| iam.set_default_policy_version(&arn, "v1"))?;
    fixture.eventually_true("v2", || Ok(fixture.policy("a")?.default_version == "v2")).await?;
    fixture.eventually_true("two versions", || Ok(fixture.versions("a")? == ["v1", "v2"])).await?;
    let before = fixture.mark();
    fixture.nudge("a").await?;
    fixture.ready("a").await?;
    assert_eq!(fixture.writes(before), []);
    ensure!(fixture.repaired("defaultVersion").await? >= 1.0);
    fixture.finish().await
}
