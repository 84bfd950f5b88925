//! Orphans: resources that carry our tags and belong to no object. They are counted, never deleted.

use crate::api::{AuroraLogExportPolicyStatus, TAG_CLUSTER_UID, TAG_MANAGED_BY, TAG_OWNER};
use crate::model::names::Owner;
use crate::model::ownership::Tags;
use crate::model::settings::Cluster;

/// True if the resource with these tags was created for an object of this cluster that does not exist.
///
/// `exists` must return true for objects that this replica cannot see (in namespaces that it does not watch), and for
/// objects that are being deleted. It must return false if the object of that name is another one today, with other names
/// in AWS. A resource of this cluster without an owner tag is an orphan too: no object deletes it.
pub fn is_orphan(cluster: &Cluster, tags: &Tags, exists: impl Fn(&Owner) -> bool) -> bool {
    let ours = tags.get(TAG_MANAGED_BY).is_some_and(|name| name == cluster.name.as_str())
        && tags.get(TAG_CLUSTER_UID).is_some_and(|uid| cluster.has_uid(uid));
    let owner = tags.get(TAG_OWNER).and_then(|owner| Owner::from_tag(owner));
    ours && !owner.is_some_and(|owner| exists(&owner))
}

/// False if the object has another role, or another policy, than the one with this ARN: what an earlier object of the same
/// name left belongs to no object.
pub fn may_have(status: &AuroraLogExportPolicyStatus, arn: &str) -> bool {
    let (role, policy) = (status.role.as_ref(), status.policy.as_ref());
    let own = if arn.contains(":role/") { role.map(|role| &role.arn) } else { policy.map(|policy| &policy.arn) };
    own.is_none_or(|own| own == arn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::names::ClusterName;

    fn cluster() -> Cluster {
        Cluster { name: ClusterName::parse("prod").unwrap(), uid: "uid-1".into(), previous_uids: vec!["uid-0".into()] }
    }

    fn tags(name: &str, uid: &str, owner: Option<&str>) -> Tags {
        let owner = owner.map(|owner| (TAG_OWNER, owner));
        [(TAG_MANAGED_BY, name), (TAG_CLUSTER_UID, uid)]
            .into_iter()
            .chain(owner)
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    fn exists(owner: &Owner) -> bool {
        *owner == Owner::new("shop", "orders")
    }

    fn orphans(resources: &[Tags]) -> usize {
        resources.iter().filter(|tags| is_orphan(&cluster(), tags, exists)).count()
    }

    #[test]
    fn resources_of_this_cluster_without_an_object_are_counted() {
        let resources = [
            tags("prod", "uid-1", Some("shop/orders")),
            tags("prod", "uid-1", Some("shop/gone")),
            tags("prod", "uid-0", Some("shop/gone-before-the-restore")),
            tags("prod", "uid-1", None),
            tags("prod", "uid-1", Some("no owner")),
        ];
        assert_eq!(orphans(&resources), 4);
    }

    #[test]
    fn resources_of_other_clusters_are_not_orphans() {
        let resources = [
            Tags::new(),
            tags("test", "uid-1", Some("shop/gone")),
            tags("prod", "uid-9", Some("shop/gone")),
            Tags::from([(TAG_OWNER.to_owned(), "shop/gone".to_owned())]),
        ];
        assert_eq!(orphans(&resources), 0);
    }

    #[test]
    fn a_role_of_an_earlier_object_of_that_name_is_not_the_objects_own() {
        let status: AuroraLogExportPolicyStatus = serde_json::from_value(serde_json::json!({
            "role": { "name": "new", "arn": "arn:aws:iam::1:role/x/new" },
            "policy": { "name": "new", "arn": "arn:aws:iam::1:policy/x/new" },
        }))
        .unwrap();
        for kind in ["role", "policy"] {
            assert!(may_have(&status, &format!("arn:aws:iam::1:{kind}/x/new")));
            assert!(!may_have(&status, &format!("arn:aws:iam::1:{kind}/x/old")));
            assert!(!may_have(&status, &format!("arn:aws:iam::2:{kind}/x/new")));
            assert!(may_have(&AuroraLogExportPolicyStatus::default(), &format!("arn:aws:iam::1:{kind}/x/old")));
        }
    }
}
