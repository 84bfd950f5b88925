//! Objects that lose the operator's finalizer: it is put back, and an object that is gone before is cleaned up by its
//! deletion policy. Sweeps are on: they must not take such an object for one in sync.

use anyhow::{Result, ensure};
use aurora_test_support::wait::wait_for;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::contested;
use crate::fixture::{ACCOUNT, Fixture, LIMIT, READ_ONLY};

const COUNT: usize = 15;
const SWEPT: [&str; 2] = ["--drift-scan=bulk", "--drift-check-interval=1h"];

/// What `kubectl replace` sends for a manifest: the spec and the annotations of the manifest, and no finalizers.
async fn replace(fixture: &Fixture<'_>, name: &str, annotations: &Value) -> Result<()> {
    loop {
        let mut object = fixture.object(name).await?;
        object.metadata.finalizers = None;
        object.metadata.annotations = serde_json::from_value(annotations.clone())?;
        object.metadata.managed_fields = None;
        match fixture.api().replace(name, &PostParams::default(), &object).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            result => return Ok(result.map(drop)?),
        }
    }
}

async fn strip(fixture: &Fixture<'_>, name: &str) -> Result<()> {
    let nothing = json!({ "metadata": { "finalizers": null } });
    fixture.api().patch(name, &PatchParams::default(), &Patch::Merge(&nothing)).await?;
    Ok(())
}

async fn held(fixture: &Fixture<'_>, name: &str) -> Result<()> {
    wait_for(&format!("the finalizer of {name}"), LIMIT, async || {
        let finalizers = fixture.object(name).await?.metadata.finalizers.unwrap_or_default();
        ensure!(finalizers == ["auroralogexport.dev/cleanup"], "{finalizers:?}");
        Ok(())
    })
    .await
}

/// Creates objects `o0`, `o1`, … and waits until they are in sync.
async fn created(fixture: &Fixture<'_>, spec: &Value) -> Result<()> {
    for number in 0..COUNT {
        fixture.apply(&format!("o{number}"), spec.clone()).await?;
    }
    for number in 0..COUNT {
        fixture.ready(&format!("o{number}")).await?;
    }
    Ok(())
}

