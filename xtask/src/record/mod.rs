//! `cargo xtask record`: the pictures of the docs that show a real run, made from a real run.

mod chart;
mod dashboard;
mod panel;
mod prometheus;
mod scenario;
mod terminal;

use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use aurora_test_support::paths::workspace;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::operator_binary;

/// Makes docs/pictures/demo.svg from a run of `cargo demo --once`, or docs/pictures/dashboard.svg from a Prometheus that
/// watches an operator at work for some minutes (Debian: `apt-get install prometheus`).
#[derive(Debug, clap::Args)]
pub(crate) struct Record {
    /// Which picture.
    #[arg(value_enum)]
    what: What,
    /// How long the dashboard's operator is watched, in seconds.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// The terminal of `cargo demo --once`.
    Demo,
    /// The panels of deploy/monitoring/dashboard.json.
    Dashboard,
}

impl Record {
    pub(crate) async fn run(self) -> Result<()> {
        let binary = operator_binary::build().await?;
        let (name, svg) = match self.what {
            What::Demo => ("demo.svg", demo(&binary).await?),
            What::Dashboard => ("dashboard.svg", dashboard::record(binary, self.seconds).await?),
        };
        let path = workspace().join("docs/pictures").join(name);
        std::fs::write(&path, svg).with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {}", path.display());
        Ok(())
    }
}

/// Runs the demo as its user does, and notes when each line came.
async fn demo(operator: &std::path::Path) -> Result<String> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["demo", "--once", "--operator"]).arg(operator).stdout(Stdio::piped()).kill_on_drop(true);
    let began = Instant::now();
    let mut child = command.spawn().context("cannot run the demo")?;
    let stdout = child.stdout.take().context("no output")?;
    let mut output = BufReader::new(stdout).lines();
    let mut lines = Vec::new();
    while let Some(line) = output.next_line().await? {
        println!("{line}");
        lines.push((began.elapsed().as_secs_f64(), line));
    }
    ensure!(child.wait().await?.success(), "the demo failed");
    Ok(terminal::svg("cargo demo --once", &lines))
}
