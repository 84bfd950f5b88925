//! How the flags and the API server say which cluster this is. Ownership tags in AWS name it.

use anyhow::{Context as _, bail};

use crate::model::names::ClusterName;
use crate::model::settings::Cluster;

/// The flags about the cluster's identity.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct ClusterArgs {
    /// Name of this cluster in ownership tags, [A-Za-z0-9._-]{1,63}; default: the UID of the kube-system namespace.
    #[arg(long, env = "ALEP_CLUSTER_NAME", value_name = "NAME")]
    pub(super) cluster_name: Option<ClusterName>,

    /// UID of the kube-system namespace; needed only where this namespace cannot be read.
    #[arg(long, env = "ALEP_CLUSTER_UID", value_name = "UID", value_parser = uid)]
    pub(super) cluster_uid: Option<String>,

    /// UID of the kube-system namespace of a cluster that this one was restored from; repeatable.
    #[arg(long, env = "ALEP_PREVIOUS_CLUSTER_UID", value_name = "UID", value_delimiter = ',')]
    previous_cluster_uid: Vec<String>,
}

/// What the API server says about the namespace `kube-system`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KubeSystem {
    /// Its UID.
    Uid(String),
    /// It may not be read, with the API server's message.
    Forbidden(String),
    /// The API server does not answer, and why.
    Unreachable(String),
}

impl ClusterArgs {
    /// The cluster as ownership tags name it. Without a name, its UID is the name. Where the UID may not be read and no flag
    /// gives it, the name stands for it.
    pub(super) fn identify(&self, kube_system: &KubeSystem) -> anyhow::Result<Cluster> {
        let uid = match (kube_system, &self.cluster_uid, &self.cluster_name) {
            (KubeSystem::Uid(found), Some(given), _) if found != given => bail!(
                "--cluster-uid={given} is not the UID of this cluster ({found}): remove the flag, or connect to the other \
                 cluster; if this cluster was restored from the other one, set --previous-cluster-uid={given}"
            ),
            (KubeSystem::Uid(uid), ..) => uid.clone(),
            (KubeSystem::Forbidden(_) | KubeSystem::Unreachable(_), Some(uid), _) => uid.clone(),
            (KubeSystem::Forbidden(_), None, Some(name)) => name.to_string(),
            (KubeSystem::Forbidden(why), None, None) => bail!(
                "the UID of the namespace kube-system identifies this cluster in AWS, and cannot be read ({why}): set \
                 --cluster-uid to it (chart: operator.clusterUid), or set --cluster-name to a name that no other cluster of \
                 the AWS account has (chart: clusterName), or grant get on namespaces"
            ),
            (KubeSystem::Unreachable(why), None, _) => bail!(
                "{why}; ownership in AWS depends on the UID of the cluster: give --cluster-name and --cluster-uid \
                 (kubectl get namespace kube-system -o jsonpath={{.metadata.uid}})"
            ),
        };
        let name = match &self.cluster_name {
            Some(name) => name.clone(),
            None => ClusterName::parse(uid.clone())
                .context("the UID of the kube-system namespace is not a valid cluster name: set --cluster-name")?,
        };
        Ok(Cluster { name, uid, previous_uids: self.previous_cluster_uid.clone() })
    }

    /// What identifies the cluster in place of a UID that may not be read, for users to check.
    pub(super) fn stands_for_uid(&self) -> &'static str {
        if self.cluster_uid.is_some() {
            "--cluster-uid identifies the cluster"
        } else {
            "the cluster name is used in its place: no other cluster may use this name in the same AWS account"
        }
    }
}

/// Tags of IAM take at most 256 characters; a UID has 36.
fn uid(text: &str) -> Result<String, String> {
    let valid = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    if !text.is_empty() && text.len() <= 63 && text.chars().all(valid) {
        Ok(text.to_owned())
    } else {
        Err("must be a UID: kubectl get namespace kube-system -o jsonpath={.metadata.uid}".into())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    fn args(name: Option<&str>, uid: Option<&str>) -> ClusterArgs {
        ClusterArgs {
            cluster_name: name.map(|name| ClusterName::parse(name).unwrap()),
            cluster_uid: uid.map(str::to_owned),
            previous_cluster_uid: vec!["uid-0".into()],
        }
    }

    #[test]
    fn the_api_server_decides_and_flags_stand_in_where_it_refuses() {
        let read = || KubeSystem::Uid("uid-1".into());
        let away = || KubeSystem::Unreachable("connection refused".into());
        let refused = || KubeSystem::Forbidden("namespaces \"kube-system\" is forbidden".into());
        for (args, kube_system, expected) in [
            (args(None, None), read(), Some(("uid-1", "uid-1"))),
            (args(Some("prod"), None), read(), Some(("prod", "uid-1"))),
            (args(Some("prod"), Some("uid-1")), read(), Some(("prod", "uid-1"))),
            (args(Some("prod"), Some("uid-2")), read(), None),
            (args(Some("prod"), Some("uid-2")), refused(), Some(("prod", "uid-2"))),
            (args(None, Some("uid-2")), refused(), Some(("uid-2", "uid-2"))),
            (args(Some("prod"), None), refused(), Some(("prod", "prod"))),
            (args(None, None), refused(), None),
            (args(Some("prod"), Some("uid-2")), away(), Some(("prod", "uid-2"))),
            // The operator may know the UID: the name alone would be wrong.
            (args(Some("prod"), None), away(), None),
        ] {
            let found = args.identify(&kube_system).ok();
            let found = found.as_ref().map(|cluster| (cluster.name.as_str(), cluster.uid.as_str()));
            assert_eq!(found, expected, "{args:?}");
        }
    }

    #[test]
    fn the_errors_name_the_flags_and_the_chart_values() {
        let error = args(None, None).identify(&KubeSystem::Forbidden("no".into())).unwrap_err().to_string();
        for part in ["--cluster-uid", "--cluster-name", "operator.clusterUid", "clusterName", "(no)"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        let error = args(None, Some("uid-2")).identify(&KubeSystem::Uid("uid-1".into())).unwrap_err().to_string();
        assert!(error.contains("--previous-cluster-uid=uid-2") && error.contains("(uid-1)"), "{error}");
        assert!(uid("").is_err() && uid("a b").is_err() && uid("5e9f1f0e-1c1a-4a53-8a53-2f3b3c0a2b11").is_ok());
    }
}
