//! Server-side apply of YAML, as GitOps tools do it.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::core::discovery::Scope;
use kube::{Client, ResourceExt, discovery};

use crate::paths::{files, workspace};
use crate::wait::wait_for;

/// The objects of a stream of YAML documents; empty documents are left out.
pub fn parse(yaml: &str) -> Result<Vec<DynamicObject>> {
    let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(yaml).context("not YAML")?;
    let objects = documents.into_iter().filter(|document| !document.is_null());
    objects.map(|document| serde_json::from_value(document).context("not a Kubernetes object")).collect()
}

/// The objects of a file.
pub fn parse_file(path: &Path) -> Result<Vec<DynamicObject>> {
    let yaml = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&yaml).with_context(|| format!("cannot parse {}", path.display()))
}

/// The CustomResourceDefinitions in the files of a directory.
pub fn crds_in(dir: &Path) -> Result<Vec<DynamicObject>> {
    let mut objects = Vec::new();
    for path in files(dir, "yaml")? {
        objects.extend(parse_file(&path)?);
    }
    objects.retain(|object| object.types.as_ref().is_some_and(|types| types.kind == "CustomResourceDefinition"));
    Ok(objects)
}

/// Those of `crds/`.
pub fn shipped_crds() -> Result<Vec<DynamicObject>> {
    crds_in(&workspace().join("crds"))
}

/// The manifest of an `AuroraLogExportPolicy`, one document of a stream; `spec` is YAML in flow style, or JSON.
pub fn manifest(namespace: &str, name: &str, spec: impl Display) -> String {
    format!(
        "---\napiVersion: auroralogexport.dev/v1alpha1\nkind: AuroraLogExportPolicy\n\
         metadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
    )
}

/// Applies `objects` in order as field manager `manager`, without force; gives them as stored. What has no namespace
/// goes to `default`.
pub async fn apply(client: &Client, manager: &str, objects: &[DynamicObject]) -> Result<Vec<DynamicObject>> {
    let mut stored = Vec::with_capacity(objects.len());
    for object in objects {
        let api = api_for(client, object).await?;
        let applied = api.patch(&object.name_any(), &PatchParams::apply(manager), &Patch::Apply(object)).await;
        stored.push(applied.map_err(plain).with_context(|| format!("cannot apply {}", describe(object)))?);
    }
    Ok(stored)
}

/// Applies CustomResourceDefinitions and waits until the API server serves them.
pub async fn apply_crds(client: &Client, manager: &str, objects: &[DynamicObject]) -> Result<()> {
    ensure!(!objects.is_empty(), "no CustomResourceDefinition found");
    apply(client, manager, objects).await?;
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for object in objects {
        let name = object.name_any();
        wait_for(&format!("CustomResourceDefinition {name}"), Duration::from_secs(30), async || {
            let conditions = api.get(&name).await?.status.and_then(|status| status.conditions).unwrap_or_default();
            let established = conditions.iter().any(|it| it.type_ == "Established" && it.status == "True");
            ensure!(established, "not established");
            // Established comes a moment before the new paths answer.
            api_for_crd(client, &name).await
        })
        .await?;
    }
    Ok(())
}

async fn api_for_crd(client: &Client, name: &str) -> Result<()> {
    let crd = Api::<CustomResourceDefinition>::all(client.clone()).get(name).await?;
    let version = crd.spec.versions.first().context("a CustomResourceDefinition without versions")?;
    let gvk = GroupVersionKind::gvk(&crd.spec.group, &version.name, &crd.spec.names.kind);
    let (resource, _) = discovery::pinned_kind(client, &gvk).await?;
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    api.list(&kube::api::ListParams::default().limit(1)).await?;
    Ok(())
}

/// The API of an object's kind, in its namespace.
pub async fn api_for(client: &Client, object: &DynamicObject) -> Result<Api<DynamicObject>> {
    let types = object.types.as_ref().context("an object without apiVersion and kind")?;
    let gvk = GroupVersionKind::try_from(types)?;
    let found = discovery::pinned_kind(client, &gvk).await;
    let (resource, capabilities) =
        found.with_context(|| format!("the cluster does not know {}, kind {}", types.api_version, types.kind))?;
    Ok(match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => {
            let namespace = object.namespace().unwrap_or_else(|| String::from("default"));
            Api::namespaced_with(client.clone(), &namespace, &resource)
        }
    })
}

/// What the API server said, without the whole `Status` around it, which says it twice more.
fn plain(error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) => anyhow!("{}", status.message),
        other => other.into(),
    }
}

/// `Kind namespace/name`, for messages.
pub fn describe(object: &DynamicObject) -> String {
    let kind = object.types.as_ref().map_or("object", |types| &types.kind);
    let namespace = object.namespace().map(|namespace| namespace + "/").unwrap_or_default();
    format!("{kind} {namespace}{}", object.name_any())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_documents_is_read() {
        let objects = parse(
            "# a comment\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: b\n  namespace: a\n",
        )
        .expect("valid");
        let described: Vec<String> = objects.iter().map(describe).collect();
        assert_eq!(described, ["Namespace a", "Secret a/b"]);
    }
}
