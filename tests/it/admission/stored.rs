//! Objects that were stored before a rule existed: the operator reports what is wrong with them, and the other objects are
//! not affected.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aurora_log_export_operator::api::AuroraLogExportPolicy;
use aurora_test_support::controlplane::{ControlPlane, ControlPlaneOptions};
use aurora_test_support::paths::RunDir;
use aurora_test_support::wait::{wait_for, wait_gone};
use aurora_test_support::{apply, kubeconfig};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceValidation, JSONSchemaProps,
};
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::policy;
use crate::emulators::aws;
use crate::fixture::{ACCOUNT, LIMIT, condition, operator_in};

/// A control plane with these objects, which were created under a CRD without rules, and with the shipped CRD.
async fn cluster_with(dir: &Path, manifests: &[String]) -> Result<(ControlPlane, Client)> {
    let control_plane = ControlPlane::start(dir, ControlPlaneOptions::default()).await?;
    let client = kubeconfig::client(control_plane.kubeconfig().clone()).await?;
    let shipped = apply::shipped_crds()?;
    let relaxed = shipped.iter().map(relaxed).collect::<Result<Vec<_>>>()?;
    apply::apply_crds(&client, "aurora-test", &relaxed).await?;
    for manifest in manifests {
        apply::apply(&client, "aurora-test", &apply::parse(manifest)?).await?;
    }
    apply::apply_crds(&client, "aurora-test", &shipped).await?;
    // The new schema takes effect a moment later.
    let refused = policy("default", "probe", "roleName: a/b");
    wait_for("the shipped CRD to be in force", LIMIT, async || {
        let stored = apply::apply(&client, "probe", &apply::parse(&refused)?).await;
        ensure!(stored.is_err(), "the relaxed CRD still is");
        Ok(())
    })
    .await?;
    let objects: Api<AuroraLogExportPolicy> = Api::namespaced(client.clone(), "default");
    let _ = objects.delete("probe", &DeleteParams::default()).await;
    Ok((control_plane, client))
}

/// The same CRD without any rule on the spec.
fn relaxed(crd: &DynamicObject) -> Result<DynamicObject> {
    let mut crd: CustomResourceDefinition = serde_json::from_value(serde_json::to_value(crd)?)?;
    for version in &mut crd.spec.versions {
        version.schema = Some(CustomResourceValidation {
            open_api_v3_schema: Some(JSONSchemaProps {
                type_: Some("object".into()),
                x_kubernetes_preserve_unknown_fields: Some(true),
                ..JSONSchemaProps::default()
            }),
        });
    }
    Ok(serde_json::from_value(serde_json::to_value(crd)?)?)
}

/// The objects without their types: what is stored may not fit them.
fn objects(client: &Client) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), "default", &ApiResource::erase::<AuroraLogExportPolicy>(&()))
}

async fn ready(client: &Client, name: &str) -> Result<Value> {
    let object = objects(client).get(name).await?;
    condition(&object.data["status"], "Ready").cloned().with_context(|| format!("no condition Ready: {}", object.data))
}

