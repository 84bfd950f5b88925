//! This release loads the objects that the first release stored: its CRDs and objects are in `fixtures/first-release/`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use aurora_log_export_operator::api::{AuroraLogExportPolicy, AwsAccount};
use aurora_test_support::controlplane::{ControlPlane, ControlPlaneOptions};
use aurora_test_support::paths::{RunDir, workspace};
use aurora_test_support::wait::{wait_for, wait_gone};
use aurora_test_support::{apply, kubeconfig};
use kube::ResourceExt;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::emulators::aws;
use crate::fixture::{LIMIT, condition, operator_in};

/// The account in `objects.yaml`.
const ACCOUNT: &str = "100000000000";
/// Field manager of the installations.
const MANAGER: &str = "installer";

fn first_release() -> PathBuf {
    workspace().join("tests/it/fixtures/first-release")
}

fn first_crds() -> Result<Vec<DynamicObject>> {
    apply::crds_in(&first_release())
}

fn first_objects() -> Result<Vec<DynamicObject>> {
    apply::parse_file(&first_release().join("objects.yaml"))
}

fn schema(crd: &DynamicObject) -> &Value {
    &crd.data["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

fn kind(object: &DynamicObject) -> &str {
    object.types.as_ref().map_or("", |types| types.kind.as_str())
}

/// The ways in which a value that `old` allows may be invalid under `new`.
fn incompatibilities(old: &Value, new: &Value, path: &str, found: &mut Vec<String>) {
    if new.is_null() {
        found.push(format!("{path} is gone"));
        return;
    }
    if old["type"] != new["type"] {
        found.push(format!("{path} was {} and is {}", old["type"], new["type"]));
    }
    for value in old["enum"].as_array().into_iter().flatten() {
        if new["enum"].as_array().is_none_or(|values| !values.contains(value)) {
            found.push(format!("{path} may no longer be {value}"));
        }
    }
    for field in new["required"].as_array().into_iter().flatten() {
        // A required field of a new parent does not affect old objects.
        if !old["required"].as_array().is_some_and(|fields| fields.contains(field)) {
            found.push(format!("{path} now requires {field}"));
        }
    }
    for (name, field) in old["properties"].as_object().into_iter().flatten() {
        incompatibilities(field, &new["properties"][name], &format!("{path}.{name}"), found);
    }
    for inner in ["items", "additionalProperties"] {
        if old[inner].is_object() {
            incompatibilities(&old[inner], &new[inner], &format!("{path}[]"), found);
        }
    }
}

#[test]
fn every_field_of_the_first_release_is_still_there_with_its_type_and_choices() -> Result<()> {
    let now = apply::shipped_crds()?;
    for old in first_crds()? {
        let new = now.iter().find(|crd| crd.name_any() == old.name_any());
        let new = new.with_context(|| format!("{} is no longer shipped", old.name_any()))?;
        let served = |crd: &DynamicObject| crd.data["spec"]["versions"][0]["name"].clone();
        ensure!(served(new) == served(&old), "a new version comes after the old one, which stays served");
        let mut found = Vec::new();
        incompatibilities(schema(&old), schema(new), &old.name_any(), &mut found);
        ensure!(found.is_empty(), "{}", found.join("\n"));
    }
    Ok(())
}

#[test]
fn a_field_that_goes_or_changes_would_be_noticed() {
    let old = json!({ "type": "object", "properties": { "a": { "type": "string", "enum": ["x"] }, "b": { "type": "array", "items": { "type": "string" } } } });
    let cases = [
        (json!({ "type": "object", "properties": { "b": old["properties"]["b"] } }), ".a is gone"),
        (
            json!({ "type": "object", "properties": { "a": { "type": "string", "enum": ["y"] }, "b": old["properties"]["b"] } }),
            ".a may no longer be",
        ),
        (
            json!({ "type": "object", "properties": { "a": old["properties"]["a"], "b": { "type": "array", "items": { "type": "integer" } } } }),
            ".b[] was",
        ),
        (json!({ "type": "object", "required": ["a"], "properties": old["properties"] }), " now requires"),
    ];
    for (new, complaint) in cases {
        let mut found = Vec::new();
        incompatibilities(&old, &new, "", &mut found);
        assert!(found.len() == 1 && found[0].starts_with(complaint), "{found:?}");
    }
}

/// The paths of all fields of a schema, maps and lists being leaves but for objects in them.
fn fields(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    let items = &schema["items"];
    for (name, field) in schema["properties"].as_object().or(items["properties"].as_object()).into_iter().flatten() {
        let path = format!("{path}.{name}");
        fields(field, &path, found);
        found.insert(path);
    }
}

fn has(value: &Value, path: &[&str]) -> bool {
    match (value, path) {
        (Value::Array(items), _) => items.iter().any(|item| has(item, path)),
        (_, []) => !value.is_null(),
        (_, [first, rest @ ..]) => has(&value[*first], rest),
    }
}

#[test]
fn the_samples_use_every_field_of_the_first_release() -> Result<()> {
    let objects = first_objects()?;
    for crd in first_crds()? {
        let owner = crd.data["spec"]["names"]["kind"].as_str().unwrap_or_default();
        let mut all = BTreeSet::new();
        fields(&schema(&crd)["properties"]["spec"], "", &mut all);
        ensure!(all.len() > 10, "{owner} has only {} fields", all.len());
        for field in all {
            let path: Vec<&str> = field.split('.').skip(1).collect();
            let used = objects.iter().any(|object| kind(object) == owner && has(&object.data["spec"], &path));
            ensure!(used, "no {owner} of objects.yaml has spec{field}");
        }
    }
    Ok(())
}

/// A complete status as the first release wrote it.
fn old_status(name: &str) -> Value {
    let condition = |type_: &str, status: &str, reason: &str| json!({ "type": type_, "status": status, "reason": reason, "message": "of the first release", "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1 });
    json!({
        "observedGeneration": 1, "accountId": ACCOUNT, "partition": "aws",
        "policy": { "name": format!("default.{name}"), "arn": format!("arn:aws:iam::{ACCOUNT}:policy/aurora-log-export/default.{name}"), "id": "ANPAEXAMPLE", "versionId": "v1", "documentSha256": "00" },
        "role": { "name": format!("default.{name}"), "arn": format!("arn:aws:iam::{ACCOUNT}:role/aurora-log-export/default.{name}"), "id": "AROAEXAMPLE" },
        "drift": [{ "resource": "Role", "field": "tags", "expected": "a", "actual": "b" }],
        "conditions": [condition("Ready", "False", "Throttled"), condition("Drifted", "True", "DriftDetected"), condition("Reconciling", "True", "Retrying")],
    })
}

#[tokio::test]
async fn objects_stored_by_the_first_release_load_in_this_one() -> Result<()> {
    let run = RunDir::create()?;
    let control_plane = ControlPlane::start(run.path(), ControlPlaneOptions::default()).await?;
    let client = kubeconfig::client(control_plane.kubeconfig().clone()).await?;
    // The first release's CRDs accept them.
    apply::apply_crds(&client, MANAGER, &first_crds()?).await?;
    let samples = first_objects()?;
    apply::apply(&client, MANAGER, &samples).await?;
    let named = |name: &str| samples.iter().find(|object| object.name_any() == name).context("no such sample");
    let (minimal, patch) = (named("minimal")?, Patch::Merge(json!({ "status": old_status("minimal") })));
    let minimal = apply::api_for(&client, minimal).await?;
    minimal.patch_status("minimal", &PatchParams::default(), &patch).await?;

    apply::apply_crds(&client, MANAGER, &apply::shipped_crds()?).await?;
    for sample in &samples {
        let api = apply::api_for(&client, sample).await?;
        let stored = serde_json::to_value(api.get(&sample.name_any()).await?)?;
        let read = match kind(sample) {
            "AwsAccount" => serde_json::from_value::<AwsAccount>(stored).map(|_| ()),
            _ => serde_json::from_value::<AuroraLogExportPolicy>(stored).map(|_| ()),
        };
        read.with_context(|| format!("this release cannot read {}", apply::describe(sample)))?;
        // The same object is accepted if it is created today.
        let mut anew = sample.clone();
        anew.metadata.name = Some(format!("{}-anew", sample.name_any()));
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        api.create(&dry, &anew).await.with_context(|| format!("{} is no longer valid", apply::describe(sample)))?;
    }

    let server = aws(ACCOUNT)?;
    let flags = ["--cluster-name=first", "--enable-outputs=true"];
    let operator = operator_in(&control_plane, &server, &flags).await?;
    for sample in &samples {
        let api = apply::api_for(&client, sample).await?;
        let expected = sample.annotations().get("expect").context("a sample without `expect`")?;
        wait_for(&format!("{} to be {expected}", apply::describe(sample)), LIMIT, async || {
            let object = api.get(&sample.name_any()).await?;
            let ready = condition(&object.data["status"], "Ready").context("no Ready yet")?;
            ensure!(ready["reason"] == expected.as_str() && ready["message"] != "of the first release", "{ready}");
            Ok(())
        })
        .await
        .with_context(|| operator.log_text().unwrap_or_default())?;
    }
    // Nothing of the old status is left.
    let status = minimal.get("minimal").await?.data["status"].to_string();
    ensure!(!status.contains("of the first release") && !status.contains("ANPAEXAMPLE"), "{status}");
    minimal.delete("minimal", &DeleteParams::default()).await?;
    wait_gone(&minimal, "minimal", LIMIT).await.with_context(|| operator.log_text().unwrap_or_default())?;
    operator.stop().await?;
    Ok(())
}
