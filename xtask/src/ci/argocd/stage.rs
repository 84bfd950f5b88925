//! The environment of one run: a cluster, a model of IAM, the operator, Argo CD and a git repository.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aurora_test_support::controlplane::ControlPlaneOptions;
use aurora_test_support::environment::Environment;
use aurora_test_support::iam_model::Iam;
use aurora_test_support::iam_model::faults::{FaultPlan, Rule};
use aurora_test_support::iam_model::http::{Server, ServerOptions};
use aurora_test_support::operator::{Operator, OperatorOptions};
use aurora_test_support::paths::workspace;
use aurora_test_support::wait::wait_for;
use aurora_test_support::{apply, moto};
use kube::api::{DeleteParams, DynamicObject};
use serde_json::{Value, json};

use super::history::{History, Observation};
use super::programs::Programs;
use super::repository::Repository;
use super::server::ArgoCd;
use crate::operator_binary;

pub(super) const ACCOUNT: &str = "111122223333";
/// Generous: a machine may be busy, and a pass ends early.
pub(super) const LIMIT: Duration = Duration::from_mins(2);

pub(super) struct Stage {
    began: Instant,
    pub(super) env: Environment,
    pub(super) aws: Server,
    pub(super) operator: Operator,
    pub(super) argocd: ArgoCd,
    pub(super) git: Repository,
    pub(super) history: History,
}

/// How an Application differs from `deploy/argocd/samples/application.yaml`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Variant {
    /// Server-side apply instead of Argo CD's default.
    pub(super) server_side_apply: bool,
    /// The API server computes the diff.
    pub(super) server_side_diff: bool,
}

impl Stage {
    pub(super) async fn start(began: Instant, programs: &Programs) -> Result<Self> {
        let binary = operator_binary::build().await?;
        let env = Environment::start(ControlPlaneOptions { controller_manager: true, audit: false }).await?;
        env.install_crds().await?;
        let aws = Server::start(ServerOptions::default())?;
        aws.world().add_key(moto::ACCESS_KEY, ACCOUNT);
        let options = OperatorOptions::new(binary)
            .arguments([
                "--cluster-name=argocd",
                "--drift-check-interval=1s",
                "--drift-scan=per-resource",
                "--iam-reads-per-second=1000",
                "--iam-writes-per-second=1000",
            ])
            .aws_endpoint(&aws.url());
        let operator = Operator::start(&env, options).await?;
        let argocd = ArgoCd::start(&env, programs, &env.dir().join("argocd")).await?;
        let git = Repository::create(&programs.git, env.dir()).await?;
        let history = History::start(env.client().await?, aws.world().account(ACCOUNT));
        Ok(Self { began, env, aws, operator, argocd, git, history })
    }

    /// Ends the operator in order; the rest is killed with the stage.
    pub(super) async fn stop(self) -> Result<()> {
        self.operator.stop().await?;
        Ok(())
    }

    /// Prints a line with the time since the check began.
    pub(super) fn say(&self, message: &str) {
        println!("[{:6.1} s] {message}", self.began.elapsed().as_secs_f64());
    }

    /// The account itself, as the console shows it.
    pub(super) fn iam(&self) -> Iam {
        self.aws.world().account(ACCOUNT).lock().clone()
    }

