//! Manifests from files, directories and standard input.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::api::account::AwsAccountSpec;
use crate::model::stored::PolicyObject;

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
            let documents: Vec<Value> = serde_saphyr::from_multiple(&text)
                .with_context(|| format!("{} is not valid YAML; correct the file", file.display()))?;
            for document in documents {
                take(&mut manifests, &file, default_namespace, document)?;
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
    match document["kind"].as_str() {
        Some("AuroraLogExportPolicy") => {
            let mut object = PolicyObject::deserialize(document).with_context(|| {
                format!("{}: the metadata of an AuroraLogExportPolicy is not valid; correct it", file.display())
            })?;
            if object.metadata.name.is_none() {
                bail!("{}: an AuroraLogExportPolicy has no metadata.name; add it", file.display());
            }
            object.metadata.namespace.get_or_insert_with(|| default_namespace.to_owned());
            manifests.objects.push(object);
        }
        Some("AwsAccount") => {
            let name = document["metadata"]["name"]
                .as_str()
                .with_context(|| format!("{}: an AwsAccount has no metadata.name; add it", file.display()))?
                .to_owned();
            let spec = serde_json::from_value(document["spec"].take()).with_context(|| {
                format!("{}: the spec of AwsAccount {name} is not valid; correct it", file.display())
            })?;
            manifests.accounts.push((name, spec));
        }
        _ => {}
    }
    Ok(())
}
