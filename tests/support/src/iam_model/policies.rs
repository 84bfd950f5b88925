//! Managed policies: create, read, list, tag, delete.

use super::account::{Iam, PolicyEntry, fold};
use super::error::ApiError;
use super::paging::{Page, PageRequest};
use super::types::{CreatePolicy, Policy, PolicyScope, PolicyVersion, Tags, UsageFilter};
use super::validate;
use std::collections::BTreeMap;
use std::ops::Bound;

impl Iam {
    /// `CreatePolicy`.
    pub fn create_policy(&mut self, request: &CreatePolicy) -> Result<Policy, ApiError> {
        validate::name(&request.name, "policyName", 128)?;
        let path = validate::path(request.path.as_deref())?;
        validate::policy_description(request.description.as_deref())?;
        let tags = validate::merged_tags(&Tags::new(), &request.tags, false, self.quotas.tags)?;
        let document = self.checked_policy(&request.document)?;
        let key = fold(&request.name);
        if self.policies.contains_key(&key) {
            return Err(ApiError::entity_already_exists(format!(
                "A policy called {} already exists. Duplicate names are not allowed.",
                request.name
            )));
        }
        if self.policies.len() >= self.quotas.policies {
            return Err(ApiError::limit_exceeded(format!(
                "Cannot exceed quota for PoliciesPerAccount: {}",
                self.quotas.policies
            )));
        }
        let now = self.now_ms();
        let policy = Policy {
            arn: self.arn(&format!("policy{path}{}", request.name)),
            name: request.name.clone(),
            id: self.new_id("ANPA"),
            path,
            description: request.description.clone().filter(|text| !text.is_empty()),
            default_version: "v1".to_owned(),
            attachment_count: 0,
            boundary_count: 0,
            created_ms: now,
            updated_ms: now,
            tags,
        };
        let version = PolicyVersion { id: "v1".to_owned(), document, is_default: true, created_ms: now };
        let visible_at_ms = self.visible_at();
        let entry = PolicyEntry { policy: policy.clone(), versions: vec![version], next_version: 2, visible_at_ms };
        self.policies.insert(key, entry);
        Ok(policy)
    }

    /// `GetPolicy`.
    pub fn get_policy(&self, arn: &str) -> Result<Policy, ApiError> {
        self.policy(arn).map(|entry| self.described(entry))
    }

    /// `DeletePolicy`: rejected while the policy is in use or has versions besides the default.
    pub fn delete_policy(&mut self, arn: &str) -> Result<(), ApiError> {
        let entry = self.policy_mut(arn)?;
        let (key, versions) = (fold(&entry.policy.name), entry.versions.len());
        if self.is_held(arn) {
            return Err(ApiError::delete_conflict("Cannot delete a policy attached to entities."));
        }
        if versions > 1 {
            return Err(ApiError::delete_conflict(
                "This policy has more than one version. Before you delete a policy, you must delete the policy's \
                 versions. The default version is deleted with the policy.",
            ));
        }
        self.policies.remove(&key);
        Ok(())
    }

    /// `ListPolicies`, without descriptions and tags.
    pub fn list_policies(
        &mut self,
        scope: PolicyScope,
        only_attached: bool,
        usage: Option<UsageFilter>,
        path_prefix: &str,
        request: &PageRequest,
    ) -> Result<Page<Policy>, ApiError> {
        let cut = self.cut(request)?;
        // AWS-managed policies come after the account's own: no name begins with `~`.
        let own = keyed(&self.policies, &cut.after, "").filter(|_| scope != PolicyScope::Aws);
        let aws = keyed(&self.aws_policies, &cut.after, "~").filter(|_| scope != PolicyScope::Local);
        let chosen = own.chain(aws).filter(|(_, entry)| {
            entry.visible_at_ms <= self.now_ms()
                && entry.policy.path.starts_with(path_prefix)
                && self.is_used(&entry.policy.arn, only_attached, usage)
        });
        let items =
            chosen.map(|(key, entry)| (key, Policy { description: None, tags: Tags::new(), ..self.described(entry) }));
        Ok(cut.take(items))
    }

    fn is_used(&self, arn: &str, only_attached: bool, usage: Option<UsageFilter>) -> bool {
        let holders = self.holders.get(arn);
        let attached = holders.is_some_and(|held| !held.roles.is_empty() || !held.users.is_empty());
        let bounding = holders.is_some_and(|held| !held.bounded_roles.is_empty() || !held.bounded_users.is_empty());
        match usage {
            Some(UsageFilter::PermissionsPolicy) => attached,
            Some(UsageFilter::PermissionsBoundary) => bounding,
            None => !only_attached || attached,
        }
    }

    /// `TagPolicy`. A policy's tag keys are case sensitive.
    pub fn tag_policy(&mut self, arn: &str, tags: &Tags) -> Result<(), ApiError> {
        let quota = self.quotas.tags;
        let entry = self.policy_mut(arn)?;
        entry.policy.tags = validate::merged_tags(&entry.policy.tags, tags, false, quota)?;
        Ok(())
    }

    /// `UntagPolicy`; missing keys are ignored.
    pub fn untag_policy(&mut self, arn: &str, keys: &[String]) -> Result<(), ApiError> {
        validate::tag_keys(keys)?;
        let entry = self.policy_mut(arn)?;
        entry.policy.tags.retain(|key, _| !keys.contains(key));
        Ok(())
    }

    /// `ListPolicyTags`.
    pub fn list_policy_tags(&mut self, arn: &str, request: &PageRequest) -> Result<Page<(String, String)>, ApiError> {
        let cut = self.cut(request)?;
        let tags = &self.policy(arn)?.policy.tags;
        Ok(cut.take_from_start(tags.iter().map(|(key, value)| (key.clone(), (key.clone(), value.clone())))))
    }
}

/// The entries after `after`, each with its cursor: `prefix` and key.
fn keyed<'a>(
    map: &'a BTreeMap<String, PolicyEntry>,
    after: &str,
    prefix: &'static str,
) -> impl Iterator<Item = (String, &'a PolicyEntry)> + use<'a> {
    let (start, nothing) = match (after, prefix) {
        ("", _) => (Bound::Unbounded, false),
        (after, "~") => {
            (after.strip_prefix('~').map_or(Bound::Unbounded, |key| Bound::Excluded(key.to_owned())), false)
        }
        (after, _) => (Bound::Excluded(after.to_owned()), after.starts_with('~')),
    };
    map.range((start, Bound::Unbounded))
        .filter(move |_| !nothing)
        .map(move |(key, entry)| (format!("{prefix}{key}"), entry))
}
