//! The policies of a role: attached managed policies, inline policies, the permissions boundary.

use super::account::{Iam, fold};
use super::document::Document;
use super::error::ApiError;
use super::grammar::{self, Kind};
use super::paging::{Page, PageRequest};
use super::types::{AttachedPolicy, InlinePolicy};
use super::validate;

impl Iam {
    /// `AttachRolePolicy`; attaching twice succeeds and counts once.
    pub fn attach_role_policy(&mut self, role: &str, arn: &str) -> Result<(), ApiError> {
        self.role(role)?;
        self.attachable(arn, "Policy")?;
        let quota = self.quotas.attached_per_role;
        let entry = self.role_mut(role)?;
        if entry.attached.contains(arn) {
            return Ok(());
        }
        if entry.attached.len() >= quota {
            return Err(ApiError::limit_exceeded(format!("Cannot exceed quota for PoliciesPerRole: {quota}")));
        }
        entry.attached.insert(arn.to_owned());
        let name = entry.role.name.clone();
        self.hold(arn, |holders| {
            holders.roles.insert(name);
        });
        Ok(())
    }

    /// `DetachRolePolicy`.
    pub fn detach_role_policy(&mut self, role: &str, arn: &str) -> Result<(), ApiError> {
        let entry = self.role_mut(role)?;
        if !entry.attached.remove(arn) {
            return Err(ApiError::no_such_entity(format!("Policy {arn} was not found.")));
        }
        let name = entry.role.name.clone();
        self.hold(arn, |holders| {
            holders.roles.remove(&name);
        });
        Ok(())
    }

    /// `ListAttachedRolePolicies`.
    pub fn list_attached_role_policies(
        &mut self,
        role: &str,
        path_prefix: &str,
        request: &PageRequest,
    ) -> Result<Page<AttachedPolicy>, ApiError> {
        let cut = self.cut(request)?;
        let attached = self.role(role)?.attached.iter();
        let chosen = attached.filter(|arn| policy_path(arn).starts_with(path_prefix));
        Ok(cut.take_from_start(chosen.map(|arn| (arn.clone(), attached_policy(arn)))))
    }

    /// `PutRolePolicy`.
    pub fn put_role_policy(&mut self, role: &str, policy: &str, document: &str) -> Result<(), ApiError> {
        validate::name(policy, "policyName", 128)?;
        grammar::check(document, Kind::Permissions, self.partition(), &|_| true)?;
        let quota = self.quotas.inline_size;
        let entry = self.role_mut(role)?;
        let others = entry.inline.iter().filter(|(name, _)| *name != policy);
        let others: usize = others.map(|(_, held)| validate::counted(held.as_str())).sum();
        if others + validate::counted(document) > quota {
            return Err(ApiError::limit_exceeded(format!(
                "Maximum policy size of {quota} bytes exceeded for role {role}"
            )));
        }
        entry.inline.insert(policy.to_owned(), Document::new(document));
        Ok(())
    }

    /// `GetRolePolicy`.
    pub fn get_role_policy(&self, role: &str, policy: &str) -> Result<InlinePolicy, ApiError> {
        validate::name(policy, "policyName", 128)?;
        let document = self.role(role)?.inline.get(policy).ok_or_else(|| no_inline(policy))?;
        Ok(InlinePolicy { name: policy.to_owned(), document: document.clone() })
    }

    /// `DeleteRolePolicy`.
    pub fn delete_role_policy(&mut self, role: &str, policy: &str) -> Result<(), ApiError> {
        validate::name(policy, "policyName", 128)?;
        self.role_mut(role)?.inline.remove(policy).map(|_| ()).ok_or_else(|| no_inline(policy))
    }

    /// `ListRolePolicies`: names of inline policies.
    pub fn list_role_policies(&mut self, role: &str, request: &PageRequest) -> Result<Page<String>, ApiError> {
        let cut = self.cut(request)?;
        let names = self.role(role)?.inline.keys();
        Ok(cut.take_from_start(names.map(|name| (name.clone(), name.clone()))))
    }

    /// `PutRolePermissionsBoundary`.
    pub fn put_role_permissions_boundary(&mut self, role: &str, arn: &str) -> Result<(), ApiError> {
        self.role(role)?;
        self.attachable(arn, "Scope ARN:")?;
        let role = &mut self.role_mut(role)?.role;
        let (name, old) = (role.name.clone(), role.boundary.replace(arn.to_owned()));
        if let Some(old) = old {
            self.hold(&old, |holders| {
                holders.bounded_roles.remove(&name);
            });
        }
        self.hold(arn, |holders| {
            holders.bounded_roles.insert(name);
        });
        Ok(())
    }

    /// `DeleteRolePermissionsBoundary`.
    pub fn delete_role_permissions_boundary(&mut self, role: &str) -> Result<(), ApiError> {
        let entry = &mut self.role_mut(role)?.role;
        let name = entry.name.clone();
        let old = entry
            .boundary
            .take()
            .ok_or_else(|| ApiError::no_such_entity(format!("Permissions boundary of role {role} cannot be found.")))?;
        self.hold(&old, |holders| {
            holders.bounded_roles.remove(&name);
        });
        Ok(())
    }

    /// The ARNs attached to a role, for assertions; empty if the role does not exist.
    pub fn attached_to(&self, role: &str) -> Vec<String> {
        self.roles.get(&fold(role)).map(|entry| entry.attached.iter().cloned().collect()).unwrap_or_default()
    }
}

fn no_inline(policy: &str) -> ApiError {
    ApiError::no_such_entity(format!("The role policy with name {policy} cannot be found."))
}

pub(super) fn attached_policy(arn: &str) -> AttachedPolicy {
    AttachedPolicy { name: arn.rsplit('/').next().unwrap_or(arn).to_owned(), arn: arn.to_owned() }
}

/// `/x/` of `arn:…:policy/x/name`.
fn policy_path(arn: &str) -> &str {
    let resource = arn.splitn(6, ':').nth(5).and_then(|resource| resource.strip_prefix("policy")).unwrap_or_default();
    resource.rfind('/').map_or("/", |end| &resource[..=end])
}
