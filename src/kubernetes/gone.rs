//! Whether an object is really gone: a watch or a list may say so after the API server's data was restored from a backup.

use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use super::call::{Result, bounded};
use crate::model::stored::PolicyObject;

/// What the API server has under the name of an object that seems to be gone.
#[derive(Debug)]
pub enum Existence {
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
pub async fn existence(client: &Client, object: &PolicyObject) -> Result<Existence> {
    let api: Api<PolicyObject> = Api::namespaced(client.clone(), object.namespace());
    let named = ListParams::default().fields(&format!("metadata.name={}", object.name()));
    let what = format!("auroralogexportpolicy {}", object.key());
    let list = bounded("list", &what, api.list(&named)).await?;
    let revision = list.metadata.resource_version.as_deref().and_then(|version| version.parse().ok());
    Ok(judge(object, revision, list.items.into_iter().find(|found| found.name_any() == object.name())))
}

/// `revision` is that of the list, `found` what it has under the object's name.
fn judge(object: &PolicyObject, revision: Option<u64>, found: Option<PolicyObject>) -> Existence {
    match found {
        Some(found) if found.uid() == object.uid() => Existence::Exists,
        _ if revision < object.resource_version() => Existence::Restored,
        found => Existence::Gone(found.map(Box::new)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(uid: &str, version: &str) -> PolicyObject {
        let metadata = json!({ "namespace": "shop", "name": "orders", "uid": uid, "resourceVersion": version });
        serde_json::from_value(json!({ "metadata": metadata, "spec": {} })).unwrap()
    }

    #[test]
    fn an_object_is_gone_only_if_the_api_servers_data_is_newer() {
        let last = object("one", "100");
        let another = || Some(object("two", "120"));
        assert!(matches!(judge(&last, Some(130), None), Existence::Gone(None)));
        assert!(matches!(judge(&last, Some(130), another()), Existence::Gone(Some(found)) if found.uid() == "two"));
        assert!(matches!(judge(&last, Some(130), Some(object("one", "90"))), Existence::Exists));
        // etcd was restored from a backup that is older than the object.
        for revision in [Some(99), None] {
            assert!(matches!(judge(&last, revision, None), Existence::Restored));
            assert!(matches!(judge(&last, revision, another()), Existence::Restored));
        }
    }
}
