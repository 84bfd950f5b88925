//! Habits of a good command line: help with examples, errors with a next step, completion, kubectl's way of plugins.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;

use anyhow::{Context, Result, ensure};
use aurora_test_support::apply::manifest;
use aurora_test_support::paths::workspace;
use aurora_test_support::ports::free_port;
use serde_json::Value;

use super::{BINARY, Cli, Outcome, directory, iam, kubeconfig_of_closed_port, write_manifest};
use crate::environment;

#[tokio::test]
async fn every_command_has_help_with_examples() -> Result<()> {
    let env = environment().await?;
    let cli = Cli::bare(env);
    for command in ["run", "crd", "render", "plan", "doctor", "import", "explain", "completion", "man"] {
        let help = cli.ok(&[command, "--help"]).await?;
        assert!(help.contains("Example"), "{command}: {help}");
    }
    Ok(())
}

/// What bash offers for the words of a command line, the last of them being typed.
const OFFER: &str = r#"source "$1"; shift
[[ $(complete -p "$1") =~ -F\ ([^ ]+) ]] || exit 1
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
"${BASH_REMATCH[1]}" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}""#;

#[tokio::test]
async fn completion_offers_commands_flags_and_values() -> Result<()> {
    let env = environment().await?;
    let cli = Cli::bare(env);
    for shell in ["bash", "zsh", "fish"] {
        let script = cli.ok(&["completion", shell]).await?;
        assert!(script.contains("doctor") && script.contains("exit-code"), "{shell}");
    }
    let file = directory(env, &env.namespace().await?)?.join("completion.bash");
    std::fs::write(&file, cli.ok(&["completion", "bash"]).await?)?;
    let (file, name) = (file.display().to_string(), "aurora-log-export-operator");
    let bash = cli.program("bash");
    for (typed, offered) in [
        (&["do"][..], &["doctor"][..]),
        (&["plan", "--exit"], &["--exit-code"]),
        (&["plan", "--output", ""], &["text", "json", "yaml"]),
        (&["doctor", "--ignore", "clo"], &["clock"]),
    ] {
        let offer = ["--norc", "-c", OFFER, "bash", &file, name];
        let answer = bash.ok(&[&offer[..], typed].concat()).await?;
        assert_eq!(answer.lines().collect::<Vec<_>>(), offered, "{typed:?}");
    }
    Ok(())
}

#[tokio::test]
async fn every_command_has_a_man_page_with_its_flags_and_examples() -> Result<()> {
    let env = environment().await?;
    let cli = Cli::bare(env);
    let dir = directory(env, &env.namespace().await?)?.join("not/there/yet");
    cli.ok(&["man", "--out-dir", &dir.display().to_string()]).await?;
    for (command, part) in [
        ("run", "drift\\-check\\-interval"),
        ("crd", "Example"),
        ("render", "only"),
        ("plan", "exit\\-code"),
        ("doctor", "operator\\-principal"),
        ("import", "observe"),
        ("explain", "kubectl alep explain"),
    ] {
        let page = std::fs::read_to_string(dir.join(format!("aurora-log-export-operator-{command}.1")))?;
        assert!(page.starts_with(".ie") && page.contains(".SH NAME") && page.contains(part), "{command}: {page}");
        assert!(page.contains("Example"), "{command}: {page}");
    }
    let whole = cli.ok(&["man"]).await?;
    assert!(whole.contains("aurora\\-log\\-export\\-operator"), "{whole}");
    Ok(())
}

