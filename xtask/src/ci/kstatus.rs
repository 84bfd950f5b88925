//! kstatus, by the library that Flux and Helm wait with, over every status that the tests produced.
//!
//! The integration tests record what the API server told of the operator's objects during a whole run; a program in Go
//! compares what the library and our scripts for Argo CD make of each with what the reference promises, and sees to it
//! that every reason of the reference was there.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use aurora_test_support::paths::workspace;
use aurora_test_support::{recording, supervisor};

use super::suite;

/// Judges the recording of the last whole run of the tests.
pub(super) async fn check() -> Result<()> {
    suite::recorded().await?;
    let module = workspace().join("tests/support/kstatus");
    // Go's cache of results does not look at files outside the module.
    for arguments in [&["vet", "."][..], &["test", "-count=1", "."]] {
        supervisor::run_in_sight("the judge's own tests", go(&module, arguments)).await?;
    }
    let mut command = go(&module, &["run", "."]);
    command.arg("-health").arg(workspace().join("deploy/argocd/health.lua"));
    command.arg("-reference").arg(workspace().join("docs/reference.md")).arg(recording::path());
    supervisor::run_in_sight("kstatus over the recording", command).await
}

fn go(module: &Path, arguments: &[&str]) -> Command {
    let mut command = supervisor::command("go");
    command.current_dir(module).args(arguments);
    command
}
