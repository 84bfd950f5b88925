//! Implements the port with the AWS SDK: converts the SDK's types to the port's types.

use std::sync::Arc;

use aws_sdk_iam::Client;
use aws_sdk_iam::types::PolicyUsageType;

use super::convert::{from_policy, from_role, to_tags};
use super::gate::Gate;
use super::rate_limit::Urgency;
use crate::model::documents::encoding::decode_document;
use crate::model::names::{PolicyArn, RoleName};
use crate::model::ownership::Tags;
use crate::pipeline::port::{
    ErrorClass, Iam, IamError, NewPolicy, NewRole, Operation, Policy, PolicyUsers, PolicyVersion, Result, Role,
};

/// IAM of one account.
#[derive(Clone)]
pub struct AwsIam {
    pub(super) client: Client,
    pub(super) gate: Arc<Gate>,
}

impl AwsIam {
    /// IAM through this gate.
    pub fn new(client: Client, gate: Arc<Gate>) -> Self {
        Self { client, gate }
    }

    /// For calls that no user waits for: those of users overtake them at the rate limit.
    #[must_use]
    pub fn in_background(self) -> Self {
        let gate = Gate { urgency: Urgency::Background, ..(*self.gate).clone() };
        Self { gate: Arc::new(gate), ..self }
    }
}

/// One call of the SDK through the gate: `call!(self, GetRole, resource, get_role().role_name(name))`.
macro_rules! call {
    ($self:ident, $operation:ident, $resource:expr, $($request:tt)+) => {
        $self.gate.call(Operation::$operation, &$resource, || $self.client.$($request)+.send()).await
    };
}

/// All pages of a list: the items of each page are collected by `$collect`.
macro_rules! pages {
    ($self:ident, $operation:ident, $resource:expr, $request:expr, |$page:ident| $collect:expr) => {{
        let mut marker: Option<String> = None;
        loop {
            let $page = $self
                .gate
                .call(Operation::$operation, &$resource, || $request.set_marker(marker.clone()).send())
                .await?;
            let next = if $page.is_truncated() { $page.marker().map(str::to_owned) } else { None };
            $collect;
            match next {
                Some(next) => marker = Some(next),
                None => break,
            }
        }
    }};
}

pub(super) use pages;

fn role_label(name: &RoleName) -> String {
    format!("role {name}")
}

fn policy_label(arn: &PolicyArn) -> String {
    format!("policy {arn}")
}

/// `None` for `NoSuchEntity`.
fn optional<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.class == ErrorClass::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn incomplete(operation: Operation, resource: String) -> IamError {
    IamError {
        class: ErrorClass::Transient,
        operation,
        resource,
        code: "Incomplete".into(),
        message: "the response is incomplete".into(),
    }
}

impl Iam for AwsIam {
    async fn role(&self, name: &RoleName) -> Result<Option<Role>> {
        let label = role_label(name);
        let answer = optional(call!(self, GetRole, label, get_role().role_name(name.as_str())))?;
        Ok(answer.and_then(|answer| answer.role).map(from_role))
    }

    async fn attached_policies(&self, role: &RoleName) -> Result<Vec<String>> {
        let (label, mut arns) = (role_label(role), Vec::new());
        pages!(
            self,
            ListAttachedRolePolicies,
            label,
            self.client.list_attached_role_policies().role_name(role.as_str()),
            |page| arns
                .extend(page.attached_policies.unwrap_or_default().into_iter().filter_map(|policy| policy.policy_arn))
        );
        Ok(arns)
    }

    async fn inline_policies(&self, role: &RoleName) -> Result<Vec<String>> {
        let (label, mut names) = (role_label(role), Vec::new());
        pages!(self, ListRolePolicies, label, self.client.list_role_policies().role_name(role.as_str()), |page| names
            .extend(page.policy_names));
        Ok(names)
    }

    async fn instance_profiles(&self, role: &RoleName) -> Result<Vec<String>> {
        let (label, mut names) = (role_label(role), Vec::new());
        pages!(
            self,
            ListInstanceProfilesForRole,
            label,
            self.client.list_instance_profiles_for_role().role_name(role.as_str()),
            |page| names.extend(page.instance_profiles.into_iter().map(|profile| profile.instance_profile_name))
        );
        Ok(names)
    }