    /// What a person does by hand.
    pub(super) fn by_hand<T, E: std::error::Error + Send + Sync + 'static>(
        &self,
        edit: impl FnOnce(&mut Iam) -> Result<T, E>,
    ) -> Result<T> {
        Ok(edit(&mut self.aws.world().account(ACCOUNT).lock())?)
    }

    /// What AWS refuses from now on.
    pub(super) fn refuse(&self, rules: Vec<Rule>) {
        self.aws.gate().set_faults(FaultPlan::of(0, rules));
    }

    /// Makes a namespace and an Application of the same name that syncs the directory of that name.
    pub(super) async fn create_app(&self, name: &str, variant: Variant) -> Result<()> {
        self.env.kubectl(&["create", "namespace", name]).await?;
        let sample = std::fs::read_to_string(workspace().join("deploy/argocd/samples/application.yaml"))?;
        let mut app = apply::parse(&sample)?.into_iter().next().context("the sample is empty")?;
        app.metadata.name = Some(name.to_owned());
        let spec = &mut app.data["spec"];
        spec["source"]["repoURL"] = json!(self.git.url());
        spec["source"]["path"] = json!(name);
        spec["destination"]["namespace"] = json!(name);
        if variant.server_side_apply {
            spec["syncPolicy"]["syncOptions"] = json!(["ServerSideApply=true"]);
        }
        if variant.server_side_diff {
            let options = [("argocd.argoproj.io/compare-options".to_owned(), "ServerSideDiff=true".to_owned())];
            app.metadata.annotations = Some(options.into());
        }
        ensure!(spec["ignoreDifferences"].is_null(), "the sample must not need ignoreDifferences");
        apply::apply(&self.env.client().await?, "platform", &[app]).await?;
        Ok(())
    }

    /// Deletes an Application as `kubectl delete` does.
    pub(super) async fn delete_app(&self, name: &str) -> Result<()> {
        let kind = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
                          "metadata": {"name": name, "namespace": super::server::NAMESPACE}});
        let object: DynamicObject = serde_json::from_value(kind)?;
        apply::api_for(&self.env.client().await?, &object).await?.delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Waits until the newest seen at an Application is as wanted, and gives it.
    pub(super) async fn until(
        &mut self,
        app: &str,
        what: &str,
        wanted: impl Fn(&Observation) -> bool,
    ) -> Result<Observation> {
        wait_for(&format!("{app} to be {what}"), LIMIT, async || {
            self.argocd.check_alive()?;
            self.operator.check_alive()?;
            let seen = self.history.last(app).context("not seen yet")?;
            ensure!(wanted(&seen), "{} at {}: {}", seen.state(), seen.revision, seen.message);
            Ok(seen)
        })
        .await
        .with_context(|| format!("logs are in {}", self.env.dir().display()))
    }

    /// Waits until an Application has compared with a commit and is in this state, such as `Synced Healthy`.
    pub(super) async fn until_state(&mut self, app: &str, commit: &str, state: &str) -> Result<Observation> {
        self.until(app, state, |seen| seen.revision == commit && seen.state() == state).await
    }

    /// Waits until Argo CD has compared an Application again, so often, from now on.
    pub(super) async fn until_compared_again(&mut self, app: &str, times: usize) -> Result<()> {
        for _ in 0..times {
            let before = self.history.last(app).context("not seen yet")?.compared;
            self.until(app, "compared again", |seen| seen.compared != before).await?;
        }
        Ok(())
    }

    /// Health and message of one object, as Argo CD's page of the Application shows them.
    pub(super) async fn object_health(&self, app: &str, name: &str) -> Result<(String, String)> {
        let answer: Value = serde_json::from_str(&self.argocd.run(&["app", "get", app, "--output=json"]).await?)?;
        let resources = answer["status"]["resources"].as_array().into_iter().flatten();
        let found = resources.into_iter().find(|resource| resource["name"] == name);
        let health = &found.with_context(|| format!("{app} has no {name}"))?["health"];
        let text = |key: &str| health[key].as_str().unwrap_or_default().to_owned();
        Ok((text("status"), text("message")))
    }

    /// Runs a resource action on a live object, as a click on its page does.
    pub(super) async fn action(&self, app: &str, object: &str, action: &str) -> Result<()> {
        let object = ["--kind", "AuroraLogExportPolicy", "--resource-name", object];
        self.argocd.run(&[&["app", "actions", "run", app, action][..], &object].concat()).await?;
        Ok(())
    }

    /// `argocd admin settings resource-overrides` with our ConfigMap: scripts alone, no server.
    pub(super) async fn overrides(&self, arguments: &[&str]) -> Result<String> {
        let ours = workspace().join("deploy/argocd/argocd-cm.yaml").display().to_string();
        let command = ["admin", "settings", "resource-overrides", "--argocd-cm-path", &ours];
        self.argocd.run_offline(&[&command[..], arguments].concat()).await
    }

    /// The Applications that exist.
    pub(super) async fn apps(&self) -> Result<Vec<String>> {
        let names = ["-n", super::server::NAMESPACE, "get", "applications", "-o", "jsonpath={.items[*].metadata.name}"];
        Ok(self.env.kubectl(&names).await?.split_whitespace().map(str::to_owned).collect())
    }

    /// No difference is left between git and cluster, as `argocd app diff` says by its exit code.
    pub(super) async fn no_diff(&self, app: &str) -> Result<()> {
        let diff = self.argocd.run(&["app", "diff", app]).await.context("a difference is left")?;
        ensure!(diff.trim().is_empty(), "argocd app diff {app}: {diff}");
        Ok(())
    }
}

/// The default name of policy and role.
pub(super) fn iam_name(namespace: &str, object: &str) -> String {
    format!("{namespace}.{object}")
}

/// Has IAM (as a snapshot) policy, role and attachment of this name?
pub(super) fn complete(iam: &Value, name: &str) -> bool {
    let arn = &iam["policies"][name]["arn"];
    let attached = iam["roles"][name]["attached"].as_array();
    arn.is_string() && attached.is_some_and(|attached| attached.contains(arn))
}
