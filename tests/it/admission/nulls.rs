//! Every field of both kinds is set, emptied and set again, by each way to write an object, with all rules of the CRDs.
//!
//! A server-side apply that removes the last entry of an object, a list or a map stores null. Null means unset, for the
//! API server's rules and for the operator.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use aurora_log_export_operator::api::crds;
use aurora_log_export_operator::model::stored::{AccountObject, PolicyObject};
use aurora_test_support::controlplane::{ControlPlane, ControlPlaneOptions};
use aurora_test_support::iam_model::Rng;
use aurora_test_support::paths::RunDir;
use aurora_test_support::{apply, kubeconfig};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

const ROUNDS: u64 = 30;
const MANAGER: &str = "gitops";

/// What can be changed, all of it set.
fn changeable() -> [(&'static str, Value); 2] {
    [
        (
            "AuroraLogExportPolicy",
            json!({
                "description": "d",
                "access": "Minimal",
                "scope": {
                    "regions": ["eu-west-1"], "accountIds": ["123456789012"], "logGroups": ["/aws/rds/*"],
                    "logStreams": ["*"], "groupCreation": "LogGroups",
                },
                "trust": { "protection": "None", "sourceArns": ["arn:aws:rds:eu-west-1:123456789012:cluster:a"] },
                "permissionsBoundary": "arn:aws:iam::123456789012:policy/b",
                "tags": { "team": "a" },
                "deletionPolicy": "Retain", "adoptionPolicy": "Tagged", "managementPolicy": "Observe",
                "attachmentPolicy": "Exclusive", "suspend": true, "driftCheckInterval": "300s",
                "outputs": { "configMapRef": { "name": "a" } },
            }),
        ),
        (
            "AwsAccount",
            json!({
                "accountId": "123456789012",
                "region": "eu-west-1",
                "assumeRole": { "roleArn": "arn:aws:iam::123456789012:role/r", "externalId": "ab", "sessionName": "ab" },
                "allowedNamespaces": {
                    "names": ["a"],
                    "selector": {
                        "matchLabels": { "team": "a" },
                        "matchExpressions": [{ "key": "a", "operator": "In", "values": ["b"] }],
                    },
                },
                "guardrails": {
                    "iamPath": "/a/", "namePrefix": "a-", "requireNamespaceInName": true,
                    "permissionsBoundary": "arn:aws:iam::aws:policy/b", "allowFullAccess": true, "allowAdoption": true,
                    "maxDeletionPolicy": "Retain", "requiredTags": { "a": "b" }, "defaultTags": { "c": "d" },
                    "allowedRegions": ["eu-west-1"], "allowedLogGroups": ["/aws/rds/*"], "requireTrustProtection": true,
                    "maxObjectsPerNamespace": 3, "protectedPolicies": ["arn:aws:iam::aws:policy/Quarantine*"],
                },
                "limits": { "readsPerSecond": 1, "writesPerSecond": 1 },
                "driftScan": "Bulk",
            }),
        ),
    ]
}

/// What cannot be changed, but can be part of every change.
fn immutable() -> Value {
    json!({ "policyName": "p", "roleName": "r", "policyPath": "/a/", "rolePath": "/b/", "accountRef": { "name": "a" } })
}

fn spec_schema(kind: &str) -> Result<Value> {
    let crd = crds().into_iter().find(|crd| crd.spec.names.kind == kind).context("no such kind")?;
    let crd = serde_json::to_value(crd)?;
    Ok(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone())
}

/// Every field that `value` sets and that may be unset, as a JSON pointer; with `schema`, an error for one that is not set.
fn fields(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) -> Result<()> {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}/{name}");
        let set = value.get(name).with_context(|| format!("the sample does not set {path}"))?;
        fields(field, set, &path, found)?;
        let required = schema["required"].as_array().is_some_and(|fields| fields.contains(&json!(name)));
        if !required {
            found.push(path);
        }
    }
    Ok(())
}

/// Null, `{}`, `[]` or nothing in place of a field.
#[derive(Clone, Copy, Debug)]
enum Emptied {
    Absent,
    Null,
    Empty,
}

fn emptied(spec: &mut Value, path: &str, how: Emptied) -> Result<()> {
    let (parent, name) = path.rsplit_once('/').context("a pointer")?;
    let Some(parent) = spec.pointer_mut(parent).and_then(Value::as_object_mut) else {
        return Ok(());
    };
    let Some(value) = parent.get_mut(name) else {
        return Ok(());
    };
    match (how, &*value) {
        (Emptied::Null, Value::Object(_) | Value::Array(_)) => *value = Value::Null,
        // Any other client than server-side apply is told that a list has at least one item.
        (Emptied::Empty, Value::Object(map)) if !map.contains_key("name") && !map.contains_key("roleArn") => {
            *value = json!({});
        }
        _ => drop(parent.remove(name)),
    }
    Ok(())
}