/// Replaces objects `o0`, `o1`, … and deletes each at once.
async fn replaced_and_deleted(fixture: &Fixture<'_>, annotations: &Value) -> Result<()> {
    for number in 0..COUNT {
        let name = format!("o{number}");
        replace(fixture, &name, annotations).await?;
        fixture.api().delete(&name, &DeleteParams::default()).await?;
    }
    for number in 0..COUNT {
        fixture.gone(&format!("o{number}")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_finalizer_that_was_removed_by_hand_is_back_at_once() -> Result<()> {
    let fixture = contested(&SWEPT).start().await?;
    fixture.applied("a", json!({})).await?;
    fixture.applied("suspended", json!({})).await?;
    fixture.apply("suspended", json!({ "suspend": true })).await?;
    fixture.not_ready("suspended", "Suspended").await?;
    for name in ["a", "suspended"] {
        strip(&fixture, name).await?;
        held(&fixture, name).await?;
        replace(&fixture, name, &Value::Null).await?;
        held(&fixture, name).await?;
    }
    for name in ["a", "suspended"] {
        fixture.deleted(name).await?;
        fixture.nothing_left(name)?;
    }
    fixture.finish().await
}

#[tokio::test]
async fn objects_that_are_replaced_and_deleted_at_once_leave_nothing() -> Result<()> {
    let fixture = contested(&SWEPT).start().await?;
    let before = fixture.iam().counts();
    created(&fixture, &json!({})).await?;
    replaced_and_deleted(&fixture, &Value::Null).await?;
    fixture
        .eventually("nothing of them to be left", || {
            ensure!(fixture.iam().counts() == before, "{:?} instead of {before:?}", fixture.iam().counts());
            Ok(())
        })
        .await?;
    fixture.finish().await
}

#[tokio::test]
async fn replaced_and_deleted_objects_with_retain_or_abandon_leave_everything() -> Result<()> {
    for (spec, annotations) in [
        (json!({ "deletionPolicy": "Retain" }), Value::Null),
        (json!({}), json!({ "auroralogexport.dev/abandon": "true" })),
    ] {
        let fixture = contested(&SWEPT).start().await?;
        created(&fixture, &spec).await?;
        let (before, mark) = (fixture.iam().snapshot(), fixture.mark());
        replaced_and_deleted(&fixture, &annotations).await?;
        // A later object is served after them.
        fixture.applied("later", json!({})).await?;
        fixture.deleted("later").await?;
        assert_eq!(fixture.iam().snapshot(), before, "{annotations}");
        let deleted = fixture.writes(mark).into_iter().filter(|call| call.action == "DeleteRole").count();
        assert_eq!(deleted, 1, "only that of the later object");
        fixture.finish().await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_operators_default_deletion_policy_holds_for_an_object_that_is_gone() -> Result<()> {
    let fixture = contested(&["--drift-check-interval=1h", "--default-deletion-policy=Retain"]).start().await?;
    fixture.applied("silent", json!({})).await?;
    replace(&fixture, "silent", &Value::Null).await?;
    fixture.deleted("silent").await?;
    fixture.applied("later", json!({})).await?;
    fixture.role("silent")?;
    fixture.policy("silent")?;
    fixture.finish().await
}

#[tokio::test]
async fn an_object_whose_finalizer_is_removed_while_its_deletion_is_blocked_is_cleaned_up_when_it_can_be() -> Result<()>
{
    let fixture = contested(&["--drift-check-interval=1h"]).start().await?;
    fixture.applied("a", json!({})).await?;
    let name = fixture.name("a");
    fixture.by_hand(|iam| iam.attach_role_policy(&name, READ_ONLY))?;
    fixture.delete("a").await?;
    fixture.refusal("a", "DeletionBlocked").await?;
    strip(&fixture, "a").await?;
    fixture.gone("a").await?;
    fixture.logged(&["removed before", "cleaned up"]).await?;
    fixture.role("a")?;
    fixture.by_hand(|iam| iam.detach_role_policy(&name, READ_ONLY))?;
    fixture.eventually("nothing of it to be left", || fixture.nothing_left("a")).await?;
    fixture.event("a", "Deleted").await?;
    fixture.finish().await
}

#[tokio::test]
async fn an_object_that_others_hold_is_cleaned_up_at_once_if_its_finalizer_is_removed_during_the_deletion() -> Result<()>
{
    let fixture = contested(&["--drift-check-interval=1h"]).start().await?;
    fixture.applied("a", json!({})).await?;
    let hold = |finalizers: Value| json!({ "metadata": { "finalizers": finalizers } });
    let patch = async |finalizers: Value| {
        fixture.api().patch("a", &PatchParams::default(), &Patch::Merge(&hold(finalizers))).await
    };
    let name = fixture.name("a");
    fixture.by_hand(|iam| iam.attach_role_policy(&name, READ_ONLY))?;
    patch(json!(["auroralogexport.dev/cleanup", "example.com/hold"])).await?;
    fixture.delete("a").await?;
    fixture.refusal("a", "DeletionBlocked").await?;
    patch(json!(["example.com/hold"])).await?;
    fixture.by_hand(|iam| iam.detach_role_policy(&name, READ_ONLY))?;
    fixture.eventually("nothing of it to be left", || fixture.nothing_left("a")).await?;
    let said = fixture.refusal("a", "Progressing").await?;
    ensure!(said.contains("example.com/hold"), "{said}");
    patch(Value::Null).await?;
    fixture.gone("a").await?;
    fixture.finish().await
}

#[tokio::test]
async fn an_object_created_again_keeps_what_its_tags_say_and_loses_what_it_does_not_name() -> Result<()> {
    let fixture = contested(&["--drift-check-interval=1h"]).start().await?;
    // Blocked, so that the objects are created again before the cleanup.
    for object in ["same", "other"] {
        fixture.applied(object, json!({})).await?;
        let name = fixture.name(object);
        fixture.by_hand(|iam| iam.attach_role_policy(&name, READ_ONLY))?;
        fixture.delete(object).await?;
        fixture.refusal(object, "DeletionBlocked").await?;
        strip(&fixture, object).await?;
        fixture.gone(object).await?;
    }
    let kept = fixture.role("same")?.id;
    fixture.applied("same", json!({})).await?;
    let renamed = format!("{}-renamed", fixture.namespace());
    fixture.applied("other", json!({ "roleName": renamed, "policyName": renamed })).await?;
    let name = fixture.name("other");
    fixture.by_hand(|iam| iam.detach_role_policy(&name, READ_ONLY))?;
    fixture.eventually("the first role of the other to be deleted", || fixture.nothing_left("other")).await?;
    assert_eq!(fixture.role("same")?.id, kept);
    fixture.policy("same")?;
    fixture.ready("other").await?;
    ensure!(fixture.iam().get_role(&renamed).is_ok());
    fixture.finish().await
}

#[tokio::test]
async fn after_a_restart_what_an_object_left_is_an_orphan_and_stays() -> Result<()> {
    let mut fixture = contested(&["--drift-scan=bulk"]).start().await?;
    fixture.applied("a", json!({})).await?;
    fixture.stop_operator().await?;
    strip(&fixture, "a").await?;
    fixture.deleted("a").await?;
    let left = fixture.iam().snapshot();
    fixture.start_operator().await?;
    orphans(&fixture, 1.0).await?;
    assert_eq!(fixture.iam().snapshot(), left);
    // The object of that name is another one now, with other names in AWS.
    let renamed = format!("{}-renamed", fixture.namespace());
    fixture.applied("a", json!({ "roleName": renamed, "policyName": renamed })).await?;
    fixture.sweeps(2).await?;
    orphans(&fixture, 1.0).await?;
    fixture.deleted("a").await?;
    fixture.role("a")?;
    fixture.finish().await
}

async fn orphans(fixture: &Fixture<'_>, wanted: f64) -> Result<()> {
    wait_for(&format!("{wanted} orphans"), LIMIT, async || {
        let found = fixture.metric("auroralogexport_orphans", &[("account", ACCOUNT)]).await?;
        ensure!((found - wanted).abs() < 0.5, "{found}");
        Ok(())
    })
    .await
}
