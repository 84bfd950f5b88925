//! The project's own commands, behind the aliases of `.cargo/config.toml`.

mod bench;
mod ci;
mod demo;
mod json;
mod operator_binary;

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
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Demo(demo) => demo.run().await,
        Command::Bench(bench) => bench.run().await,
        Command::Ci(ci) => ci.run().await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
