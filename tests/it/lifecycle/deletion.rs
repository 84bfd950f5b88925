//! The deletion of an object: all of its resources are deleted and none of others, and what blocks it is named.

use anyhow::{Result, ensure};
use aurora_test_support::iam_model::CreateRole;
use aurora_test_support::iam_model::faults::{Effect, Rule};
use aurora_test_support::iam_model::http::KeyState;
use aurora_test_support::moto::ACCESS_KEY;
use aurora_test_support::wait::{wait_for, wait_gone};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams};
use serde_json::json;

use super::{contested, start, still};
use crate::fixture::{ACCOUNT, CONTESTED, LIMIT, OTHER_DOCUMENT, OTHER_TRUST, READ_ONLY, tags};

#[tokio::test]
async fn nothing_of_a_deleted_object_remains() -> Result<()> {
    let fixture = start().await?;
    let before = fixture.iam().snapshot();
    fixture.applied("a", json!({ "scope": { "regions": ["us-east-1"] } })).await?;
    fixture.applied("a", json!({ "scope": { "regions": ["us-east-2"] } })).await?;
    fixture.applied("a", json!({ "permissionsBoundary": READ_ONLY })).await?;
    fixture.deleted("a").await?;
    assert_eq!(fixture.iam().snapshot(), before);
    fixture.event("a", "Deleted").await?;
    fixture.finish().await
}

#[tokio::test]
async fn retain_and_abandon_leave_aws_as_it_is_and_make_no_call() -> Result<()> {
    let fixture = still().await?;
    fixture.applied("retained", json!({ "deletionPolicy": "Retain" })).await?;
    fixture.applied("abandoned", json!({})).await?;
    let (before, mark) = (fixture.iam().snapshot(), fixture.mark());
    fixture.deleted("retained").await?;
    fixture.event("retained", "Retained").await?;
    assert_eq!(fixture.iam_calls(mark), []);
    fixture.annotate("abandoned", "auroralogexport.dev/abandon", "true").await?;
    // The annotation triggers a resync; its last call reads the policy.
    fixture
        .eventually("the resync", || {
            let calls = fixture.iam_calls(mark);
            ensure!(calls.iter().any(|call| call.action == "GetPolicy" && call.outcome == "OK"), "{calls:?}");
            Ok(())
        })
        .await?;
    let mark = fixture.mark();
    fixture.deleted("abandoned").await?;
    assert_eq!(fixture.iam_calls(mark), []);
    assert_eq!(fixture.iam().snapshot(), before, "tags included");
    // The same object, created again, owns its retained resources.
    let id = fixture.role("retained")?.id;
    fixture.applied("retained", json!({})).await?;
    assert_eq!(fixture.role("retained")?.id, id);
    fixture.deleted("retained").await?;
    fixture.nothing_left("retained")?;
    fixture.finish().await
}

#[tokio::test]
async fn whatever_holds_a_resource_is_named_and_the_deletion_goes_on_when_it_lets_go() -> Result<()> {
    let fixture = start().await?;
    fixture.applied("a", json!({})).await?;
    let (name, arn) = (fixture.name("a"), fixture.policy_arn("a"));
    let holder = CreateRole { name: "holder".to_owned(), trust: OTHER_TRUST.to_owned(), ..CreateRole::default() };
    fixture.by_hand(|iam| {
        iam.attach_role_policy(&name, READ_ONLY)?;
        iam.put_role_policy(&name, "mine", OTHER_DOCUMENT)?;
        iam.create_instance_profile("profile", None)?;
        iam.add_role_to_instance_profile("profile", &name)?;
        iam.create_role(&holder)?;
        iam.attach_role_policy("holder", &arn)?;
        iam.create_user("user", None)?;
        iam.attach_user_policy("user", &arn)?;
        iam.create_user("bounded", None)?;
        iam.put_user_permissions_boundary("bounded", &arn)
    })?;
    let held = fixture.iam().snapshot();
    fixture.delete("a").await?;
    let named = async |what: &'static str, there: bool| {
        fixture.nudge("a").await?;
        wait_for(&format!("{what} named: {there}"), LIMIT, async || {
            let said = fixture.refusal("a", "DeletionBlocked").await?;
            ensure!(said.contains(what) == there, "{said}");
            Ok(())
        })
        .await
    };
    for what in
        [READ_ONLY, "inline policy mine", "instance profile profile", "role holder", "user user", "user bounded"]
    {
        named(what, true).await?;
    }
    assert_eq!(fixture.iam().snapshot(), held, "nothing is half deleted");
    fixture.by_hand(|iam| {
        iam.detach_role_policy(&name, READ_ONLY)?;
        iam.delete_role_policy(&name, "mine")?;
        iam.remove_role_from_instance_profile("profile", &name)
    })?;
    named("instance profile profile", false).await?;
    named("role holder", true).await?;
    fixture.by_hand(|iam| {
        iam.detach_role_policy("holder", &arn)?;
        iam.detach_user_policy("user", &arn)?;
        iam.delete_user_permissions_boundary("bounded")
    })?;
    // The deletion continues by itself.
    fixture.gone("a").await?;
    fixture.nothing_left("a")?;
    ensure!(fixture.iam().get_role("holder").is_ok());
    fixture.finish().await
}

