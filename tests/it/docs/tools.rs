//! The programs that a page's commands find in `PATH`: real where they can be, otherwise a recorder whose calls are
//! checked by a rule of their own.
//!
//! | command | here |
//! |---|---|
//! | `aurora-log-export-operator`, `kubectl alep` | real |
//! | `kubectl` | real; what needs a kubelet (`exec`, `logs`, `rollout status`) becomes a look at the object, and a command that `exec` would run in the operator's Pod runs here |
//! | `aws` | real: IAM and STS against the model, the rest against moto; what neither knows ([`NOT_EMULATED`]) is parsed by the command line itself, with all its parameters |
//! | `helm` | recorded: chart and values exist, by `values.schema.json`; an installation applies `deploy/kustomize/base`, which renders the same objects |
//! | `cargo` | recorded: the alias and its flags exist |
//! | `terraform` | recorded: a subcommand that exists |
//! | others | unknown, so an error |

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use aurora_test_support::environment::Environment;
use aurora_test_support::paths::workspace;
use serde_json::Value;

use super::BINARY;
use super::links::flags_in;

/// Calls of `aws` that no emulator here answers.
const NOT_EMULATED: &[&str] = &[
    "eks create-addon",
    "eks create-pod-identity-association",
    "eks delete-pod-identity-association",
    "eks list-pod-identity-associations",
    "rds add-role-to-db-cluster",
    "rds remove-role-from-db-cluster",
];

/// A call that was recorded instead of executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
}

/// The directory for `PATH`.
pub(super) fn install(env: &Environment, dir: &Path, aws: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    for name in ["aurora-log-export-operator", "kubectl-alep"] {
        symlink(BINARY, dir.join(name))?;
    }
    let record =
        |program: &str| format!("{{ printf '%s\\036' {program} \"$@\"; printf '\\035'; }} >>\"$DOCS_CALLS\"\n");
    let python = aws.with_file_name("python");
    let patterns: Vec<String> = NOT_EMULATED.iter().map(|call| format!("\"{call}\"")).collect();
    let aws_script = format!(
        "case \"$1 $2\" in\n{})\n  {}  exec {aws} \"$@\" --generate-cli-skeleton output >/dev/null ;;\nesac\nexec {aws} \"$@\"\n",
        patterns.join("|"),
        record("aws"),
        aws = quoted(aws),
    );
    let kubectl = quoted(env.kubectl_path());
    let kubectl_script = format!(
        r#"case " $* " in
*" rollout status "*)
  set -- $(printf '%s\n' "$@" | grep -v -e '^rollout$' -e '^status$' -e '^--timeout')
  exec {kubectl} get "$@" ;;
*" exec "*)
  while [ "$1" != -- ]; do shift; done; shift
  exec "$@" ;;
*" logs "*)
  set -- $(printf '%s\n' "$@" | sed -e 's/^logs$/get/' | grep -v -e '^--tail' -e '^--since')
  exec {kubectl} "$@" ;;
esac
exec {kubectl} "$@"
"#
    );
    let helm_script = format!(
        "{}case \"$1\" in\ninstall|upgrade) {kubectl} apply --server-side --force-conflicts -k {base} >/dev/null ;;\n\
         uninstall) {kubectl} delete -n aurora-log-export-system deployment/aurora-log-export-operator >/dev/null ;;\nesac\n",
        record("helm"),
        base = quoted(&workspace().join("deploy/kustomize/base")),
    );
    let envsubst = format!(
        "exec {} -c 'import os, string, sys; sys.stdout.write(string.Template(sys.stdin.read()).safe_substitute(os.environ))'\n",
        quoted(&python)
    );
    for (name, script) in [
        ("aws", aws_script),
        ("kubectl", kubectl_script),
        ("helm", helm_script),
        ("envsubst", envsubst),
        ("cargo", record("cargo")),
        ("terraform", record("terraform")),
    ] {
        let path = dir.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// For the shell; paths of a build directory hold no quotes.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}

/// What was recorded.
pub(super) fn calls(log: &Path) -> Result<Vec<Call>> {
    if !log.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(log)?;
    let of = |record: &str| {
        let mut words = record.split('\u{1e}').map(str::to_owned);
        let program = words.next().unwrap_or_default();
        let mut arguments: Vec<String> = words.collect();
        // Each word is ended, not separated.
        arguments.pop();
        Call { program, arguments }
    };
    Ok(text.split('\u{1d}').filter(|record| !record.is_empty()).map(of).collect())
}

/// Holds a recorded call to its tool's rule; gives what the rule was.
pub(super) fn check(call: &Call) -> Result<&'static str> {
    match call.program.as_str() {
        "aws" => Ok("its parameters were parsed by the aws command line"),
        "helm" => helm(&call.arguments).map(|()| "chart and values exist"),
        "cargo" => cargo(&call.arguments).map(|()| "the alias and its flags exist"),
        "terraform" => terraform(&call.arguments).map(|()| "the subcommand exists"),
        other => bail!("there is no rule for {other}"),
    }
}