#[tokio::test]
async fn errors_are_one_sentence_on_stderr_with_the_next_step() -> Result<()> {
    let env = environment().await?;
    let server = iam()?;
    let dir = directory(env, &env.namespace().await?)?;
    let file = |name: &str, text: &str| write_manifest(&dir, name, text);
    let broken = file("broken.yaml", "kind: AuroraLogExportPolicy\n  spec: {\n")?;
    let other = file("other.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n")?;
    let nameless =
        file("nameless.yaml", "apiVersion: auroralogexport.dev/v1alpha1\nkind: AuroraLogExportPolicy\nspec: {}\n")?;
    let config = file("kubeconfig", "clusters: 7\n")?;
    let cli = Cli::new(env, &server.url());
    let nowhere = format!("http://127.0.0.1:{}", free_port()?);
    let nobody = Cli::new(env, &nowhere).env("HTTPS_PROXY", &nowhere);
    let closed = kubeconfig_of_closed_port(env, &dir)?;
    let unreachable = Cli::new(env, &server.url()).env("KUBECONFIG", &closed);
    for (cli, arguments, parts) in [
        (&cli, &["plan"][..], &["give NAMESPACE/NAME, --all, or -f FILE"][..]),
        (
            &cli,
            &["plan", "nowhere/nothing"],
            &["AuroraLogExportPolicy nowhere/nothing does not exist", "kubectl get alep"],
        ),
        (
            &cli,
            &["explain", "nowhere/nothing"],
            &["AuroraLogExportPolicy nowhere/nothing does not exist", "kubectl get alep"],
        ),
        (&cli, &["plan", "--all", "--context", "lost"], &["lost", "--context"]),
        (&cli, &["plan", "-f", "/nowhere.yaml"], &["cannot read /nowhere.yaml", "No such file"]),
        (&cli, &["plan", "-f", &broken], &["broken.yaml is not valid YAML; correct the file"]),
        (&cli, &["render", "-f", &broken], &["broken.yaml is not valid YAML; correct the file"]),
        (&cli, &["plan", "-f", &other], &["contain no AuroraLogExportPolicy"]),
        (&cli, &["plan", "-f", &nameless], &["nameless.yaml", "metadata"]),
        (
            &cli,
            &["explain", "x", "--kubeconfig", &config],
            &["cannot load the Kubernetes configuration", "--kubeconfig"],
        ),
        (&unreachable, &["plan", "--all"], &["cannot be reached", "--context"]),
        (&unreachable, &["explain", "x"], &["cannot be reached", "--context"]),
        (&unreachable, &["import"], &["cannot be reached", "--cluster-name"]),
        (&nobody, &["import", "--cluster-name", "x"], &["could not be reached"]),
    ] {
        let outcome = cli.run(arguments).await?;
        assert_eq!(outcome.code, 1, "{outcome:?}");
        assert!(outcome.stdout.is_empty(), "{outcome:?}");
        let errors: Vec<&str> = outcome.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert_eq!(errors.len(), 1, "{outcome:?}");
        for part in parts {
            assert!(outcome.stderr.contains(part), "{part}: {outcome:?}");
        }
        no_trace(&outcome);
    }
    Ok(())
}

/// `| head` is no error, and a full disk is one like any other.
#[tokio::test]
async fn where_output_cannot_be_written_nothing_panics() -> Result<()> {
    let env = environment().await?;
    let server = iam()?;
    let file = workspace().join("examples/minimal.yaml").display().to_string();
    let offline = Cli::new(env, &server.url())
        .without("KUBECONFIG")
        .env("ALEP_CLUSTER_NAME", "x")
        .env("ALEP_CLUSTER_UID", "uid")
        .env("FILE", &file)
        .env("PROGRAM", BINARY)
        .program("bash");
    for command in
        ["crd", "render -f $FILE", "plan -f $FILE", "plan -f $FILE -o json", "doctor", "man", "completion zsh"]
    {
        let closed = format!("exec 3> >(true); wait $!; $PROGRAM {command} >&3");
        let outcome = offline.run(&["-c", &closed]).await?;
        assert_eq!((outcome.code, outcome.stderr.as_str()), (141, ""), "{command}: {outcome:?}");
        let full = format!("$PROGRAM {command} >/dev/full");
        let outcome = offline.run(&["-c", &full]).await?;
        assert_eq!(outcome.code, 1, "{command}: {outcome:?}");
        assert!(outcome.stderr.starts_with("error: cannot write to standard output"), "{command}: {outcome:?}");
        no_trace(&outcome);
    }
    Ok(())
}

/// clap's own words: what is wrong, what was meant, and where to read more; exit code 2, as every clap program has it.
#[tokio::test]
async fn wrong_flags_are_answered_with_the_right_ones() -> Result<()> {
    let env = environment().await?;
    let cli = Cli::bare(env);
    for (arguments, parts) in [
        (&["plan", "--exitcode"][..], &["'--exitcode'", "'--exit-code'"][..]),
        (&["doktor"], &["'doktor'", "'doctor'"]),
        (&["plan", "-o", "xml"], &["'xml'", "text, json, yaml"]),
        (&["plan", "-A", "-n", "shop"], &["cannot be used with"]),
        (&["plan", "shop/orders", "-f", "x.yaml"], &["cannot be used with"]),
        (&["doctor", "--ignore", "weather"], &["'weather'", "clock"]),
        (&["run", "--cluster-name", "a b"], &["'a b'", "--cluster-name"]),
        (&["run", "--drift-check-interval", "soon"], &["'soon'", "--drift-check-interval"]),
        (&["explain"], &["<NAMESPACE/NAME>"]),
    ] {
        let outcome = cli.run(arguments).await?;
        assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""), "{outcome:?}");
        for part in parts.iter().chain(&["--help"]) {
            assert!(outcome.stderr.contains(part), "{part}: {outcome:?}");
        }
        no_trace(&outcome);
    }
    Ok(())
}

