//! `spec.outputs.configMapRef`: set, changed, removed; owned; never one of others.

use anyhow::{Context, Result, ensure};
use aurora_test_support::wait::{wait_for, wait_gone};
use k8s_openapi::api::core::v1::{ConfigMap, ResourceQuota};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{contested, start};
use crate::fixture::{ACCOUNT, FULL_ACCESS, Fixture, LIMIT, message, message_of};

/// The operator with the rights, and the limits, of the shipped component.
async fn fixture() -> Result<Fixture<'static>> {
    let mut fixture = contested(&["--enable-outputs=true"]).prepare().await?;
    fixture.install_outputs().await?;
    fixture.start_operator().await?;
    Ok(fixture)
}

fn config_maps(fixture: &Fixture<'_>) -> Api<ConfigMap> {
    Api::namespaced(fixture.client.clone(), fixture.namespace())
}

fn outputs(name: &str) -> Value {
    json!({ "configMapRef": { "name": name } })
}

async fn published(fixture: &Fixture<'_>, name: &str) -> Result<ConfigMap> {
    config_maps(fixture).get_opt(name).await?.with_context(|| format!("no ConfigMap {name}"))
}

async fn removed(fixture: &Fixture<'_>, name: &str) -> Result<()> {
    wait_gone(&config_maps(fixture), name, LIMIT).await
}

#[tokio::test]
async fn outputs_are_published_follow_the_spec_and_go_with_the_object() -> Result<()> {
    let fixture = fixture().await?;
    let status = fixture.applied("a", json!({ "outputs": outputs("one") })).await?;
    assert_eq!(status["outputs"]["configMapName"], "one");
    let one = published(&fixture, "one").await?;
    let data = one.data.clone().unwrap_or_default();
    assert_eq!(data["roleArn"], fixture.role("a")?.arn);
    assert_eq!(data["roleName"], fixture.name("a"));
    assert_eq!(data["policyArn"], fixture.policy_arn("a"));
    assert_eq!(data["accountId"], ACCOUNT);
    assert_eq!(data.len(), 4);
    let object = fixture.object("a").await?;
    let owners = one.metadata.owner_references.unwrap_or_default();
    assert_eq!(owners.len(), 1);
    assert_eq!((&owners[0].uid, owners[0].controller), (&object.metadata.uid.unwrap_or_default(), Some(true)));

    let spec = json!({ "outputs": outputs("one"), "access": "FullAccess" });
    fixture.applied("a", spec).await?;
    let data = published(&fixture, "one").await?.data.unwrap_or_default();
    assert_eq!(data["policyArn"], FULL_ACCESS);

    fixture.applied("a", json!({ "outputs": outputs("two") })).await?;
    published(&fixture, "two").await?;
    removed(&fixture, "one").await?;

    let status = fixture.applied("a", json!({})).await?;
    ensure!(status["outputs"].is_null(), "{status}");
    removed(&fixture, "two").await?;

    fixture.applied("a", json!({ "outputs": outputs("three") })).await?;
    published(&fixture, "three").await?;
    fixture.deleted("a").await?;
    removed(&fixture, "three").await?;
    fixture.finish().await
}

#[tokio::test]
async fn a_config_map_of_others_is_a_conflict_and_stays_untouched() -> Result<()> {
    let fixture = fixture().await?;
    let yaml = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: theirs, namespace: {}}}\ndata: {{key: value}}\n",
        fixture.namespace()
    );
    fixture.env.apply_yaml(&yaml).await?;
    let before = published(&fixture, "theirs").await?;
    fixture.applied("a", json!({ "outputs": outputs("mine") })).await?;
    fixture.apply("a", json!({ "outputs": outputs("theirs") })).await?;
    let status = fixture.not_ready("a", "Conflict").await?;
    ensure!(message(&status).contains("ConfigMap theirs"), "{status}");
    ensure!(message_of(&status, "Stalled").contains("ConfigMap theirs"), "{status}");
    // The AWS resources are in sync nevertheless.
    fixture.until("a", "RoleReady", "True", "InSync").await?;
    assert_eq!(published(&fixture, "theirs").await?, before);
    published(&fixture, "mine").await?;
    // Two objects that want one ConfigMap: the first has it.
    fixture.apply("b", json!({ "outputs": outputs("mine") })).await?;
    fixture.not_ready("b", "Conflict").await?;
    // It recovers by itself when the name is free.
    config_maps(&fixture).delete("theirs", &kube::api::DeleteParams::default()).await?;
    fixture.ready("a").await?;
    published(&fixture, "theirs").await?;
    fixture.deleted("a").await?;
    fixture.deleted("b").await?;
    fixture.finish().await
}

