//! Ownership of AWS resources. Only a resource's tags decide who owns it.

use std::collections::BTreeMap;

use crate::api::{TAG_ADOPTABLE_BY, TAG_CLUSTER_UID, TAG_MANAGED_BY, TAG_OWNER};
use crate::model::names::Owner;
use crate::model::settings::Cluster;

/// Tags of an AWS resource.
pub type Tags = BTreeMap<String, String>;

/// True if two tag keys differ at most in case. IAM ignores the case of role tag keys, but not of policy tag keys.
///
/// Source: IAM user guide, "Tags for IAM resources", case sensitivity.
pub fn is_same_key(one: &str, other: &str) -> bool {
    one == other || one.to_lowercase() == other.to_lowercase()
}

/// The cluster and the object that own a resource, as ownership tags name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    cluster: Cluster,
    owner: Owner,
}

/// Who owns a resource, according to its tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnershipVerdict {
    /// All three ownership tags name this cluster and this object.
    Ours,
    /// The same, but the UID is that of a cluster that this one was restored from.
    OursBeforeRestore,
    /// At least one of the three ownership tags is missing.
    Unowned,
    /// Another object or another cluster owns it.
    Others {
        /// The owner, for messages: `shop/orders of cluster "prod"`.
        description: String,
    },
}

impl OwnershipVerdict {
    /// True if this object owns the resource.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Ours | Self::OursBeforeRestore)
    }
}

impl Ownership {
    /// The ownership of one object of this cluster.
    pub fn new(cluster: Cluster, owner: Owner) -> Self {
        Self { cluster, owner }
    }

    /// The object.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The three ownership tags.
    pub fn tags(&self) -> [(&'static str, String); 3] {
        [
            (TAG_MANAGED_BY, self.cluster.name.to_string()),
            (TAG_CLUSTER_UID, self.cluster.uid.clone()),
            (TAG_OWNER, self.owner.to_string()),
        ]
    }

    /// Value of the consent tag that allows the object to adopt a resource: `<cluster>/<namespace>/<name>`.
    pub fn consent(&self) -> String {
        format!("{}/{}", self.cluster.name, self.owner)
    }

    /// True if the resource's consent tag allows the object to adopt it.
    pub fn has_consent(&self, tags: &Tags) -> bool {
        tags.get(TAG_ADOPTABLE_BY).is_some_and(|value| *value == self.consent())
    }

    /// True if the resource's consent tag offers it to another object.
    pub fn is_offered_to_another(&self, tags: &Tags) -> bool {
        tags.get(TAG_ADOPTABLE_BY).is_some_and(|value| *value != self.consent())
    }

    /// Returns who owns a resource with these tags.
    pub fn judge(&self, tags: &Tags) -> OwnershipVerdict {
        let (managed_by, uid, owner) = (tags.get(TAG_MANAGED_BY), tags.get(TAG_CLUSTER_UID), tags.get(TAG_OWNER));
        let (Some(managed_by), Some(uid), Some(owner)) = (managed_by, uid, owner) else {
            return OwnershipVerdict::Unowned;
        };
        let same_name = managed_by == self.cluster.name.as_str();
        let same_cluster = same_name && self.cluster.has_uid(uid);
        if same_cluster && *owner == self.owner.to_string() {
            return if *uid == self.cluster.uid { OwnershipVerdict::Ours } else { OwnershipVerdict::OursBeforeRestore };
        }
        let description = if same_name && !same_cluster {
            format!(
                "{owner} of another cluster with the same name {managed_by:?} (kube-system UID {uid}; if this cluster was restored from it, set --previous-cluster-uid={uid})"
            )
        } else {
            format!("{owner} of cluster {managed_by:?}")
        };
        OwnershipVerdict::Others { description }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::names::ClusterName;

    fn ownership() -> Ownership {
        let cluster = Cluster {
            name: ClusterName::parse("prod").unwrap(),
            uid: "uid-1".into(),
            previous_uids: vec!["uid-0".into()],
        };
        Ownership::new(cluster, Owner::new("shop", "orders"))
    }

    fn tags(managed_by: &str, uid: &str, owner: &str) -> Tags {
        [(TAG_MANAGED_BY, managed_by), (TAG_CLUSTER_UID, uid), (TAG_OWNER, owner)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn all_three_tags_make_a_resource_ours() {
        assert_eq!(ownership().judge(&tags("prod", "uid-1", "shop/orders")), OwnershipVerdict::Ours);
        assert_eq!(ownership().judge(&tags("prod", "uid-0", "shop/orders")), OwnershipVerdict::OursBeforeRestore);
    }

    #[test]
    fn a_resource_without_one_of_the_tags_is_unowned() {
        for missing in [TAG_MANAGED_BY, TAG_CLUSTER_UID, TAG_OWNER] {
            let mut tags = tags("prod", "uid-1", "shop/orders");
            tags.remove(missing);
            assert_eq!(ownership().judge(&tags), OwnershipVerdict::Unowned, "{missing}");
        }
    }

    #[test]
    fn another_object_or_cluster_is_named() {
        for (tags, named) in [
            (tags("prod", "uid-1", "shop/bills"), "shop/bills of cluster \"prod\""),
            (tags("prod", "uid-0", "shop/bills"), "shop/bills of cluster \"prod\""),
            (tags("prod", "uid-9", "shop/orders"), "shop/orders of another cluster with the same name"),
            (tags("test", "uid-9", "shop/orders"), "shop/orders of cluster \"test\""),
        ] {
            let OwnershipVerdict::Others { description } = ownership().judge(&tags) else {
                panic!("{tags:?} are not ours");
            };
            assert!(description.starts_with(named), "{description}");
        }
    }

    #[test]
    fn consent_names_cluster_namespace_and_name() {
        let mut tags = Tags::new();
        assert!(!ownership().has_consent(&tags));
        tags.insert(TAG_ADOPTABLE_BY.into(), "prod/shop/orders".into());
        assert!(ownership().has_consent(&tags) && !ownership().is_offered_to_another(&tags));
        tags.insert(TAG_ADOPTABLE_BY.into(), "prod/shop/bills".into());
        assert!(!ownership().has_consent(&tags) && ownership().is_offered_to_another(&tags));
    }
}
