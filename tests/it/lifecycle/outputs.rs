//! `spec.outputs.configMapRef`: set, changed, removed; owned; never one of others.

use anyhow::{Context, Result, ensure};
use aurora_test_support::wait::{wait_for, wait_gone};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
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
    // `reconcile-at` repairs it too.
    let broken = json!({ "data": { "roleArn": "broken" } });
    config_maps(&fixture).patch("quiet", &PatchParams::default(), &Patch::Merge(&broken)).await?;
    fixture.nudge("a").await?;
    wait_for("the repair of the ConfigMap", LIMIT, async || {
        let data = published(&fixture, "quiet").await?.data.unwrap_or_default();
        ensure!(data["roleArn"] == fixture.role("a")?.arn, "{data:?}");
        Ok(())
    })
    .await?;
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
