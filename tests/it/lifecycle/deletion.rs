//! The end of an object: nothing of it remains, nothing of others goes, and what holds it is named.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use aurora_test_support::iam_model::CreateRole;
use aurora_test_support::iam_model::faults::{Effect, FaultPlan, Rule};
use aurora_test_support::wait::{wait_for, wait_gone};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams};
use serde_json::json;

use super::bystanders::CONTESTED;
use super::stage::{ACCOUNT, LIMIT, OTHER_DOCUMENT, OTHER_TRUST, PATH, READ_ONLY, Stage, message, tags};

#[tokio::test]
async fn nothing_of_a_deleted_object_remains() -> Result<()> {
    let stage = Stage::start().await?;
    let before = stage.iam().snapshot();
    stage.applied("a", json!({ "scope": { "regions": ["us-east-1"] } })).await?;
    stage.applied("a", json!({ "scope": { "regions": ["us-east-2"] } })).await?;
    stage.applied("a", json!({ "permissionsBoundary": READ_ONLY })).await?;
    stage.deleted("a").await?;
    assert_eq!(stage.iam().snapshot(), before);
    stage.event("a", "Deleted").await?;
    stage.finish().await
}

#[tokio::test]
async fn retain_and_abandon_leave_aws_as_it_is_and_make_no_call() -> Result<()> {
    let stage = Stage::still().await?;
    stage.applied("retained", json!({ "deletionPolicy": "Retain" })).await?;
    stage.applied("abandoned", json!({})).await?;
    let (before, mark) = (stage.iam().snapshot(), stage.mark());
    stage.deleted("retained").await?;
    stage.event("retained", "Retained").await?;
    assert_eq!(stage.iam_calls(mark), []);
    stage.annotate("abandoned", "auroralogexport.dev/abandon", "true").await?;
    // The annotation itself asks for a look; its last call is that for the policy.
    stage
        .eventually("the look", || {
            let calls = stage.iam_calls(mark);
            ensure!(calls.iter().any(|call| call.action == "GetPolicy" && call.outcome == "OK"), "{calls:?}");
            Ok(())
        })
        .await?;
    let mark = stage.mark();
    stage.deleted("abandoned").await?;
    assert_eq!(stage.iam_calls(mark), []);
    assert_eq!(stage.iam().snapshot(), before, "tags included");
    // The same object, made anew, takes up what is its own.
    let id = stage.role("retained")?.id;
    stage.applied("retained", json!({})).await?;
    assert_eq!(stage.role("retained")?.id, id);
    stage.deleted("retained").await?;
    stage.nothing_left("retained")?;
    stage.finish().await
}

