//! A stage of its own for each test: a namespace, an account in a model of IAM, an operator that watches both, and
//! bystanders that nobody may touch.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use aurora_log_export_operator::api::AuroraLogExportPolicy;
use aurora_log_export_operator::names::{Owner, default_name};
use aurora_test_support::environment::Environment;
use aurora_test_support::iam_model::call_log::CallRecord;
use aurora_test_support::iam_model::http::{Defaults, Server, ServerOptions};
use aurora_test_support::iam_model::{self, Policy, Role};
use aurora_test_support::operator::{Operator, OperatorOptions};
use aurora_test_support::wait::wait_for;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::bystanders::Bystanders;
use crate::environment;

pub(super) const ACCOUNT: &str = "111122223333";
pub(super) const PATH: &str = "/aurora-log-export/";
/// Generous: the machine is shared, and a pass ends early.
pub(super) const LIMIT: Duration = Duration::from_secs(90);
pub(super) const READ_ONLY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";
pub(super) const FULL_ACCESS: &str = "arn:aws:iam::aws:policy/CloudWatchLogsFullAccess";
pub(super) const RDS_TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"rds.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
pub(super) const OTHER_TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
pub(super) const OTHER_DOCUMENT: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#;

pub(super) struct Stage {
    pub(super) env: &'static Environment,
    pub(super) namespace: String,
    pub(super) server: Server,
    pub(super) operator: Option<Operator>,
    pub(super) client: kube::Client,
    arguments: Vec<String>,
    bystanders: Bystanders,
}

impl Stage {
    /// An operator that looks for drift every second.
    pub(super) async fn start() -> Result<Self> {
        Self::with(&["--drift-check-interval=1s"]).await
    }

    /// An operator that looks by itself only once an hour: `reconcile-at` says when, and calls can be counted.
    pub(super) async fn still() -> Result<Self> {
        Self::with(&["--drift-check-interval=1h"]).await
    }

    /// An operator with these flags.
    pub(super) async fn with(arguments: &[&str]) -> Result<Self> {
        let mut stage = Self::without_operator(arguments).await?;
        stage.start_operator().await?;
        Ok(stage)
    }

    /// What is to be there before the operator looks can be put in place.
    pub(super) async fn without_operator(arguments: &[&str]) -> Result<Self> {
        let env = environment().await?;
        let namespace = env.namespace().await?;
        let server = Server::start(ServerOptions {
            defaults: Defaults { account_of_unknown_keys: Some(ACCOUNT.to_owned()), ..Defaults::default() },
            ..ServerOptions::default()
        })?;
        let bystanders = Bystanders::plant(&mut server.world().account(ACCOUNT).lock(), &namespace)?;
        let client = env.client().await?;
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Ok(Self { env, namespace, server, operator: None, client, arguments, bystanders })
    }

    pub(super) async fn start_operator(&mut self) -> Result<()> {
        let own: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let given = |name: &str| own.iter().any(|argument| argument.starts_with(&format!("{name}=")));
        let mut arguments = vec![
            "--iam-reads-per-second=1000".to_owned(),
            "--iam-writes-per-second=1000".to_owned(),
            "--log-filter=info,aurora_log_export_operator=debug".to_owned(),
            format!("--watch-namespace={}", self.namespace),
        ];
        // Every look reads by itself, so that looks can be counted; the account scan has tests of its own.
        if !given("--drift-scan") {
            arguments.push("--drift-scan=per-resource".to_owned());
        }
        if !given("--cluster-name") {
            arguments.push(format!("--cluster-name={}", self.cluster()));
        }
        let options = OperatorOptions::new(env!("CARGO_BIN_EXE_aurora-log-export-operator"))
            .arguments(arguments.iter().map(String::as_str))
            .arguments(own)
            .aws_endpoint(&self.server.url());
        self.operator = Some(Operator::start(self.env, options).await?);
        Ok(())
    }

    /// Ends the operator and starts another with these flags.
    pub(super) async fn restart_with(&mut self, arguments: &[&str]) -> Result<()> {
        self.stop_operator().await?;
        self.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        self.start_operator().await
    }

    pub(super) async fn stop_operator(&mut self) -> Result<()> {
        if let Some(operator) = self.operator.take() {
            operator.stop().await?;
        }
        Ok(())
    }

    /// The end of every test: the bystanders are as they were, byte for byte, and the operator ends when told to.
    pub(super) async fn finish(mut self) -> Result<()> {
        self.stop_operator().await?;
        self.bystanders.check(&self.iam())
    }

    /// `--cluster-name`.
    pub(super) fn cluster(&self) -> String {
        self.namespace.clone()
    }

    /// UID of namespace `kube-system`.
    pub(super) async fn cluster_uid(&self) -> Result<String> {
        let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(self.client.clone());
        api.get("kube-system").await?.metadata.uid.context("no UID")
    }

