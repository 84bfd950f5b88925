//! What `plan`, `explain`, `doctor` and `import` share: the flags that say which cluster and as which operator, and
//! the way to both. Everything here reads only.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::ArgAction;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, ResourceExt};

use super::run::{deletion_policy, rate};
use crate::api::policy::DeletionPolicy;
use crate::aws::rate_limit::Rates;
use crate::aws::registry::{Accounts, GateConfig};
use crate::aws::sdk;
use crate::model::names::{AccountId, ClusterName, IamPath};
use crate::model::settings::{Cluster, Settings};
use crate::model::stored::AccountObject;
use crate::model::stored::PolicyObject;
use crate::operator::admission::Namespaces;
use crate::operator::context::View;
use crate::operator::index::Index;
use crate::telemetry::metrics::Metrics;

/// An API server that does not answer within this time is not reachable, to a person who waits.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const READ_TIMEOUT: Duration = Duration::from_secs(15);
const PAGE: u32 = 500;

/// Which cluster, as kubectl says it.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Kubernetes")]
pub(super) struct KubeArgs {
    /// Kubeconfig to use; default: KUBECONFIG, ~/.kube/config, or the Pod's service account.
    #[arg(long, env = "ALEP_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use.
    #[arg(long, env = "ALEP_CONTEXT", value_name = "NAME")]
    context: Option<String>,
    /// Namespace of objects that name none; default: the context's.
    #[arg(short, long, env = "ALEP_NAMESPACE", value_name = "NAMESPACE")]
    pub(super) namespace: Option<String>,
}

/// A way to the API server.
pub(super) struct Kube {
    pub(super) client: Client,
    /// Where the configuration says the API server is.
    pub(super) url: String,
    /// For objects that name no namespace.
    pub(super) namespace: String,
}

impl KubeArgs {
    /// A client; nothing is asked of the API server yet.
    pub(super) async fn connect(&self) -> anyhow::Result<Kube> {
        // Its sources say the same again.
        let mut config = self.config().await.map_err(|error| {
            anyhow!("no access to Kubernetes ({error}): set KUBECONFIG, or give --kubeconfig and --context")
        })?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.read_timeout = Some(READ_TIMEOUT);
        let url = config.cluster_url.to_string();
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("Kubernetes' client cannot be made from its configuration")?;
        Ok(Kube { client, url, namespace })
    }

    async fn config(&self) -> anyhow::Result<kube::Config> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        Ok(match &self.kubeconfig {
            Some(path) => kube::Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?,
            None if self.context.is_some() => kube::Config::from_kubeconfig(&options).await?,
            None => kube::Config::infer().await?,
        })
    }
}

/// As which operator: give the same flags, or environment variables, as `run` has.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "As the operator (give what `run` is given)")]
pub(super) struct OperatorArgs {
    /// Name of the cluster in ownership tags; default: the UID of namespace kube-system.
    #[arg(long, env = "ALEP_CLUSTER_NAME", value_name = "NAME")]
    pub(super) cluster_name: Option<ClusterName>,
    /// UID of namespace kube-system, for use where the cluster is not reachable.
    #[arg(long, env = "ALEP_CLUSTER_UID", value_name = "UID")]
    cluster_uid: Option<String>,
    /// UID of the kube-system namespace of a cluster that this one was restored from; repeatable.
    #[arg(long, env = "ALEP_PREVIOUS_CLUSTER_UID", value_name = "UID", value_delimiter = ',')]
    previous_cluster_uid: Vec<String>,
    /// The account that the credentials must belong to.
    #[arg(long, env = "ALEP_ACCOUNT_ID", value_name = "ID")]
    account_id: Option<AccountId>,
    /// IAM path of policies and roles whose spec and account set none.
    #[arg(long, env = "ALEP_IAM_PATH", value_name = "PATH", default_value = "/aurora-log-export/")]
    iam_path: IamPath,
    /// What deleting an object does in AWS when its spec says nothing.
    #[arg(long, env = "ALEP_DEFAULT_DELETION_POLICY", value_name = "Delete|Retain", default_value = "Delete", value_parser = deletion_policy)]
    default_deletion_policy: DeletionPolicy,
    /// May objects without accountRef use access: FullAccess?
    #[arg(long, env = "ALEP_ALLOW_FULL_ACCESS", value_name = "true|false", default_value_t = true, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_short_help = true)]
    allow_full_access: bool,
    /// May objects without accountRef use adoptionPolicy: Always?
    #[arg(long, env = "ALEP_ALLOW_ADOPT_EXISTING", value_name = "true|false", default_value_t = false, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_short_help = true)]
    allow_adopt_existing: bool,
    /// Must every object refer to an AwsAccount?
    #[arg(long, env = "ALEP_REQUIRE_ACCOUNT_REF", value_name = "true|false", default_value_t = false, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_short_help = true)]
    require_account_ref: bool,
    /// May objects publish a ConfigMap (spec.outputs)?
    #[arg(long, env = "ALEP_ENABLE_OUTPUTS", value_name = "true|false", default_value_t = false, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_short_help = true)]
    enable_outputs: bool,
    /// Reading calls a second to IAM; the operator's calls come on top, and IAM throttles their sum.
    #[arg(long, env = "ALEP_IAM_READS_PER_SECOND", value_name = "RATE", default_value = "20", value_parser = rate, hide_short_help = true)]
    iam_reads_per_second: f64,
}

