//! Every manifest of docs, examples and samples passes a real API server's strict validation.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow, ensure};
use aurora_test_support::apply::{api_for, describe, parse};
use aurora_test_support::environment::Environment;
use aurora_test_support::paths::workspace;
use kube::api::{DynamicObject, Patch, PatchParams, ValidationDirective};

use super::markdown::{Mark, files, pages};
use crate::environment;

/// Kinds of other projects, whose CRDs are not here. `tests/support/delivery` reads Flux's and the Prometheus operator's
/// into their own types; `cargo xtask ci --only argocd` has Argo CD's CRDs.
const OTHERS: &[(&str, &str)] = &[
    ("argoproj.io/", "Argo CD's"),
    ("toolkit.fluxcd.io/", "Flux's"),
    ("kustomize.config.k8s.io/", "kustomize's, not an object of the cluster"),
    ("monitoring.coreos.com/", "the Prometheus operator's"),
];

/// Applies without storing; unknown fields are errors.
async fn dry_run(env: &Environment, object: &DynamicObject) -> Result<()> {
    let parameters = PatchParams {
        dry_run: true,
        force: true,
        field_manager: Some("docs".into()),
        field_validation: Some(ValidationDirective::Strict),
    };
    let api = api_for(&env.client().await?, object).await?;
    let name = object.metadata.name.as_deref().context("an object without a name")?;
    let applied = api.patch(name, &parameters, &Patch::Apply(object)).await;
    applied.map(drop).map_err(|error| match error {
        kube::Error::Api(status) => anyhow!("{}: {}", describe(object), status.message),
        other => anyhow!("{}: {other}", describe(object)),
    })
}

/// Checks a stream of objects; gives what was left out and whose it is.
async fn check(env: &Environment, yaml: &str) -> Result<(usize, Vec<String>)> {
    let (mut applied, mut left) = (0, Vec::new());
    let mut namespaces = BTreeSet::new();
    for object in parse(yaml)? {
        let version = object.types.as_ref().map(|types| types.api_version.clone()).unwrap_or_default();
        if let Some((_, whose)) = OTHERS.iter().find(|(group, _)| version.contains(group)) {
            left.push(format!("{} is {whose}", describe(&object)));
            continue;
        }
        if let Some(namespace) = object.metadata.namespace.clone()
            && namespaces.insert(namespace.clone())
        {
            // A dry run needs the namespace to be there.
            let yaml = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n");
            env.apply_yaml(&yaml).await?;
        }
        dry_run(env, &object).await?;
        applied += 1;
    }
    Ok((applied, left))
}

#[tokio::test]
async fn every_manifest_in_the_docs_is_one_that_the_api_server_takes() -> Result<()> {
    let env = environment().await?;
    let (mut wrong, mut applied) = (Vec::new(), 0);
    for page in pages()?.values() {
        for block in page.blocks.iter().filter(|it| ["yaml", "yml"].contains(&it.language.as_str())) {
            if matches!(block.mark, Some(Mark::NotRun(_))) {
                continue;
            }
            match check(env, &block.text).await {
                Ok((count, left)) if left.is_empty() && count > 0 => applied += count,
                Ok((0, left)) if left.is_empty() => wrong.push(format!("{}: no object", page.at(block.line))),
                Ok((_, left)) => {
                    wrong.push(format!("{}: mark it as not run: {}", page.at(block.line), left.join("; ")));
                }
                Err(error) => wrong.push(format!("{}: {error:#}", page.at(block.line))),
            }
        }
    }
    println!("{applied} manifests of the docs applied, as a dry run");
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(applied >= 3, "only {applied} manifests were found");
    Ok(())
}

#[tokio::test]
async fn every_example_sample_and_overlay_applies() -> Result<()> {
    let env = environment().await?;
    let (mut wrong, mut applied, mut left) = (Vec::new(), 0, Vec::new());
    let mut files = [files("examples", "yaml")?, files("deploy", "yaml")?].concat();
    files.retain(|path| path.starts_with("examples") || path.iter().any(|part| part == "samples" || part == "flux"));
    ensure!(files.len() >= 8, "only {files:?}");
    let mut texts = Vec::new();
    for path in &files {
        texts.push((path.display().to_string(), std::fs::read_to_string(workspace().join(path))?));
    }
    for dir in [
        "crds",
        "deploy/kustomize/overlays/irsa",
        "deploy/kustomize/overlays/pod-identity",
        "deploy/kustomize/overlays/single-namespace",
        "deploy/kustomize/overlays/development",
        "deploy/admission/policies",
        "deploy/admission/bindings",
        "deploy/monitoring",
    ] {
        texts.push((dir.into(), env.kubectl(&["kustomize", &workspace().join(dir).display().to_string()]).await?));
    }
    for (path, text) in texts {
        match check(env, &text).await {
            Ok((count, others)) => {
                applied += count;
                left.extend(others.into_iter().map(|other| format!("{path}: {other}")));
            }
            Err(error) => wrong.push(format!("{path}: {error:#}")),
        }
    }
    println!("{applied} objects applied, as a dry run; of other projects:\n{}", left.join("\n"));
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(applied >= 40, "only {applied} objects were found");
    Ok(())
}

#[tokio::test]
async fn a_manifest_with_a_misspelled_field_is_refused() -> Result<()> {
    let env = environment().await?;
    let yaml = "apiVersion: auroralogexport.dev/v1alpha1\nkind: AuroraLogExportPolicy\nmetadata: {name: x, namespace: default}\nspec: {scoop: {}}\n";
    let error = check(env, yaml).await.expect_err("refused").to_string();
    ensure!(error.contains("scoop"), "{error}");
    Ok(())
}
