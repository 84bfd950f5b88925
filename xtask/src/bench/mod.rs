//! `cargo xtask bench`: what N objects cost, counted at a real API server and at a model of IAM that pages like AWS.

mod measure;
mod report;
mod rig;
mod tenants;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use aurora_test_support::paths::{target_dir, workspace};

use measure::Phase;
use report::Row;
use rig::Rig;

/// Up to so many objects are created within seconds.
const FEW: usize = 1000;
/// They are created so often, each time in a new cluster, and the median run by CPU time counts: the host's speed changes from
/// one minute to the next.
const ROUNDS: usize = 5;

/// Counts calls, writes, time and memory for a number of objects, and prints a table. Takes the operator's release build
/// (`cargo build --release`).
#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    /// How many objects; several runs one after the other.
    #[arg(long, value_delimiter = ',', default_value = "100,1000")]
    objects: Vec<usize>,
    /// The operator to measure, instead of target/release.
    #[arg(long, value_name = "PATH")]
    operator: Option<PathBuf>,
    /// Instead, measure what one namespace does to another: docs/security.md.
    #[arg(long, conflicts_with_all = ["objects", "write"])]
    tenants: bool,
    /// Also write the table and the plots into docs/.
    #[arg(long)]
    write: bool,
}

impl Bench {
    pub(crate) async fn run(self) -> Result<()> {
        let built = target_dir().join("release/aurora-log-export-operator");
        let binary = std::path::absolute(self.operator.unwrap_or(built))?;
        ensure!(binary.is_file(), "{} does not exist: run `cargo build --release` first", binary.display());
        if self.tenants {
            return tenants::run(&binary).await;
        }
        let mut rows = Vec::new();
        for objects in self.objects {
            println!("── {objects} objects ──");
            let row = measure_one(&binary, objects).await.with_context(|| format!("{objects} objects"))?;
            println!("{}", report::table(std::slice::from_ref(&row)));
            rows.push(row);
        }
        println!("{}", report::table(&rows));
        if self.write {
            report::write(&workspace().join("docs"), &rows)?;
        }
        Ok(())
    }
}

async fn measure_one(binary: &Path, objects: usize) -> Result<Row> {
    let rounds = if objects > FEW { 1 } else { ROUNDS };
    let mut creations = Vec::new();
    for _ in 1..rounds {
        let mut rig = Rig::start(binary, objects).await?;
        rig.idle().await?;
        creations.push(create(&mut rig).await?);
        rig.stop_operator().await?;
    }
    let mut rig = Rig::start(binary, objects).await?;
    let idle = rig.idle().await?;
    creations.push(create(&mut rig).await?);
    let steady = rig.steady().await?;
    println!("steady: {steady:?}");
    let (restart, first_call) = rig.restart().await?;
    println!("restart: {restart:?}, first call after {first_call:?}");
    let resyncs = rig.resyncs().await?;
    println!("resyncs: {resyncs:?}");
    let drift = rig.drift_everywhere().await?;
    println!("drift: {drift:?}");
    let edit = rig.one_edit().await?;
    println!("one edit: {edit:?}");
    let delete = rig.delete().await?;
    println!("deleted: {delete:?}");
    rig.stop_operator().await?;
    let create = middle(creations).context("nothing was created")?;
    Ok(Row { objects, idle, create, steady, restart, first_call, resyncs, drift, edit, delete })
}

async fn create(rig: &mut Rig) -> Result<Phase> {
    let phase = rig.create().await?;
    println!("created: {phase:?}");
    Ok(phase)
}

/// By CPU time.
fn middle(mut phases: Vec<Phase>) -> Option<Phase> {
    phases.sort_by(|one, other| one.cpu.total_cmp(&other.cpu));
    let middle = phases.len() / 2;
    (middle < phases.len()).then(|| phases.swap_remove(middle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_in_the_middle_by_cpu_time_counts() {
        let of = |seconds: &[f64]| {
            let runs = seconds.iter().map(|cpu| Phase { cpu: *cpu, ..Phase::default() });
            middle(runs.collect()).map(|phase| phase.cpu)
        };
        assert_eq!(of(&[0.9, 1.4, 0.8, 1.0, 0.7]), Some(0.9));
        assert_eq!(of(&[1.2]), Some(1.2));
        assert_eq!(of(&[]), None);
    }
}
