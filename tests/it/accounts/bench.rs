//! One operator, a few namespaces, and a world of AWS accounts of its own for each test.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aurora_log_export_operator::api::Condition;
use aurora_log_export_operator::api::{AuroraLogExportPolicy, AwsAccount};
use aurora_log_export_operator::model::names::{Owner, default_name};
use aurora_test_support::environment::Environment;
use aurora_test_support::iam_model::call_log::CallRecord;
use aurora_test_support::iam_model::http::Server;
use aurora_test_support::iam_model::{Action, Bystander};
use aurora_test_support::operator::{Operator, OperatorOptions};
use aurora_test_support::wait::{wait_for, wait_gone};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::emulators::aws;
use crate::environment;

/// Generous: two cores are shared by the whole suite.
pub(super) const LIMIT: Duration = Duration::from_mins(1);
/// The account of the operator's own credentials.
pub(super) const HUB: &str = "100000000000";

pub(super) struct Bench {
    pub(super) env: &'static Environment,
    pub(super) client: Client,
    pub(super) server: Server,
    pub(super) operator: Operator,
    /// The namespaces, in the order asked for.
    pub(super) namespaces: Vec<String>,
}

impl Bench {
    pub(super) async fn start(namespaces: usize, arguments: &[&str]) -> Result<Self> {
        let env = environment().await?;
        let mut names = Vec::new();
        for _ in 0..namespaces {
            names.push(env.namespace().await?);
        }
        let server = aws()?;
        server.world().add_key("test", HUB);
        let operator = start_operator(env, &names, &server, arguments).await?;
        Ok(Self { env, client: env.client().await?, server, operator, namespaces: names })
    }

    /// The first namespace.
    pub(super) fn ns(&self) -> &str {
        &self.namespaces[0]
    }

    /// A name for a cluster-scoped object that no other test uses.
    pub(super) fn unique(&self, name: &str) -> String {
        format!("{name}-{}", self.ns())
    }

    /// Makes an `AwsAccount` that is entered by the usual role and open to the first namespace; `more` is merged over its
    /// spec. Gives its name.
    pub(super) async fn account(&self, name: &str, id: &str, more: Value) -> Result<String> {
        let mut spec = json!({
            "accountId": id,
            "assumeRole": { "roleArn": role_arn(id) },
            "allowedNamespaces": { "names": [self.ns()] },
        });
        merge(&mut spec, more);
        let name = self.unique(name);
        let object = json!({ "apiVersion": "auroralogexport.dev/v1alpha1", "kind": "AwsAccount",
                             "metadata": { "name": name }, "spec": spec });
        self.accounts().patch(&name, &PatchParams::apply("bench").force(), &Patch::Apply(&object)).await?;
        Ok(name)
    }

    /// Makes, or replaces, a policy in a namespace. Where it refers to an `AwsAccount`, others have exactly its names in
    /// the account of the operator's own credentials.
    pub(super) async fn policy(&self, namespace: &str, name: &str, spec: Value) -> Result<AuroraLogExportPolicy> {
        if !spec["accountRef"].is_null() {
            self.twin(namespace, name, &spec)?;
        }
        let object = json!({ "apiVersion": "auroralogexport.dev/v1alpha1", "kind": "AuroraLogExportPolicy",
                             "metadata": { "name": name, "namespace": namespace }, "spec": spec });
        let stored =
            self.policies(namespace).patch(name, &PatchParams::apply("bench").force(), &Patch::Apply(&object)).await?;
        Ok(stored)
    }

    /// Unless it is there already.
    fn twin(&self, namespace: &str, name: &str, spec: &Value) -> Result<()> {
        let default = default_name("", &Owner::new(namespace, name));
        let name = spec["roleName"].as_str().unwrap_or(&default).to_owned();
        let hub = self.server.world().account(HUB);
        let mut hub = hub.lock();
        if hub.get_role(&name).is_ok() {
            return Ok(());
        }
        let tags = [("team".to_owned(), "others".to_owned())].into();
        let twin = Bystander { name, path: "/aurora-log-export/".to_owned(), tags, trusts_rds: true };
        Ok(hub.plant_bystander(&twin)?)
    }

