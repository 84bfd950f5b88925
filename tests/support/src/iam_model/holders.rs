//! Users, instance profiles, and the list of the entities that use a policy.

use super::account::{Iam, ProfileEntry, UserEntry, fold};
use super::error::ApiError;
use super::paging::{Page, PageRequest};
use super::types::{Entities, InstanceProfile, Named, UsageFilter, User};
use super::validate;
use std::collections::BTreeSet;

impl Iam {
    /// `ListEntitiesForPolicy`; without a filter both uses are listed.
    pub fn list_entities_for_policy(
        &mut self,
        arn: &str,
        usage: Option<UsageFilter>,
        request: &PageRequest,
    ) -> Result<Entities, ApiError> {
        let cut = self.cut(request)?;
        self.policy(arn)?;
        let held = self.holders.get(arn).cloned().unwrap_or_default();
        let union = |attached: &BTreeSet<String>, bounded: &BTreeSet<String>| -> BTreeSet<String> {
            match usage {
                Some(UsageFilter::PermissionsPolicy) => attached.clone(),
                Some(UsageFilter::PermissionsBoundary) => bounded.clone(),
                None => attached | bounded,
            }
        };
        let roles = union(&held.roles, &held.bounded_roles).into_iter().filter_map(|name| {
            let role = &self.roles.get(&fold(&name))?.role;
            Some((format!("1{name}"), (true, Named { name, id: role.id.clone() })))
        });
        let users = union(&held.users, &held.bounded_users).into_iter().filter_map(|name| {
            let user = &self.users.get(&fold(&name))?.user;
            Some((format!("2{name}"), (false, Named { name, id: user.id.clone() })))
        });
        let page = cut.take_from_start(roles.chain(users));
        let mut entities = Entities { marker: page.marker, ..Entities::default() };
        for (is_role, named) in page.items {
            if is_role {
                entities.roles.push(named);
            } else {
                entities.users.push(named);
            }
        }
        Ok(entities)
    }

    /// `CreateUser`.
    pub fn create_user(&mut self, name: &str, path: Option<&str>) -> Result<User, ApiError> {
        validate::name(name, "userName", 64)?;
        let path = validate::path(path)?;
        if self.users.contains_key(&fold(name)) {
            return Err(ApiError::entity_already_exists(format!("User with name {name} already exists.")));
        }
        let user = User {
            arn: self.arn(&format!("user{path}{name}")),
            name: name.to_owned(),
            id: self.new_id("AIDA"),
            path,
            created_ms: self.now_ms(),
        };
        let entry = UserEntry { user: user.clone(), attached: BTreeSet::new(), boundary: None };
        self.users.insert(fold(name), entry);
        Ok(user)
    }

    /// `DeleteUser`.
    pub fn delete_user(&mut self, name: &str) -> Result<(), ApiError> {
        let entry = self.user_mut(name)?;
        if !entry.attached.is_empty() {
            return Err(ApiError::delete_conflict("Cannot delete entity, must detach all policies first."));
        }
        if let Some(boundary) = entry.boundary.clone() {
            self.hold(&boundary, |holders| {
                holders.bounded_users.remove(name);
            });
        }
        self.users.remove(&fold(name));
        Ok(())
    }

    fn user_mut(&mut self, name: &str) -> Result<&mut UserEntry, ApiError> {
        validate::name(name, "userName", 64)?;
        self.users
            .get_mut(&fold(name))
            .filter(|entry| entry.user.name == name)
            .ok_or_else(|| ApiError::no_such_entity(format!("The user with name {name} cannot be found.")))
    }

    /// `AttachUserPolicy`.
    pub fn attach_user_policy(&mut self, user: &str, arn: &str) -> Result<(), ApiError> {
        self.attachable(arn, "Policy")?;
        self.user_mut(user)?.attached.insert(arn.to_owned());
        self.hold(arn, |holders| {
            holders.users.insert(user.to_owned());
        });
        Ok(())
    }

    /// `DetachUserPolicy`.
    pub fn detach_user_policy(&mut self, user: &str, arn: &str) -> Result<(), ApiError> {
        if !self.user_mut(user)?.attached.remove(arn) {
            return Err(ApiError::no_such_entity(format!("Policy {arn} was not found.")));
        }
        self.hold(arn, |holders| {
            holders.users.remove(user);
        });
        Ok(())
    }