/// Without nulls and without what is empty: what is left is what the spec says.
fn meaning(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept: serde_json::Map<_, _> = map.iter().map(|(key, value)| (key.clone(), meaning(value))).collect();
            // `selector: {}` selects everything, and is no less than a selector.
            let kept =
                kept.into_iter().filter(|(key, value)| key == "selector" && value.is_object() || !is_empty(value));
            Value::Object(kept.collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(meaning).collect()),
        other => other.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// The spec as the operator reads it.
fn read(kind: &str, object: &Value) -> Result<Value> {
    if kind == "AwsAccount" {
        let read: AccountObject = serde_json::from_value(object.clone())?;
        return Ok(serde_json::to_value(read.spec?)?);
    }
    let read: PolicyObject = serde_json::from_value(object.clone())?;
    Ok(serde_json::to_value(read.spec?)?)
}

#[derive(Clone, Copy, Debug)]
enum Way {
    ServerSide,
    ClientSide,
    Merge,
}

const WAYS: [Way; 3] = [Way::ServerSide, Way::ClientSide, Way::Merge];

struct Cluster {
    control_plane: ControlPlane,
    client: Client,
    run: RunDir,
}

impl Cluster {
    async fn start() -> Result<Self> {
        let run = RunDir::create()?;
        let control_plane = ControlPlane::start(run.path(), ControlPlaneOptions::default()).await?;
        let client = kubeconfig::client(control_plane.kubeconfig().clone()).await?;
        apply::apply_crds(&client, "installer", &apply::shipped_crds()?).await?;
        Ok(Self { control_plane, client, run })
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("auroralogexport.dev", "v1alpha1", kind));
        if kind == "AwsAccount" {
            return Api::all_with(self.client.clone(), &resource);
        }
        let plural = ApiResource { plural: "auroralogexportpolicies".into(), ..resource };
        Api::namespaced_with(self.client.clone(), "default", &plural)
    }

    /// Writes the whole spec, and gives the stored object.
    async fn write(&self, way: Way, kind: &str, name: &str, spec: &Value) -> Result<Value> {
        // In a merge patch, which kubectl's client-side apply sends, null removes the spec, and a spec is required.
        let none = json!({});
        let spec = if spec.is_null() && !matches!(way, Way::ServerSide) { &none } else { spec };
        let api = self.api(kind);
        let types = json!({ "apiVersion": "auroralogexport.dev/v1alpha1", "kind": kind });
        let mut object = json!({ "metadata": { "name": name }, "spec": spec });
        object["apiVersion"] = types["apiVersion"].clone();
        object["kind"] = types["kind"].clone();
        match way {
            Way::ServerSide => {
                api.patch(name, &PatchParams::apply(MANAGER), &Patch::Apply(&object)).await?;
            }
            Way::ClientSide => self.kubectl_apply(&object).await?,
            Way::Merge => {
                // A merge patch changes what it names: it has a null for what is set now and shall not be.
                let now = api.get_opt(name).await?;
                let now = now.map(|object| object.data["spec"].clone()).unwrap_or_default();
                let patch = json!({ "metadata": { "name": name }, "spec": difference(&now, spec) });
                if now.is_null() && api.get_opt(name).await?.is_none() {
                    api.create(&Default::default(), &serde_json::from_value(object)?).await?;
                } else {
                    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
                }
            }
        }
        Ok(serde_json::to_value(api.get(name).await?)?)
    }

    async fn kubectl_apply(&self, object: &Value) -> Result<()> {
        let file = self.run.path().join("object.json");
        std::fs::write(&file, object.to_string())?;
        let mut command = tokio::process::Command::new(self.control_plane.kubectl());
        command.env_clear().env("HOME", self.run.path()).env("KUBECONFIG", self.control_plane.kubeconfig_path());
        let output = command.args(["apply", "-f"]).arg(&file).output().await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

/// The merge patch that leads from one value to the other.
fn difference(from: &Value, to: &Value) -> Value {
    let (Some(before), Some(after)) = (from.as_object(), to.as_object()) else {
        return to.clone();
    };
    let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let kept = after
        .iter()
        .map(|(key, value)| (key.clone(), difference(&before.get(key).cloned().unwrap_or_default(), value)));
    Value::Object(kept.chain(gone).collect())
}

#[tokio::test]
async fn every_field_is_set_emptied_and_set_again_by_every_way_to_write() -> Result<()> {
    let cluster = Cluster::start().await?;
    for (kind, full) in changeable() {
        let mut all = Vec::new();
        let mut schema = spec_schema(kind)?;
        let properties = schema["properties"].as_object_mut().context("properties")?;
        properties.retain(|name, _| immutable().get(name).is_none());
        fields(&schema, &full, "", &mut all)?;
        ensure!(all.len() > 15, "{kind}: {all:?}");
        for way in WAYS {
            let name = format!("{way:?}").to_lowercase();
            let told = |spec: &Value| format!("{kind}, {way:?}: {spec}");
            let mut changes: Vec<Vec<(&String, Emptied)>> = Vec::new();
            for path in &all {
                for how in [Emptied::Absent, Emptied::Null, Emptied::Empty] {
                    changes.push(vec![(path, how)]);
                }
            }
            let mut rng = Rng::new(7);
            for _ in 0..ROUNDS {
                let how = |rng: &mut Rng| {
                    [Emptied::Absent, Emptied::Null, Emptied::Empty][usize::try_from(rng.below(3)).unwrap_or(0)]
                };
                let some: Vec<_> = all.iter().filter(|_| rng.chance(0.5)).collect();
                changes.push(some.into_iter().map(|path| (path, how(&mut rng))).collect());
            }
            for change in changes {
                let mut spec = full.clone();
                for (path, how) in change {
                    emptied(&mut spec, path, how)?;
                }
                for spec in [&spec, &full] {
                    let stored = cluster.write(way, kind, &name, spec).await.with_context(|| told(spec))?;
                    let read = read(kind, &stored).with_context(|| told(spec))?;
                    ensure!(
                        meaning(&read) == meaning(spec),
                        "{}\nis stored as {}\nis read as {read}",
                        told(spec),
                        stored["spec"]
                    );
                    ensure!(
                        stored["status"] == json!({ "observedGeneration": -1 }),
                        "{}: {}",
                        told(spec),
                        stored["status"]
                    );
                }
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_spec_without_fields_is_null_or_empty_and_holds_the_immutable_fields() -> Result<()> {
    let cluster = Cluster::start().await?;
    let kind = "AuroraLogExportPolicy";
    for way in WAYS {
        let name = format!("{way:?}").to_lowercase();
        for spec in [
            json!({}),
            json!({ "suspend": true }),
            json!({}),
            Value::Null,
            json!({ "tags": { "a": "b" } }),
            Value::Null,
        ] {
            let stored = cluster.write(way, kind, &name, &spec).await.with_context(|| format!("{way:?}: {spec}"))?;
            ensure!(
                meaning(&read(kind, &stored)?) == if spec.is_null() { json!({}) } else { meaning(&spec) },
                "{way:?}: {stored}"
            );
            ensure!(stored["status"] == json!({ "observedGeneration": -1 }), "{stored}");
        }
        // A null between them lets no immutable field change.
        let named = format!("{name}-named");
        cluster.write(way, kind, &named, &immutable()).await?;
        let fields: BTreeMap<String, Value> = serde_json::from_value(immutable())?;
        for field in fields.keys() {
            for spec in [Value::Null, json!({})] {
                let refused = cluster.write(way, kind, &named, &spec).await.err().map(|error| format!("{error:#}"));
                let words = format!("{field} cannot be changed, set or unset");
                ensure!(
                    refused.as_ref().is_some_and(|message| message.contains(&words)),
                    "{way:?} {spec}: {refused:?}"
                );
            }
            let value = json!({ field: fields[field] });
            for before in [Value::Null, json!({ "suspend": true })] {
                cluster.write(way, kind, &name, &before).await?;
                let refused = cluster.write(way, kind, &name, &value).await.err().map(|error| format!("{error:#}"));
                let words = format!("{field} cannot be changed, set or unset");
                ensure!(
                    refused.as_ref().is_some_and(|message| message.contains(&words)),
                    "{way:?} {value}: {refused:?}"
                );
            }
        }
        // FullAccess needs no scope, and a null is none.
        let access = format!("{name}-access");
        for spec in [
            json!({ "scope": { "regions": ["eu-west-1"] } }),
            json!({ "access": "FullAccess", "scope": null }),
            json!({ "access": "Minimal", "scope": { "regions": ["eu-west-1"] } }),
        ] {
            cluster.write(way, kind, &access, &spec).await.with_context(|| format!("{way:?}: {spec}"))?;
        }
        // An account is one of AWS: what must be set cannot be null.
        let account = json!({ "accountId": "123456789012" });
        cluster.write(way, "AwsAccount", &name, &account).await?;
        for spec in [Value::Null, json!({})] {
            ensure!(cluster.write(way, "AwsAccount", &name, &spec).await.is_err(), "{way:?}: {spec}");
        }
    }
    Ok(())
}
