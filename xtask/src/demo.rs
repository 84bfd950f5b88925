//! `cargo demo`: from nothing to reconciled examples, and a cluster to play with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aurora_test_support::aws_query::QueryClient;
use aurora_test_support::controlplane::ControlPlaneOptions;
use aurora_test_support::environment::{Environment, FIELD_MANAGER};
use aurora_test_support::operator::{Operator, OperatorOptions};
use aurora_test_support::paths::{files, workspace};
use aurora_test_support::wait::wait_for;
use aurora_test_support::{apply, moto};
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::{json, operator_binary};

const GROUP: &str = "auroralogexport.dev/";
const READY_LIMIT: Duration = Duration::from_mins(2);

/// Starts etcd, kube-apiserver (with RBAC) and an emulator of IAM, installs the CRDs, runs the operator with the rights
/// it ships with, applies `examples/`, and shows what became of them. Then stays up until Ctrl-C.
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Exit instead of staying up: 0 if every example became ready.
    #[arg(long)]
    once: bool,
    /// Run this operator instead of building it.
    #[arg(long, value_name = "PATH")]
    operator: Option<PathBuf>,
}

impl Demo {
    pub(crate) async fn run(self) -> Result<()> {
        let began = Instant::now();
        let say = |message: &str| println!("[{:5.1} s] {message}", began.elapsed().as_secs_f64());
        let binary = if let Some(binary) = self.operator {
            std::path::absolute(binary)?
        } else {
            say("building the operator");
            operator_binary::build().await?
        };
        say("starting etcd, kube-apiserver and moto");
        let env = Environment::start(ControlPlaneOptions { controller_manager: true, audit: false }).await?;
        say("installing the CRDs and the operator's access rights");
        env.install_crds().await?;
        env.install_rbac().await?;
        say("starting the operator");
        // A short interval, so that the repair of a manual edit can be seen.
        let options = OperatorOptions::new(binary).arguments(["--cluster-name=demo", "--drift-check-interval=10s"]);
        let mut operator = Operator::start(&env, options).await?;
        say("applying examples/");
        let applied = apply_examples(&env).await?;
        let ready = wait_until_ready(&env, &mut operator, &applied, &say).await;
        show(&env, &applied).await?;
        ready.with_context(|| format!("the operator's log is {}", operator.log().display()))?;
        say(&format!("all {} examples are ready", applied.len()));
        if !self.once {
            invite(&env, &operator);
            stay(&mut operator).await?;
        }
        operator.stop().await?;
        Ok(())
    }
}

async fn apply_examples(env: &Environment) -> Result<Vec<DynamicObject>> {
    let dir = workspace().join("examples");
    let (client, mut applied) = (env.client().await?, Vec::new());
    for path in files(&dir, "yaml")? {
        applied.extend(apply::apply(&client, FIELD_MANAGER, &apply::parse_file(&path)?).await?);
    }
    // A namespace or a ConfigMap beside them has no condition to wait for.
    applied.retain(|object| object.types.as_ref().is_some_and(|types| types.api_version.starts_with(GROUP)));
    ensure!(!applied.is_empty(), "{} holds no examples", dir.display());
    Ok(applied)
}

/// Waits for `Ready=True` of each, and says every change on the way.
async fn wait_until_ready(
    env: &Environment,
    operator: &mut Operator,
    applied: &[DynamicObject],
    say: &impl Fn(&str),
) -> Result<()> {
    let client = env.client().await?;
    let mut seen = BTreeMap::new();
    wait_for("every example to become ready", READY_LIMIT, async || {
        operator.check_alive()?;
        let mut waiting = Vec::new();
        for object in applied {
            let name = apply::describe(object);
            let current = apply::api_for(&client, object).await?.get(&object.name_any()).await?;
            let (ready, state) = readiness(&current);
            if seen.insert(name.clone(), state.clone()).as_ref() != Some(&state) {
                say(&format!("{name}: {state}"));
            }
            if !ready {
                waiting.push(format!("{name}: {state}"));
            }
        }
        ensure!(waiting.is_empty(), "{}", waiting.join("; "));
        Ok(())
    })
    .await
}

