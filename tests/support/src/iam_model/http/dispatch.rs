//! Translates operations on policies, users and the account: from parameters to the model, and from results to XML.

use super::super::account::Iam;
use super::super::action::Action;
use super::super::error::ApiError;
use super::super::paging::PageRequest;
use super::super::report::DetailFilter;
use super::super::types::{CreatePolicy, PolicyScope, UsageFilter};
use super::request::Params;
use super::shapes;
use super::xml::Xml;

/// Executes an IAM operation and returns the content of its `…Result` element.
pub(super) fn execute(iam: &mut Iam, action: Action, params: &Params) -> Result<String, ApiError> {
    let large = matches!(action, Action::GetAccountAuthorizationDetails);
    let mut xml = Xml::with_capacity(if large { 256 * 1024 } else { 1024 });
    let known = policies(iam, action, params, &mut xml)?
        || super::roles::roles(iam, action, params, &mut xml)?
        || account(iam, action, params, &mut xml)?;
    if known {
        Ok(xml.into_string())
    } else {
        let message = format!("Could not find operation {} for version 2010-05-08", action.name());
        Err(ApiError::new("InvalidAction", 400, message))
    }
}

pub(super) fn page_request(params: &Params) -> Result<PageRequest, ApiError> {
    Ok(PageRequest { marker: params.owned("Marker"), max_items: params.number("MaxItems")? })
}

