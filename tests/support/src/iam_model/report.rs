//! The account as a whole: `GetAccountAuthorizationDetails` and `GetAccountSummary`.

use super::account::{Iam, PolicyEntry, RoleEntry};
use super::error::ApiError;
use super::paging::PageRequest;
use super::role_policies::attached_policy;
use super::types::{InlinePolicy, Policy, PolicyDetail, Role, RoleDetail, Tags};
use std::collections::BTreeMap;
use std::ops::Bound;

/// `Filter` of `GetAccountAuthorizationDetails`. The model has no users and groups there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetailFilter {
    /// Users (always empty).
    User,
    /// Roles.
    Role,
    /// Groups (always empty).
    Group,
    /// Customer-managed policies.
    LocalManagedPolicy,
    /// AWS-managed policies in use.
    AwsManagedPolicy,
}

/// One page of `GetAccountAuthorizationDetails`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationDetails {
    /// `RoleDetailList`, without descriptions.
    pub roles: Vec<RoleDetail>,
    /// `Policies`, without tags.
    pub policies: Vec<PolicyDetail>,
    /// Marker of the next page; `None` on the last one.
    pub marker: Option<String>,
}

enum Item<'a> {
    Role(&'a RoleEntry),
    Policy(&'a PolicyEntry),
}

/// The lists, in the order of the response.
const SECTIONS: [(char, DetailFilter); 3] =
    [('r', DetailFilter::Role), ('s', DetailFilter::LocalManagedPolicy), ('t', DetailFilter::AwsManagedPolicy)];

impl Iam {
    /// `GetAccountAuthorizationDetails`: `MaxItems` counts roles and policies together; no filter means everything.
    pub fn get_account_authorization_details(
        &mut self,
        filters: &[DetailFilter],
        request: &PageRequest,
    ) -> Result<AuthorizationDetails, ApiError> {
        let cut = self.cut(request)?;
        let after = cut.after.clone();
        let starts = SECTIONS.map(|(section, filter)| {
            let wanted = filters.is_empty() || filters.contains(&filter);
            start_in_section(&after, section).filter(|_| wanted)
        });
        let [roles, local, aws] = starts;
        let now = self.now_ms();
        let roles = roles.into_iter().flat_map(|start| self.roles.range((start, Bound::Unbounded)));
        let local = local.into_iter().flat_map(|start| self.policies.range((start, Bound::Unbounded)));
        let aws = aws.into_iter().flat_map(|start| self.aws_policies.range((start, Bound::Unbounded)));
        let roles = roles
            .filter(|(_, entry)| entry.visible_at_ms <= now)
            .map(|(key, entry)| (format!("r{key}"), Item::Role(entry)));
        let local = local
            .filter(|(_, entry)| entry.visible_at_ms <= now)
            .map(|(key, entry)| (format!("s{key}"), Item::Policy(entry)));
        let aws = aws.filter(|(arn, _)| self.is_held(arn)).map(|(key, entry)| (format!("t{key}"), Item::Policy(entry)));
        let page = cut.take(roles.chain(local).chain(aws));
        let mut details = AuthorizationDetails { roles: Vec::new(), policies: Vec::new(), marker: page.marker };
        for item in page.items {
            match item {
                Item::Role(entry) => details.roles.push(self.role_detail(entry)),
                Item::Policy(entry) => details.policies.push(self.policy_detail(entry)),
            }
        }
        Ok(details)
    }

    fn role_detail(&self, entry: &RoleEntry) -> RoleDetail {
        let inline = entry.inline.iter();
        RoleDetail {
            role: Role { description: None, ..entry.role.clone() },
            attached: entry.attached.iter().map(|arn| attached_policy(arn)).collect(),
            inline: inline
                .map(|(name, document)| InlinePolicy { name: name.clone(), document: document.clone() })
                .collect(),
            instance_profiles: if self.profiles.is_empty() { Vec::new() } else { self.profiles_of(&entry.role.name) },
        }
    }

    fn policy_detail(&self, entry: &PolicyEntry) -> PolicyDetail {
        PolicyDetail {
            policy: Policy { tags: Tags::new(), ..self.described(entry) },
            versions: entry.versions.iter().rev().cloned().collect(),
        }
    }

    /// `GetAccountSummary`: the entries the operator can use.
    pub fn get_account_summary(&self) -> BTreeMap<String, usize> {
        let quotas = &self.quotas;
        let entries = [
            ("Roles", self.roles.len()),
            ("RolesQuota", quotas.roles),
            ("Policies", self.policies.len()),
            ("PoliciesQuota", quotas.policies),
            ("PolicySizeQuota", quotas.policy_size),
            ("VersionsPerPolicyQuota", quotas.versions),
            ("AttachedPoliciesPerRoleQuota", quotas.attached_per_role),
            ("AssumeRolePolicySizeQuota", quotas.trust_size),
            ("RolePolicySizeQuota", quotas.inline_size),
            ("Users", self.users.len()),
            ("InstanceProfiles", self.profiles.len()),
        ];
        entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// Where the cursor starts in a section; `None` if the cursor is past the section.
fn start_in_section(after: &str, section: char) -> Option<Bound<String>> {
    let Some(at) = after.chars().next() else {
        return Some(Bound::Unbounded);
    };
    match at.cmp(&section) {
        std::cmp::Ordering::Less => Some(Bound::Unbounded),
        std::cmp::Ordering::Equal => Some(Bound::Excluded(after[at.len_utf8()..].to_owned())),
        std::cmp::Ordering::Greater => None,
    }
}
