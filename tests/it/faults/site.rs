//! A site of its own for each test: a namespace, a model of IAM with one account, and what tests ask of both.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use aurora_log_export_operator::api::AuroraLogExportPolicy;
use aurora_log_export_operator::model::names::{Owner, default_name};
use aurora_test_support::apiserver_proxy::ApiserverProxy;
use aurora_test_support::environment::Environment;
use aurora_test_support::iam_model::call_log::CallRecord;
use aurora_test_support::iam_model::http::Server;
use aurora_test_support::iam_model::{Iam, PageRequest};
use aurora_test_support::kubeconfig;
use aurora_test_support::operator::{Operator, OperatorOptions};
use aurora_test_support::wait::{wait_for, wait_gone};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::emulators::aws;
use crate::environment;

pub(super) const ACCOUNT: &str = "111122223333";
pub(super) const PATH: &str = "/aurora-log-export/";
/// Generous: the machine is shared, and a pass ends early.
pub(super) const LIMIT: Duration = Duration::from_mins(1);
/// The access key of an operator that is given no other.
pub(super) const KEY: &str = "test";

pub(super) struct Site<'a> {
    pub(super) env: &'a Environment,
    pub(super) namespace: String,
    pub(super) aws: Server,
    pub(super) client: kube::Client,
}

impl Site<'static> {
    /// In the environment that all tests share.
    pub(super) async fn start() -> Result<Self> {
        Self::within(environment().await?).await
    }
}

impl<'a> Site<'a> {
    pub(super) async fn within(env: &'a Environment) -> Result<Self> {
        let aws = aws()?;
        aws.world().add_key(KEY, ACCOUNT);
        Ok(Self { env, namespace: env.namespace().await?, aws, client: env.client().await? })
    }

    /// An operator for this site, with a budget that is no hindrance; later flags win nothing, so each only once.
    pub(super) fn options(&self, flags: &[&str]) -> OperatorOptions {
        let own = [
            format!("--watch-namespace={}", self.namespace),
            format!("--cluster-name={}", self.cluster()),
            "--iam-reads-per-second=1000".to_owned(),
            "--iam-writes-per-second=1000".to_owned(),
            "--log-filter=info,aurora_log_export_operator=debug".to_owned(),
        ];
        let given = |flag: &str| flags.iter().any(|given| given.split('=').next() == flag.split('=').next());
        OperatorOptions::new(env!("CARGO_BIN_EXE_aurora-log-export-operator"))
            .arguments(own.iter().map(String::as_str).filter(|flag| !given(flag)))
            .arguments(flags.iter().copied())
            .aws_endpoint(&self.aws.url())
    }

    pub(super) async fn operator(&self, flags: &[&str]) -> Result<Operator> {
        Operator::start(self.env, self.options(flags)).await
    }

    /// `--cluster-name`.
    pub(super) fn cluster(&self) -> String {
        self.namespace.clone()
    }

    /// A copy of the operator's kubeconfig that connects somewhere else.
    pub(super) async fn kubeconfig_via(&self, server: SocketAddr) -> Result<PathBuf> {
        self.kubeconfig_at(&format!("https://{server}"), server.port()).await
    }

    /// An operator that talks to the API server through a proxy.
    pub(super) async fn behind_proxy(&self, flags: &[&str]) -> Result<(Operator, ApiserverProxy)> {
        let access = self.env.install_rbac().await?;
        let proxy = ApiserverProxy::before(&access.kubeconfig).await?;
        let mut options = self.options(flags);
        options.kubeconfig = Some(self.kubeconfig_at(&proxy.url(), proxy.addr().port()).await?);
        Ok((Operator::start(self.env, options).await?, proxy))
    }

    async fn kubeconfig_at(&self, url: &str, port: u16) -> Result<PathBuf> {
        let access = self.env.install_rbac().await?;
        let mut config = kubeconfig::read(&access.kubeconfig)?;
        for cluster in config.clusters.iter_mut().filter_map(|entry| entry.cluster.as_mut()) {
            cluster.server = Some(url.to_owned());
        }
        let path = self.env.dir().join(format!("{}-{port}.kubeconfig", self.namespace));
        kubeconfig::write(&config, &path)?;
        Ok(path)
    }

    // ---- AWS

    /// The account itself, as the console shows it.
    pub(super) fn iam(&self) -> Iam {
        self.aws.world().account(ACCOUNT).lock().clone()
    }

