//! What `plan`, `explain`, `doctor` and `import` share: the flags for the cluster and for the operator's settings, and
//! the access to Kubernetes and AWS. Everything here only reads.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::ArgAction;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use super::cluster::{ClusterArgs, KubeSystem};
use super::run::{deletion_policy, rate};
use crate::api::policy::DeletionPolicy;
use crate::aws::rate_limit::Rates;
use crate::aws::registry::{Accounts, GateConfig};
use crate::aws::sdk;
use crate::kubernetes::client;
use crate::model::names::{AccountId, IamPath};
use crate::model::proxies::ProxyError;
use crate::model::settings::Settings;
use crate::model::stored::AccountObject;
use crate::model::stored::PolicyObject;
use crate::operator::admission::Namespaces;
use crate::operator::context::View;
use crate::operator::index::Index;
use crate::telemetry::metrics::Metrics;

/// An API server that does not answer within this time is reported as unreachable. It is short because a person waits.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const READ_TIMEOUT: Duration = Duration::from_secs(15);
const PAGE: u32 = 500;

/// The cluster, with the flags of kubectl.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Kubernetes")]
pub(super) struct KubeArgs {
    /// Kubeconfig file; default: KUBECONFIG, ~/.kube/config, or the Pod's ServiceAccount.
    #[arg(long, env = "ALEP_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context in the kubeconfig; default: the current context.
    #[arg(long, env = "ALEP_CONTEXT", value_name = "NAME")]
    context: Option<String>,
    /// Namespace of the objects; default: that of the context. Limits plan --all and doctor to this namespace.
    #[arg(short, long, env = "ALEP_NAMESPACE", value_name = "NAMESPACE")]
    pub(super) namespace: Option<String>,
}

/// Access to the API server.
pub(super) struct Kube {
    pub(super) client: Client,
    /// URL of the API server, and the proxy to it, from the configuration.
    pub(super) url: String,
    /// Namespace of objects that name none.
    pub(super) namespace: String,
}

impl KubeArgs {
    /// Creates a client. Sends no request yet.
    pub(super) async fn connect(&self) -> anyhow::Result<Kube> {
        // Without `{:#}`: the text of the error already contains its sources.
        let config = client::config(self.kubeconfig.as_deref(), self.context.as_deref()).await;
        let (mut config, proxy) = config.map_err(|error| match error.downcast::<ProxyError>() {
            Ok(error) => anyhow!(error),
            Err(error) => anyhow!(
                "cannot load the Kubernetes configuration ({error}): set KUBECONFIG, or use --kubeconfig and --context"
            ),
        })?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(READ_TIMEOUT);
        config.reset_reader_on_write = true;
        let url = match proxy {
            Some(proxy) => format!("{} (through the proxy {proxy})", config.cluster_url),
            None => config.cluster_url.to_string(),
        };
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client =
            client::client(config, false).context("cannot create a Kubernetes client; check the kubeconfig")?;
        Ok(Kube { client, url, namespace })
    }
}

/// The settings of the operator. They must equal the flags or environment variables of `run`.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Operator settings (use the values of the running operator)")]
pub(super) struct OperatorArgs {
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
    /// AWS account that the credentials must belong to.
    #[arg(long, env = "ALEP_ACCOUNT_ID", value_name = "ID")]
    account_id: Option<AccountId>,
    /// IAM path of policies and roles if neither the spec nor the AwsAccount sets one.
    #[arg(long, env = "ALEP_IAM_PATH", value_name = "PATH", default_value = "/aurora-log-export/")]
    iam_path: IamPath,
    /// Deletion policy of objects without spec.deletionPolicy.
    #[arg(long, env = "ALEP_DEFAULT_DELETION_POLICY", value_name = "Delete|Retain", default_value = "Delete", value_parser = deletion_policy)]
    default_deletion_policy: DeletionPolicy,
    /// Allow access: FullAccess in objects without accountRef.
    #[arg(long, env = "ALEP_ALLOW_FULL_ACCESS", value_name = "true|false", default_value_t = true, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_short_help = true)]
    allow_full_access: bool,
    /// Allow adoptionPolicy: Always in objects without accountRef.
    #[arg(long, env = "ALEP_ALLOW_ADOPT_EXISTING", value_name = "true|false", default_value_t = false, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_short_help = true)]
    allow_adopt_existing: bool,
    /// Require spec.accountRef in every object.
    #[arg(long, env = "ALEP_REQUIRE_ACCOUNT_REF", value_name = "true|false", default_value_t = false, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_short_help = true)]
    require_account_ref: bool,
    /// Allow objects to publish a ConfigMap (spec.outputs).
    #[arg(long, env = "ALEP_ENABLE_OUTPUTS", value_name = "true|false", default_value_t = false, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_short_help = true)]
    enable_outputs: bool,
    /// Maximum number of read calls to IAM per second. IAM counts them together with the calls of the operator.
    #[arg(long, env = "ALEP_IAM_READS_PER_SECOND", value_name = "RATE", default_value = "20", value_parser = rate, hide_short_help = true)]
    iam_reads_per_second: f64,
}

