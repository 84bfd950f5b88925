//! Manifests from files, directories and standard input, judged as `kubectl apply` and the API server judge them.

mod account;
mod judge;
mod yaml;

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::api::account::AwsAccountSpec;
use crate::model::stored::{AccountObject, PolicyObject};

const API_VERSION: &str = "auroralogexport.dev/v1alpha1";

/// The objects of our kinds in files. Other kinds are skipped.
#[derive(Debug, Default)]
pub(super) struct Manifests {
    /// `AuroraLogExportPolicy`s. Without a namespace they get the default one.
    pub(super) objects: Vec<PolicyObject>,
    /// `AwsAccount`s by name.
    pub(super) accounts: Vec<(String, AwsAccountSpec)>,
}

/// Reads files, directories (their `.yaml`, `.yml` and `.json` files) and `-`.
///
/// # Errors
/// An error that names the file.
pub(super) fn read(paths: &[PathBuf], default_namespace: &str) -> anyhow::Result<Manifests> {
    let mut manifests = Manifests::default();
    for path in paths {
        for file in files(path)? {
            let text = read_text(&file)?;
            let documents = yaml::documents(&text)
                .with_context(|| format!("{} is not valid YAML; correct the file", file.display()))?;
            for yaml::Document { value, warnings } in documents {
                for warning in warnings {
                    eprintln!("warning: {}: {warning}", file.display());
                }
                take(&mut manifests, &file, default_namespace, value)?;
            }
        }
    }
    Ok(manifests)
}

fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("cannot read the directory {}", path.display()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| {
            file.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known))
        })
        .collect();
    files.sort();
    if files.is_empty() {
        bail!("the directory {} contains no .yaml, .yml or .json file; give another path", path.display());
    }
    Ok(files)
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    if path.as_os_str() != "-" {
        return std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
    Ok(text)
}

fn take(manifests: &mut Manifests, file: &Path, default_namespace: &str, mut document: Value) -> anyhow::Result<()> {
    if document["kind"] == "List"
        && let Some(items) = document["items"].as_array_mut()
    {
        for item in std::mem::take(items) {
            take(manifests, file, default_namespace, item)?;
        }
        return Ok(());
    }
    let kind = match document["kind"].as_str() {
        Some("AuroraLogExportPolicy") => "AuroraLogExportPolicy",
        Some("AwsAccount") => "AwsAccount",
        _ => return Ok(()),
    };
    match document["apiVersion"].as_str() {
        Some(API_VERSION) => {}
        Some(other) if !other.starts_with("auroralogexport.dev/") => return Ok(()),
        Some(other) => bail!("{}: {kind} has no version {other}; write apiVersion: {API_VERSION}", file.display()),
        None => {
            bail!("{}: an object of kind {kind} has no apiVersion; write apiVersion: {API_VERSION}", file.display())
        }
    }
    let name = document["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let problems = judge::problems(kind, &mut document);
    if !problems.is_empty() {
        bail!("{}: {kind} {name}: {}", file.display(), problems.join("; "));
    }
    if name.is_empty() {
        bail!("{}: an object of kind {kind} has no metadata.name; add it", file.display());
    }
    let invalid = || format!("{}: the metadata of {kind} {name} is not valid; correct it", file.display());
    if kind == "AwsAccount" {
        let account = AccountObject::deserialize(document).with_context(invalid)?;
        let spec = account.spec.map_err(|error| anyhow!("{}: {kind} {name}: {error}", file.display()))?;
        let problems = account::problems(&spec);
        if !problems.is_empty() {
            bail!("{}: {kind} {name}: {}", file.display(), problems.join("; "));
        }
        manifests.accounts.push((name, *spec));
        return Ok(());
    }
    let mut object = PolicyObject::deserialize(document).with_context(invalid)?;
    object.metadata.namespace.get_or_insert_with(|| default_namespace.to_owned());
    manifests.objects.push(object);
    Ok(())
}
