//! `spec.outputs`: the names and ARNs of policy and role, as a ConfigMap in the object's namespace.
//!
//! The object controls the `ConfigMap`, so Kubernetes deletes both together. One that the object does not control is never
//! changed, and keys of others in one that it controls stay. The leader watches those with the operator's label: one that
//! was edited or deleted is published again. Without changes a `ConfigMap` is read once an hour and not written.

mod published;
mod values;
pub mod watch;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Resource, ResourceExt};
use serde_json::json;

use crate::api::{FIELD_MANAGER, OutputsStatus, Reason};
use crate::kubernetes::Kubernetes;
use crate::kubernetes::call::{Result, bounded};
use crate::kubernetes::refusal::Refusal;
use crate::model::stored::PolicyObject;
use crate::pipeline::status::Publication;
pub use published::Outputs;
pub use values::Values;
use values::{LABEL, controls};

/// Publishes the values in the ConfigMap `name`, then deletes the one with the former name. `None`: only deletes.
///
/// # Errors
/// Errors of Kubernetes. A refusal that needs a person is in [`Publication::refused`] instead.
pub async fn publish(
    kubernetes: &Kubernetes,
    object: &PolicyObject,
    name: Option<&str>,
    values: &Values,
    published: &Outputs,
) -> Result<Publication> {
    let former = object.status.outputs.as_ref().map(|outputs| outputs.config_map_name.as_str());
    let refused =
        |reason, message| Ok(Publication { outputs: object.status.outputs.clone(), refused: Some((reason, message)) });
    match replace(kubernetes, object, name, former, values, published).await {
        Ok(Written::Yes) => Ok(Publication {
            outputs: name.map(|name| OutputsStatus { config_map_name: name.to_owned() }),
            refused: None,
        }),
        Ok(Written::Refused(message)) => refused(Reason::Conflict, message),
        Err(error) => match error.refusal() {
            Some(Refusal::MissingRight) => refused(
                Reason::NotPermitted,
                format!("{error}; outputs need the permissions in deploy/kustomize/components/outputs"),
            ),
            Some(refusal) => refused(refusal.reason(), error.to_string()),
            None if error.is_invalid() => refused(Reason::NotPermitted, error.to_string()),
            None => Err(error),
        },
    }
}

/// Whether a ConfigMap has the values now.
enum Written {
    Yes,
    /// It may not be changed, for this reason.
    Refused(String),
}

async fn replace(
    kubernetes: &Kubernetes,
    object: &PolicyObject,
    name: Option<&str>,
    former: Option<&str>,
    values: &Values,
    published: &Outputs,
) -> Result<Written> {
    if let Some(name) = name {
        if !published.has(object, name, values) {
            // Before the write: the watch may report it before the answer arrives.
            published.set(object, name, values);
            match write(kubernetes, object, name, values).await {
                Ok(Written::Yes) => {}
                failed => {
                    published.forget(&object.key());
                    return failed;
                }
            }
        }
    } else {
        published.forget(&object.key());
    }
    // Writes the new one first, so that there is always one.
    if let Some(former) = former.filter(|former| Some(*former) != name) {
        remove(kubernetes, object, former).await?;
    }
    Ok(Written::Yes)
}

async fn write(kubernetes: &Kubernetes, object: &PolicyObject, name: &str, values: &Values) -> Result<Written> {
    let api = config_maps(kubernetes, object);
    let what = what(object, name);
    let existing = bounded("get", &what, api.get_opt(name)).await?;
    if let Some(existing) = &existing {
        if !controls(object, existing) {
            return Ok(Written::Refused(format!(
                "ConfigMap {name} exists and is not controlled by this object, so it is not changed; choose another \
                 spec.outputs.configMapRef.name, or delete the ConfigMap"
            )));
        }
        if values.are_in(existing) {
            return Ok(Written::Yes);
        }
        if existing.immutable == Some(true) && !values.are_data_of(existing) {
            return Ok(Written::Refused(format!(
                "ConfigMap {name} is immutable and has other values; delete it, and the operator creates it again"
            )));
        }
    }
    let mut body = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "labels": { LABEL: FIELD_MANAGER },
            "ownerReferences": [{
                "apiVersion": PolicyObject::api_version(&()),
                "kind": PolicyObject::kind(&()),
                "name": object.name_any(),
                "uid": object.uid(),
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
        // Server-side apply leaves the keys of others.
        "data": values.data(),
    });
    if let Some(uid) = existing.and_then(|existing| existing.metadata.uid) {
        // The API server rejects the patch if another ConfigMap has the name by then.
        body["metadata"]["uid"] = json!(uid);
    }
    kubernetes.check_fence()?;
    let params = PatchParams::apply(FIELD_MANAGER).force();
    bounded("patch", &what, api.patch(name, &params, &Patch::Apply(&body))).await?;
    tracing::info!(config_map = name, "outputs published");
    Ok(Written::Yes)
}

/// Deletes the ConfigMap if the object controls it.
async fn remove(kubernetes: &Kubernetes, object: &PolicyObject, name: &str) -> Result<()> {
    let api = config_maps(kubernetes, object);
    let what = what(object, name);
    let Some(existing) = bounded("get", &what, api.get_opt(name)).await? else {
        return Ok(());
    };
    if !controls(object, &existing) {
        return Ok(());
    }
    kubernetes.check_fence()?;
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: existing.metadata.uid, resource_version: None }),
        ..DeleteParams::default()
    };
    match bounded("delete", &what, api.delete(name, &params)).await {
        Err(error) if error.is_not_found() => Ok(()),
        result => result.map(drop),
    }
}

fn config_maps(kubernetes: &Kubernetes, object: &PolicyObject) -> Api<ConfigMap> {
    Api::namespaced(kubernetes.client().clone(), object.metadata.namespace.as_deref().unwrap_or_default())
}

fn what(object: &PolicyObject, name: &str) -> String {
    format!("configmap {}/{name}", object.metadata.namespace.as_deref().unwrap_or_default())
}