impl OperatorArgs {
    /// Returns the state before anything is loaded from the cluster.
    pub(super) async fn state(&self, kube_system: &KubeSystem) -> anyhow::Result<State> {
        let settings = Settings {
            cluster: self.cluster.identify(kube_system)?,
            iam_path: self.iam_path.clone(),
            default_deletion_policy: self.default_deletion_policy,
            allow_full_access: self.allow_full_access,
            allow_adopt_existing: self.allow_adopt_existing,
            require_account_ref: self.require_account_ref,
            enable_outputs: self.enable_outputs,
            drift_check_interval: None,
        };
        // The write fence is closed: this process cannot write to AWS.
        let rates = Rates { reads_per_second: self.iam_reads_per_second, writes_per_second: 1.0 };
        let gates = GateConfig::new(rates, Arc::new(|_| false), Metrics::new());
        let accounts =
            Accounts::new(sdk::config().await?, self.account_id.clone(), settings.cluster.name.clone(), gates);
        let notes = match kube_system {
            KubeSystem::Forbidden(why) if self.cluster.cluster_uid.is_none() => vec![format!(
                "{why}; {}; if the operator can read it, give its UID with --cluster-uid",
                self.cluster.stands_for_uid()
            )],
            _ => Vec::new(),
        };
        Ok(State { settings, accounts, namespaces: Namespaces::default(), index: Index::default(), notes })
    }
}

/// Everything that the plan of an object depends on.
pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) accounts: Accounts,
    pub(super) namespaces: Namespaces,
    pub(super) index: Index,
    /// What could not be read, and the consequence.
    pub(super) notes: Vec<String>,
}

impl State {
    pub(super) fn view(&self) -> View<'_> {
        View { settings: &self.settings, accounts: &self.accounts, namespaces: &self.namespaces, index: &self.index }
    }

    /// Adds an object to the index, as the operator's watch does.
    pub(super) fn take(&self, object: PolicyObject) {
        let prefix = self.accounts.name_prefix(object.account_ref());
        self.index.upsert(object, &prefix);
    }

    /// Loads the accounts, the namespaces and then the objects, which depend on both. A missing permission to list
    /// becomes a note.
    pub(super) async fn load(&mut self, kube: &Kube) -> anyhow::Result<()> {
        let accounts = Api::<AccountObject>::all(kube.client.clone());
        let namespaces = Api::<Namespace>::all(kube.client.clone());
        let objects = Api::<PolicyObject>::all(kube.client.clone());
        let (accounts, namespaces, objects) = tokio::join!(list(&accounts), list(&namespaces), list(&objects));
        match accounts {
            Ok(accounts) => {
                for account in accounts {
                    self.accounts.upsert(account.name(), account.spec.as_ref().map(|spec| &**spec));
                }
            }
            Err(error) => {
                self.may_not(error, "AwsAccounts", "results for objects with an accountRef may be wrong")?;
                self.accounts.set_refused(true);
            }
        }
        match namespaces {
            Ok(namespaces) => {
                for namespace in namespaces {
                    let labels = namespace.metadata.labels.unwrap_or_default();
                    self.namespaces.set(namespace.metadata.name.as_deref().unwrap_or_default(), labels);
                }
            }
            Err(error) => self.may_not(error, "namespaces", "namespace selectors of AwsAccounts match nothing")?,
        }
        let objects = match objects {
            Ok(objects) => objects,
            Err(error) => {
                self.may_not(
                    error,
                    "AuroraLogExportPolicies in all namespaces",
                    "conflicts with objects in other namespaces are not found",
                )?;
                list(&Api::<PolicyObject>::namespaced(kube.client.clone(), &kube.namespace))
                    .await
                    .map_err(|error| unreachable(kube, &error))?
            }
        };
        for object in objects {
            self.take(object);
        }
        Ok(())
    }

    /// Turns a missing permission to list into a note; all other errors are returned.
    fn may_not(&mut self, error: kube::Error, what: &str, so: &str) -> anyhow::Result<()> {
        match error {
            kube::Error::Api(status) if status.code == 403 => {
                self.notes.push(format!("no permission to list {what}, so {so}; ask for this permission"));
                Ok(())
            }
            kube::Error::Api(status) if status.code == 404 => Err(anyhow!(
                "cannot list {what}: the CRDs are not installed; run aurora-log-export-operator crd | kubectl apply \
                 --server-side -f -"
            )),
            error => Err(anyhow!(error).context(format!("cannot list {what}"))),
        }
    }
}

/// Lists all objects, page by page.
pub(super) async fn list<K>(api: &Api<K>) -> Result<Vec<K>, kube::Error>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let mut items = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await?;
        items.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(items),
        }
    }
}

/// Reads the UID of the namespace `kube-system`.
pub(super) async fn kube_system(kube: &anyhow::Result<Kube>) -> KubeSystem {
    let kube = match kube {
        Ok(kube) => kube,
        Err(error) => return KubeSystem::Unreachable(format!("{error:#}")),
    };
    let namespaces: Api<Namespace> = Api::all(kube.client.clone());
    match namespaces.get("kube-system").await {
        Ok(namespace) => KubeSystem::Uid(namespace.uid().unwrap_or_default()),
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => KubeSystem::Forbidden(status.message),
        Err(error) => KubeSystem::Unreachable(unreachable(kube, &error).to_string()),
    }
}

/// Returns the error as one sentence with the next step.
pub(super) fn unreachable(kube: &Kube, error: &kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) if status.code == 401 => {
            anyhow!("the API server {} rejects your credentials: log in again, or choose another --context", kube.url)
        }
        kube::Error::Api(status) if status.code == 403 => {
            anyhow!("{}: ask for this permission, or choose another --context", status.message)
        }
        kube::Error::Api(status) => anyhow!("{}", status.message),
        error => anyhow!(
            "the API server {} cannot be reached ({}): check the network, or choose another --context",
            kube.url,
            root_cause(error)
        ),
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// Runs an asynchronous command to its end.
pub(super) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}
