//! `deploy/argocd/samples` against the CRDs that this Argo CD ships with, on a real API server.

use anyhow::{Context, Result, ensure};
use aurora_test_support::apply;
use aurora_test_support::environment::Environment;
use aurora_test_support::paths::{files, workspace};

use super::super::process::read;
use super::super::say;

/// Nothing is stored: each sample is validated as if it were, unknown fields being errors.
pub(super) async fn are_valid(env: &Environment) -> Result<()> {
    let mut kinds = Vec::new();
    for path in files(&workspace().join("deploy/argocd/samples"), "yaml")? {
        let text = read(&path)?;
        dry_run(env, &text).await.with_context(|| path.display().to_string())?;
        for object in apply::parse(&text)? {
            kinds.extend(object.types.map(|types| types.kind));
        }
        // The check itself can fail, also deep inside.
        let misspelt = text.replacen("syncOptions:", "syncOption:", 1);
        let error = dry_run(env, &misspelt).await.err().map(|error| error.to_string()).unwrap_or_default();
        ensure!(error.contains("syncOption"), "{}: a misspelt field is not found: {error}", path.display());
    }
    for kind in ["Application", "ApplicationSet"] {
        ensure!(kinds.iter().any(|found| found == kind), "there is no sample of kind {kind}, only {kinds:?}");
    }
    say(&format!("{} samples pass Argo CD's own CRDs: {}", kinds.len(), kinds.join(", ")));
    Ok(())
}

async fn dry_run(env: &Environment, text: &str) -> Result<String> {
    let arguments = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"];
    env.kubectl_with(env.kubeconfig(), &arguments, Some(text)).await
}
