//! The structures of IAM's responses.

use super::super::paging::Page;
use super::super::time::iso8601;
use super::super::types::{
    AttachedPolicy, InlinePolicy, InstanceProfile, Named, Policy, PolicyDetail, PolicyVersion, Role, RoleDetail, User,
};
use super::xml::Xml;

pub(super) fn policy(xml: &mut Xml, policy: &Policy) {
    policy_summary(xml, policy);
    if !policy.tags.is_empty() {
        tags(xml, &policy.tags);
    }
}

fn policy_summary(xml: &mut Xml, policy: &Policy) {
    xml.text("PolicyName", &policy.name);
    xml.plain("PolicyId", &policy.id);
    xml.text("Arn", &policy.arn);
    xml.text("Path", &policy.path);
    xml.plain("DefaultVersionId", &policy.default_version);
    xml.value("AttachmentCount", policy.attachment_count);
    xml.value("PermissionsBoundaryUsageCount", policy.boundary_count);
    xml.value("IsAttachable", true);
    if let Some(description) = &policy.description {
        xml.text("Description", description);
    }
    xml.plain("CreateDate", &iso8601(policy.created_ms));
    xml.plain("UpdateDate", &iso8601(policy.updated_ms));
}

pub(super) fn version(xml: &mut Xml, version: &PolicyVersion, with_document: bool) {
    if with_document {
        xml.plain("Document", version.document.encoded());
    }
    xml.plain("VersionId", &version.id);
    xml.value("IsDefaultVersion", version.is_default);
    xml.plain("CreateDate", &iso8601(version.created_ms));
}

pub(super) fn role(xml: &mut Xml, role: &Role) {
    role_core(xml, role);
    if let Some(description) = &role.description {
        xml.text("Description", description);
    }
    xml.value("MaxSessionDuration", role.max_session_seconds);
}

/// What `Role` and `RoleDetail` share.
fn role_core(xml: &mut Xml, role: &Role) {
    xml.text("Path", &role.path);
    xml.text("RoleName", &role.name);
    xml.plain("RoleId", &role.id);
    xml.text("Arn", &role.arn);
    xml.plain("CreateDate", &iso8601(role.created_ms));
    xml.plain("AssumeRolePolicyDocument", role.trust.encoded());
    if let Some(boundary) = &role.boundary {
        xml.element("PermissionsBoundary", |xml| {
            xml.plain("PermissionsBoundaryType", "Policy");
            xml.text("PermissionsBoundaryArn", boundary);
        });
    }
    if !role.tags.is_empty() {
        tags(xml, &role.tags);
    }
    if role.tells_last_use {
        xml.element("RoleLastUsed", |xml| {
            if let Some(used_ms) = role.last_used_ms {
                xml.plain("LastUsedDate", &iso8601(used_ms));
                xml.plain("Region", "eu-west-1");
            }
        });
    }
}

pub(super) fn role_detail(xml: &mut Xml, detail: &RoleDetail) {
    role_core(xml, &detail.role);
    xml.members("InstanceProfileList", &detail.instance_profiles, instance_profile);
    xml.members("RolePolicyList", &detail.inline, inline_policy);
    xml.members("AttachedManagedPolicies", &detail.attached, attached_policy);
}

pub(super) fn policy_detail(xml: &mut Xml, detail: &PolicyDetail) {
    policy_summary(xml, &detail.policy);
    xml.members("PolicyVersionList", &detail.versions, |xml, held| {
        version(xml, held, true);
    });
}

pub(super) fn inline_policy(xml: &mut Xml, inline: &InlinePolicy) {
    xml.text("PolicyName", &inline.name);
    xml.plain("PolicyDocument", inline.document.encoded());
}

pub(super) fn attached_policy(xml: &mut Xml, attached: &AttachedPolicy) {
    xml.text("PolicyName", &attached.name);
    xml.text("PolicyArn", &attached.arn);
}

pub(super) fn instance_profile(xml: &mut Xml, profile: &InstanceProfile) {
    xml.text("Path", &profile.path);
    xml.text("InstanceProfileName", &profile.name);
    xml.plain("InstanceProfileId", &profile.id);
    xml.text("Arn", &profile.arn);
    xml.plain("CreateDate", &iso8601(profile.created_ms));
    xml.members("Roles", &profile.role, role);
}

pub(super) fn user(xml: &mut Xml, user: &User) {
    xml.text("Path", &user.path);
    xml.text("UserName", &user.name);
    xml.plain("UserId", &user.id);
    xml.text("Arn", &user.arn);
    xml.plain("CreateDate", &iso8601(user.created_ms));
}

/// An entity of `ListEntitiesForPolicy`; `kind` is `Role` or `User`.
pub(super) fn named(xml: &mut Xml, entity: &Named, kind: &str) {
    xml.text(&format!("{kind}Name"), &entity.name);
    xml.plain(&format!("{kind}Id"), &entity.id);
}

pub(super) fn tags<'a>(xml: &mut Xml, tags: impl IntoIterator<Item = (&'a String, &'a String)>) {
    xml.members("Tags", tags, |xml, (key, value)| {
        xml.text("Key", key);
        xml.text("Value", value);
    });
}

/// A list with `IsTruncated` and `Marker`.
pub(super) fn page<T>(xml: &mut Xml, tag: &str, page: &Page<T>, mut member: impl FnMut(&mut Xml, &T)) {
    xml.members(tag, &page.items, |xml, item| member(xml, item));
    more(xml, page.marker.as_deref());
}

pub(super) fn more(xml: &mut Xml, marker: Option<&str>) {
    xml.value("IsTruncated", marker.is_some());
    if let Some(marker) = marker {
        xml.plain("Marker", marker);
    }
}
