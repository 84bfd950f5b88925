//! `run`: the operator itself.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::ArgAction;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::cluster::{ClusterArgs, KubeSystem};
use super::otlp;
use crate::api::account::DriftScan;
use crate::api::policy::DeletionPolicy;
use crate::api::{ConditionType, FIELD_MANAGER, Reason};
use crate::aws::rate_limit::Rates;
use crate::aws::registry::{Accounts, GateConfig};
use crate::aws::sdk;
use crate::kubernetes::Kubernetes;
use crate::kubernetes::client::ApiServer;
use crate::kubernetes::lease::{Election, Fence, LeaseConfig};
use crate::model::names::{AccountId, IamPath};
use crate::model::settings::Settings;
use crate::operator::admission::Namespaces;
use crate::operator::backoff::backoff;
use crate::operator::context::Context;
use crate::operator::controller;
use crate::operator::index::Index;
use crate::operator::modes::Modes;
use crate::operator::reconcile_state::ReconcileStates;
use crate::operator::removed::Removed;
use crate::telemetry::http::{self, CheckHandle, Health};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::{self, LogFormat, panics};

/// Without a heartbeat for this long, the process counts as stuck.
const LIVE_LIMIT: Duration = Duration::from_secs(30);
/// Pauses between attempts to reach the API server at startup.
const FIRST_START_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_START_PAUSE: Duration = Duration::from_secs(30);
/// Time to publish pending events at shutdown.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// Run the operator.
// Each flag is one independent switch of the command line.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, clap::Args)]
#[command(
    after_help = "AWS credentials, Region and endpoints come from the default chain of the AWS SDK (IRSA, EKS Pod\n\
                        Identity, profiles, AWS_ENDPOINT_URL). Kubernetes access comes from the Pod's ServiceAccount\n\
                        or from KUBECONFIG.\n\n\
                        Example:\n  aurora-log-export-operator run --cluster-name=prod --leader-elect=false"
)]
pub struct RunArgs {
    #[command(flatten)]
    cluster: ClusterArgs,

    /// AWS account that the operator's credentials must belong to; otherwise nothing is written.
    #[arg(long, env = "ALEP_ACCOUNT_ID", value_name = "ID")]
    account_id: Option<AccountId>,

    /// IAM path of policies and roles if neither the spec nor the AwsAccount sets one.
    #[arg(long, env = "ALEP_IAM_PATH", value_name = "PATH", default_value = "/aurora-log-export/")]
    iam_path: IamPath,

    /// Namespace to watch; repeatable; default: all.
    #[arg(long, env = "ALEP_WATCH_NAMESPACE", value_name = "NAMESPACE", value_delimiter = ',')]
    watch_namespace: Vec<String>,

    /// Resync interval, at least 1s; default: 1m for accounts with sweeps, 10m where objects are read one by one.
    #[arg(long, env = "ALEP_DRIFT_CHECK_INTERVAL", value_name = "DURATION", value_parser = interval)]
    drift_check_interval: Option<Duration>,

    /// How drift is detected: by sweeps of the account (bulk), by reads of each object (per-resource), or by the
    /// cheaper of both (auto).
    #[arg(long, env = "ALEP_DRIFT_SCAN", value_name = "auto|bulk|per-resource", default_value = "auto", value_parser = drift_scan)]
    drift_scan: DriftScan,

    /// Maximum number of read calls to IAM per second, for all objects of one account together.
    #[arg(long, env = "ALEP_IAM_READS_PER_SECOND", value_name = "RATE", default_value = "50", value_parser = rate)]
    iam_reads_per_second: f64,

    /// Maximum number of write calls to IAM per second, for all objects of one account together.
    #[arg(long, env = "ALEP_IAM_WRITES_PER_SECOND", value_name = "RATE", default_value = "20", value_parser = rate)]
    iam_writes_per_second: f64,

    /// Number of objects of one account that are reconciled at the same time.
    #[arg(long, env = "ALEP_CONCURRENCY", value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,

