//! Changes by hand in AWS are repaired, or reported where the object is only observed.

use anyhow::{Result, ensure};
use aurora_log_export_operator::model::documents::Meaning;
use aurora_test_support::iam_model::{CreatePolicy, CreateRole};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{start, still};
use crate::fixture::{
    FULL_ACCESS, Fixture, LIMIT, OTHER_DOCUMENT, OTHER_TRUST, PATH, READ_ONLY, drift_fields, message_of, tags,
};

/// Waits until a difference of this field was counted as repaired.
async fn repaired(fixture: &Fixture<'_>, field: &str, before: f64) -> Result<()> {
    aurora_test_support::wait::wait_for(&format!("{field} to be repaired"), LIMIT, async || {
        let now = fixture.repaired(field).await?;
        ensure!(now > before, "{field}: {before} before, {now} now");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn every_kind_of_drift_is_repaired_and_counted_by_its_field() -> Result<()> {
    let fixture = start().await?;
    fixture.applied("a", json!({ "tags": { "team": "shop" }, "description": "ours" })).await?;
    let (name, arn) = (fixture.name("a"), fixture.policy_arn("a"));
    let sound = fixture.iam().snapshot();
    let (policy, role) = (sound["policies"][&name].clone(), sound["roles"][&name].clone());
    let is_sound = |what: &str| {
        let now = fixture.iam().snapshot();
        ensure!(now["roles"][&name] == role, "{what}: {}", now["roles"][&name]);
        for field in ["arn", "description", "defaultVersion", "tags"] {
            ensure!(now["policies"][&name][field] == policy[field], "{what}: {}", now["policies"][&name]);
        }
        Ok(())
    };
    type Edit<'a> = (&'a str, Box<dyn Fn() -> Result<()> + 'a>);
    let edits: Vec<Edit<'_>> = vec![
        (
            "document",
            Box::new(|| fixture.by_hand(|iam| iam.create_policy_version(&arn, OTHER_DOCUMENT, true)).map(drop)),
        ),
        ("trust", Box::new(|| fixture.by_hand(|iam| iam.update_assume_role_policy(&name, OTHER_TRUST)))),
        ("description", Box::new(|| fixture.by_hand(|iam| iam.update_role_description(&name, "theirs")).map(drop))),
        (
            "permissionsBoundary",
            Box::new(|| fixture.by_hand(|iam| iam.put_role_permissions_boundary(&name, READ_ONLY))),
        ),
        ("attachments", Box::new(|| fixture.by_hand(|iam| iam.detach_role_policy(&name, &arn)))),
        ("tags", Box::new(|| fixture.by_hand(|iam| iam.untag_role(&name, &["team".to_owned()])))),
        ("tags", Box::new(|| fixture.by_hand(|iam| iam.tag_policy(&arn, &tags(&[("team", "theirs")]))))),
    ];
    for (field, edit) in &edits {
        let before = fixture.repaired(field).await?;
        edit()?;
        repaired(&fixture, field, before).await?;
        fixture.event_saying("a", "DriftRepaired", field).await?;
        fixture.eventually(field, || is_sound(field)).await?;
    }
    drop(edits);
    // The event tells what differed in a document.
    fixture.event_saying("a", "DriftRepaired", "policy document: statement 1: ").await?;
    fixture.event_saying("a", "DriftRepaired", "was Allow sts:AssumeRole for Service:ec2.amazonaws.com").await?;
    // Repairs create no versions, and are not reported as changes of the spec.
    assert_eq!(fixture.versions("a")?, ["v1", "v2"]);
    ensure!(fixture.event("a", "DriftRepaired").await?.contains("repaired drift in AWS"));
    fixture.ready("a").await?;
    fixture.finish().await
}

#[tokio::test]
async fn a_boundary_that_is_wanted_comes_back_whether_it_was_exchanged_or_removed() -> Result<()> {
    let fixture = start().await?;
    fixture.applied("a", json!({ "permissionsBoundary": READ_ONLY })).await?;
    let name = fixture.name("a");
    for edit in ["exchanged", "removed"] {
        let before = fixture.repaired("permissionsBoundary").await?;
        fixture.by_hand(|iam| match edit {
            "exchanged" => iam.put_role_permissions_boundary(&name, FULL_ACCESS),
            _ => iam.delete_role_permissions_boundary(&name),
        })?;
        repaired(&fixture, "permissionsBoundary", before).await?;
        assert_eq!(fixture.role("a")?.boundary.as_deref(), Some(READ_ONLY), "{edit}");
    }
    fixture.finish().await
}

#[tokio::test]
async fn a_policy_or_role_deleted_behind_our_back_is_made_again() -> Result<()> {
    let fixture = start().await?;
    fixture.applied("a", json!({})).await?;
    let (name, arn) = (fixture.name("a"), fixture.policy_arn("a"));
    fixture.by_hand(|iam| iam.detach_role_policy(&name, &arn).and_then(|()| iam.delete_role(&name)))?;
    repaired(&fixture, "existence", 0.0).await?;
    fixture.eventually_true("the role", || Ok(fixture.attached("a") == [arn.clone()])).await?;
    let before = fixture.repaired("existence").await?;
    fixture.by_hand(|iam| iam.detach_role_policy(&name, &arn).and_then(|()| iam.delete_policy(&arn)))?;
    repaired(&fixture, "existence", before).await?;
    fixture.eventually_true("the policy", || Ok(fixture.attached("a") == [arn.clone()])).await?;
    fixture.by_hand(|iam| {
        iam.detach_role_policy(&name, &arn)?;
        iam.delete_policy(&arn)?;
        iam.delete_role(&name)
    })?;
    fixture.eventually_true("both", || Ok(fixture.attached("a") == [arn.clone()])).await?;
    fixture.deleted("a").await?;
    fixture.nothing_left("a")?;
    fixture.finish().await
}

#[tokio::test]
async fn tags_of_others_are_left_alone() -> Result<()> {
    let fixture = start().await?;
    fixture.applied("a", json!({ "tags": { "team": "shop" } })).await?;
    let (name, arn) = (fixture.name("a"), fixture.policy_arn("a"));
    let theirs = tags(&[("cost-centre", "7"), ("Owner", "audit")]);
    fixture.by_hand(|iam| iam.tag_role(&name, &theirs).and_then(|()| iam.tag_policy(&arn, &theirs)))?;
    // A repair of tags leaves the other tags.
    fixture.by_hand(|iam| iam.untag_role(&name, &["team".to_owned()]))?;
    fixture.eventually_true("the tag", || Ok(fixture.role("a")?.tags.contains_key("team"))).await?;
    fixture.applied("a", json!({})).await?;
    ensure!(!fixture.role("a")?.tags.contains_key("team"));
    for (key, value) in &theirs {
        assert_eq!(&fixture.role("a")?.tags[key], value);
        assert_eq!(&fixture.policy("a")?.tags[key], value);
    }
    fixture.finish().await
}

#[tokio::test]
async fn observe_lists_all_differences_at_once_and_writes_nothing() -> Result<()> {
    let fixture = start().await?;
    let spec = json!({ "tags": { "team": "shop" } });
    fixture.applied("a", spec.clone()).await?;
    let mut observing = spec;
    observing["managementPolicy"] = json!("Observe");
    fixture.applied("a", observing).await?;
    let (name, arn) = (fixture.name("a"), fixture.policy_arn("a"));
    let mark = fixture.mark();
    fixture.by_hand(|iam| {
        iam.create_policy_version(&arn, OTHER_DOCUMENT, true)?;
        iam.update_assume_role_policy(&name, OTHER_TRUST)?;
        iam.update_role_description(&name, "theirs")?;
        iam.put_role_permissions_boundary(&name, READ_ONLY)?;
        iam.detach_role_policy(&name, &arn)?;
        iam.attach_role_policy(&name, FULL_ACCESS)?;
        iam.put_role_policy(&name, "mine", OTHER_DOCUMENT)?;
        iam.untag_role(&name, &["team".to_owned()])?;
        iam.tag_policy(&arn, &tags(&[("team", "theirs")]))
    })?;
    let edited = fixture.iam().snapshot();
    let wanted = [
        "Policy.document",
        "Policy.tags.team",
        "Role.attachments",
        "Role.description",
        "Role.inlinePolicies",
        "Role.permissionsBoundary",
        "Role.tags.team",
        "Role.trust",
    ];
    aurora_test_support::wait::wait_for("all findings", LIMIT, async || {
        let mut found = drift_fields(&fixture.status("a").await?);
        found.sort();
        found.dedup();
        ensure!(found == wanted, "{found:?}");
        Ok(())
    })
    .await?;
    let status = fixture.not_ready("a", "DriftDetected").await?;
    ensure!(message_of(&status, "Drifted").contains("role trust"), "{status}");
    assert_eq!(fixture.iam().snapshot(), edited);
    assert_eq!(fixture.writes(mark), []);
    fixture.applied("a", json!({ "tags": { "team": "shop" } })).await?;
    ensure!(fixture.trust("a")?.contains("rds.amazonaws.com"));
    fixture.finish().await
}

#[tokio::test]
async fn observe_of_something_that_is_not_there_says_so_and_makes_nothing() -> Result<()> {
    let fixture = start().await?;
    let mark = fixture.mark();
    fixture.apply("a", json!({ "managementPolicy": "Observe" })).await?;
    let status = fixture.not_ready("a", "DriftDetected").await?;
    assert_eq!(drift_fields(&status), ["Policy.existence", "Role.existence", "Role.attachments"]);
    assert_eq!(fixture.writes(mark), []);
    fixture.deleted("a").await?;
    fixture.finish().await
}

#[tokio::test]
async fn observe_sees_the_policy_also_where_there_is_no_role() -> Result<()> {
    let fixture = still().await?;
    fixture.foreign_policy("a", &tags(&[]))?;
    fixture.apply("a", json!({ "managementPolicy": "Observe" })).await?;
    let said = fixture.refusal("a", "Conflict").await?;
    ensure!(said.contains(&fixture.policy_arn("a")), "{said}");
    fixture.deleted("a").await?;
    fixture.finish().await
}

#[tokio::test]
async fn a_policys_description_is_reported_and_not_touched_while_the_roles_follows() -> Result<()> {
    let fixture = start().await?;
    fixture.applied("a", json!({ "description": "first" })).await?;
    let id = fixture.policy("a")?.id;
    fixture.apply("a", json!({ "description": "second" })).await?;
    let status = fixture.until("a", "Drifted", "True", "ImmutableInAws").await?;
    fixture.ready("a").await?;
    assert_eq!(drift_fields(&status), ["Policy.description"]);
    let policy = fixture.policy("a")?;
    assert_eq!((policy.id, policy.description.as_deref()), (id, Some("first")));
    assert_eq!(fixture.role("a")?.description.as_deref(), Some("second"));
    fixture.finish().await
}

#[tokio::test]
async fn what_somebody_else_made_in_our_place_is_a_conflict_and_stays_untouched() -> Result<()> {
    for path in [PATH, "/theirs/"] {
        let fixture = start().await?;
        fixture.applied("a", json!({})).await?;
        let (name, arn) = (fixture.name("a"), fixture.policy_arn("a"));
        let role = CreateRole {
            name: name.clone(),
            path: Some(path.to_owned()),
            trust: OTHER_TRUST.to_owned(),
            ..CreateRole::default()
        };
        let policy = CreatePolicy {
            name: name.clone(),
            path: Some(path.to_owned()),
            document: OTHER_DOCUMENT.to_owned(),
            ..CreatePolicy::default()
        };
        fixture.by_hand(|iam| {
            iam.detach_role_policy(&name, &arn)?;
            iam.delete_role(&name)?;
            iam.delete_policy(&arn)?;
            iam.create_role(&role)?;
            iam.create_policy(&policy)
        })?;
        let theirs = fixture.iam().snapshot();
        fixture.not_ready("a", "Conflict").await?;
        fixture.deleted("a").await?;
        assert_eq!(fixture.iam().snapshot(), theirs, "{path}");
        fixture.finish().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_document_that_a_new_operator_writes_differently_is_repaired_with_an_event_that_says_so() -> Result<()> {
    let mut fixture = start().await?;
    let group = "/aws/rds/cluster/invoices/audit";
    fixture.applied("a", json!({ "scope": { "logGroups": [group] } })).await?;
    fixture.stop_operator().await?;
    // What an earlier operator wrote, and had on record as in sync.
    let wanted = fixture.document("a")?;
    let earlier = wanted.replace(&format!("{group}:*"), group);
    let (name, arn) = (fixture.name("a"), fixture.policy_arn("a"));
    let version = fixture.by_hand(|iam| {
        let version = iam.create_policy_version(&arn, &earlier, true)?;
        iam.delete_policy_version(&arn, "v1")?;
        Ok(version.id)
    })?;
    let print = Meaning::of(&earlier).fingerprint().to_string();
    let status = json!({ "status": { "policy": { "versionId": version, "documentSha256": print } } });
    fixture.api().patch_status("a", &PatchParams::default(), &Patch::Merge(&status)).await?;
    fixture.start_operator().await?;
    fixture.eventually_true("the new document", || Ok(fixture.document("a")? == wanted)).await?;
    let told = fixture.event_saying("a", "DriftRepaired", "this operator writes another document than before").await?;
    let arn = format!("log-group:{group}");
    assert!(told.contains(&format!("{arn}:*")) && told.contains("was Allow"), "{told}");
    ensure!(fixture.role("a")?.name == name, "the role stays");
    fixture.ready("a").await?;
    fixture.finish().await
}
