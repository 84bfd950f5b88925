//! The software bill of materials of what is delivered, in CycloneDX, and whether it says what `Cargo.lock` says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use aurora_test_support::paths::{target_dir, workspace};
use serde_json::Value;

use super::process::{self, fresh_dir, read};
use super::{say, tools};
use crate::operator_binary;

const GENERATOR: &str = "cargo-cyclonedx";
const VERSION: &str = "0.5.9";
const OPERATOR: &str = "aurora-log-export-operator";

/// What the operator certainly contains, and what only its tests do.
const CONTAINED: [&str; 3] = ["kube", "aws-sdk-iam", "aws-sdk-sts"];
const NOT_CONTAINED: [&str; 2] = ["proptest", "aurora-test-support"];

pub(super) async fn check() -> Result<()> {
    let generator = generator().await?;
    let sources = copy_of_sources()?;
    process::run("writing the bill of materials", operator_binary::cargo(), |command| {
        command.current_dir(&sources).arg("cyclonedx").args(["--format", "json", "--spec-version", "1.5"]);
        command.args(["--override-filename", "bom"]);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places = generator.parent().map(Path::to_owned).into_iter().chain(std::env::split_paths(&path));
        // What `PATH` held was joined once already.
        command.env("PATH", std::env::join_paths(places).unwrap_or(path));
        operator_binary::remove_package_variables(command);
    })
    .await?;
    // The path of the sources differs from one machine to the next.
    let bom = read(&sources.join("bom.json"))?.replace(&sources.display().to_string(), "/");
    let target = target_dir().join(format!("sbom/{OPERATOR}.cdx.json"));
    process::write(&target, &bom)?;
    let components = compare(&serde_json::from_str(&bom)?, &locked(&read(&workspace().join("Cargo.lock"))?))?;
    say(&format!("{components} components, each with its version of Cargo.lock: {}", target.display()));
    Ok(())
}

/// The pinned generator, installed if it is not there.
async fn generator() -> Result<PathBuf> {
    let binary = tools::tools_dir().join("bin").join(GENERATOR);
    let version = process::output(&binary, |command| {
        command.args(["cyclonedx", "--version"]);
    });
    if version.await.is_ok_and(|version| version.trim().ends_with(VERSION)) {
        return Ok(binary);
    }
    say(&format!("installing {GENERATOR} {VERSION} (about 3 minutes)"));
    process::run(&format!("installing {GENERATOR}"), operator_binary::cargo(), |command| {
        // Without optimization: it runs for a second, and would compile for minutes more.
        command.args(["install", "--locked", "--debug", "--root"]).arg(tools::tools_dir());
        command.arg(format!("{GENERATOR}@{VERSION}"));
        operator_binary::remove_package_variables(command);
    })
    .await?;
    Ok(binary)
}

/// The generator writes beside each Cargo.toml: not into the source tree.
fn copy_of_sources() -> Result<PathBuf> {
    let target = fresh_dir("sbom")?;
    for name in ["Cargo.toml", "Cargo.lock", "README.md", "src", "xtask", "tests/support"] {
        process::copy(&workspace().join(name), &target.join(name))?;
    }
    Ok(target)
}

/// Name and version of every package of a lock file.
fn locked(lock: &str) -> BTreeSet<(String, String)> {
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
        line.map(|rest| rest.trim_end_matches('"').to_owned())
    };
    let blocks = lock.split("[[package]]").skip(1);
    blocks.filter_map(|block| Some((field(block, "name")?, field(block, "version")?))).collect()
}

/// How many components the bill lists, each of which the lock has.
fn compare(bom: &Value, locked: &BTreeSet<(String, String)>) -> Result<usize> {
    ensure!(bom["bomFormat"] == "CycloneDX", "not a CycloneDX document");
    ensure!(
        bom["metadata"]["component"]["name"] == OPERATOR,
        "the bill is of {}",
        bom["metadata"]["component"]["name"]
    );
    let components = bom["components"].as_array().context("the bill lists no components")?;
    let mut names = BTreeSet::new();
    for component in components {
        let field = |name: &str| component[name].as_str().unwrap_or_default().to_owned();
        let (name, version) = (field("name"), field("version"));
        ensure!(locked.contains(&(name.clone(), version.clone())), "{name} {version} is not in Cargo.lock");
        ensure!(field("purl").starts_with(&format!("pkg:cargo/{name}@{version}")), "{name} has no package URL");
        names.insert(name);
    }
    for name in CONTAINED {
        ensure!(names.contains(name), "the bill lacks {name}");
    }
    for name in NOT_CONTAINED {
        ensure!(!names.contains(name), "the bill lists {name}, which is not delivered");
    }
    Ok(components.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bill(version: &str) -> Value {
        let component = |name: &str| {
            let version = if name == "kube" { version } else { "1.0.0" };
            json!({ "name": name, "version": version, "purl": format!("pkg:cargo/{name}@{version}") })
        };
        let components = CONTAINED.map(component);
        json!({ "bomFormat": "CycloneDX", "metadata": { "component": { "name": OPERATOR } }, "components": components })
    }

    #[test]
    fn another_version_than_the_locked_one_is_told() {
        let lock = CONTAINED.map(|name| format!("[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\n")).join("\n");
        let locked = locked(&lock);
        assert_eq!(compare(&bill("1.0.0"), &locked).expect("equal"), 3);
        let error = compare(&bill("1.0.1"), &locked).expect_err("another version").to_string();
        assert_eq!(error, "kube 1.0.1 is not in Cargo.lock");
    }
}