/// Is it ready for its present generation, and the condition in words.
pub(crate) fn readiness(object: &DynamicObject) -> (bool, String) {
    let condition = conditions(object).iter().find(|condition| condition["type"] == "Ready");
    let Some(condition) = condition else {
        return (false, String::from("no condition yet"));
    };
    let field = |name: &str| condition[name].as_str().unwrap_or_default().to_owned();
    let (status, reason, message) = (field("status"), field("reason"), field("message"));
    let current = object.data["status"]["observedGeneration"].as_i64() == object.metadata.generation;
    let state = match (status.as_str(), current) {
        ("True", true) => return (true, format!("Ready=True {reason}")),
        (_, true) => format!("Ready={status} {reason}: {message}"),
        (_, false) => format!("Ready={status} {reason} (of an earlier generation)"),
    };
    (false, state)
}

fn conditions(object: &DynamicObject) -> &[Value] {
    object.data["status"]["conditions"].as_array().map_or(&[], Vec::as_slice)
}

/// What a user sees in the cluster, and what IAM has.
async fn show(env: &Environment, applied: &[DynamicObject]) -> Result<()> {
    println!("\n$ kubectl get alep -A -o wide");
    print!("{}", env.kubectl(&["get", "alep", "-A", "-o", "wide"]).await?);
    let client = env.client().await?;
    for object in applied {
        let current = apply::api_for(&client, object).await?.get(&object.name_any()).await?;
        println!("\n── {} ──", apply::describe(&current));
        for condition in conditions(&current) {
            let field = |name: &str| condition[name].as_str().unwrap_or_default();
            println!("{:15} {:7} {:20} {}", field("type"), field("status"), field("reason"), field("message"));
        }
        if let Some(role) = current.data["status"]["role"]["name"].as_str() {
            show_role(&env.aws(), role).await?;
        }
    }
    println!();
    Ok(())
}

/// The documents as read back from IAM, not as the operator remembers them.
async fn show_role(aws: &QueryClient, role: &str) -> Result<()> {
    println!("\ntrust policy of role {role}:\n{}", json::indented(&aws.trust_document_text(role).await?));
    for arn in aws.attached_policies(role).await? {
        if arn.contains("::aws:policy/") {
            println!("attached: {arn} (managed by AWS)");
        } else {
            println!("attached: {arn}:\n{}", json::indented(&aws.policy_document_text(&arn).await?));
        }
    }
    Ok(())
}

fn invite(env: &Environment, operator: &Operator) {
    let kubectl = env.kubectl_path().parent().map(|dir| dir.display().to_string()).unwrap_or_default();
    println!(
        "\nThe demo stays up until Ctrl-C. In another terminal:\n\n  export KUBECONFIG={}\n  export PATH=\"{kubectl}:$PATH\"\n  kubectl get alep -A -o wide --watch\n",
        env.kubeconfig().display(),
    );
    println!(
        "The emulator of AWS, for the aws command line:\n\n  export AWS_ENDPOINT_URL={} AWS_ACCESS_KEY_ID={key} AWS_SECRET_ACCESS_KEY={key} AWS_REGION=us-east-1\n  aws iam list-roles\n",
        env.moto().endpoint(),
        key = moto::ACCESS_KEY,
    );
    println!("The operator's log:     {}", operator.log().display());
    println!("The operator's metrics: http://{}/metrics\n", operator.http_address());
}

/// Until Ctrl-C or SIGTERM; an error if the operator ends before.
async fn stay(operator: &mut Operator) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            result = &mut interrupt => break result?,
            _ = terminate.recv() => break,
            _ = second.tick() => operator.check_alive()?,
        }
    }
    println!("\nstopping");
    Ok(())
}
