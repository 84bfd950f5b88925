//! From the types of the AWS SDK to those of the port, and back.

use aws_sdk_iam::types::{RoleLastUsed, Tag};
use jiff::Timestamp;

use crate::model::documents::encoding::decode_document;
use crate::model::ownership::Tags;
use crate::pipeline::port::{LastUse, Policy, Role};

pub(super) fn from_tags(tags: &[Tag]) -> Tags {
    tags.iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect()
}

pub(super) fn to_tags(tags: &Tags) -> Vec<Tag> {
    // Key and value are both set: building cannot fail.
    tags.iter().filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok()).collect()
}

pub(super) fn from_policy(policy: aws_sdk_iam::types::Policy) -> Policy {
    Policy {
        tags: from_tags(policy.tags()),
        arn: policy.arn.unwrap_or_default(),
        id: policy.policy_id.unwrap_or_default(),
        description: policy.description.unwrap_or_default(),
        default_version: policy.default_version_id.unwrap_or_default(),
    }
}

/// When the role was last used, as an answer of IAM says.
pub(super) fn last_use(told: Option<&RoleLastUsed>) -> LastUse {
    match told.map(RoleLastUsed::last_used_date) {
        None => LastUse::NotTold,
        Some(None) => LastUse::Never,
        Some(Some(at)) => Timestamp::from_second(at.secs()).map_or(LastUse::NotTold, LastUse::At),
    }
}

pub(super) fn from_role(role: aws_sdk_iam::types::Role) -> Role {
    Role {
        tags: from_tags(role.tags()),
        last_use: last_use(role.role_last_used.as_ref()),
        boundary: role.permissions_boundary.and_then(|boundary| boundary.permissions_boundary_arn),
        trust: decode_document(&role.assume_role_policy_document.unwrap_or_default()),
        description: role.description.unwrap_or_default(),
        arn: role.arn,
        id: role.role_id,
    }
}