    /// Deletion policy of objects without spec.deletionPolicy.
    #[arg(long, env = "ALEP_DEFAULT_DELETION_POLICY", value_name = "Delete|Retain", default_value = "Delete", value_parser = deletion_policy)]
    default_deletion_policy: DeletionPolicy,

    /// Allow access: FullAccess in objects without accountRef.
    #[arg(long, env = "ALEP_ALLOW_FULL_ACCESS", value_name = "true|false", default_value_t = true, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    allow_full_access: bool,

    /// Allow adoptionPolicy: Always in objects without accountRef.
    #[arg(long, env = "ALEP_ALLOW_ADOPT_EXISTING", value_name = "true|false", default_value_t = false, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    allow_adopt_existing: bool,

    /// Require spec.accountRef in every object.
    #[arg(long, env = "ALEP_REQUIRE_ACCOUNT_REF", value_name = "true|false", default_value_t = false, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    require_account_ref: bool,

    /// Allow objects to publish a ConfigMap (spec.outputs).
    #[arg(long, env = "ALEP_ENABLE_OUTPUTS", value_name = "true|false", default_value_t = false, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enable_outputs: bool,

    /// Write only while this replica holds the Lease aurora-log-export-operator in the namespace POD_NAMESPACE.
    #[arg(long, env = "ALEP_LEADER_ELECT", value_name = "true|false", default_value_t = true, action = ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    leader_elect: bool,

    /// Address of /metrics, /livez and /readyz.
    #[arg(long, env = "ALEP_HTTP_ADDR", value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    http_addr: SocketAddr,

    /// Format of the logs.
    #[arg(long, env = "ALEP_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,

    /// Log filter: a level, or directives such as info,aurora_log_export_operator=debug.
    #[arg(long, env = "ALEP_LOG_FILTER", value_name = "FILTER", default_value = "info")]
    log_filter: String,

    /// OTLP collector that receives the traces over HTTP, such as `http://collector:4318`; empty: no traces; default:
    /// OTEL_EXPORTER_OTLP_ENDPOINT.
    #[arg(long, env = "ALEP_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,

    /// Read timeout of connections to the API server; even an idle watch receives a bookmark every minute.
    #[arg(long, env = "ALEP_API_SERVER_SILENCE", value_name = "DURATION", value_parser = interval, default_value = "2m", hide = true)]
    api_server_silence: Duration,

    /// Name of this replica.
    #[arg(long, env = "POD_NAME", value_name = "NAME", hide = true)]
    pod_name: Option<String>,

    /// Namespace of this replica.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE", hide = true)]
    pod_namespace: Option<String>,
}

fn interval(text: &str) -> Result<Duration, String> {
    let parsed: kube::core::Duration =
        text.parse().map_err(|error| format!("{error}; use a duration such as 30s or 1m"))?;
    if parsed < Duration::from_secs(1) {
        return Err("must be at least 1s".into());
    }
    Ok(parsed.into())
}

pub(super) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 100_000.0 => Ok(rate),
        _ => Err("must be a number of calls per second, above 0 and at most 100000".into()),
    }
}

fn drift_scan(text: &str) -> Result<DriftScan, String> {
    match text {
        "auto" => Ok(DriftScan::Auto),
        "bulk" => Ok(DriftScan::Bulk),
        "per-resource" => Ok(DriftScan::PerResource),
        _ => Err("must be auto, bulk or per-resource".into()),
    }
}

pub(super) fn deletion_policy(text: &str) -> Result<DeletionPolicy, String> {
    match text {
        "Delete" => Ok(DeletionPolicy::Delete),
        "Retain" => Ok(DeletionPolicy::Retain),
        _ => Err("must be Delete or Retain".into()),
    }
}