/// Returns false if the operation is not about policies.
fn policies(iam: &mut Iam, action: Action, params: &Params, xml: &mut Xml) -> Result<bool, ApiError> {
    let arn = || params.required("PolicyArn");
    match action {
        Action::CreatePolicy => {
            let created = iam.create_policy(&CreatePolicy {
                name: params.required("PolicyName")?.to_owned(),
                path: params.owned("Path"),
                document: params.required("PolicyDocument")?.to_owned(),
                description: params.owned("Description"),
                tags: params.tags()?,
            })?;
            xml.element("Policy", |xml| shapes::policy(xml, &created));
        }
        Action::GetPolicy => {
            let policy = iam.get_policy(arn()?)?;
            xml.element("Policy", |xml| shapes::policy(xml, &policy));
        }
        Action::DeletePolicy => iam.delete_policy(arn()?)?,
        Action::ListPolicies => {
            let scope = match params.get("Scope") {
                None | Some("All") => PolicyScope::All,
                Some("AWS") => PolicyScope::Aws,
                Some("Local") => PolicyScope::Local,
                Some(other) => return Err(not_in_enum(other, "scope")),
            };
            let prefix = params.get("PathPrefix").unwrap_or("/");
            let (only_attached, usage) = (params.flag("OnlyAttached"), usage(params)?);
            let page = iam.list_policies(scope, only_attached, usage, prefix, &page_request(params)?)?;
            shapes::page(xml, "Policies", &page, shapes::policy);
        }
        Action::CreatePolicyVersion => {
            let document = params.required("PolicyDocument")?;
            let created = iam.create_policy_version(arn()?, document, params.flag("SetAsDefault"))?;
            xml.element("PolicyVersion", |xml| shapes::version(xml, &created, false));
        }
        Action::GetPolicyVersion => {
            let version = iam.get_policy_version(arn()?, params.required("VersionId")?)?;
            xml.element("PolicyVersion", |xml| shapes::version(xml, &version, true));
        }
        Action::ListPolicyVersions => {
            let page = iam.list_policy_versions(arn()?, &page_request(params)?)?;
            shapes::page(xml, "Versions", &page, |xml, version| {
                shapes::version(xml, version, false);
            });
        }
        Action::SetDefaultPolicyVersion => iam.set_default_policy_version(arn()?, params.required("VersionId")?)?,
        Action::DeletePolicyVersion => iam.delete_policy_version(arn()?, params.required("VersionId")?)?,
        Action::TagPolicy => iam.tag_policy(arn()?, &params.tags()?)?,
        Action::UntagPolicy => iam.untag_policy(arn()?, &params.list("TagKeys"))?,
        Action::ListPolicyTags => {
            let page = iam.list_policy_tags(arn()?, &page_request(params)?)?;
            shapes::tags(xml, page.items.iter().map(|(key, value)| (key, value)));
            shapes::more(xml, page.marker.as_deref());
        }
        Action::ListEntitiesForPolicy => {
            let entities = iam.list_entities_for_policy(arn()?, usage(params)?, &page_request(params)?)?;
            xml.members("PolicyRoles", &entities.roles, |xml, role| {
                shapes::named(xml, role, "Role");
            });
            xml.members("PolicyUsers", &entities.users, |xml, user| {
                shapes::named(xml, user, "User");
            });
            xml.element("PolicyGroups", |_| ());
            shapes::more(xml, entities.marker.as_deref());
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn account(iam: &mut Iam, action: Action, params: &Params, xml: &mut Xml) -> Result<bool, ApiError> {
    let user = || params.required("UserName");
    match action {
        Action::CreateUser => {
            let created = iam.create_user(user()?, params.get("Path"))?;
            xml.element("User", |xml| shapes::user(xml, &created));
        }
        Action::DeleteUser => iam.delete_user(user()?)?,
        Action::AttachUserPolicy => iam.attach_user_policy(user()?, params.required("PolicyArn")?)?,
        Action::DetachUserPolicy => iam.detach_user_policy(user()?, params.required("PolicyArn")?)?,
        Action::PutUserPermissionsBoundary => {
            iam.put_user_permissions_boundary(user()?, params.required("PermissionsBoundary")?)?;
        }
        Action::DeleteUserPermissionsBoundary => iam.delete_user_permissions_boundary(user()?)?,
        Action::GetAccountAuthorizationDetails => {
            let filters = params.list("Filter");
            let filters = filters.iter().map(|name| filter(name)).collect::<Result<Vec<_>, _>>()?;
            let details = iam.get_account_authorization_details(&filters, &page_request(params)?)?;
            xml.element("UserDetailList", |_| ());
            xml.element("GroupDetailList", |_| ());
            xml.members("RoleDetailList", &details.roles, shapes::role_detail);
            xml.members("Policies", &details.policies, shapes::policy_detail);
            shapes::more(xml, details.marker.as_deref());
        }
        Action::SimulatePrincipalPolicy => {
            let context = params.list_of("ContextEntries", "ContextKeyName");
            let principal = params.required("PolicySourceArn")?;
            let answers = iam.simulate(principal, &params.list("ActionNames"), &context)?;
            xml.value("IsTruncated", false);
            xml.members("EvaluationResults", &answers, |xml, answer| {
                xml.text("EvalActionName", &answer.action);
                xml.text("EvalResourceName", &params.list("ResourceArns").join(","));
                xml.plain("EvalDecision", if answer.allowed { "allowed" } else { "implicitDeny" });
                xml.element("MatchedStatements", |_| ());
                xml.element("MissingContextValues", |xml| {
                    answer.missing.iter().for_each(|key| xml.text("member", key));
                });
            });
        }
        Action::GetAccountSummary => {
            xml.element("SummaryMap", |xml| {
                for (key, value) in iam.get_account_summary() {
                    xml.element("entry", |xml| {
                        xml.plain("key", &key);
                        // The wire format has 32 bits; an unlimited quota is larger.
                        xml.value("value", i32::try_from(value).unwrap_or(i32::MAX));
                    });
                }
            });
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn usage(params: &Params) -> Result<Option<UsageFilter>, ApiError> {
    match params.get("PolicyUsageFilter") {
        None => Ok(None),
        Some("PermissionsPolicy") => Ok(Some(UsageFilter::PermissionsPolicy)),
        Some("PermissionsBoundary") => Ok(Some(UsageFilter::PermissionsBoundary)),
        Some(other) => Err(not_in_enum(other, "policyUsageFilter")),
    }
}

fn filter(name: &str) -> Result<DetailFilter, ApiError> {
    match name {
        "User" => Ok(DetailFilter::User),
        "Role" => Ok(DetailFilter::Role),
        "Group" => Ok(DetailFilter::Group),
        "LocalManagedPolicy" => Ok(DetailFilter::LocalManagedPolicy),
        "AWSManagedPolicy" => Ok(DetailFilter::AwsManagedPolicy),
        other => Err(not_in_enum(other, "filter")),
    }
}

fn not_in_enum(value: &str, field: &str) -> ApiError {
    ApiError::validation(format!(
        "1 validation error detected: Value '{value}' at '{field}' failed to satisfy constraint: Member must satisfy \
         enum value set"
    ))
}
