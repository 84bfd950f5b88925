//! What the first release stored, this one loads: its CRDs and objects stand in `fixtures/first-release/`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aurora_log_export_operator::api::{AuroraLogExportPolicy, AwsAccount};
use aurora_test_support::apply;
use aurora_test_support::controlplane::{ControlPlane, ControlPlaneOptions};
use aurora_test_support::operator::{Operator, OperatorOptions};
use aurora_test_support::paths::{RunDir, workspace};
use aurora_test_support::wait::{wait_for, wait_gone};
use aurora_test_support::{kubeconfig, moto};
use kube::ResourceExt;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::emulators::aws;
use crate::environment;

const LIMIT: Duration = Duration::from_mins(1);
const CRDS: [&str; 2] = ["auroralogexportpolicies.yaml", "awsaccounts.yaml"];
const HUB: &str = "100000000000";
/// Whoever installs, first that release and then this one.
const MANAGER: &str = "installer";

fn first_release(file: &str) -> PathBuf {
    workspace().join("tests/it/fixtures/first-release").join(file)
}

fn parsed(path: PathBuf) -> Result<Vec<DynamicObject>> {
    apply::parse(&std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?)
}

/// The CRDs of a directory.
fn crds(path: impl Fn(&str) -> PathBuf) -> Result<Vec<DynamicObject>> {
    let mut all = Vec::new();
    for file in CRDS {
        all.extend(parsed(path(file))?);
    }
    Ok(all)
}

fn schema(crd: &DynamicObject) -> &Value {
    &crd.data["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
}

fn kind(object: &DynamicObject) -> &str {
    object.types.as_ref().map_or("", |types| types.kind.as_str())
}

/// What a value that `old` allows could break on under `new`.
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
        // A field that came with its parent is required of nobody who does not know it.
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
    let now = crds(|file| workspace().join("crds").join(file))?;
    for old in crds(first_release)? {
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
    let objects = parsed(first_release("objects.yaml"))?;
    for crd in crds(first_release)? {
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

/// A status as an operator of the first release left it: complete, and of an earlier look.
fn old_status(name: &str) -> Value {
    let condition = |type_: &str, status: &str, reason: &str| json!({ "type": type_, "status": status, "reason": reason, "message": "of the first release", "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1 });
    json!({
        "observedGeneration": 1, "accountId": HUB, "partition": "aws",
        "policy": { "name": format!("default.{name}"), "arn": format!("arn:aws:iam::{HUB}:policy/aurora-log-export/default.{name}"), "id": "ANPAEXAMPLE", "versionId": "v1", "documentSha256": "00" },
        "role": { "name": format!("default.{name}"), "arn": format!("arn:aws:iam::{HUB}:role/aurora-log-export/default.{name}"), "id": "AROAEXAMPLE" },
        "drift": [{ "resource": "Role", "field": "tags", "expected": "a", "actual": "b" }],
        "conditions": [condition("Ready", "False", "Throttled"), condition("Drifted", "True", "DriftDetected"), condition("Reconciling", "True", "Retrying")],
    })
}

#[tokio::test]
async fn objects_stored_by_the_first_release_load_in_this_one() -> Result<()> {
    let env = environment().await?;
    let run = RunDir::create()?;
    let control_plane = ControlPlane::start(run.path(), ControlPlaneOptions::default()).await?;
    let client = kubeconfig::client(control_plane.kubeconfig().clone()).await?;
    // Valid under the first release's CRDs: it was stored by them.
    apply::apply_crds(&client, MANAGER, &crds(first_release)?).await?;
    let samples = parsed(first_release("objects.yaml"))?;
    apply::apply(&client, MANAGER, &samples).await?;
    let named = |name: &str| samples.iter().find(|object| object.name_any() == name).context("no such sample");
    let (minimal, patch) = (named("minimal")?, Patch::Merge(json!({ "status": old_status("minimal") })));
    let minimal = apply::api_for(&client, minimal).await?;
    minimal.patch_status("minimal", &PatchParams::default(), &patch).await?;

    let now = crds(|file| workspace().join("crds").join(file))?;
    apply::apply_crds(&client, MANAGER, &now).await?;
    for sample in &samples {
        let api = apply::api_for(&client, sample).await?;
        let stored = serde_json::to_value(api.get(&sample.name_any()).await?)?;
        let read = match kind(sample) {
            "AwsAccount" => serde_json::from_value::<AwsAccount>(stored).map(|_| ()),
            _ => serde_json::from_value::<AuroraLogExportPolicy>(stored).map(|_| ()),
        };
        read.with_context(|| format!("this release cannot read {}", apply::describe(sample)))?;
        // Not only tolerated because it was there before: made today, it is accepted too.
        let mut anew = sample.clone();
        anew.metadata.name = Some(format!("{}-anew", sample.name_any()));
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        api.create(&dry, &anew).await.with_context(|| format!("{} is no longer valid", apply::describe(sample)))?;
    }

    let server = aws()?;
    server.world().add_key(moto::ACCESS_KEY, HUB);
    let mut options = OperatorOptions::new(env!("CARGO_BIN_EXE_aurora-log-export-operator"))
        .arguments(["--cluster-name=first", "--enable-outputs=true", "--drift-check-interval=1s"])
        .aws_endpoint(&server.url());
    options.kubeconfig = Some(control_plane.kubeconfig_path());
    let operator = Operator::start(env, options).await?;
    for sample in &samples {
        let api = apply::api_for(&client, sample).await?;
        let expected = sample.annotations().get("expect").context("a sample without `expect`")?;
        wait_for(&format!("{} to be {expected}", apply::describe(sample)), LIMIT, async || {
            let object = api.get(&sample.name_any()).await?;
            let conditions = object.data["status"]["conditions"].as_array();
            let ready = conditions.into_iter().flatten().find(|it| it["type"] == "Ready").context("no Ready yet")?;
            ensure!(ready["reason"] == expected.as_str() && ready["message"] != "of the first release", "{ready}");
            Ok(())
        })
        .await
        .with_context(|| operator.log_text().unwrap_or_default())?;
    }
    // Nothing of the old status lingers.
    let status = minimal.get("minimal").await?.data["status"].to_string();
    ensure!(!status.contains("of the first release") && !status.contains("ANPAEXAMPLE"), "{status}");
    minimal.delete("minimal", &DeleteParams::default()).await?;
    wait_gone(&minimal, "minimal", LIMIT).await.with_context(|| operator.log_text().unwrap_or_default())?;
    operator.stop().await?;
    Ok(())
}
