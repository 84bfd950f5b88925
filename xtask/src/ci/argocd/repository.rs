//! A git repository made at run time, and the server Argo CD reads it from.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aurora_test_support::ports::free_port;
use aurora_test_support::supervisor::{self, Supervised};
use aurora_test_support::wait::wait_for;
use tokio::net::TcpStream;

const START_LIMIT: Duration = Duration::from_secs(20);

/// A bare repository behind `git daemon`, and a clone to commit and push from.
#[derive(Debug)]
pub(super) struct Repository {
    git: PathBuf,
    clone: PathBuf,
    url: String,
    _daemon: Supervised,
}

impl Repository {
    /// Makes it in `dir`, with one commit.
    pub(super) async fn create(git: &Path, dir: &Path) -> Result<Self> {
        let (served, clone) = (dir.join("served"), dir.join("clone"));
        std::fs::create_dir_all(&served)?;
        let port = free_port()?;
        let mut command = supervisor::command(git);
        command.env_clear().env("HOME", dir).env("PATH", std::env::var_os("PATH").unwrap_or_default()).args([
            "daemon",
            "--export-all",
            "--reuseaddr",
            "--listen=127.0.0.1",
            &format!("--port={port}"),
            &format!("--base-path={}", served.display()),
        ]);
        let mut daemon = Supervised::spawn("git daemon", command, &dir.join("git-daemon.log"))?;
        wait_for("git daemon", START_LIMIT, async || {
            daemon.check_alive()?;
            TcpStream::connect(("127.0.0.1", port)).await?;
            Ok(())
        })
        .await?;
        let url = format!("git://127.0.0.1:{port}/policies.git");
        let repository = Self { git: git.to_owned(), clone, url, _daemon: daemon };
        let bare = served.join("policies.git");
        repository.run(dir, &["init", "--quiet", "--bare", "--initial-branch=main", &text(&bare)])?;
        repository.run(dir, &["clone", "--quiet", &text(&bare), &text(&repository.clone)])?;
        repository.push("Begin", &[("README.md", Some("Manifests.\n"))])?;
        Ok(repository)
    }

    /// What an Application names as its source.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Writes (or, with none, removes) files, commits and pushes; gives the commit's id.
    pub(super) fn push(&self, message: &str, files: &[(&str, Option<&str>)]) -> Result<String> {
        for (path, content) in files {
            let path = self.clone.join(path);
            match content {
                Some(content) => {
                    std::fs::create_dir_all(path.parent().context("a file has a directory")?)?;
                    std::fs::write(&path, content)?;
                }
                None => std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?,
            }
        }
        self.run(&self.clone, &["add", "--all"])?;
        self.run(&self.clone, &["commit", "--quiet", "--message", message])?;
        self.run(&self.clone, &["push", "--quiet", "origin", "HEAD:main"])?;
        Ok(self.run(&self.clone, &["rev-parse", "HEAD"])?.trim().to_owned())
    }

    fn run(&self, dir: &Path, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.git);
        // The user's own configuration (signing, hooks) has no say here.
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", dir);
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "platform").env(format!("GIT_{who}_EMAIL"), "platform@example.com");
        }
        let output = command.current_dir(dir).args(arguments).output().context("cannot run git")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "git {}: {}", arguments.join(" "), error.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
