//! A call that AWS denies delays no other repair, and the status tells what is still wrong, most dangerous first.

use anyhow::{Result, ensure};
use aurora_test_support::iam_model::faults::{Effect, Rule};
use aurora_test_support::wait::wait_for;
use serde_json::json;

use crate::fixture::{Fixture, LIMIT, message, message_of, says};

const OPEN_TRUST: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}"#;
const WIDE: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;

fn denied(actions: &[&str]) -> Rule {
    Rule::new(Effect::AccessDenied, actions)
}

/// What somebody opens by hand: the trust policy to everybody, and the policy to everything.
fn open(fixture: &Fixture<'_>, object: &str) -> Result<()> {
    let (name, arn) = (fixture.name(object), fixture.policy_arn(object));
    fixture.by_hand(|iam| {
        iam.update_assume_role_policy(&name, OPEN_TRUST)?;
        iam.create_policy_version(&arn, WIDE, true).map(drop)
    })
}

async fn closed(fixture: &Fixture<'_>, object: &str) -> Result<()> {
    fixture
        .eventually("the trust policy and the document to be repaired", || {
            let (trust, document) = (fixture.trust(object)?, fixture.document(object)?);
            ensure!(!trust.contains(r#""*""#) && trust.contains("rds.amazonaws.com"), "{trust}");
            ensure!(!document.contains(r#""Action":"*""#), "{document}");
            Ok(())
        })
        .await
}

#[tokio::test]
async fn denied_tags_delay_no_repair_of_what_is_dangerous() -> Result<()> {
    let fixture = Fixture::with(&["--drift-check-interval=1s"]).start().await?;
    fixture.applied("a", json!({ "tags": { "team": "shop" } })).await?;
    fixture.set_faults([denied(&["TagPolicy", "UntagPolicy", "TagRole", "UntagRole"])]);
    open(&fixture, "a")?;
    fixture.apply("a", json!({ "tags": { "cost": "1" } })).await?;
    closed(&fixture, "a").await?;
    let status = fixture.not_ready("a", "AccessDenied").await?;
    let told = message(&status);
    // Only tags remain, and the message names the calls that failed.
    for text in ["iam:UntagPolicy", "operator's IAM policy", "iam:TagRole", "role tags"] {
        assert!(told.contains(text), "{text}: {told}");
    }
    assert!(!told.contains("trust") && !told.contains("document"), "{told}");
    wait_for("the conditions of the parts", LIMIT, async || {
        let object = fixture.object("a").await?;
        ensure!(says(&object, "PolicyReady", "False", "AccessDenied"), "{:?}", object.data["status"]);
        ensure!(says(&object, "RoleReady", "False", "AccessDenied"), "{:?}", object.data["status"]);
        ensure!(says(&object, "PolicyAttached", "True", "InSync"), "{:?}", object.data["status"]);
        Ok(())
    })
    .await?;
    assert!(message_of(&status, "RoleReady").contains("iam:UntagRole"), "{status}");
    // The same while the object is not ready.
    open(&fixture, "a")?;
    closed(&fixture, "a").await?;
    fixture.clear_faults();
    fixture.ready("a").await?;
    fixture.finish().await
}

#[tokio::test]
async fn the_message_names_the_most_dangerous_difference_that_remains() -> Result<()> {
    let fixture = Fixture::with(&["--drift-check-interval=1s"]).start().await?;
    fixture.applied("a", json!({ "tags": { "team": "shop" } })).await?;
    fixture.set_faults([denied(&["TagRole", "UpdateAssumeRolePolicy"])]);
    let (name, arn) = (fixture.name("a"), fixture.policy_arn("a"));
    fixture.by_hand(|iam| iam.untag_role(&name, &["team".to_owned()]))?;
    open(&fixture, "a")?;
    let status = fixture.not_ready("a", "AccessDenied").await?;
    let told = message(&status);
    assert!(told.starts_with("iam:UpdateAssumeRolePolicy"), "{told}");
    assert!(told.contains("also failed: iam:TagRole") && told.contains("role tags"), "{told}");
    let document = fixture.document("a")?;
    assert!(!document.contains(r#""Action":"*""#), "{document}");
    let object = fixture.object("a").await?;
    ensure!(says(&object, "PolicyReady", "True", "InSync"), "{status}");
    ensure!(says(&object, "PolicyAttached", "True", "InSync"), "{status}");
    ensure!(says(&object, "RoleReady", "False", "AccessDenied"), "{status}");
    // Reads are no different: without the policy, the role is repaired; without the role, the policy.
    fixture.clear_faults();
    fixture.ready("a").await?;
    fixture.set_faults([denied(&["GetPolicy"])]);
    fixture.by_hand(|iam| iam.update_assume_role_policy(&name, OPEN_TRUST))?;
    fixture.eventually_true("the trust policy", || Ok(!fixture.trust("a")?.contains(r#""*""#))).await?;
    fixture.set_faults([denied(&["GetRole"])]);
    fixture.by_hand(|iam| {
        let versions = iam.list_policy_versions(&arn, &aurora_test_support::iam_model::PageRequest::default())?;
        let old = versions.items.iter().find(|version| !version.is_default).map(|version| version.id.clone());
        iam.set_default_policy_version(&arn, &old.unwrap_or_default())
    })?;
    fixture.eventually_true("the document", || Ok(!fixture.document("a")?.contains(r#""Action":"*""#))).await?;
    fixture.until("a", "PolicyReady", "True", "InSync").await?;
    fixture.until("a", "RoleReady", "False", "AccessDenied").await?;
    fixture.clear_faults();
    fixture.ready("a").await?;
    fixture.finish().await
}

#[tokio::test]
async fn a_denied_step_of_a_deletion_leaves_nothing_that_could_be_deleted() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    fixture.applied("a", json!({})).await?;
    let (name, arn) = (fixture.name("a"), fixture.policy_arn("a"));
    fixture.set_faults([denied(&["DeleteRole"])]);
    fixture.delete("a").await?;
    fixture.eventually_true("the policy to be deleted", || Ok(fixture.iam().get_policy(&arn).is_err())).await?;
    let status = fixture.not_ready("a", "AccessDenied").await?;
    assert!(message(&status).contains("iam:DeleteRole"), "{status}");
    let object = fixture.object("a").await?;
    for part in ["PolicyReady", "RoleReady", "PolicyAttached"] {
        ensure!(says(&object, part, "False", "AccessDenied"), "{part}: {status}");
    }
    ensure!(fixture.iam().get_role(&name).is_ok(), "the role is still there");
    fixture.clear_faults();
    fixture.gone("a").await?;
    fixture.nothing_left("a")?;
    fixture.finish().await
}
