//! An older operator after an upgrade of the CRDs: objects that use what only the newer version knows, and the rollback.

use anyhow::{Context, Result, ensure};
use aurora_log_export_operator::api::AuroraLogExportPolicy;
use aurora_test_support::controlplane::{ControlPlane, ControlPlaneOptions};
use aurora_test_support::iam_model::http::Server;
use aurora_test_support::operator::Operator;
use aurora_test_support::paths::RunDir;
use aurora_test_support::wait::{wait_for, wait_gone};
use aurora_test_support::{apply, kubeconfig};
use k8s_openapi::api::events::v1::Event;
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::{account, policy};
use crate::emulators::aws;
use crate::fixture::{ACCOUNT, LIMIT, OTHER_TRUST, condition, is_about, operator_in};

/// The shipped CRDs with fields and choices that a newer version might have.
fn newer_crds() -> Result<Vec<DynamicObject>> {
    let mut crds = apply::shipped_crds()?;
    for crd in &mut crds {
        let spec =
            &mut crd.data["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        let list = json!({ "type": "array", "items": { "type": "string" } });
        if spec.get("accountId").is_some() {
            spec["limits"]["properties"]["burst"] = json!({ "type": "integer" });
            spec["guardrails"]["properties"]["allowedDatabases"] = list;
            continue;
        }
        spec["rotation"] = json!({ "type": "object", "properties": { "days": { "type": "integer" } } });
        spec["outputs"]["properties"]["prefix"] = json!({ "type": "string" });
        spec["scope"]["properties"]["databases"] = list;
        for (field, choice) in [("deletionPolicy", "Archive"), ("managementPolicy", "Audit")] {
            spec[field]["enum"].as_array_mut().context("no choices")?.push(json!(choice));
        }
    }
    Ok(crds)
}

struct World {
    control_plane: ControlPlane,
    client: Client,
    server: Server,
    _run: RunDir,
}

impl World {
    async fn with(crds: &[DynamicObject]) -> Result<Self> {
        let run = RunDir::create()?;
        let control_plane = ControlPlane::start(run.path(), ControlPlaneOptions::default()).await?;
        let client = kubeconfig::client(control_plane.kubeconfig().clone()).await?;
        apply::apply_crds(&client, "installer", crds).await?;
        Ok(Self { control_plane, client, server: aws(ACCOUNT)?, _run: run })
    }

    async fn operator(&self) -> Result<Operator> {
        operator_in(&self.control_plane, &self.server, &["--cluster-name=newer", "--drift-check-interval=1s"]).await
    }

    fn objects(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), "default", &ApiResource::erase::<AuroraLogExportPolicy>(&()))
    }

    /// Applies until the CRD that allows it is in force, and nothing of the spec is dropped.
    async fn apply(&self, manifest: &str) -> Result<()> {
        wait_for("the apply", LIMIT, async || {
            let objects = apply::parse(manifest)?;
            let stored = apply::apply(&self.client, "user", &objects).await?;
            let specs = |objects: &[DynamicObject]| -> Vec<Value> {
                objects.iter().map(|object| object.data["spec"].clone()).collect()
            };
            ensure!(specs(&stored) == specs(&objects), "{:?}", specs(&stored));
            Ok(())
        })
        .await
    }

    async fn ready(&self, name: &str, reason: &str, words: &str) -> Result<String> {
        wait_for(&format!("{name} to be {reason}, {words:?}"), LIMIT, async || {
            let object = self.objects().get(name).await?;
            let ready = condition(&object.data["status"], "Ready").context("no Ready yet")?;
            let message = ready["message"].as_str().unwrap_or_default();
            let current = ready["observedGeneration"] == json!(object.metadata.generation);
            ensure!(current && ready["reason"] == reason && message.contains(words), "{ready}");
            Ok(message.to_owned())
        })
        .await
    }

    async fn events(&self, name: &str, reason: &str) -> Result<Vec<Event>> {
        let all = Api::<Event>::all(self.client.clone()).list(&ListParams::default()).await?;
        Ok(all.items.into_iter().filter(|event| is_about(event, name, reason)).collect())
    }

    /// Opens the role by hand, and waits until it is closed again.
    async fn repairs(&self, name: &str) -> Result<()> {
        let (account, role) = (self.server.world().account(ACCOUNT), format!("default.{name}"));
        account.lock().update_assume_role_policy(&role, OTHER_TRUST)?;
        wait_for(&format!("the role of {name} to be repaired"), LIMIT, async || {
            let trust = account.lock().get_role(&role)?.trust.as_str().to_owned();
            ensure!(trust.contains("rds.amazonaws.com"), "{trust}");
            Ok(())
        })
        .await
    }
}

