//! The operator's executable, built by the cargo that runs us.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use aurora_test_support::paths::{target_dir, workspace};
use aurora_test_support::supervisor;

const NAME: &str = "aurora-log-export-operator";

/// Builds the operator (a no-op if it is up to date) with cargo's output in sight, and gives its path.
pub(crate) async fn build() -> Result<PathBuf> {
    let mut command = supervisor::command(cargo());
    // No `--package`, for the same reason as in `.cargo/config.toml`.
    command.current_dir(workspace()).args(["build", "--bin", NAME, "--target-dir"]).arg(target_dir());
    remove_package_variables(&mut command);
    supervisor::run_in_sight(&format!("cargo build --bin {NAME}"), command).await?;
    let binary = target_dir().join("debug").join(NAME);
    ensure!(binary.is_file(), "cargo has not built {}", binary.display());
    Ok(binary)
}

/// The cargo that runs us.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// `cargo run` describes our package to us in variables; some dependencies' build scripts watch them, and would be
/// built anew by a cargo that inherits them.
pub(crate) fn remove_package_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let described = name.to_str().is_some_and(|name| {
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
        });
        if described {
            command.env_remove(name);
        }
    }
}
