//! The output of `import`: manifests, the commands that give consent, and what was not imported.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use serde_json::json;

use super::derive::{Import, Manifest};
use crate::api::TAG_ADOPTABLE_BY;

/// Returns a manifest as YAML, with its notes as comments.
fn yaml(manifest: &Manifest) -> anyhow::Result<String> {
    let object = json!({
        "apiVersion": "auroralogexport.dev/v1alpha1",
        "kind": "AuroraLogExportPolicy",
        "metadata": { "name": &*manifest.owner.name, "namespace": &*manifest.owner.namespace },
        "spec": manifest.spec,
    });
    let mut text = String::new();
    for note in &manifest.notes {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# {note}");
    }
    text.push_str(&serde_saphyr::to_string(&object).context("cannot serialize the manifest to YAML")?);
    Ok(text)
}

/// Returns the commands that set the consent tags on the role and the policy.
fn consent(manifest: &Manifest) -> Vec<String> {
    let tag = format!("--tags Key={TAG_ADOPTABLE_BY},Value={}", manifest.consent);
    let role = format!("aws iam tag-role --role-name {} {tag}", manifest.role_name);
    let policy = manifest.policy_arn.as_ref().map(|arn| format!("aws iam tag-policy --policy-arn {arn} {tag}"));
    std::iter::once(role).chain(policy).collect()
}

/// Returns everything as one YAML stream. The consent commands are comments, so that the stream can be applied.
pub(super) fn to_stream(import: &Import, cluster: &str) -> anyhow::Result<String> {
    let mut text = format!("# Adopts roles and policies for cluster {cluster}. These commands give consent:\n");
    for command in import.manifests().flat_map(consent) {
        let _ = writeln!(text, "#   {command}");
    }
    for manifest in import.manifests() {
        let _ = write!(text, "---\n{}", yaml(manifest)?);
    }
    Ok(text)
}

/// Writes one file per object, and `consent.sh`.
pub(super) fn to_directory(import: &Import, cluster: &str, dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create the directory {}", dir.display()))?;
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    let mut script =
        format!("#!/bin/sh\n# Lets cluster {cluster} adopt these roles and policies. It changes only tags.\nset -eu\n");
    for manifest in import.manifests() {
        write(&format!("{}.yaml", manifest.owner.name), &yaml(manifest)?)?;
        for command in consent(manifest) {
            let _ = writeln!(script, "{command}");
        }
    }
    write("consent.sh", &script)
}

/// Returns the summary: counts, what was not imported, and the next step.
pub(super) fn summary(import: &Import, dir: Option<&Path>) -> String {
    let count = import.manifests().count();
    let left: Vec<_> = import.not_imported().collect();
    let mut text = format!("{count} imported, {} not imported", left.len());
    for (what, why) in &left {
        let _ = write!(text, "\n  {what}: {why}");
    }
    if !left.is_empty() {
        text.push_str("\nTo import one of these, correct it in AWS and run import again.");
    }
    for note in &import.notes {
        let _ = write!(text, "\nnote: {note}");
    }
    if count > 0 {
        let _ = match dir {
            Some(dir) => write!(
                text,
                "\nNext steps: sh {0}/consent.sh; aurora-log-export-operator plan -f {0}; kubectl apply -f {0}",
                dir.display()
            ),
            None => write!(
                text,
                "\nNext steps: save the output to FILE, run the commands at its top; aurora-log-export-operator plan \
                 -f FILE; kubectl apply -f FILE"
            ),
        };
    }
    text
}
