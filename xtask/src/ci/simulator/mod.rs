//! `deploy/aws` against what the operator does: every call that a whole run of the tests recorded, and a list of attacks,
//! are shown to an evaluator of IAM policies. So are the documents that the operator writes for random scopes, and pairs of
//! documents that it takes for equal.

mod cases;
mod recording;

use std::path::Path;

use anyhow::Result;
use aurora_test_support::calls;
use aurora_test_support::paths::{target_dir, workspace};
use serde_json::json;

use super::{process, say, suite, tools};

pub(super) async fn check() -> Result<()> {
    let npm = tools::require("npm", "npm")?;
    tools::require("node", "nodejs")?;
    suite::recorded().await?;
    let found = cases::of(&recording::read(&calls::path())?)?;
    for line in &found.summary {
        say(line);
    }
    let file = target_dir().join("iam-calls.json");
    process::write(&file, json!({ "cases": found.cases }).to_string())?;
    let dir = workspace().join("tests/support/iam-simulate");
    install(&npm, &dir).await?;
    let said = process::output(&npm, |command| {
        command.current_dir(&dir).args(["run", "--silent", "check", "--"]).arg(&file);
    });
    say(said.await?.trim());
    let said = process::output(&npm, |command| {
        command
            .current_dir(&dir)
            .args(["run", "--silent", "documents", "--"])
            .arg(target_dir().join("iam-documents.json"));
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
