//! What users do to a stage's objects, and what they are told.

use anyhow::{Context, Result, anyhow, ensure};
use aurora_log_export_operator::api::AuroraLogExportPolicy;
use aurora_test_support::wait::{wait_for, wait_gone};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::{LIMIT, Stage, condition};

impl Stage {
    pub(in crate::lifecycle) fn api(&self) -> Api<DynamicObject> {
        self.api_in(&self.namespace)
    }

    pub(in crate::lifecycle) fn api_in(&self, namespace: &str) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<AuroraLogExportPolicy>(&());
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }

    /// Server-side apply, as GitOps tools do: what is no longer in `spec` goes. An apply that takes the last field away
    /// makes `spec` null for the API server, so one that says nothing new is always there.
    pub(in crate::lifecycle) async fn apply(&self, name: &str, spec: Value) -> Result<DynamicObject> {
        self.apply_in(&self.namespace, name, spec).await
    }

    pub(in crate::lifecycle) async fn apply_in(
        &self,
        namespace: &str,
        name: &str,
        mut spec: Value,
    ) -> Result<DynamicObject> {
        if spec["managementPolicy"].is_null() {
            spec["managementPolicy"] = json!("Enforce");
        }
        let body = json!({
            "apiVersion": "auroralogexport.dev/v1alpha1", "kind": "AuroraLogExportPolicy",
            "metadata": { "name": name, "namespace": namespace }, "spec": spec,
        });
        let params = PatchParams::apply("aurora-test").force();
        let applied = self.api_in(namespace).patch(name, &params, &Patch::Apply(&body)).await;
        applied.map_err(|error| match error {
            kube::Error::Api(status) => anyhow!("{}", status.message),
            other => other.into(),
        })
    }

    /// Applies and waits until it is in sync.
    pub(in crate::lifecycle) async fn applied(&self, name: &str, spec: Value) -> Result<Value> {
        self.apply(name, spec).await?;
        self.ready(name).await
    }

    pub(in crate::lifecycle) async fn annotate(&self, name: &str, key: &str, value: &str) -> Result<()> {
        let body = json!({ "metadata": { "annotations": { key: value } } });
        self.api().patch(name, &PatchParams::default(), &Patch::Merge(&body)).await?;
        Ok(())
    }

    /// Asks for a reconcile now.
    pub(in crate::lifecycle) async fn nudge(&self, name: &str) -> Result<()> {
        let now = self.mark().to_string() + &unused_text();
        self.annotate(name, "auroralogexport.dev/reconcile-at", &now).await
    }

    /// Waits until the condition speaks of the current generation and has this status and reason; gives the status.
    pub(in crate::lifecycle) async fn until(
        &self,
        name: &str,
        type_: &str,
        status: &str,
        reason: &str,
    ) -> Result<Value> {
        self.until_in(&self.namespace, name, type_, status, reason).await
    }

    pub(in crate::lifecycle) async fn until_in(
        &self,
        namespace: &str,
        name: &str,
        type_: &str,
        status: &str,
        reason: &str,
    ) -> Result<Value> {
        let api = self.api_in(namespace);
        let what = format!("{type_}={status} {reason} of {name}");
        let seen = wait_for(&what, LIMIT, async || {
            let object = api.get(name).await?;
            let generation = object.metadata.generation.unwrap_or_default();
            let now = object.data["status"].clone();
            let condition = condition(&now, type_);
            let fits = condition.is_some_and(|condition| {
                condition["status"] == status
                    && condition["reason"] == reason
                    && condition["observedGeneration"] == generation
            });
            ensure!(fits, "generation {generation}, {now}");
            Ok(now)
        })
        .await;
        let log = || self.operator.as_ref().and_then(|operator| operator.log_text().ok());
        seen.with_context(|| format!("the operator's log: {}", log().unwrap_or_default()))
    }

    pub(in crate::lifecycle) async fn ready(&self, name: &str) -> Result<Value> {
        self.until(name, "Ready", "True", "InSync").await
    }

    /// The status as it is now.
    pub(in crate::lifecycle) async fn status(&self, name: &str) -> Result<Value> {
        Ok(self.api().get(name).await?.data["status"].clone())
    }

    /// Marks it as deleted.
    pub(in crate::lifecycle) async fn delete(&self, name: &str) -> Result<()> {
        self.api().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    pub(in crate::lifecycle) async fn gone(&self, name: &str) -> Result<()> {
        wait_gone(&self.api(), name, LIMIT).await
    }

    pub(in crate::lifecycle) async fn deleted(&self, name: &str) -> Result<()> {
        self.delete(name).await?;
        self.gone(name).await
    }

    /// Waits for what AWS is to become.
    pub(in crate::lifecycle) async fn eventually(
        &self,
        what: &str,
        mut look: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        wait_for(what, LIMIT, async || look()).await
    }

    /// Waits for an event of the object with this reason; gives its note.
    pub(in crate::lifecycle) async fn event(&self, name: &str, reason: &str) -> Result<String> {
        self.event_saying(name, reason, "").await
    }

    /// Waits for an event of the object with this reason and this in its note.
    pub(in crate::lifecycle) async fn event_saying(&self, name: &str, reason: &str, part: &str) -> Result<String> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        wait_for(&format!("event {reason} of {name}"), LIMIT, async || {
            let events = api.list(&ListParams::default()).await?.items;
            let mut of_it = events
                .into_iter()
                .filter(|event| event.regarding.as_ref().and_then(|it| it.name.as_deref()) == Some(name));
            let found = of_it.find(|event| {
                event.reason.as_deref() == Some(reason) && event.note.as_ref().is_some_and(|note| note.contains(part))
            });
            found.and_then(|event| event.note).context("no such event")
        })
        .await
    }

    /// How many differences of this field were repaired.
    pub(in crate::lifecycle) async fn repaired(&self, field: &str) -> Result<f64> {
        self.metric("auroralogexport_drift_repaired_total", &[("field", field)]).await
    }

    /// Is there a line of metrics that begins like this?
    pub(in crate::lifecycle) async fn metrics_have(&self, start: &str) -> Result<bool> {
        let operator = self.operator.as_ref().context("no operator")?;
        Ok(operator.metrics().await?.lines().any(|line| line.starts_with(start)))
    }

    /// The sum of a metric of the operator.
    pub(in crate::lifecycle) async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        let operator = self.operator.as_ref().context("no operator")?;
        operator.metric(name, labels).await
    }
}

/// Any text that was not used before in this process.
fn unused_text() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}
