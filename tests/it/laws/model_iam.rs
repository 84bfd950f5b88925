//! The operator's IAM port over the model of IAM, in one process: AWS's rules without a wire.

use aurora_log_export_operator::model::names::{PolicyArn, RoleName};
use aurora_log_export_operator::model::ownership::Tags;
use aurora_log_export_operator::pipeline::port::codes::class_of;
use aurora_log_export_operator::pipeline::port::{
    ErrorClass, Iam, IamError, LastUse, NewPolicy, NewRole, Operation, Policy, PolicyUsers, PolicyVersion, Result, Role,
};
use aurora_test_support::iam_model::handle::{CallError, Shared};
use aurora_test_support::iam_model::{self as model, Action, ApiError, PageRequest, UsageFilter};

/// One account of the model, as the operator sees it.
#[derive(Clone, Debug)]
pub(super) struct ModelIam(pub(super) Shared);

/// One call, its operation named alike on both sides.
macro_rules! call {
    ($self:ident, $operation:ident, $resource:expr, $run:expr) => {
        $self.call(Operation::$operation, Action::$operation, $resource, $run)
    };
}

impl ModelIam {
    fn call<T>(
        &self,
        operation: Operation,
        action: Action,
        resource: &str,
        run: impl FnOnce(&mut model::Iam) -> std::result::Result<T, ApiError>,
    ) -> Result<T> {
        self.0.call(action, resource, run).map_err(|error| match error {
            CallError::Api(ApiError { code, status, message }) => IamError {
                class: class_of(Some(&code), Some(status)),
                operation,
                resource: resource.to_owned(),
                code,
                message,
            },
            CallError::AnswerLost => IamError {
                class: ErrorClass::Transient,
                operation,
                resource: resource.to_owned(),
                code: "Connection".to_owned(),
                message: "the answer was lost".to_owned(),
            },
        })
    }

    /// All pages of a list, each page a call.
    fn pages<T>(
        &self,
        operation: Operation,
        action: Action,
        resource: &str,
        mut page: impl FnMut(&mut model::Iam, &PageRequest) -> std::result::Result<model::Page<T>, ApiError>,
    ) -> Result<Vec<T>> {
        let (mut items, mut request) = (Vec::new(), PageRequest::default());
        loop {
            let answer = self.call(operation, action, resource, |iam| page(iam, &request))?;
            items.extend(answer.items);
            if answer.marker.is_none() {
                return Ok(items);
            }
            request = PageRequest::after(answer.marker);
        }
    }
}

fn optional<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.class == ErrorClass::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn role(role: model::Role) -> Role {
    Role {
        arn: role.arn,
        id: role.id,
        description: role.description.unwrap_or_default(),
        trust: role.trust.as_str().to_owned(),
        boundary: role.boundary,
        tags: role.tags,
        last_use: LastUse::Never,
    }
}

fn policy(policy: model::Policy) -> Policy {
    Policy {
        arn: policy.arn,
        id: policy.id,
        description: policy.description.unwrap_or_default(),
        default_version: policy.default_version,
        tags: policy.tags,
    }
}

impl Iam for ModelIam {
    async fn role(&self, name: &RoleName) -> Result<Option<Role>> {
        let name = name.as_str();
        let found = optional(call!(self, GetRole, name, |iam| iam.get_role(name)))?;
        Ok(found.map(role))
    }

    async fn attached_policies(&self, name: &RoleName) -> Result<Vec<String>> {
        let (operation, action) = (Operation::ListAttachedRolePolicies, Action::ListAttachedRolePolicies);
        let found = self.pages(operation, action, name.as_str(), |iam, page| {
            iam.list_attached_role_policies(name.as_str(), "/", page)
        })?;
        Ok(found.into_iter().map(|policy| policy.arn).collect())
    }

    async fn inline_policies(&self, name: &RoleName) -> Result<Vec<String>> {
        let (operation, action) = (Operation::ListRolePolicies, Action::ListRolePolicies);
        self.pages(operation, action, name.as_str(), |iam, page| iam.list_role_policies(name.as_str(), page))
    }

    async fn instance_profiles(&self, name: &RoleName) -> Result<Vec<String>> {
        let (operation, action) = (Operation::ListInstanceProfilesForRole, Action::ListInstanceProfilesForRole);
        let found = self.pages(operation, action, name.as_str(), |iam, page| {
            iam.list_instance_profiles_for_role(name.as_str(), page)
        })?;
        Ok(found.into_iter().map(|profile| profile.name).collect())
    }

    async fn policy(&self, arn: &PolicyArn) -> Result<Option<Policy>> {
        let found = optional(call!(self, GetPolicy, arn.as_str(), |iam| iam.get_policy(arn.as_str())))?;
        Ok(found.map(policy))
    }

    async fn policy_versions(&self, arn: &PolicyArn) -> Result<Vec<PolicyVersion>> {
        let (operation, action) = (Operation::ListPolicyVersions, Action::ListPolicyVersions);
        let found =
            self.pages(operation, action, arn.as_str(), |iam, page| iam.list_policy_versions(arn.as_str(), page))?;
        let versions =
            found.into_iter().map(|version| PolicyVersion { id: version.id, is_default: version.is_default });
        Ok(versions.collect())
    }

    async fn policy_document(&self, arn: &PolicyArn, version: &str) -> Result<Option<String>> {
        let found =
            optional(call!(self, GetPolicyVersion, arn.as_str(), |iam| iam.get_policy_version(arn.as_str(), version)))?;
        Ok(found.map(|version| version.document.as_str().to_owned()))
    }

