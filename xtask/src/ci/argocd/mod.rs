//! The real Argo CD against the real operator: from `git push` to Healthy, and everything in between.
//!
//! Argo CD is built from its pinned module and runs as four processes beside the test environment's control plane; IAM
//! is the model, whose faults hold states still for long enough to be seen.

mod drift;
mod history;
mod programs;
mod repository;
mod samples;
mod scenes;
mod scripts;
mod server;
mod stage;
mod waves;

use std::time::Instant;

use anyhow::Result;

use stage::Stage;

/// Runs every scene; the first that fails ends the check.
pub(super) async fn check() -> Result<()> {
    let began = Instant::now();
    let programs = programs::prepare().await?;
    println!("[{:6.1} s] programs are there; starting a control plane, the operator and Argo CD", elapsed(began));
    let mut stage = Stage::start(began, &programs).await?;
    stage.say("started");
    samples::are_valid(&stage.env).await?;
    scripts::health(&stage).await?;
    scripts::actions(&stage).await?;
    scenes::healthy_only_when_iam_is_right(&mut stage).await?;
    scenes::degraded_on_a_terminal_error(&mut stage).await?;
    scenes::suspended_when_suspended(&mut stage).await?;
    drift::synced_through_repairs(&mut stage).await?;
    drift::synced_through_actions(&mut stage).await?;
    waves::account_before_policies(&mut stage).await?;
    scenes::pruned_without_rest(&mut stage).await?;
    stage.stop().await
}

fn elapsed(began: Instant) -> f64 {
    began.elapsed().as_secs_f64()
}
