//! Habits of a good command line: help with examples, errors with a next step, completion, kubectl's way of plugins.

use anyhow::{Result, ensure};
use std::os::unix::fs::symlink;

use super::{BINARY, Cli, directory, iam};
use crate::environment;

#[tokio::test]
async fn every_command_has_help_with_examples() -> Result<()> {
    let env = environment().await?;
    let cli = Cli::bare(env);
    for command in ["run", "crd", "render", "plan", "doctor", "import", "explain"] {
        let help = cli.ok(&[command, "--help"]).await?;
        assert!(help.contains("Example"), "{command}: {help}");
    }
    Ok(())
}

#[tokio::test]
async fn completion_and_man_pages_come_from_the_same_definition() -> Result<()> {
    let env = environment().await?;
    let cli = Cli::bare(env);
    for shell in ["bash", "zsh", "fish"] {
        let script = cli.ok(&["completion", shell]).await?;
        assert!(script.contains("doctor") && script.contains("exit-code"), "{shell}");
    }
    let dir = directory(env, &env.namespace().await?)?;
    cli.ok(&["man", "--out-dir", &dir.display().to_string()]).await?;
    let page = std::fs::read_to_string(dir.join("aurora-log-export-operator-plan.1"))?;
    assert!(page.contains("exit\\-code"), "{page}");
    Ok(())
}

#[tokio::test]
async fn errors_are_one_sentence_on_stderr_with_the_next_step() -> Result<()> {
    let env = environment().await?;
    let server = iam()?;
    let cli = Cli::new(env, &server.url());
    for (arguments, parts) in [
        (&["plan"][..], &["give NAMESPACE/NAME, --all, or -f FILE"][..]),
        (&["plan", "nowhere/nothing"], &["there is no AuroraLogExportPolicy nowhere/nothing", "kubectl get alep"]),
        (&["explain", "nowhere/nothing"], &["there is no AuroraLogExportPolicy nowhere/nothing"]),
        (&["plan", "--all", "--context", "lost"], &["--context"]),
        (&["plan", "-f", "/nowhere.yaml"], &["cannot read /nowhere.yaml"]),
    ] {
        let outcome = cli.run(arguments).await?;
        assert_eq!(outcome.code, 1, "{outcome:?}");
        assert!(outcome.stdout.is_empty(), "{outcome:?}");
        assert!(outcome.stderr.starts_with("error: ") && !outcome.stderr.contains("panicked"), "{outcome:?}");
        for part in parts {
            assert!(outcome.stderr.contains(part), "{part}: {outcome:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn as_kubectl_alep_it_takes_kubectls_flags() -> Result<()> {
    let env = environment().await?;
    let namespace = env.namespace().await?;
    let server = iam()?;
    let dir = directory(env, &namespace)?;
    symlink(BINARY, dir.join("kubectl-alep"))?;
    env.apply_yaml(&format!(
        "apiVersion: auroralogexport.dev/v1alpha1\nkind: AuroraLogExportPolicy\nmetadata: {{name: orders, namespace: {namespace}}}\nspec: {{}}\n"
    ))
    .await?;
    let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap_or_default());
    let kubectl = Cli::new(env, &server.url()).env("PATH", &path).program(env.kubectl_path());
    let shown = kubectl.ok(&["alep", "explain", "orders", "-n", &namespace]).await?;
    assert!(shown.starts_with(&format!("{namespace}/orders  not looked at yet")), "{shown}");
    let config = env.kubeconfig().display().to_string();
    let without = kubectl.clone().without("KUBECONFIG");
    let shown = without.ok(&["alep", "plan", "alep/orders", "-n", &namespace, "--kubeconfig", &config]).await?;
    assert!(shown.contains("2 to create"), "{shown}");
    let run = kubectl.run(&["alep", "run"]).await?;
    ensure!(run.code != 0, "the plugin does not run operators");
    Ok(())
}
