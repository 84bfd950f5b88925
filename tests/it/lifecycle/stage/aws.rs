//! What a stage's account shows, and what people do in it by hand.

use anyhow::{Result, ensure};
use aurora_log_export_operator::model::names::{Owner, default_name};
use aurora_test_support::iam_model::call_log::CallRecord;
use aurora_test_support::iam_model::{self, Policy, Role};

use super::super::bystanders::CONTESTED;
use super::{ACCOUNT, OTHER_DOCUMENT, PATH, Stage};

impl Stage {
    /// The account itself, as the console shows it.
    pub(in crate::lifecycle) fn iam(&self) -> iam_model::Iam {
        self.server.world().account(ACCOUNT).lock().clone()
    }

    /// What a person does by hand.
    pub(in crate::lifecycle) fn by_hand<T, E: std::error::Error + Send + Sync + 'static>(
        &self,
        edit: impl FnOnce(&mut iam_model::Iam) -> std::result::Result<T, E>,
    ) -> Result<T> {
        Ok(edit(&mut self.server.world().account(ACCOUNT).lock())?)
    }

    /// The default name of policy and role.
    pub(in crate::lifecycle) fn name(&self, object: &str) -> String {
        default_name("", &Owner::new(self.namespace.clone(), object))
    }

    pub(in crate::lifecycle) fn policy_arn(&self, object: &str) -> String {
        format!("arn:{}:iam::{ACCOUNT}:policy{PATH}{}", self.partition, self.name(object))
    }

    pub(in crate::lifecycle) fn role(&self, object: &str) -> Result<Role> {
        Ok(self.iam().get_role(&self.name(object))?)
    }

    pub(in crate::lifecycle) fn policy(&self, object: &str) -> Result<Policy> {
        Ok(self.iam().get_policy(&self.policy_arn(object))?)
    }

    /// The text of the policy's default version.
    pub(in crate::lifecycle) fn document(&self, object: &str) -> Result<String> {
        let policy = self.policy(object)?;
        let version = self.iam().get_policy_version(&policy.arn, &policy.default_version)?;
        Ok(version.document.as_str().to_owned())
    }

    pub(in crate::lifecycle) fn attached(&self, object: &str) -> Vec<String> {
        self.iam().attached_to(&self.name(object))
    }

    /// Ids of the policy's versions, oldest first.
    pub(in crate::lifecycle) fn versions(&self, object: &str) -> Result<Vec<String>> {
        let request = iam_model::PageRequest::default();
        let page = self.iam().list_policy_versions(&self.policy_arn(object), &request)?;
        let mut ids: Vec<String> = page.items.into_iter().map(|version| version.id).collect();
        ids.sort_by_key(|id| id.trim_start_matches('v').parse::<u32>().unwrap_or_default());
        Ok(ids)
    }

    /// Neither policy nor role of the object is left.
    pub(in crate::lifecycle) fn nothing_left(&self, object: &str) -> Result<()> {
        ensure!(self.role(object).is_err(), "role {} is left", self.name(object));
        ensure!(self.policy(object).is_err(), "policy {} is left", self.name(object));
        Ok(())
    }

    /// A role made by hand under the object's default name.
    pub(in crate::lifecycle) fn foreign_role(&self, object: &str, trust: &str, tags: &iam_model::Tags) -> Result<Role> {
        let request = iam_model::CreateRole {
            name: self.name(object),
            path: Some(PATH.to_owned()),
            trust: trust.to_owned(),
            tags: tags.clone(),
            ..iam_model::CreateRole::default()
        };
        self.by_hand(|iam| iam.create_role(&request))
    }

    /// A policy made by hand under the object's default name.
    pub(in crate::lifecycle) fn foreign_policy(&self, object: &str, tags: &iam_model::Tags) -> Result<Policy> {
        let request = iam_model::CreatePolicy {
            name: self.name(object),
            path: Some(PATH.to_owned()),
            document: OTHER_DOCUMENT.to_owned(),
            tags: tags.clone(),
            ..iam_model::CreatePolicy::default()
        };
        self.by_hand(|iam| iam.create_policy(&request))
    }

    /// A mark for [`Stage::iam_calls`].
    pub(in crate::lifecycle) fn mark(&self) -> u64 {
        self.server.gate().last_seq()
    }

    /// Calls to IAM since the mark, those about identity, the service-linked role and the contested object aside.
    pub(in crate::lifecycle) fn iam_calls(&self, mark: u64) -> Vec<CallRecord> {
        let mut calls = self.server.gate().calls_since(mark);
        let contested = self.name(CONTESTED);
        calls.retain(|call| {
            call.action != "GetCallerIdentity"
                && call.resource != "AWSServiceRoleForRDS"
                && !call.resource.ends_with(&contested)
        });
        calls
    }

    /// Writing calls since the mark.
    pub(in crate::lifecycle) fn writes(&self, mark: u64) -> Vec<String> {
        let calls = self.iam_calls(mark).into_iter();
        let writes = calls.filter(|call| !call.action.starts_with("Get") && !call.action.starts_with("List"));
        writes.map(|call| call.action).collect()
    }
}
