//! `plan`: prints what the operator would change in AWS.

mod report;
mod text;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::ValueEnum;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::cluster::KubeSystem;
use super::connect::{Kube, KubeArgs, OperatorArgs, State, block_on, kube_system};
use super::key::key;
use super::paint::Paint;
use super::progress::Progress;
use super::{manifests, output};
use crate::api::AuroraLogExportPolicySpec;
use crate::model::names::Owner;
use crate::model::stored::PolicyObject;
use crate::operator::reconcile::preview::preview;
use crate::pipeline::status::ignored_note;
use report::Report;

/// Number of objects that are planned at the same time. The rate limit of the account is stricter.
const AT_ONCE: usize = 8;

/// Exit code with `--exit-code` if something would change, as with `terraform plan -detailed-exitcode`.
const CHANGES: u8 = 2;

/// Show what the operator would change in AWS, without changing it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    aurora-log-export-operator plan shop/orders          one object of the cluster\n  \
    aurora-log-export-operator plan --all                every object of the cluster\n  \
    aurora-log-export-operator plan -f policy.yaml       a manifest before it is applied\n  \
    aurora-log-export-operator plan -f deploy/ --exit-code -o json    for pull-request checks\n\n\
    Manifests are judged as kubectl apply and this version's CRDs judge them. Admission policies, webhooks,\n\
    quotas and a CRD of another version can refuse or change them in the cluster.\n\
    Exit code: 0. With --exit-code: 0 without changes, 2 with changes, 1 if an object is refused or\n\
    AWS does not answer.\n\
    AWS credentials come from the default chain of the AWS SDK. Read permissions are enough.")]
pub(super) struct PlanArgs {
    /// Objects in the cluster: NAMESPACE/NAME, or NAME in the namespace of -n.
    #[arg(value_name = "NAMESPACE/NAME", conflicts_with_all = ["all", "files"])]
    objects: Vec<String>,
    /// File or directory with manifests, or - for standard input; repeatable.
    #[arg(short = 'f', long = "filename", value_name = "FILE", conflicts_with = "all")]
    files: Vec<PathBuf>,
    /// All objects in the cluster, or in the namespace of -n.
    #[arg(long)]
    all: bool,
    /// All objects in all namespaces.
    #[arg(short = 'A', long, conflicts_with_all = ["namespace", "objects", "files"])]
    all_namespaces: bool,
    /// Output format.
    #[arg(short, long, env = "ALEP_OUTPUT", value_enum, default_value_t = Format::Text)]
    output: Format,
    /// Exit with 2 if something would change, and with 1 if an object is refused.
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    kube: KubeArgs,
    #[command(flatten)]
    operator: OperatorArgs,
}

/// Output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For scripts.
    Json,
    /// For scripts.
    Yaml,
}

pub(super) fn main(args: &PlanArgs) -> anyhow::Result<ExitCode> {
    if args.objects.is_empty() && args.files.is_empty() && !args.all && !args.all_namespaces {
        bail!("nothing to plan: give NAMESPACE/NAME, --all, or -f FILE");
    }
    let progress = Progress::stderr("plan");
    let report = block_on(progress.during(run(args, &progress)))?;
    match args.output {
        Format::Text => output::print(text::render(&report, Paint::stdout()))?,
        Format::Json => output::print_line(&serde_json::to_string_pretty(&report)?)?,
        Format::Yaml => output::print(serde_saphyr::to_string(&report)?)?,
    }
    let code = if !args.exit_code {
        0
    } else if report.summary.refused > 0 {
        1
    } else if report.has_changes() {
        CHANGES
    } else {
        0
    };
    Ok(ExitCode::from(code))
}