    async fn policy(&self, arn: &PolicyArn) -> Result<Option<Policy>> {
        let label = policy_label(arn);
        let answer = optional(call!(self, GetPolicy, label, get_policy().policy_arn(arn.as_str())))?;
        Ok(answer.and_then(|answer| answer.policy).map(from_policy))
    }

    async fn policy_versions(&self, arn: &PolicyArn) -> Result<Vec<PolicyVersion>> {
        let (label, mut versions) = (policy_label(arn), Vec::new());
        pages!(self, ListPolicyVersions, label, self.client.list_policy_versions().policy_arn(arn.as_str()), |page| {
            versions.extend(page.versions.unwrap_or_default().into_iter().filter_map(|version| {
                Some(PolicyVersion { is_default: version.is_default_version, id: version.version_id? })
            }));
        });
        Ok(versions)
    }

    async fn policy_document(&self, arn: &PolicyArn, version: &str) -> Result<Option<String>> {
        let label = format!("policy {arn} version {version}");
        let answer = optional(call!(
            self,
            GetPolicyVersion,
            label,
            get_policy_version().policy_arn(arn.as_str()).version_id(version)
        ))?;
        Ok(answer.and_then(|answer| answer.policy_version?.document).map(|document| decode_document(&document)))
    }

    async fn policy_users(&self, arn: &PolicyArn) -> Result<PolicyUsers> {
        let (label, mut users) = (policy_label(arn), PolicyUsers::default());
        pages!(
            self,
            ListEntitiesForPolicy,
            label,
            self.client
                .list_entities_for_policy()
                .policy_arn(arn.as_str())
                .policy_usage_filter(PolicyUsageType::PermissionsPolicy),
            |page| {
                users.roles.extend(page.policy_roles.unwrap_or_default().into_iter().filter_map(|role| role.role_name));
                users.users.extend(page.policy_users.unwrap_or_default().into_iter().filter_map(|user| user.user_name));
                users
                    .groups
                    .extend(page.policy_groups.unwrap_or_default().into_iter().filter_map(|group| group.group_name));
            }
        );
        pages!(
            self,
            ListEntitiesForPolicy,
            label,
            self.client
                .list_entities_for_policy()
                .policy_arn(arn.as_str())
                .policy_usage_filter(PolicyUsageType::PermissionsBoundary),
            |page| {
                let roles = page.policy_roles.unwrap_or_default().into_iter().filter_map(|role| role.role_name);
                let named = roles.map(|role| format!("role {role}"));
                let bounded_users = page.policy_users.unwrap_or_default().into_iter().filter_map(|user| user.user_name);
                users.bounded.extend(named.chain(bounded_users.map(|user| format!("user {user}"))));
            }
        );
        Ok(users)
    }

    async fn create_policy(&self, policy: &NewPolicy) -> Result<Policy> {
        let NewPolicy { name, path, document, description, tags } = policy;
        let label = format!("policy {name}");
        let answer = call!(
            self,
            CreatePolicy,
            label,
            create_policy()
                .policy_name(name.as_str())
                .path(path.as_str())
                .policy_document(document)
                .description(description)
                .set_tags(Some(to_tags(tags)))
        )?;
        answer.policy.map(from_policy).ok_or_else(|| incomplete(Operation::CreatePolicy, label))
    }

    async fn create_policy_version(&self, arn: &PolicyArn, document: &str) -> Result<String> {
        let label = policy_label(arn);
        let answer = call!(
            self,
            CreatePolicyVersion,
            label,
            create_policy_version().policy_arn(arn.as_str()).policy_document(document).set_as_default(true)
        )?;
        answer
            .policy_version
            .and_then(|version| version.version_id)
            .ok_or_else(|| incomplete(Operation::CreatePolicyVersion, label))
    }

    async fn set_default_policy_version(&self, arn: &PolicyArn, version: &str) -> Result<()> {
        call!(
            self,
            SetDefaultPolicyVersion,
            policy_label(arn),
            set_default_policy_version().policy_arn(arn.as_str()).version_id(version)
        )
        .map(drop)
    }