/// Also for those who have asked for stack traces of their own programs.
fn no_trace(outcome: &Outcome) {
    for sign in ["panicked", "backtrace", "Backtrace", ".rs:", "RUST_"] {
        assert!(!outcome.stderr.contains(sign), "{sign}: {outcome:?}");
    }
}

#[tokio::test]
async fn as_kubectl_alep_it_takes_kubectls_flags() -> Result<()> {
    let env = environment().await?;
    let (first, second) = (env.namespace().await?, env.namespace().await?);
    let server = iam()?;
    let dir = directory(env, &first)?;
    symlink(BINARY, dir.join("kubectl-alep"))?;
    for namespace in [&first, &second] {
        env.apply_yaml(&manifest(namespace, "orders", "{}")).await?;
    }
    let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap_or_default());
    let kubectl = Cli::new(env, &server.url()).env("PATH", &path).program(env.kubectl_path());

    let shown = kubectl.ok(&["alep", "explain", "orders", "-n", &first]).await?;
    assert!(shown.starts_with(&format!("{first}/orders  not reconciled yet")), "{shown}");
    let config = env.kubeconfig().display().to_string();
    let without = kubectl.clone().without("KUBECONFIG");
    let shown = without.ok(&["alep", "plan", "alep/orders", "-n", &first, "--kubeconfig", &config]).await?;
    assert!(shown.contains("2 to create"), "{shown}");

    // -n takes one namespace, -A takes all; the others of this cluster come and go.
    let planned = async |kubectl: &Cli, flags: &[&str]| -> Result<BTreeSet<String>> {
        let plan = kubectl.json(&[&["alep", "plan", "-o", "json"], flags].concat()).await?;
        let objects = plan["objects"].as_array().context("no objects")?;
        Ok(objects.iter().map(|it| format!("{}/{}", it["namespace"], it["name"]).replace('"', "")).collect())
    };
    let [one, two] = [&first, &second].map(|namespace| format!("{namespace}/orders"));
    assert_eq!(planned(&kubectl, &["--all", "-n", &first]).await?, BTreeSet::from([one.clone()]));
    let all = planned(&kubectl, &["-A"]).await?;
    assert!(all.contains(&one) && all.contains(&two), "{all:?}");

    // A context brings its own namespace, as for kubectl itself.
    let contexts = dir.join("contexts.kubeconfig");
    std::fs::copy(env.kubeconfig(), &contexts)?;
    let contexts = contexts.display().to_string();
    let known = kubectl.ok(&["config", "view", "--kubeconfig", &contexts, "-o", "json"]).await?;
    let known: Value = serde_json::from_str(&known)?;
    let of = |key: &str| format!("--{key}={}", known["contexts"][0]["context"][key].as_str().unwrap_or_default());
    let namespace = format!("--namespace={second}");
    let set = ["config", "set-context", "prod", &of("cluster"), &of("user"), &namespace, "--kubeconfig", &contexts];
    kubectl.ok(&set).await?;
    let there = kubectl.clone().env("KUBECONFIG", &contexts);
    let shown = there.ok(&["alep", "explain", "orders", "--context", "prod"]).await?;
    assert!(shown.starts_with(&format!("{second}/orders  ")), "{shown}");
    assert_eq!(planned(&there, &["orders", "--context", "prod"]).await?, BTreeSet::from([two]));
    let lost = there.run(&["alep", "explain", "orders", "--context", "lost"]).await?;
    assert!(lost.code == 1 && lost.stderr.contains("--context"), "{lost:?}");

    // doctor: the objects of one namespace, those of all, and another context.
    let doctor = async |kubectl: &Cli, flags: &[&str]| -> Result<String> {
        let ignored = ["alep", "doctor", "--ignore", "leader,objects,accounts"];
        let outcome = kubectl.run(&[&ignored[..], flags].concat()).await?;
        ensure!(outcome.code == 0, "{outcome:?}");
        Ok(outcome.stdout)
    };
    let counted = |report: &str| -> Result<usize> {
        let (count, _) = report.rsplit_once(" object").context("no count")?;
        Ok(count.rsplit(' ').next().unwrap_or_default().parse()?)
    };
    let own = doctor(&kubectl, &["-n", &first]).await?;
    assert_eq!(counted(&own)?, 1, "{own}");
    let all = doctor(&there, &["-A", "--context", "prod"]).await?;
    assert!(counted(&all)? >= 2, "{all}");

    let run = kubectl.run(&["alep", "run"]).await?;
    ensure!(run.code != 0, "the plugin does not run operators");
    Ok(())
}