async fn run(args: &PlanArgs, progress: &Progress) -> anyhow::Result<Report> {
    progress.stage("reading the cluster", None);
    let mut kube = args.kube.connect().await;
    // Manifests can be planned without the cluster if the flags give its name and its UID.
    let kube_system = kube_system(&kube).await;
    if let KubeSystem::Unreachable(why) = &kube_system {
        if args.files.is_empty() {
            bail!("{why}");
        }
        kube = Err(anyhow::anyhow!("{why}"));
    }
    let mut state = args.operator.state(&kube_system).await?;
    match &kube {
        Ok(kube) => state.load(kube).await?,
        Err(error) => state.notes.push(format!(
            "{error:#}; planned without the cluster: every object counts as new, and conflicts are not found"
        )),
    }
    let targets = targets(args, &mut state, kube.as_ref().ok())?;
    let objects: Vec<_> = targets.iter().filter_map(|key| state.index.get(key)).collect();
    for object in &objects {
        state.notes.extend(ignored_note(&object.ignored).map(|note| format!("{}: {note}", object.key())));
    }
    let mut report = Report::new(&state.settings.cluster, std::mem::take(&mut state.notes));
    let view = state.view();
    let mut previews = stream::iter(objects.iter().map(|object| async move { (object, preview(view, object).await) }))
        .buffered(AT_ONCE);
    progress.stage("objects planned", objects.len());
    while let Some((object, preview)) = previews.next().await {
        report.add(object, &preview);
        progress.advance();
    }
    Ok(report)
}

/// Returns the objects to plan, in order. Objects of manifests are added to the index as they are after an apply.
fn targets(args: &PlanArgs, state: &mut State, kube: Option<&Kube>) -> anyhow::Result<Vec<Owner>> {
    let namespace = || {
        let given = args.kube.namespace.clone();
        given.unwrap_or_else(|| kube.map_or_else(|| "default".to_owned(), |kube| kube.namespace.clone()))
    };
    if !args.files.is_empty() {
        let manifests = manifests::read(&args.files, &namespace())?;
        if manifests.objects.is_empty() {
            bail!("the files contain no AuroraLogExportPolicy; give other files with -f");
        }
        for (name, spec) in &manifests.accounts {
            state.accounts.upsert(name, Ok(spec));
        }
        let mut keys = Vec::new();
        for object in manifests.objects {
            let object = as_applied(object, state)?;
            if !keys.contains(&object.key()) {
                keys.push(object.key());
            }
            state.take(object);
        }
        return Ok(keys);
    }
    if args.all || args.all_namespaces {
        let only = args.kube.namespace.as_ref();
        let keys: BTreeSet<_> = state.index.keys().into_iter().collect();
        let keys: Vec<_> =
            keys.into_iter().filter(|key| only.is_none_or(|namespace| *key.namespace == **namespace)).collect();
        return Ok(keys);
    }
    let mut keys = Vec::new();
    for text in &args.objects {
        let key = key(text, &namespace());
        state
            .index
            .get(&key)
            .with_context(|| format!("AuroraLogExportPolicy {key} does not exist; to list all: kubectl get alep -A"))?;
        keys.push(key);
    }
    Ok(keys)
}

/// Returns the object as it is after an apply: metadata and status of the object in the cluster stay.
///
/// # Errors
/// An error if the API server would refuse the change of an immutable field.
fn as_applied(mut object: PolicyObject, state: &State) -> anyhow::Result<PolicyObject> {
    match state.index.get(&object.key()) {
        Some(live) => {
            if let (Ok(before), Ok(after)) = (&live.spec, &object.spec)
                && let Some(field) = changed_immutable(before, after)
            {
                bail!(
                    "AuroraLogExportPolicy {}: spec.{field} cannot be changed, set or unset once the object exists: create a \
                     new object with the new value and delete this one",
                    object.key()
                );
            }
            object.metadata = live.metadata.clone();
            object.status = live.status.clone();
        }
        None => {
            // A new object is younger than all others, which decides between claims of one name.
            object.metadata.creation_timestamp = Some(Time(Timestamp::now()));
        }
    }
    Ok(object)
}

fn changed_immutable(before: &AuroraLogExportPolicySpec, after: &AuroraLogExportPolicySpec) -> Option<&'static str> {
    let fields = [
        ("policyName", before.policy_name == after.policy_name),
        ("roleName", before.role_name == after.role_name),
        ("policyPath", before.policy_path == after.policy_path),
        ("rolePath", before.role_path == after.role_path),
        ("accountRef", before.account_ref == after.account_ref),
    ];
    fields.into_iter().find(|(_, same)| !same).map(|(field, _)| field)
}
