//! The chart to upgrade from: the newest release's if there is one, else the oldest in the history that an API server
//! takes, else a copy of the present one with the first CRDs. Which of them it was is said.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use aurora_test_support::paths::workspace;

use super::super::delivery::CHART;
use super::super::process::{self, read, write};

const FIRST_CRDS: &str = "tests/it/fixtures/first-release";

/// A chart on disk, and where it comes from, in words.
pub(super) struct PreviousChart {
    pub(super) path: PathBuf,
    pub(super) origin: String,
}

/// Puts it into `dir`.
pub(super) async fn chart(dir: &Path) -> Result<PreviousChart> {
    if let Some(tag) = last_release().await {
        return from_history(dir, &tag, format!("the release {tag}")).await;
    }
    if let Some(commit) = first_with_first_crds().await? {
        let short: String = commit.chars().take(10).collect();
        return from_history(dir, &commit, format!("no release yet: the first chart of the history, {short}")).await;
    }
    let path = copy_with_first_crds(dir)?;
    Ok(PreviousChart { path, origin: String::from("no release and no history here: this chart with the first CRDs") })
}

/// The newest tag `v…` before this commit.
async fn last_release() -> Option<String> {
    let tag = git(&["describe", "--tags", "--match=v[0-9]*", "--abbrev=0", "HEAD^"]).await.ok()?;
    Some(tag.trim().to_owned()).filter(|tag| !tag.is_empty())
}

/// The oldest commit whose chart carries the CRDs of the fixture; the ones before were refused by API servers.
async fn first_with_first_crds() -> Result<Option<String>> {
    let Ok(commits) = git(&["log", "--reverse", "--format=%H", "--", CHART]).await else {
        return Ok(None);
    };
    let crd = "auroralogexportpolicies.yaml";
    let first = read(&workspace().join(FIRST_CRDS).join(crd))?;
    for commit in commits.lines() {
        let carried = git(&["show", &format!("{commit}:{CHART}/files/crds/{crd}")]).await;
        if carried.is_ok_and(|text| text == first) {
            return Ok(Some(commit.to_owned()));
        }
    }
    Ok(None)
}

async fn from_history(dir: &Path, commit: &str, origin: String) -> Result<PreviousChart> {
    let archive = dir.join("previous.tar");
    git(&["archive", "--format=tar", "--output", &archive.display().to_string(), commit, CHART]).await?;
    process::output("tar", |command| {
        command.arg("-xf").arg(&archive).arg("-C").arg(dir);
    })
    .await?;
    Ok(PreviousChart { path: dir.join(CHART), origin })
}

fn copy_with_first_crds(dir: &Path) -> Result<PathBuf> {
    let target = dir.join("previous");
    process::copy(&workspace().join(CHART), &target)?;
    process::copy(&workspace().join(FIRST_CRDS), &target.join("files/crds"))?;
    let manifest = target.join("Chart.yaml");
    let text = read(&manifest)?;
    let version = text.lines().find(|line| line.starts_with("version:")).context("Chart.yaml has no version")?;
    let older = text.replacen(version, "version: 0.0.1", 1);
    ensure!(older != text, "the chart's version is 0.0.1 already");
    write(&manifest, older)?;
    Ok(target)
}

async fn git(arguments: &[&str]) -> Result<String> {
    process::output("git", |command| {
        command.current_dir(workspace()).args(arguments);
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_is_older_and_carries_the_first_crds() {
        let dir = process::fresh_dir("unit-previous").expect("a directory under target/");
        let path = copy_with_first_crds(&dir).expect("copied");
        let manifest = read(&path.join("Chart.yaml")).expect("it is there");
        assert!(manifest.contains("\nversion: 0.0.1\n"), "{manifest}");
        for crd in ["auroralogexportpolicies.yaml", "awsaccounts.yaml"] {
            let first = read(&workspace().join(FIRST_CRDS).join(crd)).expect("it is there");
            assert_eq!(read(&path.join("files/crds").join(crd)).expect("copied"), first);
        }
    }
}