    pub(super) fn policies(&self, namespace: &str) -> Api<AuroraLogExportPolicy> {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub(super) fn accounts(&self) -> Api<AwsAccount> {
        Api::all(self.client.clone())
    }

    /// Waits until `Ready` of the policy has this reason, for its present generation; gives its message.
    pub(super) async fn wait_policy(&self, namespace: &str, name: &str, reason: &str) -> Result<String> {
        wait_for(&format!("{namespace}/{name} to be {reason}"), LIMIT, async || {
            let object = self.policies(namespace).get(name).await?;
            let conditions = object.status.map(|status| status.conditions).unwrap_or_default();
            has_reason(&conditions, object.metadata.generation, reason)
        })
        .await
        .with_context(|| self.log())
    }

    /// The same of an account.
    pub(super) async fn wait_account(&self, name: &str, reason: &str) -> Result<AwsAccount> {
        wait_for(&format!("account {name} to be {reason}"), LIMIT, async || {
            let object = self.accounts().get(name).await?;
            let conditions = object.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
            has_reason(&conditions, object.metadata.generation, reason)?;
            Ok(object)
        })
        .await
        .with_context(|| self.log())
    }

    /// Deletes a policy and waits until it is gone.
    pub(super) async fn delete_policy(&self, namespace: &str, name: &str) -> Result<()> {
        let api = self.policies(namespace);
        api.delete(name, &DeleteParams::default()).await?;
        wait_gone(&api, name, LIMIT).await.with_context(|| self.log())
    }

    /// Deletes an account and waits until it is gone.
    pub(super) async fn delete_account(&self, name: &str) -> Result<()> {
        self.accounts().delete(name, &DeleteParams::default()).await?;
        self.wait_account_gone(name).await
    }

    pub(super) async fn wait_account_gone(&self, name: &str) -> Result<()> {
        wait_gone(&self.accounts(), name, LIMIT).await.with_context(|| self.log())
    }

    /// Calls that change IAM, since a mark of the call log.
    pub(super) fn writes_since(&self, mark: u64) -> Vec<CallRecord> {
        let writes = |call: &CallRecord| Action::parse(&call.action).is_none_or(Action::is_write);
        self.server.gate().calls_since(mark).into_iter().filter(writes).collect()
    }

    /// All calls to IAM (not STS) in an account, since a mark.
    pub(super) fn iam_calls_since(&self, mark: u64, account: &str) -> Vec<CallRecord> {
        let iam = |call: &CallRecord| {
            call.account == account && !matches!(call.action.as_str(), "GetCallerIdentity" | "AssumeRole")
        };
        self.server.gate().calls_since(mark).into_iter().filter(iam).collect()
    }

    /// What is in an account.
    pub(super) fn snapshot(&self, account: &str) -> Value {
        self.server.world().account(account).lock().snapshot()
    }

    /// Numbers of policies and roles in an account.
    pub(super) fn holds(&self, account: &str) -> (usize, usize) {
        let snapshot = self.snapshot(account);
        let count = |kind: &str| snapshot[kind].as_object().map_or(0, serde_json::Map::len);
        (count("policies"), count("roles"))
    }

    /// The end of the operator's log, for failures.
    pub(super) fn log(&self) -> String {
        let text = self.operator.log_text().unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let end = &lines[lines.len().saturating_sub(25)..];
        format!("the end of the operator's log:\n{}", end.join("\n"))
    }
}

/// Another operator for the same namespaces and world.
pub(super) async fn start_operator(
    env: &Environment,
    namespaces: &[String],
    server: &Server,
    arguments: &[&str],
) -> Result<Operator> {
    let watch: Vec<String> = namespaces.iter().map(|namespace| format!("--watch-namespace={namespace}")).collect();
    let options = OperatorOptions::new(env!("CARGO_BIN_EXE_aurora-log-export-operator"))
        .arguments(watch.iter().map(String::as_str))
        .arguments(["--cluster-name=bench", "--drift-check-interval=1s"])
        .arguments(arguments.iter().copied())
        .aws_endpoint(&server.url());
    Operator::start(env, options).await
}

pub(super) fn role_arn(account: &str) -> String {
    format!("arn:aws:iam::{account}:role/aurora-log-export-operator-member")
}

/// Over `base`, by key: null removes.
fn merge(base: &mut Value, more: Value) {
    match (base, more) {
        (Value::Object(base), Value::Object(more)) => {
            for (key, value) in more {
                if value.is_null() {
                    base.remove(&key);
                } else {
                    merge(base.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (base, more) => *base = more,
    }
}

fn has_reason(conditions: &[Condition], generation: Option<i64>, reason: &str) -> Result<String> {
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready").context("no Ready yet")?;
    ensure!(
        ready.reason == reason && ready.observed_generation == generation,
        "{} {} of generation {:?}: {}",
        ready.status,
        ready.reason,
        ready.observed_generation,
        ready.message
    );
    Ok(ready.message.to_string())
}