/// `cargo xtask ci --only helm-cluster` runs them with the real helm.
const HELM_FLAGS: &[&str] = &[
    "--install",
    "--namespace",
    "--create-namespace",
    "--set",
    "--values",
    "--reset-then-reuse-values",
    "--take-ownership",
    "--wait",
];

fn helm(arguments: &[String]) -> Result<()> {
    let command = arguments.first().map(String::as_str).unwrap_or_default();
    ensure!(
        ["install", "upgrade", "uninstall", "rollback", "template"].contains(&command),
        "helm {command} is not known"
    );
    let mut rest = arguments[1..].iter();
    let mut plain = Vec::new();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--set" => value_exists(rest.next().context("--set needs a value")?)?,
            "--values" | "-f" => drop(rest.next()),
            "-n" | "--namespace" => drop(rest.next()),
            flag if flag.starts_with("--") => {
                ensure!(HELM_FLAGS.contains(&flag), "helm's flag {flag} is not known here");
            }
            word => plain.push(word.to_owned()),
        }
    }
    if ["install", "upgrade", "template"].contains(&command) {
        let chart = plain.get(1).context("a name and a chart are needed")?;
        ensure!(workspace().join(chart).join("Chart.yaml").is_file(), "there is no chart {chart}");
    }
    Ok(())
}

/// `a.b.c=value`, by the chart's schema.
fn value_exists(set: &str) -> Result<()> {
    let path = workspace().join("deploy/helm/aurora-log-export-operator/values.schema.json");
    let schema: Value = serde_json::from_str(&fs::read_to_string(path)?)?;
    let (path, _) = set.split_once('=').context("--set needs NAME=VALUE")?;
    let mut at = &schema;
    // Helm's escape for a dot in a key.
    for key in path.replace("\\.", "\u{0}").split('.') {
        let key = key.replace('\u{0}', ".");
        if let Some(definition) = at["$ref"].as_str() {
            at = schema.pointer(definition.trim_start_matches('#')).context("a reference to nowhere")?;
        }
        let known = at["properties"].get(&key);
        match known {
            Some(next) => at = next,
            None if at["type"] == "object" && at.get("properties").is_none() => return Ok(()),
            None => bail!("the chart has no value {path}: {key} is not in values.schema.json"),
        }
    }
    Ok(())
}

fn cargo(arguments: &[String]) -> Result<()> {
    let arguments: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|argument| !argument.starts_with('+')).collect();
    let command = arguments.first().copied().unwrap_or_default();
    let exists = |path: &str| {
        ensure!(workspace().join(path).exists(), "cargo {command}: there is no {path}");
        Ok(())
    };
    match command {
        "build" | "test" | "fmt" | "clippy" | "run" | "doc" | "update" => return Ok(()),
        "mutants" => return exists(".cargo/mutants.toml"),
        "install" => {
            let pinned = arguments.last().is_some_and(|package| package.contains('@'));
            ensure!(pinned, "cargo install takes a version: NAME@VERSION");
            return Ok(());
        }
        "fuzz" => {
            let mut targets = fs::read_dir(workspace().join("fuzz/fuzz_targets"))?.flatten();
            let named = targets.any(|target| {
                target.path().file_stem().is_some_and(|stem| arguments.iter().any(|argument| *argument == stem))
            });
            ensure!(named, "cargo fuzz: fuzz/fuzz_targets has none of {arguments:?}");
            return Ok(());
        }
        _ => {}
    }
    let aliases = fs::read_to_string(workspace().join(".cargo/config.toml"))?;
    ensure!(aliases.contains(&format!("\n{command} = ")), "cargo has no alias {command}");
    let sources = source_of_xtask()?;
    for flag in flags_in(&arguments.join(" ")) {
        let field = flag.trim_start_matches("--").replace('-', "_");
        ensure!(sources.contains(&format!("    {field}: ")), "cargo {command} has no flag {flag}");
    }
    if command == "xtask" {
        let task = arguments.get(1).context("cargo xtask needs a command")?;
        let mut letters = task.chars();
        let variant: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
        ensure!(sources.contains(&format!("    {variant}(")), "cargo xtask has no command {task}");
    }
    Ok(())
}

