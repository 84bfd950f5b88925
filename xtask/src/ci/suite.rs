//! The recordings that the integration tests leave of a whole run: statuses, calls to AWS, requests to the API server.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use aurora_test_support::paths::{target_dir, workspace};
use aurora_test_support::{recording, supervisor, tools};
use serde_json::Value;

use crate::operator_binary;

/// Sees to it that the recordings are of the last whole run of this build's tests, which is made where there is none.
pub(super) async fn recorded() -> Result<()> {
    let tests = tests_binary().await?;
    if !is_of(&tests)? {
        tools::progress("no recording of this build's tests yet: running them");
        supervisor::run_in_sight("cargo test --test it", cargo(supervisor::command, &["test", "--test", "it"])).await?;
        ensure!(is_of(&tests)?, "the tests left no recording in {}", recording::path().display());
    }
    Ok(())
}

/// Is the newest recording of this build?
fn is_of(tests: &Path) -> Result<bool> {
    let of = std::fs::read_to_string(recording::identity_path()).unwrap_or_default();
    Ok(recording::path().is_file() && of == recording::identity(tests)?)
}

/// Builds the integration tests (a no-op after `cargo test`), and gives the path of their executable.
async fn tests_binary() -> Result<PathBuf> {
    let arguments = ["test", "--test", "it", "--no-run"];
    supervisor::run_in_sight("cargo test --test it --no-run", cargo(supervisor::command, &arguments)).await?;
    // Nothing is left to build, so this one ends at once.
    let mut command = cargo(Command::new, &[&arguments[..], &["--message-format=json"]].concat());
    let output = tokio::task::spawn_blocking(move || command.output()).await?.context("cannot run cargo")?;
    let messages = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "cargo test --no-run: {}", String::from_utf8_lossy(&output.stderr).trim());
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut built = messages.filter(|message| message["target"]["name"] == "it" && message["executable"].is_string());
    let executable = built.next().context("cargo built no tests named it")?;
    Ok(PathBuf::from(executable["executable"].as_str().unwrap_or_default()))
}

/// The cargo that runs us, told to use the same directory.
fn cargo(run: impl Fn(OsString) -> Command, arguments: &[&str]) -> Command {
    let mut command = run(operator_binary::cargo());
    command.current_dir(workspace()).args(arguments).arg("--target-dir").arg(target_dir());
    operator_binary::remove_package_variables(&mut command);
    command
}
