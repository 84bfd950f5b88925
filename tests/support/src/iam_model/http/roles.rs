//! Translates operations on roles and their policies: from parameters to the model, and from results to XML.

use super::super::account::Iam;
use super::super::action::Action;
use super::super::error::ApiError;
use super::super::types::{CreateRole, UpdateRole};
use super::dispatch::page_request;
use super::request::Params;
use super::shapes;
use super::xml::Xml;

/// Returns false if the operation is not about roles.
pub(super) fn roles(iam: &mut Iam, action: Action, params: &Params, xml: &mut Xml) -> Result<bool, ApiError> {
    let name = || params.required("RoleName");
    match action {
        Action::CreateRole => {
            let created = iam.create_role(&CreateRole {
                name: name()?.to_owned(),
                path: params.owned("Path"),
                trust: params.required("AssumeRolePolicyDocument")?.to_owned(),
                description: params.owned("Description"),
                max_session_seconds: params.number("MaxSessionDuration")?,
                boundary: params.owned("PermissionsBoundary"),
                tags: params.tags()?,
            })?;
            xml.element("Role", |xml| shapes::role(xml, &created));
        }
        Action::GetRole => {
            let role = iam.get_role(name()?)?;
            xml.element("Role", |xml| shapes::role(xml, &role));
        }
        Action::DeleteRole => iam.delete_role(name()?)?,
        Action::ListRoles => {
            let page = iam.list_roles(params.get("PathPrefix").unwrap_or("/"), &page_request(params)?)?;
            shapes::page(xml, "Roles", &page, shapes::role);
        }
        Action::UpdateRole => iam.update_role(&UpdateRole {
            name: name()?.to_owned(),
            description: params.owned("Description"),
            max_session_seconds: params.number("MaxSessionDuration")?,
        })?,
        Action::UpdateRoleDescription => {
            let role = iam.update_role_description(name()?, params.required("Description")?)?;
            xml.element("Role", |xml| shapes::role(xml, &role));
        }
        Action::UpdateAssumeRolePolicy => iam.update_assume_role_policy(name()?, params.required("PolicyDocument")?)?,
        Action::TagRole => iam.tag_role(name()?, &params.tags()?)?,
        Action::UntagRole => iam.untag_role(name()?, &params.list("TagKeys"))?,
        Action::ListRoleTags => {
            let page = iam.list_role_tags(name()?, &page_request(params)?)?;
            shapes::tags(xml, page.items.iter().map(|(key, value)| (key, value)));
            shapes::more(xml, page.marker.as_deref());
        }
        _ => return role_policies(iam, action, params, xml),
    }
    Ok(true)
}

fn role_policies(iam: &mut Iam, action: Action, params: &Params, xml: &mut Xml) -> Result<bool, ApiError> {
    let name = || params.required("RoleName");
    let profile = || params.required("InstanceProfileName");
    match action {
        Action::PutRolePermissionsBoundary => {
            iam.put_role_permissions_boundary(name()?, params.required("PermissionsBoundary")?)?;
        }
        Action::DeleteRolePermissionsBoundary => iam.delete_role_permissions_boundary(name()?)?,
        Action::AttachRolePolicy => iam.attach_role_policy(name()?, params.required("PolicyArn")?)?,
        Action::DetachRolePolicy => iam.detach_role_policy(name()?, params.required("PolicyArn")?)?,
        Action::ListAttachedRolePolicies => {
            let prefix = params.get("PathPrefix").unwrap_or("/");
            let page = iam.list_attached_role_policies(name()?, prefix, &page_request(params)?)?;
            shapes::page(xml, "AttachedPolicies", &page, shapes::attached_policy);
        }
        Action::PutRolePolicy => {
            iam.put_role_policy(name()?, params.required("PolicyName")?, params.required("PolicyDocument")?)?;
        }
        Action::GetRolePolicy => {
            let inline = iam.get_role_policy(name()?, params.required("PolicyName")?)?;
            xml.text("RoleName", name()?);
            shapes::inline_policy(xml, &inline);
        }
        Action::DeleteRolePolicy => iam.delete_role_policy(name()?, params.required("PolicyName")?)?,
        Action::ListRolePolicies => {
            let page = iam.list_role_policies(name()?, &page_request(params)?)?;
            xml.element("PolicyNames", |xml| {
                page.items.iter().for_each(|name| xml.text("member", name));
            });
            shapes::more(xml, page.marker.as_deref());
        }
        Action::CreateInstanceProfile => {
            let created = iam.create_instance_profile(profile()?, params.get("Path"))?;
            xml.element("InstanceProfile", |xml| shapes::instance_profile(xml, &created));
        }
        Action::DeleteInstanceProfile => iam.delete_instance_profile(profile()?)?,
        Action::AddRoleToInstanceProfile => iam.add_role_to_instance_profile(profile()?, name()?)?,
        Action::RemoveRoleFromInstanceProfile => iam.remove_role_from_instance_profile(profile()?, name()?)?,
        Action::ListInstanceProfilesForRole => {
            let page = iam.list_instance_profiles_for_role(name()?, &page_request(params)?)?;
            shapes::page(xml, "InstanceProfiles", &page, shapes::instance_profile);
        }
        _ => return Ok(false),
    }
    Ok(true)
}
