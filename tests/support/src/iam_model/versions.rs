//! Versions of a managed policy: at most five, with ids that are never reused.

use super::account::Iam;
use super::error::ApiError;
use super::paging::{Page, PageRequest};
use super::types::PolicyVersion;

impl Iam {
    /// `CreatePolicyVersion`.
    pub fn create_policy_version(
        &mut self,
        arn: &str,
        document: &str,
        set_as_default: bool,
    ) -> Result<PolicyVersion, ApiError> {
        let document = self.checked_policy(document)?;
        let (now, quota) = (self.now_ms(), self.quotas.versions);
        let entry = self.policy_mut(arn)?;
        if entry.versions.len() >= quota {
            return Err(ApiError::limit_exceeded(format!(
                "A managed policy can have up to {quota} versions. Before you create a new version, you must delete \
                 an existing version."
            )));
        }
        let id = format!("v{}", entry.next_version);
        entry.next_version += 1;
        let version = PolicyVersion { id: id.clone(), document, is_default: set_as_default, created_ms: now };
        if set_as_default {
            entry.versions.iter_mut().for_each(|other| other.is_default = false);
            entry.policy.default_version = id;
        }
        entry.policy.updated_ms = now;
        entry.versions.push(version.clone());
        Ok(version)
    }

    /// `GetPolicyVersion`.
    pub fn get_policy_version(&self, arn: &str, version: &str) -> Result<PolicyVersion, ApiError> {
        check_version_id(version)?;
        let entry = self.policy(arn)?;
        entry.versions.iter().find(|held| held.id == version).cloned().ok_or_else(|| no_version(arn, version))
    }

    /// `ListPolicyVersions`, newest first.
    pub fn list_policy_versions(&mut self, arn: &str, request: &PageRequest) -> Result<Page<PolicyVersion>, ApiError> {
        let cut = self.cut(request)?;
        let versions = self.policy(arn)?.versions.iter().rev();
        let items = versions.map(|version| {
            let number: u32 = version.id[1..].parse().unwrap_or(0);
            (format!("{:010}", u32::MAX - number), version.clone())
        });
        Ok(cut.take_from_start(items))
    }

    /// `SetDefaultPolicyVersion`; naming the present default changes nothing.
    pub fn set_default_policy_version(&mut self, arn: &str, version: &str) -> Result<(), ApiError> {
        check_version_id(version)?;
        let now = self.now_ms();
        let entry = self.policy_mut(arn)?;
        if !entry.versions.iter().any(|held| held.id == version) {
            return Err(no_version(arn, version));
        }
        if entry.policy.default_version != version {
            version.clone_into(&mut entry.policy.default_version);
            entry.policy.updated_ms = now;
            entry.versions.iter_mut().for_each(|held| held.is_default = held.id == version);
        }
        Ok(())
    }

    /// `DeletePolicyVersion`; the default version cannot be deleted.
    pub fn delete_policy_version(&mut self, arn: &str, version: &str) -> Result<(), ApiError> {
        check_version_id(version)?;
        let now = self.now_ms();
        let entry = self.policy_mut(arn)?;
        let position =
            entry.versions.iter().position(|held| held.id == version).ok_or_else(|| no_version(arn, version))?;
        if entry.policy.default_version == version {
            return Err(ApiError::delete_conflict("Cannot delete the default version of a policy."));
        }
        entry.versions.remove(position);
        entry.policy.updated_ms = now;
        Ok(())
    }
}

fn no_version(arn: &str, version: &str) -> ApiError {
    ApiError::no_such_entity(format!("Policy {arn} version {version} does not exist or is not attachable."))
}

/// `v[1-9][0-9]*`.
fn check_version_id(id: &str) -> Result<(), ApiError> {
    let digits = id.strip_prefix('v').filter(|digits| !digits.is_empty() && !digits.starts_with('0'));
    if digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())) {
        return Ok(());
    }
    Err(ApiError::validation(format!(
        "1 validation error detected: Value '{id}' at 'versionId' failed to satisfy constraint: Member must satisfy \
         regular expression pattern: v[1-9][0-9]*(\\.[A-Za-z0-9-]*)?"
    )))
}
