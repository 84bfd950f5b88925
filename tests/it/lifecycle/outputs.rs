//! `spec.outputs.configMapRef`: set, changed, removed; owned; never one of others.

use anyhow::{Context, Result, ensure};
use aurora_test_support::paths::workspace;
use aurora_test_support::wait::{wait_for, wait_gone};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use super::stage::{ACCOUNT, FULL_ACCESS, LIMIT, Stage, message};

/// The operator with the rights, and the limits, of the shipped component.
async fn stage() -> Result<Stage> {
    let mut stage = Stage::without_operator(&["--drift-check-interval=1s", "--enable-outputs=true"]).await?;
    let component = workspace().join("deploy/kustomize/components/outputs");
    for file in ["clusterrole.yaml", "clusterrolebinding.yaml", "admission.yaml"] {
        let yaml = std::fs::read_to_string(component.join(file))?;
        stage.env.apply_yaml(&yaml).await?;
    }
    stage.start_operator().await?;
    Ok(stage)
}

fn config_maps(stage: &Stage) -> Api<ConfigMap> {
    Api::namespaced(stage.client.clone(), &stage.namespace)
}

fn outputs(name: &str) -> Value {
    json!({ "configMapRef": { "name": name } })
}

async fn published(stage: &Stage, name: &str) -> Result<ConfigMap> {
    config_maps(stage).get_opt(name).await?.with_context(|| format!("no ConfigMap {name}"))
}

async fn removed(stage: &Stage, name: &str) -> Result<()> {
    wait_gone(&config_maps(stage), name, LIMIT).await
}

#[tokio::test]
async fn outputs_are_published_follow_the_spec_and_go_with_the_object() -> Result<()> {
    let stage = stage().await?;
    let status = stage.applied("a", json!({ "outputs": outputs("one") })).await?;
    assert_eq!(status["outputs"]["configMapName"], "one");
    let one = published(&stage, "one").await?;
    let data = one.data.clone().unwrap_or_default();
    assert_eq!(data["roleArn"], stage.role("a")?.arn);
    assert_eq!(data["roleName"], stage.name("a"));
    assert_eq!(data["policyArn"], stage.policy_arn("a"));
    assert_eq!(data["accountId"], ACCOUNT);
    assert_eq!(data.len(), 4);
    let object = stage.api().get("a").await?;
    let owners = one.metadata.owner_references.unwrap_or_default();
    assert_eq!(owners.len(), 1);
    assert_eq!((&owners[0].uid, owners[0].controller), (&object.metadata.uid.unwrap_or_default(), Some(true)));

    let spec = json!({ "outputs": outputs("one"), "access": "FullAccess" });
    stage.applied("a", spec).await?;
    let data = published(&stage, "one").await?.data.unwrap_or_default();
    assert_eq!(data["policyArn"], FULL_ACCESS);

    stage.applied("a", json!({ "outputs": outputs("two") })).await?;
    published(&stage, "two").await?;
    removed(&stage, "one").await?;

    let status = stage.applied("a", json!({})).await?;
    ensure!(status["outputs"].is_null(), "{status}");
    removed(&stage, "two").await?;

    stage.applied("a", json!({ "outputs": outputs("three") })).await?;
    published(&stage, "three").await?;
    stage.deleted("a").await?;
    removed(&stage, "three").await?;
    stage.finish().await
}

#[tokio::test]
async fn a_config_map_of_others_is_a_conflict_and_stays_untouched() -> Result<()> {
    let stage = stage().await?;
    let yaml = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: theirs, namespace: {}}}\ndata: {{key: value}}\n",
        stage.namespace
    );
    stage.env.apply_yaml(&yaml).await?;
    let before = published(&stage, "theirs").await?;
    stage.applied("a", json!({ "outputs": outputs("mine") })).await?;
    stage.apply("a", json!({ "outputs": outputs("theirs") })).await?;
    let status = stage.until("a", "Ready", "False", "Conflict").await?;
    ensure!(message(&status, "Ready").contains("ConfigMap theirs"), "{status}");
    ensure!(message(&status, "Stalled").contains("ConfigMap theirs"), "{status}");
    // AWS is in sync all the same, and says so.
    stage.until("a", "RoleReady", "True", "InSync").await?;
    assert_eq!(published(&stage, "theirs").await?, before);
    published(&stage, "mine").await?;
    // Two objects that want one ConfigMap: the first has it.
    stage.apply("b", json!({ "outputs": outputs("mine") })).await?;
    stage.until("b", "Ready", "False", "Conflict").await?;
    // It passes by itself when the name is free.
    config_maps(&stage).delete("theirs", &kube::api::DeleteParams::default()).await?;
    stage.ready("a").await?;
    published(&stage, "theirs").await?;
    stage.deleted("a").await?;
    stage.deleted("b").await?;
    stage.finish().await
}

#[tokio::test]
async fn outputs_that_did_not_change_are_neither_read_nor_written() -> Result<()> {
    let stage = stage().await?;
    stage.applied("a", json!({ "outputs": outputs("quiet") })).await?;
    let before = published(&stage, "quiet").await?.metadata.resource_version;
    let requests = || -> Result<usize> {
        let of_it = |event: &Value| {
            event["objectRef"]["resource"] == "configmaps"
                && event["objectRef"]["namespace"] == *stage.namespace
                && event["user"]["username"].as_str().is_some_and(|user| user.ends_with("aurora-log-export-operator"))
        };
        Ok(stage.env.audit_events()?.iter().filter(|event| of_it(event)).count())
    };
    let first = wait_for("the publication in the audit log", LIMIT, async || {
        let count = requests()?;
        ensure!(count >= 2, "{count}");
        Ok(count)
    })
    .await?;
    let mark = stage.mark();
    stage
        .eventually("five more looks", || {
            let looks = stage.iam_calls(mark).into_iter().filter(|call| call.action == "GetPolicy");
            ensure!(looks.count() >= 5);
            Ok(())
        })
        .await?;
    assert_eq!(published(&stage, "quiet").await?.metadata.resource_version, before);
    assert_eq!(requests()?, first);
    // `reconcile-at` looks at it too.
    let broken = json!({ "data": { "roleArn": "broken" } });
    config_maps(&stage).patch("quiet", &PatchParams::default(), &Patch::Merge(&broken)).await?;
    stage.nudge("a").await?;
    wait_for("the repair of the ConfigMap", LIMIT, async || {
        let data = published(&stage, "quiet").await?.data.unwrap_or_default();
        ensure!(data["roleArn"] == stage.role("a")?.arn, "{data:?}");
        Ok(())
    })
    .await?;
    stage.finish().await
}

#[tokio::test]
async fn without_the_flag_outputs_are_refused_by_its_name() -> Result<()> {
    let stage = Stage::start().await?;
    let mark = stage.mark();
    stage.apply("a", json!({ "outputs": outputs("one") })).await?;
    let status = stage.until("a", "Ready", "False", "NotPermitted").await?;
    ensure!(message(&status, "Ready").contains("--enable-outputs"), "{status}");
    assert_eq!(stage.iam_calls(mark), []);
    ensure!(config_maps(&stage).get_opt("one").await?.is_none());
    stage.finish().await
}