#[tokio::test]
async fn an_object_stored_before_a_rule_existed_is_reported_and_disturbs_no_other() -> Result<()> {
    let run = RunDir::create()?;
    // Without values of a wrong type in a field that a CEL rule reads: the API server refuses every write to such an object
    // until that field is corrected.
    let bad = [
        ("wrong-type", "description: 7", "spec.description"),
        ("wrong-shape", "trust: {sourceArns: cluster}", "spec.trust.sourceArns"),
        ("unknown-choice", "access: Everything", "spec.access"),
        ("too-often", "driftCheckInterval: 1s", "spec.driftCheckInterval: must be at least 30s"),
        ("too-long", &format!("roleName: {}", "r".repeat(65)), "spec.roleName"),
        ("reserved-tag", "tags: {'aws:team': a}", r#"spec.tags["aws:team"]"#),
        ("twice", "scope: {regions: [eu-west-1, eu-west-1]}", "spec.scope.regions[1]"),
        ("contradiction", "access: FullAccess\nscope: {}", "spec.scope"),
    ];
    let mut manifests: Vec<_> = bad.iter().map(|(name, spec, _)| policy("default", name, spec)).collect();
    manifests.push(policy("default", "good", "{}"));
    let (control_plane, client) = cluster_with(run.path(), &manifests).await?;
    let server = aws(ACCOUNT)?;
    let operator = operator_in(&control_plane, &server, &["--cluster-name=stored"]).await?;

    wait_for("the good object to be ready", LIMIT, async || {
        let ready = ready(&client, "good").await?;
        ensure!(ready["status"] == "True", "{ready}");
        Ok(())
    })
    .await
    .with_context(|| operator.log_text().unwrap_or_default())?;
    for (name, _, words) in bad {
        let condition = wait_for(&format!("{name} to be judged"), LIMIT, async || {
            let ready = ready(&client, name).await?;
            ensure!(ready["reason"] == "InvalidSpec", "{ready}");
            Ok(ready)
        })
        .await
        .with_context(|| operator.log_text().unwrap_or_default())?;
        let message = condition["message"].as_str().unwrap_or_default();
        ensure!(message.contains(words), "{name}: {message}");
    }
    let calls = server.gate().calls_since(0);
    ensure!(
        calls.iter().filter(|call| call.action.starts_with("Create")).count() == 2,
        "only the good object has resources: {calls:?}"
    );

    // They do not delay later objects.
    let began = Instant::now();
    apply::apply(&client, "aurora-test", &apply::parse(&policy("default", "late", "{}"))?).await?;
    wait_for("the late object to be ready", LIMIT, async || {
        let ready = ready(&client, "late").await?;
        ensure!(ready["status"] == "True", "{ready}");
        Ok(())
    })
    .await?;
    let took = began.elapsed();
    println!("a sound object beside unreadable ones was ready after {took:?}");
    // Sooner than the backoff of those beside it.
    ensure!(took < Duration::from_secs(30), "{took:?}");

    // A corrected object becomes ready.
    let objects = objects(&client);
    for (name, corrected) in
        [("wrong-shape", json!({ "trust": null })), ("twice", json!({ "scope": { "regions": ["eu-west-1"] } }))]
    {
        let patch = Patch::Merge(json!({ "spec": corrected }));
        objects.patch(name, &PatchParams::default(), &patch).await?;
        wait_for(&format!("{name} to be ready"), LIMIT, async || {
            let object = objects.get(name).await?;
            let status = &object.data["status"];
            ensure!(condition(status, "Ready").is_some_and(|ready| ready["status"] == "True"), "{status}");
            ensure!(condition(status, "Stalled").is_none(), "{status}");
            Ok(())
        })
        .await
        .with_context(|| operator.log_text().unwrap_or_default())?;
    }
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_object_that_became_unreadable_is_kept_until_it_is_abandoned() -> Result<()> {
    let run = RunDir::create()?;
    // It has the finalizer: policy and role were created while the spec could be read.
    let manifest = policy("default", "orders", "description: 7")
        .replace("namespace: default}", "namespace: default, finalizers: [auroralogexport.dev/cleanup]}");
    let (control_plane, client) = cluster_with(run.path(), &[manifest]).await?;
    let server = aws(ACCOUNT)?;
    let operator = operator_in(&control_plane, &server, &["--cluster-name=stored"]).await?;
    let objects = objects(&client);
    objects.delete("orders", &DeleteParams::default()).await?;
    let condition = wait_for("the deletion to be held", LIMIT, async || {
        let ready = ready(&client, "orders").await?;
        ensure!(ready["message"].as_str().is_some_and(|message| message.contains("abandon")), "{ready}");
        Ok(ready)
    })
    .await
    .with_context(|| operator.log_text().unwrap_or_default())?;
    ensure!(condition["message"].as_str().is_some_and(|message| message.contains("spec.description")), "{condition}");
    let abandon = json!({ "metadata": { "annotations": { "auroralogexport.dev/abandon": "true" } } });
    objects.patch("orders", &PatchParams::default(), &Patch::Merge(abandon)).await?;
    wait_gone(&objects, "orders", LIMIT).await.with_context(|| operator.log_text().unwrap_or_default())?;
    ensure!(server.gate().calls_since(0).iter().all(|call| call.action == "GetCallerIdentity"));
    operator.stop().await?;
    Ok(())
}