    async fn delete_policy_version(&self, arn: &PolicyArn, version: &str) -> Result<()> {
        let label = format!("policy {arn} version {version}");
        call!(self, DeletePolicyVersion, label, delete_policy_version().policy_arn(arn.as_str()).version_id(version))?;
        Ok(())
    }

    async fn tag_policy(&self, arn: &PolicyArn, tags: &Tags) -> Result<()> {
        call!(self, TagPolicy, policy_label(arn), tag_policy().policy_arn(arn.as_str()).set_tags(Some(to_tags(tags))))
            .map(drop)
    }

    async fn untag_policy(&self, arn: &PolicyArn, keys: &[String]) -> Result<()> {
        call!(
            self,
            UntagPolicy,
            policy_label(arn),
            untag_policy().policy_arn(arn.as_str()).set_tag_keys(Some(keys.to_vec()))
        )
        .map(drop)
    }

    async fn delete_policy(&self, arn: &PolicyArn) -> Result<()> {
        call!(self, DeletePolicy, policy_label(arn), delete_policy().policy_arn(arn.as_str())).map(drop)
    }

    async fn create_role(&self, role: &NewRole) -> Result<Role> {
        let NewRole { name, path, trust, description, boundary, tags } = role;
        let label = role_label(name);
        let answer = call!(
            self,
            CreateRole,
            label,
            create_role()
                .role_name(name.as_str())
                .path(path.as_str())
                .assume_role_policy_document(trust)
                .description(description)
                .set_permissions_boundary(boundary.clone())
                .set_tags(Some(to_tags(tags)))
        )?;
        answer.role.map(from_role).ok_or_else(|| incomplete(Operation::CreateRole, label))
    }

    async fn update_trust(&self, role: &RoleName, document: &str) -> Result<()> {
        call!(
            self,
            UpdateAssumeRolePolicy,
            role_label(role),
            update_assume_role_policy().role_name(role.as_str()).policy_document(document)
        )
        .map(drop)
    }

    async fn update_role_description(&self, role: &RoleName, description: &str) -> Result<()> {
        call!(
            self,
            UpdateRoleDescription,
            role_label(role),
            update_role_description().role_name(role.as_str()).description(description)
        )
        .map(drop)
    }

    async fn put_boundary(&self, role: &RoleName, boundary: &str) -> Result<()> {
        call!(
            self,
            PutRolePermissionsBoundary,
            role_label(role),
            put_role_permissions_boundary().role_name(role.as_str()).permissions_boundary(boundary)
        )
        .map(drop)
    }

    async fn delete_boundary(&self, role: &RoleName) -> Result<()> {
        call!(
            self,
            DeleteRolePermissionsBoundary,
            role_label(role),
            delete_role_permissions_boundary().role_name(role.as_str())
        )
        .map(drop)
    }

    async fn tag_role(&self, role: &RoleName, tags: &Tags) -> Result<()> {
        call!(self, TagRole, role_label(role), tag_role().role_name(role.as_str()).set_tags(Some(to_tags(tags))))
            .map(drop)
    }

    async fn untag_role(&self, role: &RoleName, keys: &[String]) -> Result<()> {
        call!(
            self,
            UntagRole,
            role_label(role),
            untag_role().role_name(role.as_str()).set_tag_keys(Some(keys.to_vec()))
        )
        .map(drop)
    }

    async fn attach(&self, role: &RoleName, policy: &str) -> Result<()> {
        call!(
            self,
            AttachRolePolicy,
            role_label(role),
            attach_role_policy().role_name(role.as_str()).policy_arn(policy)
        )
        .map(drop)
    }

    async fn detach(&self, role: &RoleName, policy: &str) -> Result<()> {
        call!(
            self,
            DetachRolePolicy,
            role_label(role),
            detach_role_policy().role_name(role.as_str()).policy_arn(policy)
        )
        .map(drop)
    }

    async fn delete_inline_policy(&self, role: &RoleName, policy: &str) -> Result<()> {
        call!(
            self,
            DeleteRolePolicy,
            role_label(role),
            delete_role_policy().role_name(role.as_str()).policy_name(policy)
        )
        .map(drop)
    }

    async fn delete_role(&self, role: &RoleName) -> Result<()> {
        call!(self, DeleteRole, role_label(role), delete_role().role_name(role.as_str())).map(drop)
    }
}
