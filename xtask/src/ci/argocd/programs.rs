//! The programs that this check needs beside the test environment's.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use aurora_test_support::paths::{target_dir, workspace};
use aurora_test_support::tools::go::{Build, build};

const MODULE: &str = "github.com/argoproj/argo-cd/v3";

/// Where they are.
#[derive(Debug)]
pub(super) struct Programs {
    /// Argo CD: one program, its role chosen by an environment variable.
    pub(super) argocd: PathBuf,
    /// The manifests it ships with.
    pub(super) manifests: PathBuf,
    pub(super) redis: PathBuf,
    pub(super) git: PathBuf,
}

/// Finds them, and builds Argo CD where its pinned module was not built before.
pub(super) async fn prepare() -> Result<Programs> {
    let redis = find("redis-server", "Argo CD keeps its cache in it")?;
    let git = find("git", "Argo CD syncs from a repository")?;
    let (argocd, manifests) = tokio::task::spawn_blocking(argocd).await??;
    Ok(Programs { argocd, manifests, redis, git })
}

fn argocd() -> Result<(PathBuf, PathBuf)> {
    let module = workspace().join("tests/support/argocd");
    let (version, source) = download(&module)?;
    let binary = build(&Build {
        module: &module,
        out: &target_dir().join("ci-tools/bin"),
        name: "argocd",
        package: &format!("{MODULE}/cmd"),
        version: &version,
        // The API server refuses a command line whose version it cannot read.
        ldflags: &format!("-s -w -X {MODULE}/common.version={}", version.trim_start_matches('v')),
        cold: "about 5 minutes",
    })?;
    Ok((binary, source.join("manifests")))
}

/// The pinned version, and where its source is once it is there.
fn download(module: &Path) -> Result<(String, PathBuf)> {
    let output = Command::new("go").current_dir(module).args(["mod", "download", "-json", MODULE]).output();
    let output = output.context("Go is missing, and Argo CD is built with it: install it from https://go.dev/dl/")?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let error = String::from_utf8_lossy(&output.stderr);
    let text = |key: &str| answer[key].as_str();
    ensure!(text("Error").is_none(), "cannot download {MODULE}: {}", text("Error").unwrap_or_default());
    match (text("Version"), text("Dir")) {
        (Some(version), Some(dir)) => Ok((version.to_owned(), PathBuf::from(dir))),
        _ => bail!("cannot download {MODULE}: {}", error.trim()),
    }
}

fn find(name: &str, why: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is missing ({why}): install it with `apt-get install -y {}`", package(name)))
}

fn package(name: &str) -> &str {
    if name == "redis-server" { "redis-server" } else { name }
}