    async fn policy_users(&self, arn: &PolicyArn) -> Result<PolicyUsers> {
        let mut users = PolicyUsers::default();
        for usage in [UsageFilter::PermissionsPolicy, UsageFilter::PermissionsBoundary] {
            let mut request = PageRequest::default();
            loop {
                let page = call!(self, ListEntitiesForPolicy, arn.as_str(), |iam| iam.list_entities_for_policy(
                    arn.as_str(),
                    Some(usage),
                    &request
                ))?;
                let roles = page.roles.into_iter().map(|role| role.name);
                let people = page.users.into_iter().map(|user| user.name);
                match usage {
                    UsageFilter::PermissionsPolicy => {
                        users.roles.extend(roles);
                        users.users.extend(people);
                    }
                    UsageFilter::PermissionsBoundary => {
                        users.bounded.extend(roles.map(|role| format!("role {role}")));
                        users.bounded.extend(people.map(|user| format!("user {user}")));
                    }
                }
                if page.marker.is_none() {
                    break;
                }
                request = PageRequest::after(page.marker);
            }
        }
        Ok(users)
    }

    async fn create_policy(&self, new: &NewPolicy) -> Result<Policy> {
        let request = model::CreatePolicy {
            name: new.name.to_string(),
            path: Some(new.path.to_string()),
            document: new.document.clone(),
            description: Some(new.description.clone()),
            tags: new.tags.clone(),
        };
        call!(self, CreatePolicy, new.name.as_str(), |iam| iam.create_policy(&request)).map(policy)
    }

    async fn create_policy_version(&self, arn: &PolicyArn, document: &str) -> Result<String> {
        call!(self, CreatePolicyVersion, arn.as_str(), |iam| iam.create_policy_version(arn.as_str(), document, true))
            .map(|version| version.id)
    }

    async fn set_default_policy_version(&self, arn: &PolicyArn, version: &str) -> Result<()> {
        call!(self, SetDefaultPolicyVersion, arn.as_str(), |iam| iam.set_default_policy_version(arn.as_str(), version))
    }

    async fn delete_policy_version(&self, arn: &PolicyArn, version: &str) -> Result<()> {
        call!(self, DeletePolicyVersion, arn.as_str(), |iam| iam.delete_policy_version(arn.as_str(), version))
    }

    async fn tag_policy(&self, arn: &PolicyArn, tags: &Tags) -> Result<()> {
        call!(self, TagPolicy, arn.as_str(), |iam| iam.tag_policy(arn.as_str(), tags))
    }

    async fn untag_policy(&self, arn: &PolicyArn, keys: &[String]) -> Result<()> {
        call!(self, UntagPolicy, arn.as_str(), |iam| iam.untag_policy(arn.as_str(), keys))
    }

    async fn delete_policy(&self, arn: &PolicyArn) -> Result<()> {
        call!(self, DeletePolicy, arn.as_str(), |iam| iam.delete_policy(arn.as_str()))
    }

    async fn create_role(&self, new: &NewRole) -> Result<Role> {
        let request = model::CreateRole {
            name: new.name.to_string(),
            path: Some(new.path.to_string()),
            trust: new.trust.clone(),
            description: Some(new.description.clone()),
            max_session_seconds: None,
            boundary: new.boundary.clone(),
            tags: new.tags.clone(),
        };
        call!(self, CreateRole, new.name.as_str(), |iam| iam.create_role(&request)).map(role)
    }

    async fn update_trust(&self, name: &RoleName, document: &str) -> Result<()> {
        call!(self, UpdateAssumeRolePolicy, name.as_str(), |iam| iam.update_assume_role_policy(name.as_str(), document))
    }

    async fn update_role_description(&self, name: &RoleName, description: &str) -> Result<()> {
        call!(self, UpdateRoleDescription, name.as_str(), |iam| iam
            .update_role_description(name.as_str(), description)
            .map(drop))
    }

    async fn put_boundary(&self, name: &RoleName, boundary: &str) -> Result<()> {
        call!(self, PutRolePermissionsBoundary, name.as_str(), |iam| iam
            .put_role_permissions_boundary(name.as_str(), boundary))
    }

    async fn delete_boundary(&self, name: &RoleName) -> Result<()> {
        call!(self, DeleteRolePermissionsBoundary, name.as_str(), |iam| iam
            .delete_role_permissions_boundary(name.as_str()))
    }

    async fn tag_role(&self, name: &RoleName, tags: &Tags) -> Result<()> {
        call!(self, TagRole, name.as_str(), |iam| iam.tag_role(name.as_str(), tags))
    }

    async fn untag_role(&self, name: &RoleName, keys: &[String]) -> Result<()> {
        call!(self, UntagRole, name.as_str(), |iam| iam.untag_role(name.as_str(), keys))
    }

    async fn attach(&self, name: &RoleName, policy: &str) -> Result<()> {
        call!(self, AttachRolePolicy, name.as_str(), |iam| iam.attach_role_policy(name.as_str(), policy))
    }

    async fn detach(&self, name: &RoleName, policy: &str) -> Result<()> {
        call!(self, DetachRolePolicy, name.as_str(), |iam| iam.detach_role_policy(name.as_str(), policy))
    }

    async fn delete_inline_policy(&self, name: &RoleName, policy: &str) -> Result<()> {
        call!(self, DeleteRolePolicy, name.as_str(), |iam| iam.delete_role_policy(name.as_str(), policy))
    }

    async fn delete_role(&self, name: &RoleName) -> Result<()> {
        call!(self, DeleteRole, name.as_str(), |iam| iam.delete_role(name.as_str()))
    }
}
