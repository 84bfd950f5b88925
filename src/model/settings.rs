//! Inputs of every decision besides the spec: the operator's flags, and the facts about the object's account.

use std::time::Duration;

use crate::api::account::Guardrails;
use crate::api::policy::DeletionPolicy;
use crate::model::names::{AccountId, ClusterName, IamPath, Partition};

/// The cluster as ownership tags name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// `--cluster-name`, or the UID below.
    pub name: ClusterName,
    /// UID of the namespace `kube-system`.
    pub uid: String,
    /// `--previous-cluster-uid`: clusters that this one was restored from.
    pub previous_uids: Vec<String>,
}

impl Cluster {
    /// True for the UID of this cluster and of the clusters that it was restored from.
    pub fn has_uid(&self, uid: &str) -> bool {
        self.uid == uid || self.previous_uids.iter().any(|previous| previous == uid)
    }
}

/// The operator's flags that affect how a spec is interpreted.
// Each flag is one independent switch of the command line.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The cluster as ownership tags name it.
    pub cluster: Cluster,
    /// `--iam-path`: the path of policies and roles unless the spec or the account sets another.
    pub iam_path: IamPath,
    /// `--default-deletion-policy`.
    pub default_deletion_policy: DeletionPolicy,
    /// `--allow-full-access`, for objects without `accountRef`.
    pub allow_full_access: bool,
    /// `--allow-adopt-existing`, for objects without `accountRef`.
    pub allow_adopt_existing: bool,
    /// `--require-account-ref`.
    pub require_account_ref: bool,
    /// `--enable-outputs`.
    pub enable_outputs: bool,
    /// `--drift-check-interval`; none: 1 minute between sweeps, 10 minutes between reads of an object.
    pub drift_check_interval: Option<Duration>,
}

impl Settings {
    /// Settings that allow everything and require nothing, for use without an operator's flags.
    pub fn lenient(cluster: Cluster, iam_path: IamPath) -> Self {
        Self {
            cluster,
            iam_path,
            default_deletion_policy: DeletionPolicy::Delete,
            allow_full_access: true,
            allow_adopt_existing: true,
            require_account_ref: false,
            enable_outputs: true,
            drift_check_interval: None,
        }
    }
}

/// Facts about the account of an object's resources.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountFacts {
    /// The account of the caller's identity.
    pub id: AccountId,
    /// The partition of the caller's identity.
    pub partition: Partition,
    /// The `AwsAccount` that the object refers to, if any.
    pub binding: Option<AccountBinding>,
}

/// The `AwsAccount` that an object refers to, and its guardrails.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountBinding {
    /// Its name.
    pub name: String,
    /// Its guardrails.
    pub guardrails: Guardrails,
}

impl AccountFacts {
    /// The guardrails in force, if the account has an `AwsAccount`.
    pub fn guardrails(&self) -> Option<&Guardrails> {
        self.binding.as_ref().map(|binding| &binding.guardrails)
    }
}
