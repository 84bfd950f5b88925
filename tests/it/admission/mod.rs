//! What the API server refuses and accepts, by the CRDs alone: no operator runs here.

mod accepted;
mod accounts;
mod newer;
mod nulls;
mod offline;
mod policies;
mod policy_cases;
mod stored;
mod updates;

use anyhow::{Context, Result, bail};
use kube::Client;
use serde_json::Value;

/// One manifest's spec, and what the refusal must say.
struct Case {
    /// The lines below `spec:`.
    spec: String,
    /// The field's path as the API server writes it, and words of the message.
    refusal: &'static [&'static str],
}

fn case(spec: impl Into<String>, refusal: &'static [&'static str]) -> Case {
    Case { spec: spec.into(), refusal }
}

/// `a, a, a, …`: so many of an item, told apart by `{}`.
fn items(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(", ")
}

/// A manifest with these lines below `spec:`.
fn policy(namespace: &str, name: &str, spec: &str) -> String {
    manifest("AuroraLogExportPolicy", &format!("{{name: {name}, namespace: {namespace}}}"), spec)
}

fn account(name: &str, spec: &str) -> String {
    manifest("AwsAccount", &format!("{{name: {name}}}"), spec)
}

fn manifest(kind: &str, metadata: &str, spec: &str) -> String {
    let spec = spec.replace('\n', "\n  ");
    format!("apiVersion: auroralogexport.dev/v1alpha1\nkind: {kind}\nmetadata: {metadata}\nspec:\n  {spec}\n")
}

fn policies_path(namespace: &str) -> String {
    format!("/apis/auroralogexport.dev/v1alpha1/namespaces/{namespace}/auroralogexportpolicies")
}

const ACCOUNTS_PATH: &str = "/apis/auroralogexport.dev/v1alpha1/awsaccounts";

/// Sends the manifest as kubectl does (unknown and repeated fields are errors), but as text, so that nothing on the way
/// reads it differently. Gives the stored object, or the API server's message as an error.
async fn create(client: &Client, path: &str, manifest: &str, dry_run: bool) -> Result<Value> {
    let dry_run = if dry_run { "&dryRun=All" } else { "" };
    let request = hyper::Request::post(format!("{path}?fieldValidation=Strict&fieldManager=test{dry_run}"))
        .header("content-type", "application/yaml")
        .body(manifest.as_bytes().to_vec())?;
    match client.request::<Value>(request).await {
        Ok(object) => Ok(object),
        Err(kube::Error::Api(status)) => bail!("{}", status.message),
        Err(error) => Err(error).context("the API server did not answer"),
    }
}

/// Creates every case and gives what was not refused as it should have been.
async fn not_refused_properly(
    client: &Client,
    path: &str,
    cases: &[Case],
    manifest: impl Fn(&Case) -> String,
) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for case in cases {
        match create(client, path, &manifest(case), false).await {
            Ok(_) => wrong.push(format!("accepted: {}", case.spec)),
            Err(error) => {
                let message = error.to_string();
                let silent: Vec<_> = case.refusal.iter().filter(|words| !message.contains(**words)).collect();
                if !silent.is_empty() {
                    wrong.push(format!("{}\n    says: {message}\n    lacks: {silent:?}", case.spec));
                }
            }
        }
    }
    Ok(wrong)
}
