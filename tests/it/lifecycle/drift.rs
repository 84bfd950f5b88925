//! What somebody changed in AWS by hand: repaired, or listed where the operator may only look.

use anyhow::{Result, ensure};
use aurora_test_support::iam_model::{CreatePolicy, CreateRole};
use serde_json::json;

use super::stage::{FULL_ACCESS, OTHER_DOCUMENT, OTHER_TRUST, PATH, READ_ONLY, Stage, drift_fields, message, tags};

/// Waits until a difference of this field was counted as repaired.
async fn repaired(stage: &Stage, field: &str, before: f64) -> Result<()> {
    aurora_test_support::wait::wait_for(&format!("{field} to be repaired"), super::stage::LIMIT, async || {
        let now = stage.repaired(field).await?;
        ensure!(now > before, "{field}: {before} before, {now} now");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn every_kind_of_drift_is_repaired_and_counted_by_its_field() -> Result<()> {
    let stage = Stage::start().await?;
    stage.applied("a", json!({ "tags": { "team": "shop" }, "description": "ours" })).await?;
    let (name, arn) = (stage.name("a"), stage.policy_arn("a"));
    let sound = stage.iam().snapshot();
    let (policy, role) = (sound["policies"][&name].clone(), sound["roles"][&name].clone());
    let is_sound = |what: &str| {
        let now = stage.iam().snapshot();
        ensure!(now["roles"][&name] == role, "{what}: {}", now["roles"][&name]);
        for field in ["arn", "description", "defaultVersion", "tags"] {
            ensure!(now["policies"][&name][field] == policy[field], "{what}: {}", now["policies"][&name]);
        }
        Ok(())
    };
    type Edit<'a> = (&'a str, Box<dyn Fn() -> Result<()> + 'a>);
    let edits: Vec<Edit<'_>> = vec![
        ("document", Box::new(|| stage.by_hand(|iam| iam.create_policy_version(&arn, OTHER_DOCUMENT, true)).map(drop))),
        ("trust", Box::new(|| stage.by_hand(|iam| iam.update_assume_role_policy(&name, OTHER_TRUST)))),
        ("description", Box::new(|| stage.by_hand(|iam| iam.update_role_description(&name, "theirs")).map(drop))),
        ("permissionsBoundary", Box::new(|| stage.by_hand(|iam| iam.put_role_permissions_boundary(&name, READ_ONLY)))),
        ("attachments", Box::new(|| stage.by_hand(|iam| iam.detach_role_policy(&name, &arn)))),
        ("tags", Box::new(|| stage.by_hand(|iam| iam.untag_role(&name, &["team".to_owned()])))),
        ("tags", Box::new(|| stage.by_hand(|iam| iam.tag_policy(&arn, &tags(&[("team", "theirs")]))))),
    ];
    for (field, edit) in &edits {
        let before = stage.repaired(field).await?;
        edit()?;
        repaired(&stage, field, before).await?;
        stage.event_saying("a", "DriftRepaired", field).await?;
        stage.eventually(field, || is_sound(field)).await?;
    }
    drop(edits);
    // Neither do repairs make versions, nor are they mistaken for changes of the spec.
    assert_eq!(stage.versions("a")?, ["v1", "v2"]);
    ensure!(stage.event("a", "DriftRepaired").await?.contains("repaired drift in AWS"));
    stage.ready("a").await?;
    stage.finish().await
}

#[tokio::test]
async fn a_boundary_that_is_wanted_comes_back_whether_it_was_exchanged_or_removed() -> Result<()> {
    let stage = Stage::start().await?;
    stage.applied("a", json!({ "permissionsBoundary": READ_ONLY })).await?;
    let name = stage.name("a");
    for edit in ["exchanged", "removed"] {
        let before = stage.repaired("permissionsBoundary").await?;
        stage.by_hand(|iam| match edit {
            "exchanged" => iam.put_role_permissions_boundary(&name, FULL_ACCESS),
            _ => iam.delete_role_permissions_boundary(&name),
        })?;
        repaired(&stage, "permissionsBoundary", before).await?;
        assert_eq!(stage.role("a")?.boundary.as_deref(), Some(READ_ONLY), "{edit}");
    }
    stage.finish().await
}

#[tokio::test]
async fn a_policy_or_role_deleted_behind_our_back_is_made_again() -> Result<()> {
    let stage = Stage::start().await?;
    stage.applied("a", json!({})).await?;
    let (name, arn) = (stage.name("a"), stage.policy_arn("a"));
    stage.by_hand(|iam| iam.detach_role_policy(&name, &arn).and_then(|()| iam.delete_role(&name)))?;
    repaired(&stage, "existence", 0.0).await?;
    stage
        .eventually("the role", || {
            ensure!(stage.attached("a") == [arn.clone()]);
            Ok(())
        })
        .await?;
    let before = stage.repaired("existence").await?;
    stage.by_hand(|iam| iam.detach_role_policy(&name, &arn).and_then(|()| iam.delete_policy(&arn)))?;
    repaired(&stage, "existence", before).await?;
    stage
        .eventually("the policy", || {
            ensure!(stage.attached("a") == [arn.clone()]);
            Ok(())
        })
        .await?;
    stage.by_hand(|iam| {
        iam.detach_role_policy(&name, &arn)?;
        iam.delete_policy(&arn)?;
        iam.delete_role(&name)
    })?;
    stage
        .eventually("both", || {
            ensure!(stage.attached("a") == [arn.clone()]);
            Ok(())
        })
        .await?;
    stage.deleted("a").await?;
    stage.nothing_left("a")?;
    stage.finish().await
}

#[tokio::test]
async fn tags_of_others_are_left_alone() -> Result<()> {
    let stage = Stage::start().await?;
    stage.applied("a", json!({ "tags": { "team": "shop" } })).await?;
    let (name, arn) = (stage.name("a"), stage.policy_arn("a"));
    let theirs = tags(&[("cost-centre", "7"), ("Owner", "audit")]);
    stage.by_hand(|iam| iam.tag_role(&name, &theirs).and_then(|()| iam.tag_policy(&arn, &theirs)))?;
    // A repair that touches tags is proof that the others were seen and left.
    stage.by_hand(|iam| iam.untag_role(&name, &["team".to_owned()]))?;
    stage
        .eventually("the tag", || {
            ensure!(stage.role("a")?.tags.contains_key("team"));
            Ok(())
        })
        .await?;
    stage.applied("a", json!({})).await?;
    ensure!(!stage.role("a")?.tags.contains_key("team"));
    for (key, value) in &theirs {
        assert_eq!(&stage.role("a")?.tags[key], value);
        assert_eq!(&stage.policy("a")?.tags[key], value);
    }
    stage.finish().await
}

#[tokio::test]
async fn observe_lists_all_differences_at_once_and_writes_nothing() -> Result<()> {
    let stage = Stage::start().await?;
    let spec = json!({ "tags": { "team": "shop" } });
    stage.applied("a", spec.clone()).await?;
    let mut observing = spec;
    observing["managementPolicy"] = json!("Observe");
    stage.applied("a", observing).await?;
    let (name, arn) = (stage.name("a"), stage.policy_arn("a"));
    let mark = stage.mark();
    stage.by_hand(|iam| {
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
    let edited = stage.iam().snapshot();
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
    aurora_test_support::wait::wait_for("all findings", super::stage::LIMIT, async || {
        let mut found = drift_fields(&stage.status("a").await?);
        found.sort();
        found.dedup();
        ensure!(found == wanted, "{found:?}");
        Ok(())
    })
    .await?;
    let status = stage.until("a", "Ready", "False", "DriftDetected").await?;
    ensure!(message(&status, "Drifted").contains("role trust"), "{status}");
    assert_eq!(stage.iam().snapshot(), edited);
    assert_eq!(stage.writes(mark), Vec::<String>::new());
    stage.applied("a", json!({ "tags": { "team": "shop" } })).await?;
    ensure!(stage.role("a")?.trust.as_str().contains("rds.amazonaws.com"));
    stage.finish().await
}

#[tokio::test]
async fn observe_of_something_that_is_not_there_says_so_and_makes_nothing() -> Result<()> {
    let stage = Stage::start().await?;
    let mark = stage.mark();
    stage.apply("a", json!({ "managementPolicy": "Observe" })).await?;
    let status = stage.until("a", "Ready", "False", "DriftDetected").await?;
    assert_eq!(drift_fields(&status), ["Policy.existence", "Role.existence", "Role.attachments"]);
    assert_eq!(stage.writes(mark), Vec::<String>::new());
    stage.deleted("a").await?;
    stage.finish().await
}

#[tokio::test]
async fn observe_sees_the_policy_also_where_there_is_no_role() -> Result<()> {
    let stage = Stage::still().await?;
    stage.foreign_policy("a", &tags(&[]))?;
    stage.apply("a", json!({ "managementPolicy": "Observe" })).await?;
    let status = stage.until("a", "Ready", "False", "Conflict").await?;
    ensure!(message(&status, "Ready").contains(&stage.policy_arn("a")), "{status}");
    stage.deleted("a").await?;
    stage.finish().await
}

#[tokio::test]
async fn a_policys_description_is_reported_and_not_touched_while_the_roles_follows() -> Result<()> {
    let stage = Stage::start().await?;
    stage.applied("a", json!({ "description": "first" })).await?;
    let id = stage.policy("a")?.id;
    stage.apply("a", json!({ "description": "second" })).await?;
    let status = stage.until("a", "Drifted", "True", "ImmutableInAws").await?;
    stage.ready("a").await?;
    assert_eq!(drift_fields(&status), ["Policy.description"]);
    let policy = stage.policy("a")?;
    assert_eq!((policy.id, policy.description.as_deref()), (id, Some("first")));
    assert_eq!(stage.role("a")?.description.as_deref(), Some("second"));
    stage.finish().await
}

#[tokio::test]
async fn what_somebody_else_made_in_our_place_is_a_conflict_and_stays_untouched() -> Result<()> {
    for path in [PATH, "/theirs/"] {
        let stage = Stage::start().await?;
        stage.applied("a", json!({})).await?;
        let (name, arn) = (stage.name("a"), stage.policy_arn("a"));
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
        stage.by_hand(|iam| {
            iam.detach_role_policy(&name, &arn)?;
            iam.delete_role(&name)?;
            iam.delete_policy(&arn)?;
            iam.create_role(&role)?;
            iam.create_policy(&policy)
        })?;
        let theirs = stage.iam().snapshot();
        stage.until("a", "Ready", "False", "Conflict").await?;
        stage.deleted("a").await?;
        assert_eq!(stage.iam().snapshot(), theirs, "{path}");
        stage.finish().await?;
    }
    Ok(())
}
