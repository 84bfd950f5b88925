//! The scripts in Argo CD's own Lua interpreter, with the samples beside them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use aurora_test_support::paths::workspace;
use serde_json::Value;

use super::super::process;
use super::stage::Stage;

/// The health of every sample.
pub(super) async fn health(stage: &Stage) -> Result<()> {
    let dir = workspace().join("deploy/argocd");
    let tests = read(&dir.join("health_test.yaml"))?;
    let tests = list(&tests["tests"]);
    for test in tests {
        let sample = dir.join(text(&test["inputPath"]));
        let printed = stage.overrides(&["health", &shown(&sample)]).await?;
        let status = text(&test["healthStatus"]["status"]);
        // Argo CD reports objects that are being deleted without running a script.
        let deleting = read(&sample)?["metadata"]["deletionTimestamp"].is_string();
        let message = if deleting { "Pending deletion".to_owned() } else { text(&test["healthStatus"]["message"]) };
        let expected = format!("STATUS: {status}\nMESSAGE: {message}\n");
        ensure!(printed == expected, "{}: Argo CD says\n{printed}expected\n{expected}", sample.display());
    }
    let checked = tests.len();
    ensure!(checked >= 15, "only {checked} samples");
    stage.say(&format!("6. health.lua in Argo CD's Lua interpreter: {checked} samples as documented"));
    Ok(())
}

/// The actions of each sample, and their results.
pub(super) async fn actions(stage: &Stage) -> Result<()> {
    let dir = workspace().join("deploy/argocd/actions");
    let tests = read(&dir.join("action_test.yaml"))?;
    let (offers, runs) = (list(&tests["discoveryTests"]), list(&tests["actionTests"]));
    ensure!(!offers.is_empty() && !runs.is_empty(), "no tests of actions");
    for test in offers {
        let sample = dir.join(text(&test["inputPath"]));
        let printed = stage.overrides(&["list-actions", &shown(&sample)]).await?;
        let mut found: Vec<_> =
            printed.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let offered = list(&test["result"]).iter();
        let mut expected: Vec<_> = offered.map(|it| format!("{} {}", text(&it["name"]), it["disabled"])).collect();
        found.sort();
        expected.sort();
        ensure!(found == expected, "{}: Argo CD offers {found:?}, expected {expected:?}", sample.display());
    }
    for test in runs {
        let (action, sample) = (text(&test["action"]), dir.join(text(&test["inputPath"])));
        let printed = stage.overrides(&["run-action", &shown(&sample), &action]).await?;
        // `tail` prints before and after, each under its name.
        let after = printed.rsplit_once("<==\n").with_context(|| format!("{action}: {printed}"))?.1;
        let after: Value = serde_saphyr::from_str(after).with_context(|| format!("{action}: {printed}"))?;
        let expected = read(&dir.join(text(&test["expectedOutputPath"])))?;
        ensure!(after == expected, "{action} of {}: Argo CD makes {after}, expected {expected}", sample.display());
    }
    let (offers, runs) = (offers.len(), runs.len());
    stage.say(&format!("6. actions in Argo CD's Lua interpreter: {offers} offers and {runs} results as documented"));
    Ok(())
}

fn read(path: &Path) -> Result<Value> {
    serde_saphyr::from_str(&process::read(path)?).with_context(|| format!("cannot parse {}", path.display()))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