    /// The three ownership tags of an object of this cluster.
    pub(super) async fn ownership(&self, owner: &str) -> Result<iam_model::Tags> {
        Ok(tags(&[
            ("auroralogexport.dev/managed-by", &self.cluster()),
            ("auroralogexport.dev/cluster-uid", &self.cluster_uid().await?),
            ("auroralogexport.dev/owner", &format!("{}/{owner}", self.namespace)),
        ]))
    }

    /// The consent that the object of this name may take a resource over.
    pub(super) fn consent(&self, name: &str) -> iam_model::Tags {
        let value = format!("{}/{}/{name}", self.cluster(), self.namespace);
        tags(&[("auroralogexport.dev/adoptable-by", &value)])
    }

    // ---- AWS

    /// The account itself, as the console shows it.
    pub(super) fn iam(&self) -> iam_model::Iam {
        self.server.world().account(ACCOUNT).lock().clone()
    }

    /// What a person does by hand.
    pub(super) fn by_hand<T, E: std::error::Error + Send + Sync + 'static>(
        &self,
        edit: impl FnOnce(&mut iam_model::Iam) -> std::result::Result<T, E>,
    ) -> Result<T> {
        Ok(edit(&mut self.server.world().account(ACCOUNT).lock())?)
    }

    /// The default name of policy and role.
    pub(super) fn name(&self, object: &str) -> String {
        default_name("", &Owner::new(self.namespace.clone(), object))
    }

    pub(super) fn policy_arn(&self, object: &str) -> String {
        format!("arn:aws:iam::{ACCOUNT}:policy{PATH}{}", self.name(object))
    }

    pub(super) fn role(&self, object: &str) -> Result<Role> {
        Ok(self.iam().get_role(&self.name(object))?)
    }

    pub(super) fn policy(&self, object: &str) -> Result<Policy> {
        Ok(self.iam().get_policy(&self.policy_arn(object))?)
    }

    /// The text of the policy's default version.
    pub(super) fn document(&self, object: &str) -> Result<String> {
        let policy = self.policy(object)?;
        let version = self.iam().get_policy_version(&policy.arn, &policy.default_version)?;
        Ok(version.document.as_str().to_owned())
    }

    pub(super) fn attached(&self, object: &str) -> Vec<String> {
        self.iam().attached_to(&self.name(object))
    }

    /// Ids of the policy's versions, oldest first.
    pub(super) fn versions(&self, object: &str) -> Result<Vec<String>> {
        let request = iam_model::PageRequest::default();
        let page = self.iam().list_policy_versions(&self.policy_arn(object), &request)?;
        let mut ids: Vec<String> = page.items.into_iter().map(|version| version.id).collect();
        ids.sort_by_key(|id| id.trim_start_matches('v').parse::<u32>().unwrap_or_default());
        Ok(ids)
    }

    /// Neither policy nor role of the object is left.
    pub(super) fn nothing_left(&self, object: &str) -> Result<()> {
        ensure!(self.role(object).is_err(), "role {} is left", self.name(object));
        ensure!(self.policy(object).is_err(), "policy {} is left", self.name(object));
        Ok(())
    }

    /// A role made by hand under the object's default name.
    pub(super) fn foreign_role(&self, object: &str, trust: &str, tags: &iam_model::Tags) -> Result<Role> {
        let request = iam_model::CreateRole {
            name: self.name(object),
            path: Some(PATH.to_owned()),
            trust: trust.to_owned(),
            tags: tags.clone(),
            ..iam_model::CreateRole::default()
        };
        self.by_hand(|iam| iam.create_role(&request))
    }

    /// A policy made by hand under the object's default name.
    pub(super) fn foreign_policy(&self, object: &str, tags: &iam_model::Tags) -> Result<Policy> {
        let request = iam_model::CreatePolicy {
            name: self.name(object),
            path: Some(PATH.to_owned()),
            document: OTHER_DOCUMENT.to_owned(),
            tags: tags.clone(),
            ..iam_model::CreatePolicy::default()
        };
        self.by_hand(|iam| iam.create_policy(&request))
    }

    /// A mark for [`Stage::iam_calls`].
    pub(super) fn mark(&self) -> u64 {
        self.server.gate().last_seq()
    }

    /// Calls to IAM since the mark, those about identity and the service-linked role aside.
    pub(super) fn iam_calls(&self, mark: u64) -> Vec<CallRecord> {
        let mut calls = self.server.gate().calls_since(mark);
        calls.retain(|call| call.action != "GetCallerIdentity" && call.resource != "AWSServiceRoleForRDS");
        calls
    }

    /// Writing calls since the mark.
    pub(super) fn writes(&self, mark: u64) -> Vec<String> {
        let calls = self.iam_calls(mark).into_iter();
        let writes = calls.filter(|call| !call.action.starts_with("Get") && !call.action.starts_with("List"));
        writes.map(|call| call.action).collect()
    }

    // ---- Kubernetes

    pub(super) fn api(&self) -> Api<DynamicObject> {
        self.api_in(&self.namespace)
    }

    pub(super) fn api_in(&self, namespace: &str) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<AuroraLogExportPolicy>(&());
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }

    /// Server-side apply, as GitOps tools do: what is no longer in `spec` goes. An apply that takes the last field away
    /// makes `spec` null for the API server, so one that says nothing new is always there.
    pub(super) async fn apply(&self, name: &str, spec: Value) -> Result<DynamicObject> {
        self.apply_in(&self.namespace, name, spec).await
    }

    pub(super) async fn apply_in(&self, namespace: &str, name: &str, mut spec: Value) -> Result<DynamicObject> {
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
    pub(super) async fn applied(&self, name: &str, spec: Value) -> Result<Value> {
        self.apply(name, spec).await?;
        self.ready(name).await
    }

    pub(super) async fn annotate(&self, name: &str, key: &str, value: &str) -> Result<()> {
        let body = json!({ "metadata": { "annotations": { key: value } } });
        self.api().patch(name, &PatchParams::default(), &Patch::Merge(&body)).await?;
        Ok(())
    }

    /// Asks for a reconcile now.
    pub(super) async fn nudge(&self, name: &str) -> Result<()> {
        let now = self.mark().to_string() + &unused_text();
        self.annotate(name, "auroralogexport.dev/reconcile-at", &now).await
    }

    /// Waits until the condition speaks of the current generation and has this status and reason; gives the status.
    pub(super) async fn until(&self, name: &str, type_: &str, status: &str, reason: &str) -> Result<Value> {
        self.until_in(&self.namespace, name, type_, status, reason).await
    }

    pub(super) async fn until_in(
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

    pub(super) async fn ready(&self, name: &str) -> Result<Value> {
        self.until(name, "Ready", "True", "InSync").await
    }

    /// The status as it is now.
    pub(super) async fn status(&self, name: &str) -> Result<Value> {
        Ok(self.api().get(name).await?.data["status"].clone())
    }

    /// Marks it as deleted.
    pub(super) async fn delete(&self, name: &str) -> Result<()> {
        self.api().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    pub(super) async fn gone(&self, name: &str) -> Result<()> {
        let api = self.api();
        wait_for(&format!("{name} to go"), LIMIT, async || {
            let left = api.get_opt(name).await?;
            ensure!(left.is_none(), "{}", left.map(|it| it.data).unwrap_or_default());
            Ok(())
        })
        .await
    }

    pub(super) async fn deleted(&self, name: &str) -> Result<()> {
        self.delete(name).await?;
        self.gone(name).await
    }

    /// Waits for what AWS is to become.
    pub(super) async fn eventually(&self, what: &str, mut look: impl FnMut() -> Result<()>) -> Result<()> {
        wait_for(what, LIMIT, async || look()).await
    }

    /// Waits for an event of the object with this reason; gives its note.
    pub(super) async fn event(&self, name: &str, reason: &str) -> Result<String> {
        self.event_saying(name, reason, "").await
    }

    /// Waits for an event of the object with this reason and this in its note.
    pub(super) async fn event_saying(&self, name: &str, reason: &str, part: &str) -> Result<String> {
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
    pub(super) async fn repaired(&self, field: &str) -> Result<f64> {
        self.metric("auroralogexport_drift_repaired_total", &[("field", field)]).await
    }

    /// Is there a line of metrics that begins like this?
    pub(super) async fn metrics_have(&self, start: &str) -> Result<bool> {
        let operator = self.operator.as_ref().context("no operator")?;
        Ok(operator.metrics().await?.lines().any(|line| line.starts_with(start)))
    }

    /// The sum of a metric of the operator.
    pub(super) async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
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

/// A condition in a status.
pub(super) fn condition<'a>(status: &'a Value, type_: &str) -> Option<&'a Value> {
    status["conditions"].as_array()?.iter().find(|it| it["type"] == type_)
}

/// The message of a condition.
pub(super) fn message(status: &Value, type_: &str) -> String {
    let found = condition(status, type_).and_then(|condition| condition["message"].as_str());
    found.unwrap_or_default().to_owned()
}

pub(super) fn tags(pairs: &[(&str, &str)]) -> iam_model::Tags {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The fields named in `status.drift`, as `Policy.document`.
pub(super) fn drift_fields(status: &Value) -> Vec<String> {
    let entries = status["drift"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    entries.iter().map(|entry| format!("{}.{}", text(&entry["resource"]), text(&entry["field"]))).collect()
}