#[tokio::test]
async fn outputs_that_did_not_change_are_neither_read_nor_written() -> Result<()> {
    let fixture = fixture().await?;
    fixture.applied("a", json!({ "outputs": outputs("quiet") })).await?;
    let before = published(&fixture, "quiet").await?.metadata.resource_version;
    let requests = || -> Result<usize> {
        let of_it = |event: &Value| {
            event["objectRef"]["resource"] == "configmaps"
                && event["objectRef"]["namespace"] == *fixture.namespace()
                && (event["verb"] == "get" || event["verb"] == "patch")
                && event["user"]["username"].as_str().is_some_and(|user| user.ends_with("aurora-log-export-operator"))
        };
        Ok(fixture.env.audit_events()?.iter().filter(|event| of_it(event)).count())
    };
    let first = wait_for("the publication in the audit log", LIMIT, async || {
        let count = requests()?;
        ensure!(count >= 2, "{count}");
        Ok(count)
    })
    .await?;
    fixture.resyncs(5).await?;
    assert_eq!(published(&fixture, "quiet").await?.metadata.resource_version, before);
    assert_eq!(requests()?, first);
    // `reconcile-at` reads it.
    fixture.nudge("a").await?;
    wait_for("a read of the ConfigMap", LIMIT, async || {
        ensure!(requests()? > first, "none");
        Ok(())
    })
    .await?;
    fixture.finish().await
}

/// A change by hand.
async fn patched(fixture: &Fixture<'_>, name: &str, change: Value) -> Result<()> {
    config_maps(fixture).patch(name, &PatchParams::default(), &Patch::Merge(&change)).await?;
    Ok(())
}

/// Waits until the ConfigMap has the role's ARN and so many keys.
async fn restored(fixture: &Fixture<'_>, name: &str, keys: usize) -> Result<ConfigMap> {
    wait_for(&format!("ConfigMap {name} to be as it was"), LIMIT, async || {
        let config_map = published(fixture, name).await?;
        let data = config_map.data.clone().unwrap_or_default();
        let arn = data.get("roleArn").cloned().unwrap_or_default();
        ensure!(arn == fixture.role("a")?.arn && data.len() == keys, "{data:?}");
        let label = config_map.metadata.labels.clone().unwrap_or_default();
        ensure!(label.contains_key("app.kubernetes.io/managed-by"), "{label:?}");
        Ok(config_map)
    })
    .await
    .with_context(|| fixture.log())
}

#[tokio::test]
async fn a_config_map_that_was_edited_or_deleted_is_as_it_was_without_a_resync() -> Result<()> {
    let mut fixture = contested(&["--enable-outputs=true", "--drift-check-interval=1h"]).prepare().await?;
    fixture.install_outputs().await?;
    fixture.start_operator().await?;
    fixture.applied("a", json!({ "outputs": outputs("kept") })).await?;
    let mark = fixture.mark();
    for change in [
        json!({ "data": { "roleArn": "broken" } }),
        json!({ "data": { "roleArn": null } }),
        json!({ "data": null }),
        json!({ "metadata": { "labels": null } }),
    ] {
        patched(&fixture, "kept", change).await?;
        restored(&fixture, "kept", 4).await?;
    }
    config_maps(&fixture).delete("kept", &kube::api::DeleteParams::default()).await?;
    restored(&fixture, "kept", 4).await?;
    assert_eq!(fixture.writes(mark), []);
    fixture.ready("a").await?;

    // What happened while the operator was not running is found at its start.
    for change in [Some(json!({ "data": { "accountId": "broken", "roleArn": "broken" } })), None] {
        fixture.stop_operator().await?;
        match change {
            Some(change) => patched(&fixture, "kept", change).await?,
            None => drop(config_maps(&fixture).delete("kept", &kube::api::DeleteParams::default()).await?),
        }
        fixture.start_operator().await?;
        restored(&fixture, "kept", 4).await?;
    }
    fixture.finish().await
}