#[tokio::test]
async fn an_older_operator_repairs_objects_of_a_newer_version_and_says_what_it_ignores() -> Result<()> {
    let world = World::with(&apply::shipped_crds()?).await?;
    let operator = world.operator().await?;
    let names = ["rotated", "archived", "narrowed", "audited", "published"];
    for name in names {
        world.apply(&policy("default", name, "{}")).await?;
        world.ready(name, "InSync", "").await?;
    }
    // Not under a running operator: for some seconds the API server shows open watches the fields of the older CRD only.
    operator.stop().await?;
    apply::apply_crds(&world.client, "installer", &newer_crds()?).await?;
    for (name, spec) in [
        ("rotated", "{rotation: {days: 3}, tags: {team: a}}"),
        ("archived", "{deletionPolicy: Archive}"),
        ("narrowed", "{scope: {databases: [orders]}}"),
        ("audited", "{managementPolicy: Audit}"),
        ("published", "{outputs: {prefix: x}}"),
    ] {
        world.apply(&policy("default", name, spec)).await?;
    }
    let operator = world.operator().await?;
    let ignored = "this version of the operator does not know, and ignores: ";
    for (name, field) in [
        ("rotated", "spec.rotation;"),
        ("archived", "spec.deletionPolicy: Archive (Retain is used);"),
        ("published", "spec.outputs.prefix;"),
    ] {
        let message = world.ready(name, "InSync", &format!("{ignored}{field}")).await?;
        ensure!(message.contains("update the operator"), "{message}");
        world.repairs(name).await.with_context(|| operator.log_text().unwrap_or_default())?;
        wait_for("the event", LIMIT, async || {
            let events = world.events(name, "UnknownFields").await?;
            ensure!(events.len() == 1, "{events:?}");
            let note = events[0].note.clone().unwrap_or_default();
            ensure!(
                events[0].type_.as_deref() == Some("Warning") && note.contains(field.trim_end_matches(';')),
                "{note}"
            );
            Ok(())
        })
        .await?;
    }
    // What it knows is applied.
    let tags = world.server.world().account(ACCOUNT).lock().get_role("default.rotated")?.tags;
    ensure!(tags.get("team").is_some_and(|team| team == "a"), "{tags:?}");
    // What may restrict access, or says whether it writes at all, stops it.
    let before = world.server.world().account(ACCOUNT).lock().snapshot();
    for (name, field) in
        [("narrowed", "spec.scope.databases: unknown field"), ("audited", "spec.managementPolicy: unknown")]
    {
        world.ready(name, "InvalidSpec", field).await?;
    }
    ensure!(
        world.server.world().account(ACCOUNT).lock().snapshot()["roles"]["default.narrowed"]
            == before["roles"]["default.narrowed"]
    );

    // A restart, as in a rollback of the operator alone, repeats no event.
    operator.stop().await?;
    let operator = world.operator().await?;
    for name in ["rotated", "archived"] {
        world.repairs(name).await.with_context(|| operator.log_text().unwrap_or_default())?;
        ensure!(world.events(name, "UnknownFields").await?.len() == 1);
    }
    // The careful choice: the role stays.
    world.objects().delete("archived", &DeleteParams::default()).await?;
    wait_gone(&world.objects(), "archived", LIMIT).await?;
    ensure!(world.server.world().account(ACCOUNT).lock().get_role("default.archived").is_ok());

    // The rollback of the CRDs drops the fields.
    apply::apply_crds(&world.client, "installer", &apply::shipped_crds()?).await?;
    wait_for("the older CRD", LIMIT, async || {
        let object = world.objects().get("rotated").await?;
        ensure!(object.data["spec"].get("rotation").is_none(), "{}", object.data["spec"]);
        Ok(())
    })
    .await?;
    for name in ["rotated", "narrowed"] {
        let touch = json!({ "spec": { "description": "after the rollback" } });
        world.objects().patch(name, &PatchParams::default(), &Patch::Merge(touch)).await?;
        let message = world.ready(name, "InSync", "").await?;
        ensure!(!message.contains("does not know"), "{message}");
    }
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_account_with_a_newer_guardrail_stops_its_objects_and_one_with_a_newer_limit_does_not() -> Result<()> {
    let world = World::with(&newer_crds()?).await?;
    let all = "allowedNamespaces: {selector: {}}";
    for (name, more) in [("fast", "limits: {burst: 9}"), ("walled", "guardrails: {allowedDatabases: [a]}")] {
        world.apply(&account(name, &format!("accountId: '{ACCOUNT}'\n{all}\n{more}"))).await?;
        world.apply(&policy("default", name, &format!("accountRef: {{name: {name}}}"))).await?;
    }
    let operator = world.operator().await?;
    world.ready("fast", "InSync", "").await.with_context(|| operator.log_text().unwrap_or_default())?;
    world.ready("walled", "AccountNotReady", "spec.guardrails.allowedDatabases").await?;
    ensure!(world.server.world().account(ACCOUNT).lock().get_role("default.walled").is_err());
    let accounts: Api<aurora_log_export_operator::model::stored::AccountObject> = Api::all(world.client.clone());
    for (name, reason, words) in [
        ("fast", "InSync", "ignores: spec.limits.burst; update the operator"),
        ("walled", "InvalidSpec", "spec.guardrails.allowedDatabases: unknown field"),
    ] {
        wait_for(&format!("AwsAccount {name} to be {reason}"), LIMIT, async || {
            let status: Value = serde_json::to_value(accounts.get(name).await?.status)?;
            let ready = condition(&status, "Ready").context("no Ready yet")?;
            ensure!(ready["reason"] == reason, "{ready}");
            ensure!(ready["message"].as_str().is_some_and(|message| message.contains(words)), "{ready}");
            Ok(())
        })
        .await?;
    }
    ensure!(world.events("fast", "UnknownFields").await?.len() == 1);
    operator.stop().await?;
    Ok(())
}
