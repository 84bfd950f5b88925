//! The values that are published, and whether a ConfigMap has them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;

use crate::api::FIELD_MANAGER;
use crate::api::policy::Access;
use crate::model::names::{Partition, PolicyArn};
use crate::model::stored::PolicyObject;

/// The label of the operator's `ConfigMaps`; its value is the field manager.
pub(super) const LABEL: &str = "app.kubernetes.io/managed-by";

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
    /// The values of an object in sync, according to its status.
    pub(super) fn of(object: &PolicyObject) -> Option<Self> {
        let (status, role) = (&object.status, object.status.role.as_ref()?);
        let access = object.spec.as_ref().ok()?.access.unwrap_or_default();
        let policy_arn = match access {
            Access::Minimal => status.policy.as_ref()?.arn.clone(),
            Access::FullAccess => {
                let partition = Partition::parse(status.partition.as_deref()?).ok()?;
                PolicyArn::cloud_watch_logs_full_access(&partition).to_string()
            }
        };
        Some(Self {
            role_arn: role.arn.clone(),
            role_name: role.name.clone(),
            policy_arn,
            account_id: status.account_id.clone()?,
        })
    }

    pub(super) fn data(&self) -> BTreeMap<&'static str, &str> {
        let Self { role_arn, role_name, policy_arn, account_id } = self;
        [("roleArn", role_arn), ("roleName", role_name), ("policyArn", policy_arn), ("accountId", account_id)]
            .map(|(key, value)| (key, value.as_str()))
            .into()
    }

    /// True if the ConfigMap has these values. It may have keys of others as well.
    pub(super) fn are_data_of(&self, config_map: &ConfigMap) -> bool {
        let found = config_map.data.as_ref();
        self.data().iter().all(|(key, value)| found.and_then(|data| data.get(*key)).is_some_and(|found| found == value))
    }

    /// True if the ConfigMap has these values, and the label by which it is watched.
    pub(super) fn are_in(&self, config_map: &ConfigMap) -> bool {
        let labelled = config_map.labels().get(LABEL).is_some_and(|value| value == FIELD_MANAGER);
        labelled && self.are_data_of(config_map)
    }
}

/// True if the object controls the ConfigMap.
pub(super) fn controls(object: &PolicyObject, config_map: &ConfigMap) -> bool {
    config_map.owner_references().iter().any(|owner| owner.uid == object.uid() && owner.controller == Some(true))
}