impl OperatorArgs {
    /// What decides, with nothing in it yet. `uid` is that of the cluster, if it could be asked.
    pub(super) async fn state(&self, uid: Option<String>) -> anyhow::Result<State> {
        let uid = match (uid, &self.cluster_uid) {
            (Some(found), Some(given)) if found != *given => {
                return Err(anyhow!(
                    "--cluster-uid={given} is not this cluster's ({found}): leave it out, or choose another context"
                ));
            }
            (Some(uid), _) => uid,
            (None, Some(uid)) => uid.clone(),
            (None, None) => {
                return Err(anyhow!(
                    "without the cluster nothing says who owns what in AWS: give --cluster-name and --cluster-uid \
                     (kubectl get namespace kube-system -o jsonpath={{.metadata.uid}})"
                ));
            }
        };
        let name = match &self.cluster_name {
            Some(name) => name.clone(),
            None => ClusterName::parse(uid.clone()).context("the UID cannot serve as --cluster-name: set it")?,
        };
        let settings = Settings {
            cluster: Cluster { name, uid, previous_uids: self.previous_cluster_uid.clone() },
            iam_path: self.iam_path.clone(),
            default_deletion_policy: self.default_deletion_policy,
            allow_full_access: self.allow_full_access,
            allow_adopt_existing: self.allow_adopt_existing,
            require_account_ref: self.require_account_ref,
            enable_outputs: self.enable_outputs,
            drift_check_interval: None,
        };
        // The fence stays shut: whatever the code above does, no write leaves this process.
        let rates = Rates { reads_per_second: self.iam_reads_per_second, writes_per_second: 1.0 };
        let gates = GateConfig::new(rates, Arc::new(|_| false), Metrics::new());
        let accounts =
            Accounts::new(sdk::config().await, self.account_id.clone(), settings.cluster.name.clone(), gates);
        Ok(State { settings, accounts, namespaces: Namespaces::default(), index: Index::default(), notes: Vec::new() })
    }
}

/// What decides which plan an object gets.
pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) accounts: Accounts,
    pub(super) namespaces: Namespaces,
    pub(super) index: Index,
    /// What could not be looked at, and what that means.
    pub(super) notes: Vec<String>,
}

impl State {
    pub(super) fn view(&self) -> View<'_> {
        View { settings: &self.settings, accounts: &self.accounts, namespaces: &self.namespaces, index: &self.index }
    }

    /// Takes in an object, as the operator's watch would.
    pub(super) fn take(&self, object: PolicyObject) {
        let prefix = self.accounts.name_prefix(object.account_ref());
        self.index.upsert(object, &prefix);
    }

    /// Takes in what the cluster has: accounts and namespaces first, because they decide about objects. What may not
    /// be listed is noted.
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
            Err(error) => self.may_not(error, "AwsAccounts", "objects that refer to one are not judged rightly")?,
        }
        match namespaces {
            Ok(namespaces) => {
                for namespace in namespaces {
                    let labels = namespace.metadata.labels.unwrap_or_default();
                    self.namespaces.set(namespace.metadata.name.as_deref().unwrap_or_default(), labels);
                }
            }
            Err(error) => self.may_not(error, "namespaces", "an AwsAccount's selector matches none of them")?,
        }
        let objects = match objects {
            Ok(objects) => objects,
            Err(error) => {
                self.may_not(
                    error,
                    "AuroraLogExportPolicies of all namespaces",
                    "claims of other namespaces on the same names are not seen",
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

    fn may_not(&mut self, error: kube::Error, what: &str, so: &str) -> anyhow::Result<()> {
        match error {
            kube::Error::Api(status) if status.code == 403 => {
                self.notes.push(format!("you may not list {what}: {so}"));
                Ok(())
            }
            kube::Error::Api(status) if status.code == 404 => Err(anyhow!(
                "the cluster does not know {what}: install the CRDs (aurora-log-export-operator crd | kubectl apply \
                 --server-side -f -)"
            )),
            error => Err(anyhow!(error).context(format!("cannot list {what}"))),
        }
    }
}

/// All pages.
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

/// UID of the namespace `kube-system`.
pub(super) async fn cluster_uid(kube: &Kube) -> anyhow::Result<String> {
    let namespaces: Api<Namespace> = Api::all(kube.client.clone());
    match namespaces.get("kube-system").await {
        Ok(namespace) => Ok(namespace.uid().unwrap_or_default()),
        Err(error) => Err(unreachable(kube, &error)),
    }
}

/// One sentence for people, with the next step.
pub(super) fn unreachable(kube: &Kube, error: &kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) if status.code == 401 => anyhow!(
            "the API server {} does not accept your credentials: log in again, or choose another --context",
            kube.url
        ),
        kube::Error::Api(status) if status.code == 403 => {
            anyhow!("{}: ask for that right, or choose another --context", status.message)
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

/// Runs a command that waits for answers.
pub(super) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}