fn source_of_xtask() -> Result<String> {
    let mut text = String::new();
    for path in super::markdown::files("xtask/src", "rs")? {
        text.push_str(&fs::read_to_string(workspace().join(path))?);
    }
    Ok(text)
}

fn terraform(arguments: &[String]) -> Result<()> {
    let command = arguments.first().map(String::as_str).unwrap_or_default();
    let state = arguments.get(1).map(String::as_str).unwrap_or_default();
    match command {
        "init" | "plan" | "apply" | "output" | "destroy" => Ok(()),
        "state" if ["rm", "list", "show"].contains(&state) => Ok(()),
        _ => bail!("terraform {} is not known here", arguments.join(" ")),
    }
}

/// HCL is checked by its outline: the kinds of blocks, balanced braces, and the variables of our module.
pub(super) fn hcl(text: &str) -> Result<()> {
    let code: String =
        text.lines().map(|line| line.split(" #").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    ensure!(code.matches('{').count() == code.matches('}').count(), "braces do not match");
    let mut module = None;
    for line in code.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if !line.starts_with([' ', '}']) {
            let kind = line.split_whitespace().next().unwrap_or_default();
            let kinds = ["module", "removed", "import", "resource", "provider", "terraform", "data", "output"];
            ensure!(kinds.contains(&kind), "{kind} is no block of Terraform known here");
            module = (kind == "module").then(BTreeSet::new);
        } else if let (Some(variables), Some((name, _))) = (&mut module, line.split_once('=')) {
            variables.insert(name.trim().to_owned());
        } else if let (Some(variables), "}") = (&module, line) {
            variables_exist(variables)?;
        }
    }
    Ok(())
}

fn variables_exist(given: &BTreeSet<String>) -> Result<()> {
    let text = fs::read_to_string(workspace().join("deploy/aws/terraform/variables.tf"))?;
    let known: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("variable \"")?.split('"').next()).collect();
    for name in given.iter().filter(|name| *name != "source") {
        ensure!(known.contains(name.as_str()), "the module has no variable {name}");
    }
    for needed in ["cluster_name", "identity"] {
        ensure!(given.contains(needed), "the module needs {needed}");
    }
    Ok(())
}

/// Where recorded calls of a page go.
pub(super) fn log(dir: &Path) -> PathBuf {
    dir.join("calls")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(line: &str) -> Call {
        let mut words = line.split(' ').map(str::to_owned);
        Call { program: words.next().unwrap_or_default(), arguments: words.collect() }
    }

    #[test]
    fn what_does_not_exist_is_refused_by_the_rule_of_its_tool() {
        let chart = "deploy/helm/aurora-log-export-operator";
        for (line, wrong) in [
            (format!("helm install x {chart} --set clusterName=a --set operator.enableOutputs=true"), ""),
            (format!("helm install x {chart} --set serviceAccount.annotations.eks\\.amazonaws\\.com/role-arn=b"), ""),
            (format!("helm install x {chart} --set clustrName=a"), "no value clustrName"),
            (format!("helm install x {chart} --set operator.nope=a"), "no value operator.nope"),
            ("helm install x deploy/helm/nowhere".into(), "no chart"),
            ("helm frobnicate".into(), "not known"),
            ("cargo demo --once".into(), ""),
            ("cargo demo --twice".into(), "no flag --twice"),
            ("cargo xtask bench --objects 100".into(), ""),
            ("cargo xtask bunch".into(), "no command bunch"),
            ("cargo frob".into(), "no alias"),
            ("terraform state rm a.b".into(), ""),
            ("terraform state remove a.b".into(), "not known"),
            ("eksctl create".into(), "no rule"),
        ] {
            match check(&call(&line)) {
                Ok(_) => assert!(wrong.is_empty(), "{line} was accepted"),
                Err(error) => assert!(!wrong.is_empty() && error.to_string().contains(wrong), "{line}: {error}"),
            }
        }
    }

    #[test]
    fn a_module_block_names_variables_that_exist() {
        let block = |line: &str| format!("module \"x\" {{\n  source = \"y\"\n  cluster_name = \"a\"\n{line}\n}}\n");
        assert!(hcl(&block("  identity = \"irsa\"")).is_ok());
        assert!(hcl(&block("")).is_err());
        assert!(hcl(&block("  identity = \"irsa\"\n  clutser = 1")).is_err());
        assert!(hcl("removd {\n}\n").is_err());
        assert!(hcl("removed {\n").is_err());
    }
}
