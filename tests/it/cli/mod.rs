//! The command line, as users run it: the binary, a clean environment, its output and its exit code.

mod doctor;
mod habits;
mod import;
mod inputs;
mod kubeconfig;
mod plan;
mod render;
mod rights;
mod terminal;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aurora_test_support::calls;
use aurora_test_support::environment::Environment;
use aurora_test_support::iam_model::http::Server;
use aurora_test_support::moto::ACCESS_KEY;
use aurora_test_support::ports::free_port;
use serde_json::Value;
use tokio::process::Command;

use crate::emulators::aws;
use crate::fixture::BINARY;

const ACCOUNT: &str = "123456789012";
const LIMIT: Duration = Duration::from_mins(1);

/// How to run the binary.
#[derive(Clone)]
struct Cli {
    program: PathBuf,
    environment: Vec<(String, String)>,
}

/// How it ended.
#[derive(Debug)]
struct Outcome {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Cli {
    /// Against this cluster as administrator, and this IAM.
    fn new(env: &Environment, aws: &str) -> Self {
        Self::bare(env)
            .env("KUBECONFIG", &env.kubeconfig().display().to_string())
            .env("AWS_ENDPOINT_URL", aws)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", ACCESS_KEY)
            .env("AWS_REGION", "us-east-1")
            .env("ALEP_IAM_READS_PER_SECOND", "10000")
    }

    /// Without any access.
    fn bare(env: &Environment) -> Self {
        Self {
            program: PathBuf::from(BINARY),
            environment: vec![
                ("PATH".into(), std::env::var("PATH").unwrap_or_default()),
                ("HOME".into(), env.dir().display().to_string()),
                ("AWS_EC2_METADATA_DISABLED".into(), "true".into()),
                (calls::APPLICATION_ID.into(), calls::COMMAND_LINE.into()),
            ],
        }
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.into(), value.into()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self
    }

    fn program(mut self, program: impl AsRef<Path>) -> Self {
        self.program = program.as_ref().to_owned();
        self
    }

    async fn run(&self, arguments: &[&str]) -> Result<Outcome> {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(LIMIT, command.output())
            .await
            .with_context(|| format!("{arguments:?} is still running after {LIMIT:?}"))??;
        Ok(Outcome {
            code: output.status.code().context("ended by a signal")?,
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
        })
    }

    /// Runs a command that must end with 0; gives what it prints.
    async fn ok(&self, arguments: &[&str]) -> Result<String> {
        let outcome = self.run(arguments).await?;
        ensure!(outcome.code == 0, "{arguments:?}: {outcome:?}");
        Ok(outcome.stdout)
    }

    /// The same for `-o json`.
    async fn json(&self, arguments: &[&str]) -> Result<Value> {
        let outcome = self.run(arguments).await?;
        serde_json::from_str(&outcome.stdout).with_context(|| format!("{arguments:?}: {outcome:?}"))
    }
}

/// An IAM of the test's own, with one account.
fn iam() -> Result<Server> {
    aws(ACCOUNT)
}

/// Writes a kubeconfig for an API server that accepts no connections; returns its path.
fn kubeconfig_of_closed_port(env: &Environment, dir: &Path) -> Result<String> {
    let closed = format!("https://127.0.0.1:{}", free_port()?);
    let path = aurora_test_support::kubeconfig::redirect(env.kubeconfig(), &closed, dir.join("closed.kubeconfig"))?;
    Ok(path.display().to_string())
}

/// Writes manifests into a file; returns its path.
fn write_manifest(dir: &Path, file: &str, text: impl AsRef<[u8]>) -> Result<String> {
    let path = dir.join(file);
    std::fs::write(&path, text)?;
    Ok(path.display().to_string())
}

/// A directory of the test's own under the run's.
fn directory(env: &Environment, namespace: &str) -> Result<PathBuf> {
    let path = env.dir().join(namespace);
    std::fs::create_dir_all(&path)?;
    Ok(path)
}