#[tokio::test]
async fn keys_that_others_add_stay_and_harm_nothing() -> Result<()> {
    let fixture = fixture().await?;
    fixture.applied("a", json!({ "outputs": outputs("shared") })).await?;
    patched(&fixture, "shared", json!({ "data": { "theirs": "value" }, "binaryData": { "more": "AAAA" } })).await?;
    patched(&fixture, "shared", json!({ "data": { "roleArn": "broken" } })).await?;
    restored(&fixture, "shared", 5).await?;
    fixture.applied("a", json!({ "outputs": outputs("shared"), "access": "FullAccess" })).await?;
    let shared = published(&fixture, "shared").await?;
    let data = shared.data.unwrap_or_default();
    assert_eq!((data["policyArn"].as_str(), data["theirs"].as_str()), (FULL_ACCESS, "value"));
    ensure!(shared.binary_data.unwrap_or_default().contains_key("more"));
    fixture.finish().await
}

#[tokio::test]
async fn a_config_map_that_others_took_over_or_locked_is_refused_by_its_cause() -> Result<()> {
    let fixture = fixture().await?;
    fixture.applied("a", json!({ "outputs": outputs("taken") })).await?;
    patched(&fixture, "taken", json!({ "metadata": { "ownerReferences": null } })).await?;
    let said = fixture.refusal("a", "Conflict").await?;
    ensure!(said.contains("ConfigMap taken exists and is not controlled by this object"), "{said}");
    config_maps(&fixture).delete("taken", &kube::api::DeleteParams::default()).await?;
    fixture.ready("a").await?;

    patched(&fixture, "taken", json!({ "immutable": true })).await?;
    fixture.apply("a", json!({ "outputs": outputs("taken"), "access": "FullAccess" })).await?;
    let said = fixture.refusal("a", "Conflict").await?;
    ensure!(said.contains("ConfigMap taken is immutable") && said.contains("delete it"), "{said}");
    config_maps(&fixture).delete("taken", &kube::api::DeleteParams::default()).await?;
    fixture.ready("a").await?;
    fixture.finish().await
}

#[tokio::test]
async fn a_quota_is_not_explained_as_a_missing_right() -> Result<()> {
    let fixture = fixture().await?;
    let hard = json!({ "count/configmaps": "0" });
    let quota =
        json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "few" }, "spec": { "hard": hard } });
    let quotas: Api<ResourceQuota> = Api::namespaced(fixture.client.clone(), fixture.namespace());
    quotas.create(&PostParams::default(), &serde_json::from_value(quota)?).await?;
    // No controller of Kubernetes does it here.
    let status = json!({ "status": { "hard": hard, "used": { "count/configmaps": "0" } } });
    quotas.patch_status("few", &PatchParams::default(), &Patch::Merge(&status)).await?;
    fixture.apply("a", json!({ "outputs": outputs("one") })).await?;
    let said = fixture.refusal("a", "LimitExceeded").await?;
    ensure!(said.contains("exceeded quota: few") && said.contains("raise the ResourceQuota"), "{said}");
    ensure!(!said.contains("grant") && !said.contains("permissions"), "{said}");
    quotas.delete("few", &kube::api::DeleteParams::default()).await?;
    fixture.ready("a").await?;
    fixture.finish().await
}

#[tokio::test]
async fn without_the_flag_outputs_are_refused_by_its_name() -> Result<()> {
    let fixture = start().await?;
    let mark = fixture.mark();
    fixture.apply("a", json!({ "outputs": outputs("one") })).await?;
    let said = fixture.refusal("a", "NotPermitted").await?;
    ensure!(said.contains("--enable-outputs"), "{said}");
    assert_eq!(fixture.iam_calls(mark), []);
    ensure!(config_maps(&fixture).get_opt("one").await?.is_none());
    fixture.finish().await
}
