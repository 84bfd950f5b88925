//! `doctor` finds what is planted, with its fix, and has one line for a healthy system.

mod aws;
mod cluster;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aurora_test_support::apiserver_proxy::{ApiserverProxy, Fault, Rule as ApiRule, Verb};
use aurora_test_support::apply::manifest;
use aurora_test_support::environment::Environment;
use aurora_test_support::iam_model::Tags;
use aurora_test_support::iam_model::faults::{Effect, FaultPlan, Rule};
use aurora_test_support::iam_model::http::Server;
use aurora_test_support::kubeconfig;
use serde_json::Value;

use super::{Cli, directory, iam};
use crate::environment;
use crate::fixture::tags;

const CLUSTER: &str = "doctored";

/// A system of the test's own: a namespace with a leader, an account, and a healthy doctor.
struct Stage {
    env: &'static Environment,
    namespace: String,
    server: Server,
    cli: Cli,
}

impl Stage {
    async fn set() -> Result<Self> {
        let env = environment().await?;
        let namespace = env.namespace().await?;
        let server = iam()?;
        let cli = Cli::new(env, &server.url())
            .env("ALEP_CLUSTER_NAME", CLUSTER)
            .env("ALEP_NAMESPACE", &namespace)
            .env("ALEP_OPERATOR_NAMESPACE", &namespace);
        let stage = Self { env, namespace, server, cli };
        stage.lease(0).await?;
        Ok(stage)
    }

    /// The Lease, renewed so many seconds ago.
    async fn lease(&self, seconds: i64) -> Result<()> {
        let renewed = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds);
        let yaml = format!(
            "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {{name: aurora-log-export-operator, namespace: {}}}\nspec: {{holderIdentity: pod-1, leaseDurationSeconds: 60, renewTime: \"{renewed:.6}\"}}\n",
            self.namespace
        );
        self.env.apply_yaml(&yaml).await.map(drop)
    }

    async fn object(&self, name: &str, spec: &str) -> Result<()> {
        self.env.apply_yaml(&manifest(&self.namespace, name, spec)).await.map(drop)
    }

    /// The one finding that there must be: check, and parts of message and fix.
    async fn finds(&self, cli: &Cli, check: &str, message: &str, fix: &str) -> Result<()> {
        let outcome = cli.run(&["doctor", "-o", "json"]).await?;
        ensure!(outcome.code == 1, "findings are told by the exit code: {outcome:?}");
        let report: Value = serde_json::from_str(&outcome.stdout)?;
        let found = report["findings"].as_array().context("no findings")?;
        let has = |value: &Value, part: &str| value.as_str().is_some_and(|text| text.contains(part));
        ensure!(
            found.iter().any(|it| it["check"] == check && has(&it["message"], message) && has(&it["fix"], fix)),
            "{check}: {message} / {fix}: {report:#}"
        );
        ensure!(report["healthy"] == false);
        ensure!(found.iter().all(|it| it["check"] == check), "{check} alone was planted: {report:#}");
        Ok(())
    }

    async fn healthy(&self) -> Result<()> {
        let outcome = self.cli.run(&["doctor"]).await?;
        ensure!(
            outcome.code == 0 && outcome.stdout.starts_with("healthy: ") && outcome.stdout.lines().count() == 1,
            "{outcome:?}"
        );
        ensure!(outcome.stderr.is_empty(), "{outcome:?}");
        Ok(())
    }

    fn ownership(&self, owner: &str, uid: &str) -> Tags {
        tags(&[
            ("auroralogexport.dev/managed-by", CLUSTER),
            ("auroralogexport.dev/cluster-uid", uid),
            ("auroralogexport.dev/owner", &format!("{}/{owner}", self.namespace)),
        ])
    }
}

#[tokio::test]
async fn a_healthy_system_gets_one_line_without_waiting() -> Result<()> {
    let stage = Stage::set().await?;
    let began = Instant::now();
    stage.healthy().await?;
    let took = began.elapsed();
    ensure!(took < Duration::from_secs(20), "it took {took:?}");
    Ok(())
}

/// The clock of whoever answers is moved: ours is everybody's.
#[tokio::test]
async fn a_clock_that_is_wrong_is_found_from_either_side() -> Result<()> {
    let stage = Stage::set().await?;
    let fix = "synchronise the clock";
    for (ahead, message) in [(600, " s behind that of AWS"), (-600, " s ahead of that of AWS")] {
        let skewed = Rule::new(Effect::ClockAhead { seconds: ahead }, &["GetCallerIdentity"]);
        stage.server.gate().set_faults(FaultPlan::of(1, vec![skewed]));
        stage.finds(&stage.cli, "clock", message, fix).await?;
    }
    stage.server.gate().clear_faults();

    let proxy = ApiserverProxy::before(stage.env.kubeconfig()).await?;
    let file = directory(stage.env, &stage.namespace)?.join("skewed.kubeconfig");
    let file = kubeconfig::redirect(stage.env.kubeconfig(), &proxy.url(), file)?;
    let skewed = stage.cli.clone().env("KUBECONFIG", &file.display().to_string());
    let dated = |seconds| proxy.set_rules(vec![ApiRule::new(Fault::ClockAhead(seconds), Verb::List, "")]);
    dated(600);
    stage.finds(&skewed, "clock", " s behind that of the API server", fix).await?;
    dated(-600);
    stage.finds(&skewed, "clock", " s ahead of that of the API server", fix).await?;
    // A little is nobody's business.
    dated(30);
    skewed.ok(&["doctor"]).await?;
    stage.healthy().await
}
