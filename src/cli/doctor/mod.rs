//! `doctor`: checks everything that the operator needs. Each finding has a fix, and a healthy system gets one line.

mod aws;
mod clock;
mod cluster;
mod objects;
mod report;

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::ValueEnum;
use jiff::Timestamp;
use kube::api::Api;

use super::cluster::KubeSystem;
use super::connect::{Kube, KubeArgs, OperatorArgs, State, block_on, kube_system, list};
use super::output;
use super::paint::Paint;
use super::progress::Progress;
use crate::model::stored::{AccountObject, PolicyObject};
use report::{Check, Report, Severity};

/// Check the cluster, the credentials and the AWS account, and print a fix for each finding.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    aurora-log-export-operator doctor\n  \
    kubectl alep doctor -n shop --ignore orphans\n  \
    kubectl exec -n aurora-log-export-system deploy/aurora-log-export-operator -- aurora-log-export-operator doctor\n\n\
    The last example uses the credentials and permissions of the operator itself. doctor changes nothing.\n\
    Exit code: 0 if healthy (warnings do not count), 1 with findings.")]
pub(super) struct DoctorArgs {
    /// Output format.
    #[arg(short, long, env = "ALEP_OUTPUT", value_enum, default_value_t = Format::Text)]
    output: Format,
    /// Check whose findings are left out; repeatable.
    #[arg(long, value_enum, value_name = "CHECK", value_delimiter = ',')]
    ignore: Vec<Check>,
    /// Check the objects of all namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Namespace that the operator runs in.
    #[arg(long, env = "ALEP_OPERATOR_NAMESPACE", value_name = "NAMESPACE", default_value = "aurora-log-export-system")]
    operator_namespace: String,
    /// ServiceAccount whose permissions are checked, as [NAMESPACE/]NAME; default: your own permissions.
    #[arg(long, env = "ALEP_OPERATOR_SERVICE_ACCOUNT", value_name = "NAME")]
    operator_service_account: Option<String>,
    /// ARN of the role or user whose permissions in AWS are simulated; default: the caller.
    #[arg(long, env = "ALEP_OPERATOR_PRINCIPAL", value_name = "ARN")]
    operator_principal: Option<String>,
    /// ARN of the permissions boundary that the operator's IAM policy requires.
    #[arg(long, env = "ALEP_PERMISSIONS_BOUNDARY", value_name = "ARN")]
    permissions_boundary: Option<String>,
    #[command(flatten)]
    kube: KubeArgs,
    #[command(flatten)]
    operator: OperatorArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For scripts.
    Json,
}