pub(super) fn main(args: RunArgs) -> anyhow::Result<ExitCode> {
    // One thread is enough: the operator mostly waits for AWS and for the API server.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let telemetry = start_telemetry(&args, runtime.handle())?;
    panics::install_hook();
    let ended = runtime.block_on(run(args));
    // The exporter sends the last traces through the runtime, which must still run.
    if let Err(error) = runtime.block_on(async { tokio::task::spawn_blocking(|| drop(telemetry)).await }) {
        tracing::warn!(%error, "the last traces were not sent");
    }
    runtime.shutdown_background();
    ended
}

fn start_telemetry(args: &RunArgs, runtime: &Handle) -> anyhow::Result<telemetry::Guard> {
    let exporter = otlp::exporter(args.otlp_endpoint.as_deref(), args.pod_name.as_deref(), runtime)?;
    telemetry::init(args.log_format, &args.log_filter, exporter.into_iter().collect()).context("--log-filter")
}

async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        let _ = stop.send(true);
    });

    let metrics = Metrics::new();
    let health = Health::new(LIVE_LIMIT);
    let listener = http::listen(args.http_addr)
        .with_context(|| format!("cannot listen on --http-addr={}; choose a free address", args.http_addr))?;
    tracing::info!(address = %listener.local_addr()?, version = env!("CARGO_PKG_VERSION"), "listening");
    let server = tokio::spawn(http::serve(listener, metrics.clone(), health.clone(), until(stopped.clone())));
    let beat = health.clone();
    tokio::spawn(async move {
        loop {
            beat.heartbeat();
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    });

    tokio::select! {
        result = operate(args, started, metrics, health, stopped.clone()) => result?,
        () = until_and_grace(stopped) => tracing::warn!("some tasks did not end in time"),
    }
    let _ = tokio::time::timeout(Duration::from_secs(1), server).await;
    Ok(ExitCode::SUCCESS)
}

async fn operate(
    args: RunArgs,
    mut started: Instant,
    metrics: Metrics,
    health: Health,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let api_server = health.check("api-server");
    api_server.failing("no answer yet");
    let cluster = ApiServer::infer(args.api_server_silence).await?;
    let client = cluster.client()?;
    let namespace = args.pod_namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let instance = args.pod_name.clone().unwrap_or_else(|| format!("{FIELD_MANAGER}-{}", std::process::id()));

    let (election, fence, leadership, mut restored) = if args.leader_elect {
        // A client of its own, because the pool of the shared one may hold dead connections.
        let client = cluster.client()?;
        let (election, leadership) = Election::start(client, LeaseConfig::new(&namespace, &instance));
        let (fence, restored) = (election.fence(), election.restored());
        (Some(election), fence, leadership, restored)
    } else {
        let ((_, leadership), (_, restored)) = (watch::channel(true), watch::channel(()));
        (None, Fence::always(), leadership, restored)
    };
    let kubernetes = Kubernetes::new(client, fence.clone(), metrics.clone(), instance);
    // The AWS configuration is loaded while the API server answers.
    let answers = async { tokio::join!(kube_system(&kubernetes, &api_server), sdk::config()) };
    let (kube_system, config) = tokio::select! {
        answers = answers => answers,
        () = until(stopped.clone()) => return Ok(()),
    };
    let config = config?;
    api_server.ok();

    let settings = settings(&args, &kube_system)?;
    if let KubeSystem::Forbidden(why) = &kube_system {
        tracing::warn!("{why}; {}", args.cluster.stands_for_uid());
    }
    let rates = Rates { reads_per_second: args.iam_reads_per_second, writes_per_second: args.iam_writes_per_second };
    let gates = GateConfig::new(rates, Arc::new(move |timeout| fence.may_write(timeout)), metrics.clone());
    metrics.leader(*leadership.borrow());
    tokio::spawn(report_leadership(metrics.clone(), leadership.clone()));
    tracing::info!(
        cluster = %settings.cluster.name,
        iam_path = %settings.iam_path,
        leader_election = args.leader_elect,
        "operator started"
    );
    // Once, and again with nothing in memory each time etcd was restored: what is known may never have happened.
    while !*stopped.borrow() {
        let (config, cluster, gates) = (config.clone(), settings.cluster.name.clone(), gates.clone());
        let context = Arc::new(Context {
            settings: settings.clone(),
            accounts: Accounts::new(config, args.account_id.clone(), cluster, gates),
            namespaces: Namespaces::default(),
            kubernetes: kubernetes.clone(),
            index: Index::default(),
            removed: Removed::default(),
            states: ReconcileStates::default(),
            metrics: metrics.clone(),
            drift_scan: args.drift_scan,
            watched: args.watch_namespace.clone(),
            modes: Modes::default(),
            started,
        });
        count_resources(&metrics, &context);
        let end = async {
            tokio::select! {
                () = until(stopped.clone()) => {}
                Ok(()) = restored.changed() => {}
            }
        };
        controller::run(context, usize::from(args.concurrency), leadership.clone(), end).await;
        started = Instant::now();
    }
    // Before the last events, so that the next leader does not wait for them.
    if let Some(election) = election {
        election.release().await;
    }
    if tokio::time::timeout(LAST_EVENTS, kubernetes.events_published()).await.is_err() {
        tracing::warn!("some events could not be published in time");
    }
    Ok(())
}