    /// What a person does by hand.
    pub(super) fn by_hand<T, E: std::error::Error + Send + Sync + 'static>(
        &self,
        edit: impl FnOnce(&mut Iam) -> std::result::Result<T, E>,
    ) -> Result<T> {
        Ok(edit(&mut self.aws.world().account(ACCOUNT).lock())?)
    }

    /// The default name of policy and role.
    pub(super) fn name(&self, object: &str) -> String {
        default_name("", &Owner::new(self.namespace.clone(), object))
    }

    pub(super) fn policy_arn(&self, object: &str) -> String {
        format!("arn:aws:iam::{ACCOUNT}:policy{PATH}{}", self.name(object))
    }

    /// The text of the policy's default version.
    pub(super) fn document(&self, object: &str) -> Result<String> {
        let (iam, arn) = (self.iam(), self.policy_arn(object));
        let version = iam.get_policy(&arn)?.default_version;
        Ok(iam.get_policy_version(&arn, &version)?.document.as_str().to_owned())
    }

    pub(super) fn versions(&self, object: &str) -> Result<usize> {
        let page = self.iam().list_policy_versions(&self.policy_arn(object), &PageRequest::default())?;
        Ok(page.items.len())
    }

    /// A mark for [`Site::writes`] and [`Site::calls`].
    pub(super) fn mark(&self) -> u64 {
        self.aws.gate().last_seq()
    }

    /// Calls since the mark.
    pub(super) fn calls(&self, mark: u64) -> Vec<CallRecord> {
        self.aws.gate().calls_since(mark)
    }

    /// Calls since the mark that change something.
    pub(super) fn writes(&self, mark: u64) -> Vec<CallRecord> {
        let mut calls = self.calls(mark);
        calls.retain(|call| !["Get", "List", "Assume"].iter().any(|read| call.action.starts_with(read)));
        calls
    }

    // ---- Kubernetes

    pub(super) fn api(&self) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<AuroraLogExportPolicy>(&());
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// Server-side apply, as GitOps tools do.
    pub(super) async fn apply(&self, name: &str, spec: Value) -> Result<DynamicObject> {
        let body = json!({
            "apiVersion": "auroralogexport.dev/v1alpha1", "kind": "AuroraLogExportPolicy",
            "metadata": { "name": name, "namespace": self.namespace }, "spec": spec,
        });
        let params = PatchParams::apply("aurora-test").force();
        Ok(self.api().patch(name, &params, &Patch::Apply(&body)).await?)
    }

    pub(super) async fn delete(&self, name: &str) -> Result<()> {
        self.api().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    pub(super) async fn object(&self, name: &str) -> Result<DynamicObject> {
        Ok(self.api().get(name).await?)
    }

    pub(super) async fn objects(&self) -> Result<Vec<DynamicObject>> {
        Ok(self.api().list(&ListParams::default()).await?.items)
    }

    /// Waits until `Ready` speaks of the current generation and has this status and reason; gives the status.
    pub(super) async fn until(&self, name: &str, status: &str, reason: &str) -> Result<Value> {
        let api = self.api();
        let what = format!("Ready={status} {reason} of {name}");
        wait_for(&what, LIMIT, async || {
            let object = api.get(name).await?;
            ensure!(says(&object, "Ready", status, reason), "{}", object.data["status"]);
            Ok(object.data["status"].clone())
        })
        .await
    }

    pub(super) async fn ready(&self, name: &str) -> Result<Value> {
        self.until(name, "True", "InSync").await
    }

    pub(super) async fn all_ready(&self, count: usize) -> Result<()> {
        wait_for("every object to be ready", LIMIT, async || {
            let objects = self.objects().await?;
            ensure!(objects.len() == count, "{} objects", objects.len());
            let waiting = objects.iter().find(|object| !says(object, "Ready", "True", "InSync"));
            waiting.map_or(Ok(()), |object| Err(anyhow!("{:?}: {}", object.metadata.name, object.data["status"])))
        })
        .await
    }

    pub(super) async fn gone(&self, name: &str) -> Result<()> {
        wait_gone(&self.api(), name, LIMIT).await
    }
}

/// Does a condition of the current generation say this?
pub(super) fn says(object: &DynamicObject, type_: &str, status: &str, reason: &str) -> bool {
    condition(&object.data["status"], type_).is_some_and(|condition| {
        condition["status"] == status
            && condition["reason"] == reason
            && condition["observedGeneration"] == object.metadata.generation.unwrap_or_default()
    })
}

/// A condition in a status.
pub(super) fn condition<'v>(status: &'v Value, type_: &str) -> Option<&'v Value> {
    status["conditions"].as_array()?.iter().find(|it| it["type"] == type_)
}

/// The message of `Ready`.
pub(super) fn message(status: &Value) -> String {
    let message = condition(status, "Ready").and_then(|condition| condition["message"].as_str());
    message.unwrap_or_default().to_owned()
}

/// `host:port` of the API server in a kubeconfig.
pub(super) fn server_of(path: &Path) -> Result<SocketAddr> {
    let config = kubeconfig::read(path)?;
    let cluster = config.clusters.first().and_then(|entry| entry.cluster.as_ref());
    let server = cluster.and_then(|cluster| cluster.server.as_deref());
    let server = server.context("the kubeconfig names no server")?;
    let address = server.strip_prefix("https://").unwrap_or(server);
    address.parse().with_context(|| format!("not an address: {server}"))
}

/// Waits for a line of the operator's log that holds all of these words.
pub(super) async fn logged(operator: &Operator, words: &[&str]) -> Result<String> {
    wait_for(&format!("a log line with {words:?}"), LIMIT, async || {
        let text = operator.log_text()?;
        let line = text.lines().find(|line| words.iter().all(|word| line.contains(word)));
        line.map(str::to_owned).with_context(|| format!("the log so far:\n{text}"))
    })
    .await
}
