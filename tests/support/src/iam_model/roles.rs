//! Roles: create, read, list, update, tag, delete.

use super::account::{Iam, RoleEntry, fold};
use super::document::Document;
use super::error::ApiError;
use super::paging::{Page, PageRequest};
use super::types::{CreateRole, Role, Tags, UpdateRole};
use super::validate;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

impl Iam {
    /// `CreateRole`.
    pub fn create_role(&mut self, request: &CreateRole) -> Result<Role, ApiError> {
        validate::name(&request.name, "roleName", 64)?;
        let path = validate::path(request.path.as_deref())?;
        if is_reserved(&path) {
            return Err(ApiError::invalid_input(format!("Cannot create a role under the reserved path {path}.")));
        }
        validate::role_description(request.description.as_deref())?;
        let max_session_seconds = validate::max_session(request.max_session_seconds)?;
        let tags = validate::merged_tags(&Tags::new(), &request.tags, true, self.quotas.tags)?;
        let trust = self.checked_trust(&request.trust)?;
        if let Some(boundary) = &request.boundary {
            self.attachable(boundary, "Scope ARN:")?;
        }
        if self.roles.contains_key(&fold(&request.name)) {
            return Err(ApiError::entity_already_exists(format!("Role with name {} already exists.", request.name)));
        }
        if self.roles.len() >= self.quotas.roles {
            return Err(ApiError::limit_exceeded(format!(
                "Cannot exceed quota for RolesPerAccount: {}",
                self.quotas.roles
            )));
        }
        let role = Role {
            arn: self.arn(&format!("role{path}{}", request.name)),
            name: request.name.clone(),
            id: self.new_id("AROA"),
            path,
            trust,
            description: request.description.clone().filter(|text| !text.is_empty()),
            max_session_seconds,
            boundary: request.boundary.clone(),
            created_ms: self.now_ms(),
            last_used_ms: None,
            tells_last_use: true,
            tags,
        };
        if let Some(boundary) = &role.boundary {
            self.hold(boundary, |holders| {
                holders.bounded_roles.insert(role.name.clone());
            });
        }
        let visible_at_ms = self.visible_at();
        self.insert_role(role.clone(), false, visible_at_ms);
        Ok(role)
    }

    fn insert_role(&mut self, role: Role, protected: bool, visible_at_ms: u64) {
        let entry = RoleEntry { attached: BTreeSet::new(), inline: BTreeMap::new(), protected, visible_at_ms, role };
        self.roles.insert(fold(&entry.role.name), entry);
    }