#[tokio::test]
async fn exclusive_removes_attachments_of_others_at_deletion_too() -> Result<()> {
    let fixture = still().await?;
    fixture.applied("a", json!({ "attachmentPolicy": "Exclusive" })).await?;
    let name = fixture.name("a");
    fixture.by_hand(|iam| iam.attach_role_policy(&name, READ_ONLY))?;
    fixture.deleted("a").await?;
    fixture.nothing_left("a")?;
    fixture.finish().await
}

#[tokio::test]
async fn a_suspended_object_deletes_by_its_policy_and_an_observing_one_never_writes() -> Result<()> {
    let fixture = start().await?;
    for name in ["suspended", "kept", "observing"] {
        fixture.applied(name, json!({})).await?;
    }
    fixture.apply("suspended", json!({ "suspend": true })).await?;
    fixture.not_ready("suspended", "Suspended").await?;
    fixture.apply("kept", json!({ "suspend": true, "deletionPolicy": "Retain" })).await?;
    fixture.not_ready("kept", "Suspended").await?;
    fixture.applied("observing", json!({ "managementPolicy": "Observe" })).await?;
    for name in ["suspended", "kept", "observing"] {
        fixture.deleted(name).await?;
    }
    fixture.nothing_left("suspended")?;
    fixture.role("kept")?;
    fixture.policy("kept")?;
    fixture.role("observing")?;
    fixture.policy("observing")?;
    fixture.finish().await
}

#[tokio::test]
async fn an_object_in_conflict_or_one_that_never_reached_aws_goes_at_once() -> Result<()> {
    let fixture = still().await?;
    fixture.foreign_role("conflict", OTHER_TRUST, &tags(&[]))?;
    let before = fixture.iam().snapshot();
    fixture.apply("conflict", json!({})).await?;
    fixture.not_ready("conflict", "Conflict").await?;
    fixture.apply("refused", json!({ "adoptionPolicy": "Always" })).await?;
    fixture.not_ready("refused", "NotPermitted").await?;
    let mark = fixture.mark();
    fixture.deleted("conflict").await?;
    fixture.deleted("refused").await?;
    assert_eq!(fixture.iam_calls(mark), []);
    assert_eq!(fixture.iam().snapshot(), before);
    fixture.finish().await
}

#[tokio::test]
async fn an_object_whose_resources_were_taken_over_goes_without_them() -> Result<()> {
    let fixture = still().await?;
    fixture.applied("a", json!({})).await?;
    let (name, arn) = (fixture.name("a"), fixture.policy_arn("a"));
    let theirs = tags(&[("auroralogexport.dev/owner", "shop/orders")]);
    fixture.by_hand(|iam| iam.tag_role(&name, &theirs).and_then(|()| iam.tag_policy(&arn, &theirs)))?;
    let before = fixture.iam().snapshot();
    fixture.deleted("a").await?;
    assert_eq!(fixture.iam().snapshot(), before);
    fixture.finish().await
}

/// Deletes an object right after this create, whose answer was lost, while reads lag.
async fn deleted_right_after_a_lost(create: &str) -> Result<()> {
    let fixture = still().await?;
    fixture.aws.world().configure(ACCOUNT, |settings, _| settings.visibility_delay_ms = 5000);
    let lost = Rule::new(Effect::LoseAnswer, &[create]).times(1);
    fixture.set_faults([lost]);
    let before = fixture.iam().counts();
    let mark = fixture.mark();
    fixture.apply("a", json!({})).await?;
    fixture
        .eventually("the create whose answer was lost", || {
            let calls = fixture.iam_calls(mark);
            let lost =
                calls.iter().any(|call| call.action == create && call.outcome == "ConnectionLost" && call.executed);
            ensure!(lost, "{calls:?}");
            Ok(())
        })
        .await?;
    fixture.deleted("a").await?;
    assert_eq!(fixture.iam().counts(), before);
    fixture.finish().await
}

#[tokio::test]
async fn a_role_whose_creation_was_not_answered_does_not_outlive_its_object_though_reads_lag() -> Result<()> {
    deleted_right_after_a_lost("CreateRole").await
}

#[tokio::test]
async fn a_policy_whose_creation_was_not_answered_does_not_outlive_its_object_though_reads_lag() -> Result<()> {
    deleted_right_after_a_lost("CreatePolicy").await
}