pub(super) fn main(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let progress = Progress::stderr("doctor");
    let (report, about) = block_on(progress.during(examine(args, &progress)))?;
    let report = report.finish(&args.ignore);
    match args.output {
        Format::Text => output::print(render(&report, &about, Paint::stdout()))?,
        Format::Json => output::print_line(&serde_json::to_string_pretty(&report)?)?,
    }
    Ok(if report.healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was checked, for the last line.
#[derive(Default)]
struct About {
    cluster: Option<String>,
    account: Option<String>,
    objects: usize,
}

async fn examine(args: &DoctorArgs, progress: &Progress) -> anyhow::Result<(Report, About)> {
    progress.stage("checking the cluster", None);
    let mut report = Report::default();
    let mut about = About::default();
    let connected = args.kube.connect().await;
    let mut kube_system = kube_system(&connected).await;
    let kube = match connected {
        Ok(kube) => cluster::api_server(&kube, &mut report).await.then_some(kube),
        Err(error) => {
            report.find(Check::ApiServer, format!("{error:#}"), "set KUBECONFIG, or use --kubeconfig and --context");
            None
        }
    };
    // AWS is checked even without the cluster. Only the owners of resources are unknown then.
    let known = matches!(kube_system, KubeSystem::Uid(_)) || args.operator.cluster.identify(&kube_system).is_ok();
    if !known {
        kube_system = KubeSystem::Uid("unknown".to_owned());
    }
    let mut state = args.operator.state(&kube_system).await?;
    let mut all_listed = false;
    if let Some(kube) = &kube {
        all_listed = check_cluster(args, kube, &mut state, &mut report).await;
        about.cluster = Some(state.settings.cluster.name.to_string());
    }
    let watched = watched(args, &state);
    about.objects = watched.len();
    for object in &watched {
        objects::object(object, Timestamp::now(), &mut report);
    }
    if let Some(kube) = &kube {
        accounts(args, kube, &watched, &mut report).await;
    }
    let all = state.index.all();
    let target = aws::Target {
        account: state.accounts.own(),
        settings: &state.settings,
        owners: (known && all_listed).then(|| all.iter().map(|object| (object.key(), object.clone())).collect()),
        known_arns: all
            .iter()
            .filter_map(|object| object.status.policy.as_ref().map(|policy| policy.arn.clone()))
            .collect(),
        boundary: args.permissions_boundary.as_deref(),
        principal: args.operator_principal.as_deref(),
        progress,
    };
    progress.stage(aws::STAGE, None);
    let identity = Box::pin(aws::examine(&target, &mut report)).await;
    about.account = identity.map(|identity| identity.account.to_string());
    Ok((report, about))
}

/// Runs the checks of the cluster. True if the objects of all namespaces were listed.
async fn check_cluster(args: &DoctorArgs, kube: &Kube, state: &mut State, report: &mut Report) -> bool {
    let scope = cluster::Scope {
        namespace: args.kube.namespace.as_deref(),
        operator_namespace: &args.operator_namespace,
        service_account: args.operator_service_account.as_deref(),
    };
    let [mut crds, mut rights, mut leader] = [(); 3].map(|()| Report::default());
    let ((), (), (), loaded) = tokio::join!(
        cluster::custom_resources(kube, &mut crds),
        cluster::rights(kube, &scope, &mut rights),
        cluster::leader(kube, &args.operator_namespace, &mut leader),
        state.load(kube),
    );
    for part in [crds, rights, leader] {
        report.merge(part);
    }
    if let Err(error) = loaded {
        // The check of the CRDs reports missing CRDs.
        report.skip(Check::Objects, format!("{error:#}"));
        return false;
    }
    for note in &state.notes {
        report.skip(Check::Objects, note.clone());
    }
    state.notes.is_empty()
}

fn watched(args: &DoctorArgs, state: &State) -> Vec<std::sync::Arc<PolicyObject>> {
    let mut objects = state.index.all();
    if let Some(namespace) = args.kube.namespace.as_ref().filter(|_| !args.all_namespaces) {
        objects.retain(|object| *object.key().namespace == **namespace);
    }
    objects.sort_by_key(|object| object.key());
    objects
}

/// Checks all accounts or, for one namespace, the accounts that its objects refer to.
async fn accounts(args: &DoctorArgs, kube: &Kube, watched: &[std::sync::Arc<PolicyObject>], report: &mut Report) {
    let wanted: BTreeSet<&str> = watched.iter().filter_map(|object| object.account_ref()).collect();
    let Ok(accounts) = list(&Api::<AccountObject>::all(kube.client.clone())).await else {
        report.skip(Check::Accounts, "AwsAccounts could not be listed");
        return;
    };
    let all = args.kube.namespace.is_none();
    for account in &accounts {
        if all || wanted.contains(account.name()) {
            objects::account(account, report);
        }
    }
    for name in wanted {
        if !accounts.iter().any(|account| account.name() == name) {
            report.find(
                Check::Accounts,
                format!("objects refer to AwsAccount {name}, which does not exist"),
                "create it, or delete the objects",
            );
        }
    }
}

fn render(report: &Report, about: &About, paint: Paint) -> String {
    use std::fmt::Write;
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let objects = counted(about.objects, "object");
    let of = match (&about.cluster, &about.account) {
        (Some(cluster), Some(account)) => format!("cluster {cluster}, account {account}, {objects}"),
        (Some(cluster), None) => format!("cluster {cluster}, {objects}"),
        (None, Some(account)) => format!("account {account}"),
        (None, None) => "neither the cluster nor AWS is reachable".to_owned(),
    };
    let skipped = match report.skipped.len() {
        0 => String::new(),
        count => format!("; {count} not checked, see -o json"),
    };
    let mut out = String::new();
    for finding in &report.findings {
        let (mark, fix) = match finding.severity {
            Severity::Error => (paint.red(&format!("✗ {}:", finding.check.name())), "fix:"),
            Severity::Warning => (paint.yellow(&format!("! {}:", finding.check.name())), "to do:"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{mark} {}\n    {} {}", finding.message, paint.bold(fix), finding.fix);
    }
    let number = |severity: Severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
    let warnings = match number(Severity::Warning) {
        0 => String::new(),
        count => format!(", {}", counted(count, "warning")),
    };
    let verdict = if report.healthy {
        paint.green("healthy:")
    } else {
        format!("{},", counted(number(Severity::Error), "finding"))
    };
    let _ = writeln!(out, "{verdict} {} checks passed{warnings} ({of}){skipped}", report.passed.len());
    out
}
