//! What `import` hands over: manifests, the commands that give consent, and what was left with its reason.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use serde_json::json;

use super::derive::{Import, Manifest};
use crate::api::TAG_ADOPTABLE_BY;

/// One manifest as YAML, with what to know about it as comments.
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
    text.push_str(&serde_saphyr::to_string(&object).context("the manifest cannot be written as YAML")?);
    Ok(text)
}

/// The commands that hand role and policy over.
fn consent(manifest: &Manifest) -> Vec<String> {
    let tag = format!("--tags Key={TAG_ADOPTABLE_BY},Value={}", manifest.consent);
    let role = format!("aws iam tag-role --role-name {} {tag}", manifest.role_name);
    let policy = manifest.policy_arn.as_ref().map(|arn| format!("aws iam tag-policy --policy-arn {arn} {tag}"));
    std::iter::once(role).chain(policy).collect()
}

/// Everything in one YAML stream: consent and leftovers as comments, so that it can be applied as it is.
pub(super) fn to_stream(import: &Import, cluster: &str) -> anyhow::Result<String> {
    let mut text = format!("# Adopts roles and policies for cluster {cluster}. Consent is given by these commands:\n");
    for command in import.manifests().flat_map(consent) {
        let _ = writeln!(text, "#   {command}");
    }
    for manifest in import.manifests() {
        let _ = write!(text, "---\n{}", yaml(manifest)?);
    }
    Ok(text)
}

/// One file per object, and `consent.sh`.
pub(super) fn to_directory(import: &Import, cluster: &str, dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    let mut script = format!(
        "#!/bin/sh\n# Lets cluster {cluster} take over these roles and policies. Nothing but tags changes.\nset -eu\n"
    );
    for manifest in import.manifests() {
        write(&format!("{}.yaml", manifest.owner.name), &yaml(manifest)?)?;
        for command in consent(manifest) {
            let _ = writeln!(script, "{command}");
        }
    }
    write("consent.sh", &script)
}

/// For people: counts, leftovers, and what comes next.
pub(super) fn summary(import: &Import, dir: Option<&Path>) -> String {
    let count = import.manifests().count();
    let left: Vec<_> = import.not_imported().collect();
    let mut text = format!("{count} imported, {} left as they are", left.len());
    for (what, why) in left {
        let _ = write!(text, "\n  {what}: {why}");
    }
    for note in &import.notes {
        let _ = write!(text, "\nnote: {note}");
    }
    if count > 0 {
        let _ = match dir {
            Some(dir) => write!(
                text,
                "\nNext: sh {0}/consent.sh, then aurora-log-export-operator plan -f {0}, then kubectl apply -f {0}",
                dir.display()
            ),
            None => write!(text, "\nNext: run the commands at the top, then plan -f, then kubectl apply -f"),
        };
    }
    text
}
