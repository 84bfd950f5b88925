//! The project's own commands, behind the aliases of `.cargo/config.toml`.

mod bench;
mod ci;
mod demo;
mod json;
mod operator_binary;
mod record;

use std::process::ExitCode;

use clap::Parser;

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Command {
    /// Starts a cluster, an emulator of IAM and the operator, and applies the examples.
    Demo(demo::Demo),
    /// Measures what N objects cost.
    Bench(bench::Bench),
    /// Checks what is delivered: chart, manifests, alerts, IAM policy, image.
    Ci(ci::Ci),
    /// Makes the pictures of the docs from real runs.
    Record(record::Record),
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Demo(demo) => demo.run().await,
        Command::Bench(bench) => bench.run().await,
        Command::Ci(ci) => ci.run().await,
        Command::Record(record) => record.run().await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
