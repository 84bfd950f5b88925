//! The command line: `aurora-log-export-operator run|crd|render|plan|doctor|import|explain`, and `kubectl alep` with
//! the commands for users of a cluster.

// Doc comments of arguments are help texts, which are not rendered as Markdown.
#![allow(clippy::doc_markdown)]

mod age;
mod cluster;
mod completion;
mod connect;
mod crd;
mod doctor;
mod explain;
mod import;
mod key;
mod manifests;
mod otlp;
mod output;
mod paint;
mod plan;
mod progress;
mod reference;
mod render;
pub mod run;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};

/// The name of the binary as a kubectl plugin.
const PLUGIN: &str = "kubectl-alep";

/// Manages the IAM policy and role for Aurora log export from a Kubernetes object.
#[derive(Debug, Parser)]
#[command(name = "aurora-log-export-operator", version, about, max_term_width = 100)]
#[command(after_help = "Examples:\n  \
    aurora-log-export-operator crd | kubectl apply --server-side -f -\n  \
    aurora-log-export-operator plan -f examples/minimal.yaml\n  \
    aurora-log-export-operator doctor\n\n\
    Installed in PATH as kubectl-alep, this binary is a kubectl plugin: kubectl alep plan|explain|doctor.")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Plans, explains and checks AuroraLogExportPolicies.
#[derive(Debug, Parser)]
#[command(name = "kubectl-alep", bin_name = "kubectl alep", version, about, max_term_width = 100)]
#[command(after_help = "Examples:\n  \
    kubectl alep explain orders -n shop\n  \
    kubectl alep plan -A\n  \
    kubectl alep doctor --context prod")]
struct Plugin {
    #[command(subcommand)]
    command: PluginCommand,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the operator: watch AuroraLogExportPolicies and keep their policies and roles in AWS in sync.
    Run(Box<run::RunArgs>),
    /// Print the CustomResourceDefinitions.
    Crd(crd::CrdArgs),
    /// Print the policy and trust documents of a manifest, without access to the cluster or AWS.
    Render(render::RenderArgs),
    /// Write manifests that adopt existing roles and policies unchanged.
    Import(Box<import::ImportArgs>),
    #[command(flatten)]
    Shared(PluginCommand),
    /// Print a completion script for a shell.
    #[command(after_help = "Examples:\n  \
        source <(aurora-log-export-operator completion bash)\n  \
        aurora-log-export-operator completion zsh > ~/.zfunc/_aurora-log-export-operator")]
    Completion {
        /// Shell that the script is for.
        shell: clap_complete::Shell,
    },
    /// Print the reference page of the docs.
    #[command(hide = true)]
    Reference,
    /// Print or write the man pages.
    #[command(after_help = "Examples:\n  \
        aurora-log-export-operator man | man -l -\n  \
        aurora-log-export-operator man --out-dir ~/.local/share/man/man1")]
    Man {
        /// Write one page per command into this directory, instead of printing the main page.
        #[arg(long, value_name = "DIR")]
        out_dir: Option<std::path::PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum PluginCommand {
    /// Show what the operator would change in AWS, without changing it.
    Plan(Box<plan::PlanArgs>),
    /// Explain the state of an object and the next step.
    Explain(explain::ExplainArgs),
    /// Check the cluster, the credentials and the AWS account, and print a fix for each finding.
    Doctor(Box<doctor::DoctorArgs>),
}

/// Parses the arguments, runs the command and returns its exit code.
pub fn main() -> ExitCode {
    let result = if is_plugin(std::env::args_os().next().as_deref()) {
        Plugin::parse().command.main()
    } else {
        let cli = Cli::parse();
        match cli.command {
            Command::Run(args) => run::main(*args),
            Command::Crd(args) => crd::main(&args),
            Command::Render(args) => render::main(&args),
            Command::Import(args) => import::main(&args),
            Command::Shared(command) => command.main(),
            Command::Completion { shell } => completion::main(shell, Cli::command()),
            Command::Reference => reference::main(),
            Command::Man { out_dir } => man(out_dir.as_deref()),
        }
    };
    match result {
        Ok(code) => code,
        Err(error) if error.is::<output::Closed>() => ExitCode::from(output::Closed::EXIT_CODE),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl PluginCommand {
    fn main(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Plan(args) => plan::main(&args),
            Self::Explain(args) => explain::main(&args),
            Self::Doctor(args) => doctor::main(&args),
        }
    }
}

/// True if the binary was called as a kubectl plugin. Package managers may append a version to the name.
fn is_plugin(program: Option<&OsStr>) -> bool {
    program
        .map(Path::new)
        .and_then(Path::file_name)
        .and_then(OsStr::to_str)
        .is_some_and(|name| name.starts_with(PLUGIN) || name.starts_with("kubectl_alep"))
}

fn man(out_dir: Option<&Path>) -> anyhow::Result<ExitCode> {
    if let Some(dir) = out_dir {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create the directory {}", dir.display()))?;
        clap_mangen::generate_to(Cli::command(), dir)
            .with_context(|| format!("cannot write the man pages to {}", dir.display()))?;
    } else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut page)?;
        output::print(page)?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_lines_are_consistent() {
        Cli::command().debug_assert();
        Plugin::command().debug_assert();
    }

    #[test]
    fn the_name_of_the_binary_decides_whether_it_is_a_plugin() {
        for (program, plugin) in [
            ("/usr/local/bin/kubectl-alep", true),
            ("kubectl_alep-v1", true),
            ("aurora-log-export-operator", false),
            ("/opt/kubectl-alep/aurora-log-export-operator", false),
        ] {
            assert_eq!(is_plugin(Some(OsStr::new(program))), plugin, "{program}");
        }
    }

    #[test]
    fn every_flag_has_an_environment_variable_unless_it_is_chosen_for_each_call() {
        let for_each_call = ["help", "version", "all", "all_namespaces", "files", "file", "objects", "object", "shell"];
        let for_each_call = [&for_each_call[..], &["exit_code", "only", "out_dir", "observe", "ignore"]].concat();
        for command in Cli::command().get_subcommands() {
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                assert!(argument.get_env().is_some() || for_each_call.contains(&id), "{} --{id}", command.get_name());
            }
        }
    }
}
