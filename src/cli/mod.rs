//! The command line: `aurora-log-export-operator run|crd|render|…`.

mod crd;
mod render;
pub mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Keeps the IAM policy and role for Aurora's log export right, from a Kubernetes object.
#[derive(Debug, Parser)]
#[command(name = "aurora-log-export-operator", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the operator: watch `AuroraLogExportPolicies` and keep AWS as they say.
    Run(Box<run::RunArgs>),
    /// Print the CustomResourceDefinitions.
    Crd(crd::CrdArgs),
    /// Print, offline, the policy and trust documents of a manifest.
    Render(render::RenderArgs),
}

/// Parses, runs, and says how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Run(args) => run::main(*args),
        Command::Crd(args) => crd::main(&args),
        Command::Render(args) => render::main(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