#[tokio::test]
async fn the_operators_default_deletion_policy_holds_where_an_object_says_nothing() -> Result<()> {
    let fixture = contested(&["--drift-check-interval=1h", "--default-deletion-policy=Retain"]).start().await?;
    fixture.applied("silent", json!({})).await?;
    fixture.applied("explicit", json!({ "deletionPolicy": "Delete" })).await?;
    let (role, policy) = (fixture.role("silent")?, fixture.policy("silent")?);
    let mark = fixture.mark();
    fixture.deleted("silent").await?;
    fixture.event("silent", "Retained").await?;
    assert_eq!(fixture.iam_calls(mark), []);
    assert_eq!((fixture.role("silent")?, fixture.policy("silent")?), (role, policy));
    fixture.deleted("explicit").await?;
    fixture.nothing_left("explicit")?;
    fixture.finish().await
}

#[tokio::test]
async fn a_deleted_namespace_goes_and_so_does_what_it_had_in_aws() -> Result<()> {
    let fixture = start().await?;
    let before = fixture.iam().snapshot();
    for name in ["a", "b", "c"] {
        fixture.applied(name, json!({})).await?;
    }
    let namespaces: Api<Namespace> = Api::all(fixture.client.clone());
    namespaces.delete(fixture.namespace(), &DeleteParams::default()).await?;
    wait_gone(&namespaces, fixture.namespace(), LIMIT).await?;
    assert_eq!(fixture.iam().snapshot(), before);
    fixture.finish().await
}

#[tokio::test]
async fn without_credentials_retained_and_abandoned_objects_go_without_any_call() -> Result<()> {
    let mut fixture = still().await?;
    fixture.deleted(CONTESTED).await?;
    fixture.applied("retained", json!({ "deletionPolicy": "Retain" })).await?;
    fixture.applied("abandoned", json!({})).await?;
    fixture.stop_operator().await?;
    fixture.aws.world().set_key_state(ACCESS_KEY, KeyState::Revoked);
    fixture.annotate("abandoned", "auroralogexport.dev/abandon", "true").await?;
    fixture.delete("retained").await?;
    fixture.delete("abandoned").await?;
    let mark = fixture.mark();
    fixture.start_operator().await?;
    fixture.gone("retained").await?;
    fixture.gone("abandoned").await?;
    assert_eq!(fixture.calls(mark), []);
    fixture.finish().await
}

#[tokio::test]
async fn with_refused_credentials_a_deletion_waits_and_says_so_until_abandoned() -> Result<()> {
    let fixture = start().await?;
    fixture.applied("a", json!({})).await?;
    fixture.aws.world().set_key_state(ACCESS_KEY, KeyState::Revoked);
    fixture.delete("a").await?;
    fixture.not_ready("a", "CredentialsInvalid").await?;
    fixture.annotate("a", "auroralogexport.dev/abandon", "true").await?;
    fixture.gone("a").await?;
    fixture.role("a")?;
    fixture.finish().await
}

#[tokio::test]
async fn a_policy_without_its_role_and_a_role_without_its_policy_go_too() -> Result<()> {
    let fixture = still().await?;
    for name in ["role-gone", "policy-gone"] {
        fixture.applied(name, json!({})).await?;
    }
    let (role, policy) = (fixture.name("role-gone"), fixture.policy_arn("policy-gone"));
    let (attached, other) = (fixture.policy_arn("role-gone"), fixture.name("policy-gone"));
    fixture.by_hand(|iam| {
        iam.detach_role_policy(&role, &attached)?;
        iam.delete_role(&role)?;
        iam.detach_role_policy(&other, &policy)?;
        iam.delete_policy(&policy)
    })?;
    for name in ["role-gone", "policy-gone"] {
        fixture.deleted(name).await?;
        fixture.nothing_left(name)?;
    }
    fixture.finish().await
}

#[tokio::test]
async fn an_object_that_went_in_the_instant_in_which_its_finalizer_came_leaves_nothing() -> Result<()> {
    let fixture = start().await?;
    let before = fixture.iam().snapshot();
    fixture.applied("a", json!({})).await?;
    fixture.applied("kept", json!({ "deletionPolicy": "Retain" })).await?;
    let control_plane = fixture.env.control_plane()?;
    let path = |name: &str| format!("auroralogexport.dev/auroralogexportpolicies/{}/{name}", fixture.namespace());
    control_plane.remove_from_etcd(&path("a")).await?;
    fixture.eventually("nothing of it to be left", || fixture.nothing_left("a")).await?;
    control_plane.remove_from_etcd(&path("kept")).await?;
    fixture.gone("kept").await?;
    // The name is free for a new object.
    fixture.applied("a", json!({})).await?;
    fixture.deleted("a").await?;
    fixture.nothing_left("a")?;
    fixture.role("kept")?;
    fixture.applied("kept", json!({})).await?;
    fixture.deleted("kept").await?;
    assert_eq!(fixture.iam().snapshot(), before);
    fixture.finish().await
}