/// Reads the UID of the cluster, and retries until the API server answers.
async fn kube_system(kubernetes: &Kubernetes, health: &CheckHandle) -> KubeSystem {
    let mut failures = 0;
    loop {
        match kubernetes.cluster_uid().await {
            Ok(uid) => return KubeSystem::Uid(uid),
            Err(error) if error.refusal().is_some() || error.is_not_found() => {
                return KubeSystem::Forbidden(error.to_string());
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read the UID of the kube-system namespace; retrying");
                health.failing(error.to_string());
                failures += 1;
            }
        }
        tokio::time::sleep(backoff(failures, FIRST_START_PAUSE, LONGEST_START_PAUSE)).await;
    }
}

fn settings(args: &RunArgs, kube_system: &KubeSystem) -> anyhow::Result<Settings> {
    if args.iam_path.is_reserved_for_aws() {
        bail!("--iam-path={} is reserved for AWS; choose another path", args.iam_path);
    }
    Ok(Settings {
        cluster: args.cluster.identify(kube_system)?,
        iam_path: args.iam_path.clone(),
        default_deletion_policy: args.default_deletion_policy,
        allow_full_access: args.allow_full_access,
        allow_adopt_existing: args.allow_adopt_existing,
        require_account_ref: args.require_account_ref,
        enable_outputs: args.enable_outputs,
        drift_check_interval: args.drift_check_interval,
    })
}

/// Registers `resources{condition,status,reason}`, which is counted at each scrape.
fn count_resources(metrics: &Metrics, context: &Arc<Context>) {
    let context = Arc::downgrade(context);
    metrics.set_resources(Arc::new(move || {
        let Some(context) = context.upgrade() else {
            return Vec::new();
        };
        let mut counts = std::collections::BTreeMap::new();
        for object in context.index.all() {
            for condition in &object.status.conditions {
                let known = ConditionType::from_name(&condition.type_).zip(Reason::from_name(&condition.reason));
                if let Some((type_, reason)) = known {
                    *counts.entry((type_, condition.status.clone(), reason)).or_insert(0) += 1;
                }
            }
        }
        counts.into_iter().map(|((type_, status, reason), count)| (type_, status.to_string(), reason, count)).collect()
    }));
}

async fn report_leadership(metrics: Metrics, mut leadership: watch::Receiver<bool>) {
    while leadership.changed().await.is_ok() {
        let leads = *leadership.borrow_and_update();
        metrics.leader(leads);
        tracing::info!(leads, "leadership changed");
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender was dropped, which happens only at shutdown.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn until_and_grace(stopped: watch::Receiver<bool>) {
    until(stopped).await;
    tokio::time::sleep(Duration::from_secs(7)).await;
}