    /// Creates a service-linked role, as AWS does, such as `AWSServiceRoleForRDS` of `rds.amazonaws.com`.
    pub fn plant_service_linked_role(&mut self, name: &str, service: &str) -> Role {
        let path = format!("/aws-service-role/{service}/");
        let trust = serde_json::json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}]});
        let role = Role {
            arn: self.arn(&format!("role{path}{name}")),
            name: name.to_owned(),
            id: self.new_id("AROA"),
            path,
            trust: Document::new(&trust.to_string()),
            description: None,
            max_session_seconds: 3600,
            boundary: None,
            created_ms: self.now_ms(),
            last_used_ms: None,
            tells_last_use: true,
            tags: Tags::new(),
        };
        self.insert_role(role.clone(), true, 0);
        role
    }

    /// RDS assumed the role at this time, in milliseconds.
    pub fn assumed(&mut self, name: &str, at_ms: u64) -> Result<(), ApiError> {
        self.role_mut(name)?.role.last_used_ms = Some(at_ms);
        Ok(())
    }

    /// From now on, answers do not say when the role was last used.
    pub fn withhold_last_use(&mut self, name: &str) -> Result<(), ApiError> {
        self.role_mut(name)?.role.tells_last_use = false;
        Ok(())
    }

    /// Removes a service-linked role.
    pub fn remove_service_linked_role(&mut self, name: &str) {
        if self.roles.get(&fold(name)).is_some_and(|entry| entry.protected) {
            self.roles.remove(&fold(name));
        }
    }

    /// `GetRole`: by name, with any path.
    pub fn get_role(&self, name: &str) -> Result<Role, ApiError> {
        self.role(name).map(|entry| entry.role.clone())
    }

    /// `DeleteRole`: rejected while the role has policies, inline or attached, or an instance profile.
    pub fn delete_role(&mut self, name: &str) -> Result<(), ApiError> {
        let entry = self.role_mut(name)?;
        if !entry.attached.is_empty() {
            return Err(ApiError::delete_conflict("Cannot delete entity, must detach all policies first."));
        }
        if !entry.inline.is_empty() {
            return Err(ApiError::delete_conflict("Cannot delete entity, must delete policies first."));
        }
        let (name, boundary) = (entry.role.name.clone(), entry.role.boundary.clone());
        if self.profiles.values().any(|entry| entry.role.as_ref() == Some(&name)) {
            return Err(ApiError::delete_conflict(
                "Cannot delete entity, must remove roles from instance profile first.",
            ));
        }
        if let Some(boundary) = boundary {
            self.hold(&boundary, |holders| {
                holders.bounded_roles.remove(&name);
            });
        }
        self.roles.remove(&fold(&name));
        Ok(())
    }

    /// `ListRoles`, without boundary and tags.
    pub fn list_roles(&mut self, path_prefix: &str, request: &PageRequest) -> Result<Page<Role>, ApiError> {
        let cut = self.cut(request)?;
        let range = self.roles.range((Bound::Excluded(cut.after.clone()), Bound::Unbounded));
        let visible =
            range.filter(|(_, entry)| entry.visible_at_ms <= self.now_ms() && entry.role.path.starts_with(path_prefix));
        let items =
            visible.map(|(key, entry)| (key.clone(), Role { boundary: None, tags: Tags::new(), ..entry.role.clone() }));
        Ok(cut.take(items))
    }

    /// `UpdateRole`: without a description the present one stays; without a session duration it becomes one hour.
    pub fn update_role(&mut self, request: &UpdateRole) -> Result<(), ApiError> {
        validate::role_description(request.description.as_deref())?;
        let max_session_seconds = validate::max_session(request.max_session_seconds)?;
        let entry = self.role_mut(&request.name)?;
        if let Some(description) = &request.description {
            entry.role.description = Some(description.clone()).filter(|text| !text.is_empty());
        }
        entry.role.max_session_seconds = max_session_seconds;
        Ok(())
    }

    /// `UpdateRoleDescription`.
    pub fn update_role_description(&mut self, name: &str, description: &str) -> Result<Role, ApiError> {
        validate::role_description(Some(description))?;
        let entry = self.role_mut(name)?;
        entry.role.description = Some(description.to_owned()).filter(|text| !text.is_empty());
        Ok(entry.role.clone())
    }

    /// `UpdateAssumeRolePolicy`.
    pub fn update_assume_role_policy(&mut self, name: &str, trust: &str) -> Result<(), ApiError> {
        let trust = self.checked_trust(trust)?;
        self.role_mut(name)?.role.trust = trust;
        Ok(())
    }

    /// `TagRole`. A role's tag keys are case insensitive: a key in another case replaces the present one.
    pub fn tag_role(&mut self, name: &str, tags: &Tags) -> Result<(), ApiError> {
        let quota = self.quotas.tags;
        let entry = self.role_mut(name)?;
        entry.role.tags = validate::merged_tags(&entry.role.tags, tags, true, quota)?;
        Ok(())
    }

    /// `UntagRole`; missing keys are ignored.
    pub fn untag_role(&mut self, name: &str, keys: &[String]) -> Result<(), ApiError> {
        validate::tag_keys(keys)?;
        let entry = self.role_mut(name)?;
        entry.role.tags.retain(|key, _| !keys.iter().any(|removed| validate::same_key(removed, key)));
        Ok(())
    }

    /// `ListRoleTags`.
    pub fn list_role_tags(&mut self, name: &str, request: &PageRequest) -> Result<Page<(String, String)>, ApiError> {
        let cut = self.cut(request)?;
        let tags = &self.role(name)?.role.tags;
        Ok(cut.take_from_start(tags.iter().map(|(key, value)| (key.clone(), (key.clone(), value.clone())))))
    }
}

/// True for paths in which only AWS creates roles.
fn is_reserved(path: &str) -> bool {
    path.starts_with("/aws-service-role/") || path.starts_with("/aws-reserved/")
}