    /// `PutUserPermissionsBoundary`.
    pub fn put_user_permissions_boundary(&mut self, user: &str, arn: &str) -> Result<(), ApiError> {
        self.attachable(arn, "Scope ARN:")?;
        if let Some(old) = self.user_mut(user)?.boundary.replace(arn.to_owned()) {
            self.hold(&old, |holders| {
                holders.bounded_users.remove(user);
            });
        }
        self.hold(arn, |holders| {
            holders.bounded_users.insert(user.to_owned());
        });
        Ok(())
    }

    /// `DeleteUserPermissionsBoundary`.
    pub fn delete_user_permissions_boundary(&mut self, user: &str) -> Result<(), ApiError> {
        let old =
            self.user_mut(user)?.boundary.take().ok_or_else(|| {
                ApiError::no_such_entity(format!("Permissions boundary of user {user} cannot be found."))
            })?;
        self.hold(&old, |holders| {
            holders.bounded_users.remove(user);
        });
        Ok(())
    }

    /// `CreateInstanceProfile`.
    pub fn create_instance_profile(&mut self, name: &str, path: Option<&str>) -> Result<InstanceProfile, ApiError> {
        validate::name(name, "instanceProfileName", 128)?;
        let path = validate::path(path)?;
        if self.profiles.contains_key(&fold(name)) {
            return Err(ApiError::entity_already_exists(format!("Instance Profile {name} already exists.")));
        }
        let profile = InstanceProfile {
            arn: self.arn(&format!("instance-profile{path}{name}")),
            name: name.to_owned(),
            id: self.new_id("AIPA"),
            path,
            created_ms: self.now_ms(),
            role: None,
        };
        self.profiles.insert(fold(name), ProfileEntry { profile: profile.clone(), role: None });
        Ok(profile)
    }

    /// `DeleteInstanceProfile`.
    pub fn delete_instance_profile(&mut self, name: &str) -> Result<(), ApiError> {
        if self.profile_mut(name)?.role.is_some() {
            return Err(ApiError::delete_conflict(
                "Cannot delete entity, must remove roles from instance profile first.",
            ));
        }
        self.profiles.remove(&fold(name));
        Ok(())
    }

    fn profile_mut(&mut self, name: &str) -> Result<&mut ProfileEntry, ApiError> {
        validate::name(name, "instanceProfileName", 128)?;
        self.profiles
            .get_mut(&fold(name))
            .filter(|entry| entry.profile.name == name)
            .ok_or_else(|| ApiError::no_such_entity(format!("Instance Profile {name} cannot be found.")))
    }

    /// `AddRoleToInstanceProfile`: one role per profile.
    pub fn add_role_to_instance_profile(&mut self, profile: &str, role: &str) -> Result<(), ApiError> {
        let role = self.role_mut(role)?.role.name.clone();
        let entry = self.profile_mut(profile)?;
        if entry.role.is_some() {
            return Err(ApiError::limit_exceeded("Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1"));
        }
        entry.role = Some(role);
        Ok(())
    }

    /// `RemoveRoleFromInstanceProfile`.
    pub fn remove_role_from_instance_profile(&mut self, profile: &str, role: &str) -> Result<(), ApiError> {
        let name = self.role_mut(role)?.role.name.clone();
        let entry = self.profile_mut(profile)?;
        if entry.role.as_ref() != Some(&name) {
            return Err(ApiError::no_such_entity(format!("The role with name {role} cannot be found.")));
        }
        entry.role = None;
        Ok(())
    }

    /// `ListInstanceProfilesForRole`.
    pub fn list_instance_profiles_for_role(
        &mut self,
        role: &str,
        request: &PageRequest,
    ) -> Result<Page<InstanceProfile>, ApiError> {
        let cut = self.cut(request)?;
        self.role(role)?;
        Ok(cut.take_from_start(self.profiles_of(role).into_iter().map(|profile| (fold(&profile.name), profile))))
    }

    pub(super) fn profiles_of(&self, role: &str) -> Vec<InstanceProfile> {
        let of_role = self.profiles.values().filter(|entry| entry.role.as_deref() == Some(role));
        let role = self.roles.get(&fold(role)).map(|entry| &entry.role);
        of_role.map(|entry| InstanceProfile { role: role.cloned(), ..entry.profile.clone() }).collect()
    }
}
