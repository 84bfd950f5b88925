//! `cargo xtask ci`: the checks of what is delivered (chart, manifests, alerts, IAM policy, image), too heavy for
//! `cargo test`. Each step stands in a module of its own and says what it saw; the first that fails ends the run.

mod argocd;
mod delivery;
mod helm_cluster;
mod image;
mod kstatus;
mod process;
mod promtool;
mod rights;
mod sbom;
mod simulator;
mod suite;
mod tools;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

/// Checks what is delivered: chart, manifests, alerts, the operator's IAM policy, the image. Builds what it needs into
/// `target/ci-tools/`; what it cannot build, it names with the command that installs it.
#[derive(Debug, clap::Args)]
pub(crate) struct Ci {
    /// Run this step only; repeatable.
    #[arg(long, value_name = "STEP", conflicts_with = "skip")]
    only: Vec<Step>,
    /// Leave this step out; repeatable.
    #[arg(long, value_name = "STEP")]
    skip: Vec<Step>,
}

/// For what follows a write within moments.
const SHORT: Duration = Duration::from_mins(1);

/// The steps, in the order in which they run: the quick ones first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
enum Step {
    /// The tests of `deploy/`; helm lint; every way to render, held to the schemas of a real API server.
    Delivery,
    /// Alerts and dashboard: valid, of metrics that exist; the alerts fire when they should.
    Promtool,
    /// The bill of materials, in CycloneDX.
    Sbom,
    /// Every status that `cargo test` recorded, judged by kstatus and by the health script for Argo CD.
    Kstatus,
    /// The operator's rights in Kubernetes: each is used in what `cargo test` recorded, and none was missing.
    Rights,
    /// The IAM policies of `deploy/aws`: every call that `cargo test` recorded is allowed, every attack denied, nothing unneeded.
    Simulator,
    /// Chart and kustomizations on a real API server: pod security, upgrade, rollback, removal, the operator as deployed.
    HelmCluster,
    /// The real Argo CD: from `git push` to Healthy, errors, suspension, repairs, waves, pruning.
    Argocd,
    /// The image: its size and contents, its binary at work in an empty root.
    Image,
}

impl Step {
    async fn run(self) -> Result<()> {
        match self {
            Self::Delivery => delivery::check().await,
            Self::Promtool => promtool::check().await,
            Self::Sbom => sbom::check().await,
            Self::Kstatus => kstatus::check().await,
            Self::Rights => rights::check().await,
            Self::Simulator => simulator::check().await,
            Self::HelmCluster => helm_cluster::check().await,
            Self::Argocd => argocd::check().await,
            Self::Image => image::check().await,
        }
    }

    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl Ci {
    pub(crate) async fn run(self) -> Result<()> {
        let (only, skip) = (BTreeSet::from_iter(self.only), BTreeSet::from_iter(self.skip));
        let chosen = |step: &&Step| (only.is_empty() || only.contains(step)) && !skip.contains(step);
        let steps: Vec<Step> = Step::value_variants().iter().filter(chosen).copied().collect();
        ensure!(!steps.is_empty(), "every step is skipped; leave one --skip out");
        let mut timings = Vec::new();
        for step in steps {
            println!("\n--> {}", step.name());
            let began = Instant::now();
            let result = step.run().await;
            timings.push((step, began.elapsed()));
            if let Err(error) = result {
                print_timings(&timings);
                return Err(error).with_context(|| {
                    format!("step {name} failed; to run it alone: cargo xtask ci --only {name}", name = step.name())
                });
            }
        }
        print_timings(&timings);
        Ok(())
    }
}

fn print_timings(timings: &[(Step, Duration)]) {
    println!();
    for (step, took) in timings {
        println!("{:8.1} s  {}", took.as_secs_f64(), step.name());
    }
    println!("{:8.1} s  in total", timings.iter().map(|(_, took)| took.as_secs_f64()).sum::<f64>());
}

/// One line about what was seen, in sight while the step goes on.
fn say(message: &str) {
    println!("    {message}");
}
