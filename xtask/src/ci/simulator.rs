//! The operator's own IAM policy against what the operator does: a run is recorded, and an evaluator of IAM policies
//! says what `deploy/aws` allows.

use std::path::Path;

use anyhow::{Context, Result};
use aurora_test_support::paths::{target_dir, workspace};

use super::{process, say, tools};
use crate::operator_binary;

/// The test that writes the recording.
const RECORDER: &str = "a_representative_run_is_written_down_for_the_policy_simulator";

pub(super) async fn check() -> Result<()> {
    let npm = tools::require("npm", "npm")?;
    tools::require("node", "nodejs")?;
    let recording = workspace().join("target/iam-calls.json");
    let _ = std::fs::remove_file(&recording);
    process::run("recording the calls to IAM", operator_binary::cargo(), |command| {
        command.current_dir(workspace()).args(["test", "--test", "it", "--target-dir"]).arg(target_dir()).arg(RECORDER);
        operator_binary::remove_package_variables(command);
    })
    .await?;
    recording.metadata().with_context(|| format!("the test {RECORDER} has not written {}", recording.display()))?;
    let dir = workspace().join("tests/support/iam-simulate");
    install(&npm, &dir).await?;
    let said = process::output(&npm, |command| {
        command.current_dir(&dir).args(["run", "--silent", "check"]);
    });
    say(said.await?.trim());
    Ok(())
}

/// `npm ci` deletes and downloads; only when the lock has changed since.
async fn install(npm: &Path, dir: &Path) -> Result<()> {
    let lock = process::read(&dir.join("package-lock.json"))?;
    let stamp = dir.join("node_modules/.installed-from");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    process::run("npm ci", npm, |command| {
        command.current_dir(dir).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
    })
    .await?;
    process::write(&stamp, lock)
}
