//! Whether an object is really gone: a watch or a list may say so after the API server's data was restored from a backup.

use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use super::call::{Result, bounded};
use crate::model::stored::PolicyObject;

/// What the API server has under the name of an object that seems to be gone.
#[derive(Debug)]
pub enum Now {
    /// The object itself.
    Exists,
    /// Nothing, or another object of that name.
    Gone(Option<Box<PolicyObject>>),
    /// The API server's data is older than the object's last version.
    Restored,
}

/// Reads what has the name of this object now. This is a list, because the operator has no right to `get`.
///
/// # Errors
/// If the API server refuses or does not answer.
pub async fn now(client: &Client, object: &PolicyObject) -> Result<Now> {
    let api: Api<PolicyObject> = Api::namespaced(client.clone(), object.namespace());
    let named = ListParams::default().fields(&format!("metadata.name={}", object.name()));
    let what = format!("auroralogexportpolicy {}", object.key());
    let list = bounded("list", &what, api.list(&named)).await?;
    let revision = list.metadata.resource_version.as_deref().and_then(|version| version.parse::<u64>().ok());
    let found = list.items.into_iter().find(|found| found.name_any() == object.name());
    Ok(match found {
        Some(found) if found.uid() == object.uid() => Now::Exists,
        _ if revision < object.resource_version() => Now::Restored,
        found => Now::Gone(found.map(Box::new)),
    })
}
