//! `spec.outputs`: the names and ARNs of policy and role, as a ConfigMap in the object's namespace.
//!
//! The object controls the ConfigMap, so Kubernetes deletes both together. A ConfigMap that the object does not control
//! is never changed. Without changes the ConfigMap is read once an hour and not written.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Resource, ResourceExt};
use serde_json::json;

use crate::api::{FIELD_MANAGER, OutputsStatus, Reason};
use crate::kubernetes::Kubernetes;
use crate::kubernetes::call::{Result, bounded};
use crate::model::stored::PolicyObject;
use crate::pipeline::status::Publication;

/// `ConfigMaps` are not watched: one that was edited or deleted manually is restored within this time.
const CHECK_INTERVAL: Duration = Duration::from_hours(1);

/// The values that are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values {
    /// ARN of the role.
    pub role_arn: String,
    /// Name of the role.
    pub role_name: String,
    /// ARN of the policy that is attached to the role.
    pub policy_arn: String,
    /// The account id of both.
    pub account_id: String,
}

impl Values {
    fn data(&self) -> BTreeMap<String, String> {
        let Self { role_arn, role_name, policy_arn, account_id } = self;
        [("roleArn", role_arn), ("roleName", role_name), ("policyArn", policy_arn), ("accountId", account_id)]
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .into()
    }
}

/// What this process has written, or has read as already published.
#[derive(Clone, Debug)]
pub struct Published {
    name: String,
    values: Values,
    at: Instant,
}

/// Publishes the values in the ConfigMap `name`, then deletes the one with the former name. `None`: only deletes.
///
/// # Errors
/// Errors of Kubernetes. A refusal that needs a person is in [`Publication::refused`] instead.
pub async fn publish(
    kubernetes: &Kubernetes,
    object: &PolicyObject,
    name: Option<&str>,
    values: &Values,
    published: &mut Option<Box<Published>>,
) -> Result<Publication> {
    let former = object.status.outputs.as_ref().map(|outputs| outputs.config_map_name.as_str());
    match replace(kubernetes, object, name, former, values, published).await {
        Ok(publication) => Ok(publication),
        Err(error) if error.is_forbidden() => Ok(Publication {
            outputs: object.status.outputs.clone(),
            refused: Some((
                Reason::NotPermitted,
                format!("{error}; outputs need the permissions in deploy/kustomize/components/outputs"),
            )),
        }),
        Err(error) => Err(error),
    }
}

async fn replace(
    kubernetes: &Kubernetes,
    object: &PolicyObject,
    name: Option<&str>,
    former: Option<&str>,
    values: &Values,
    published: &mut Option<Box<Published>>,
) -> Result<Publication> {
    if let Some(name) = name {
        let known = published.as_ref().is_some_and(|published| {
            published.name == name && published.values == *values && published.at.elapsed() < CHECK_INTERVAL
        });
        if !known && !write(kubernetes, object, name, values).await? {
            *published = None;
            let message = format!(
                "ConfigMap {name} exists and is not controlled by this object, so it is not changed; choose another \
                 spec.outputs.configMapRef.name, or delete the ConfigMap"
            );
            return Ok(Publication {
                outputs: object.status.outputs.clone(),
                refused: Some((Reason::Conflict, message)),
            });
        }
        if !known {
            *published =
                Some(Box::new(Published { name: name.to_owned(), values: values.clone(), at: Instant::now() }));
        }
    } else {
        *published = None;
    }
    // Writes the new one first, so that there is always one.
    if let Some(former) = former.filter(|former| Some(*former) != name) {
        remove(kubernetes, object, former).await?;
    }
    Ok(Publication { outputs: name.map(|name| OutputsStatus { config_map_name: name.to_owned() }), refused: None })
}

/// True if the object controls the ConfigMap.
fn controls(object: &PolicyObject, config_map: &ConfigMap) -> bool {
    config_map.owner_references().iter().any(|owner| owner.uid == object.uid() && owner.controller == Some(true))
}

/// Returns false if the object does not control the existing ConfigMap of this name.
async fn write(kubernetes: &Kubernetes, object: &PolicyObject, name: &str, values: &Values) -> Result<bool> {
    let api = config_maps(kubernetes, object);
    let what = what(object, name);
    let data = values.data();
    let existing = bounded("get", &what, api.get_opt(name)).await?;
    if let Some(existing) = &existing {
        if !controls(object, existing) {
            return Ok(false);
        }
        if existing.data.as_ref() == Some(&data) {
            return Ok(true);
        }
    }
    let mut body = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "ownerReferences": [{
                "apiVersion": PolicyObject::api_version(&()),
                "kind": PolicyObject::kind(&()),
                "name": object.name_any(),
                "uid": object.uid(),
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        },
        "data": data,
    });
    if let Some(uid) = existing.and_then(|existing| existing.metadata.uid) {
        // The API server rejects the patch if another ConfigMap has the name by then.
        body["metadata"]["uid"] = json!(uid);
    }
    kubernetes.check_fence()?;
    let params = PatchParams::apply(FIELD_MANAGER).force();
    bounded("patch", &what, api.patch(name, &params, &Patch::Apply(&body))).await?;
    tracing::info!(config_map = name, "outputs published");
    Ok(true)
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