#[tokio::test]
async fn whatever_holds_a_resource_is_named_and_the_deletion_goes_on_when_it_lets_go() -> Result<()> {
    let stage = Stage::start().await?;
    stage.applied("a", json!({})).await?;
    let (name, arn) = (stage.name("a"), stage.policy_arn("a"));
    let holder = CreateRole { name: "holder".to_owned(), trust: OTHER_TRUST.to_owned(), ..CreateRole::default() };
    stage.by_hand(|iam| {
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
    let held = stage.iam().snapshot();
    stage.delete("a").await?;
    let named = async |what: &'static str, there: bool| {
        stage.nudge("a").await?;
        wait_for(&format!("{what} named: {there}"), LIMIT, async || {
            let status = stage.until("a", "Ready", "False", "DeletionBlocked").await?;
            let said = message(&status, "Ready");
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
    assert_eq!(stage.iam().snapshot(), held, "nothing is half deleted");
    stage.by_hand(|iam| {
        iam.detach_role_policy(&name, READ_ONLY)?;
        iam.delete_role_policy(&name, "mine")?;
        iam.remove_role_from_instance_profile("profile", &name)
    })?;
    named("instance profile profile", false).await?;
    named("role holder", true).await?;
    stage.by_hand(|iam| {
        iam.detach_role_policy("holder", &arn)?;
        iam.detach_user_policy("user", &arn)?;
        iam.delete_user_permissions_boundary("bounded")
    })?;
    // By itself: nobody touches the object again.
    stage.gone("a").await?;
    stage.nothing_left("a")?;
    ensure!(stage.iam().get_role("holder").is_ok());
    stage.finish().await
}

#[tokio::test]
async fn exclusive_removes_attachments_of_others_at_deletion_too() -> Result<()> {
    let stage = Stage::still().await?;
    stage.applied("a", json!({ "attachmentPolicy": "Exclusive" })).await?;
    let name = stage.name("a");
    stage.by_hand(|iam| iam.attach_role_policy(&name, READ_ONLY))?;
    stage.deleted("a").await?;
    stage.nothing_left("a")?;
    stage.finish().await
}

#[tokio::test]
async fn a_suspended_object_deletes_by_its_policy_and_an_observing_one_never_writes() -> Result<()> {
    let stage = Stage::start().await?;
    for name in ["suspended", "kept", "observing"] {
        stage.applied(name, json!({})).await?;
    }
    stage.apply("suspended", json!({ "suspend": true })).await?;
    stage.until("suspended", "Ready", "False", "Suspended").await?;
    stage.apply("kept", json!({ "suspend": true, "deletionPolicy": "Retain" })).await?;
    stage.until("kept", "Ready", "False", "Suspended").await?;
    stage.applied("observing", json!({ "managementPolicy": "Observe" })).await?;
    for name in ["suspended", "kept", "observing"] {
        stage.deleted(name).await?;
    }
    stage.nothing_left("suspended")?;
    stage.role("kept")?;
    stage.policy("kept")?;
    stage.role("observing")?;
    stage.policy("observing")?;
    stage.finish().await
}

#[tokio::test]
async fn an_object_in_conflict_or_one_that_never_reached_aws_goes_at_once() -> Result<()> {
    let stage = Stage::still().await?;
    stage.foreign_role("conflict", OTHER_TRUST, &tags(&[]))?;
    let before = stage.iam().snapshot();
    stage.apply("conflict", json!({})).await?;
    stage.until("conflict", "Ready", "False", "Conflict").await?;
    stage.apply("refused", json!({ "adoptionPolicy": "Always" })).await?;
    stage.until("refused", "Ready", "False", "NotPermitted").await?;
    let mark = stage.mark();
    stage.deleted("conflict").await?;
    stage.deleted("refused").await?;
    assert_eq!(stage.iam_calls(mark), []);
    assert_eq!(stage.iam().snapshot(), before);
    stage.finish().await
}

#[tokio::test]
async fn an_object_whose_resources_were_taken_over_goes_without_them() -> Result<()> {
    let stage = Stage::still().await?;
    stage.applied("a", json!({})).await?;
    let (name, arn) = (stage.name("a"), stage.policy_arn("a"));
    let theirs = tags(&[("auroralogexport.dev/owner", "shop/orders")]);
    stage.by_hand(|iam| iam.tag_role(&name, &theirs).and_then(|()| iam.tag_policy(&arn, &theirs)))?;
    let before = stage.iam().snapshot();
    stage.deleted("a").await?;
    assert_eq!(stage.iam().snapshot(), before);
    stage.finish().await
}

/// Deletes an object right after this create, whose answer was lost, while reads lag.
async fn deleted_right_after_a_lost(create: &str) -> Result<()> {
    let stage = Stage::still().await?;
    stage.server.world().configure(ACCOUNT, |settings, _| settings.visibility_delay_ms = 5000);
    let lost = Rule::new(Effect::LoseAnswer, &[create]).times(1);
    stage.server.gate().set_faults(FaultPlan::of(1, vec![lost]));
    let before = stage.iam().counts();
    let mark = stage.mark();
    stage.apply("a", json!({})).await?;
    stage
        .eventually("the create that nobody was told of", || {
            let calls = stage.iam_calls(mark);
            let lost =
                calls.iter().any(|call| call.action == create && call.outcome == "ConnectionLost" && call.executed);
            ensure!(lost, "{calls:?}");
            Ok(())
        })
        .await?;
    stage.deleted("a").await?;
    assert_eq!(stage.iam().counts(), before);
    stage.finish().await
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
    let stage = Stage::with(&["--drift-check-interval=1h", "--default-deletion-policy=Retain"]).await?;
    stage.applied("silent", json!({})).await?;
    stage.applied("explicit", json!({ "deletionPolicy": "Delete" })).await?;
    let (role, policy) = (stage.role("silent")?, stage.policy("silent")?);
    let mark = stage.mark();
    stage.deleted("silent").await?;
    stage.event("silent", "Retained").await?;
    assert_eq!(stage.iam_calls(mark), []);
    assert_eq!((stage.role("silent")?, stage.policy("silent")?), (role, policy));
    stage.deleted("explicit").await?;
    stage.nothing_left("explicit")?;
    stage.finish().await
}

#[tokio::test]
async fn a_deleted_namespace_goes_and_so_does_what_it_had_in_aws() -> Result<()> {
    let stage = Stage::start().await?;
    let before = stage.iam().snapshot();
    for name in ["a", "b", "c"] {
        stage.applied(name, json!({})).await?;
    }
    let namespaces: Api<Namespace> = Api::all(stage.client.clone());
    namespaces.delete(&stage.namespace, &DeleteParams::default()).await?;
    wait_gone(&namespaces, &stage.namespace, LIMIT).await?;
    assert_eq!(stage.iam().snapshot(), before);
    stage.finish().await
}

#[tokio::test]
async fn without_credentials_retained_and_abandoned_objects_go_without_any_call() -> Result<()> {
    let mut stage = Stage::still().await?;
    stage.deleted(CONTESTED).await?;
    stage.applied("retained", json!({ "deletionPolicy": "Retain" })).await?;
    stage.applied("abandoned", json!({})).await?;
    stage.stop_operator().await?;
    stage
        .server
        .world()
        .set_key_state(aurora_test_support::moto::ACCESS_KEY, aurora_test_support::iam_model::http::KeyState::Revoked);
    stage.annotate("abandoned", "auroralogexport.dev/abandon", "true").await?;
    stage.delete("retained").await?;
    stage.delete("abandoned").await?;
    let mark = stage.mark();
    stage.start_operator().await?;
    stage.gone("retained").await?;
    stage.gone("abandoned").await?;
    assert_eq!(stage.server.gate().calls_since(mark), []);
    stage.finish().await
}

#[tokio::test]
async fn with_refused_credentials_a_deletion_waits_and_says_so_until_abandoned() -> Result<()> {
    let stage = Stage::start().await?;
    stage.applied("a", json!({})).await?;
    let key = aurora_test_support::moto::ACCESS_KEY;
    let world = stage.server.world();
    world.set_key_state(key, aurora_test_support::iam_model::http::KeyState::Revoked);
    stage.delete("a").await?;
    stage.until("a", "Ready", "False", "CredentialsInvalid").await?;
    stage.annotate("a", "auroralogexport.dev/abandon", "true").await?;
    let asked = Instant::now();
    stage.gone("a").await?;
    ensure!(asked.elapsed() < Duration::from_mins(1));
    stage.role("a")?;
    stage.finish().await
}

#[tokio::test]
async fn a_policy_without_its_role_and_a_role_without_its_policy_go_too() -> Result<()> {
    let stage = Stage::still().await?;
    for name in ["role-gone", "policy-gone"] {
        stage.applied(name, json!({})).await?;
    }
    let (role, policy) = (stage.name("role-gone"), stage.policy_arn("policy-gone"));
    let (attached, other) = (stage.policy_arn("role-gone"), stage.name("policy-gone"));
    stage.by_hand(|iam| {
        iam.detach_role_policy(&role, &attached)?;
        iam.delete_role(&role)?;
        iam.detach_role_policy(&other, &policy)?;
        iam.delete_policy(&policy)
    })?;
    ensure!(stage.policy_arn("a").contains(PATH));
    for name in ["role-gone", "policy-gone"] {
        stage.deleted(name).await?;
        stage.nothing_left(name)?;
    }
    stage.finish().await
}

#[tokio::test]
async fn an_object_that_went_in_the_instant_in_which_its_finalizer_came_leaves_nothing() -> Result<()> {
    let stage = Stage::start().await?;
    let before = stage.iam().snapshot();
    stage.applied("a", json!({})).await?;
    stage.applied("kept", json!({ "deletionPolicy": "Retain" })).await?;
    let control_plane = stage.env.control_plane()?;
    let path = |name: &str| format!("auroralogexport.dev/auroralogexportpolicies/{}/{name}", stage.namespace);
    control_plane.remove_from_etcd(&path("a")).await?;
    stage.eventually("nothing of it to be left", || stage.nothing_left("a")).await?;
    control_plane.remove_from_etcd(&path("kept")).await?;
    stage.gone("kept").await?;
    // The name is free again, for an object that knows nothing of the one before.
    stage.applied("a", json!({})).await?;
    stage.deleted("a").await?;
    stage.nothing_left("a")?;
    stage.role("kept")?;
    stage.applied("kept", json!({})).await?;
    stage.deleted("kept").await?;
    assert_eq!(stage.iam().snapshot(), before);
    stage.finish().await
}
