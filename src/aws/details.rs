//! One page of `GetAccountAuthorizationDetails`: roles and customer-managed policies of the account, for the sweep. A
//! page may be short even if more pages follow. Descriptions of roles and tags of policies are not in it.

use aws_sdk_iam::types::EntityType;

use super::convert::{from_tags, last_use};
use super::iam::AwsIam;
use crate::model::documents::encoding::decode_document;
use crate::pipeline::port::{ObservedRole, Operation, Result};

/// Entities per page. A whole page is held in memory; AWS allows up to 1,000.
const PAGE: i32 = 500;

/// One page of an account.
#[derive(Debug, Default)]
pub struct DetailsPage {
    /// Roles, without their descriptions.
    pub roles: Vec<ObservedRole>,
    /// Customer-managed policies.
    pub policies: Vec<PolicyDetails>,
    /// Marker of the next page, if there is one.
    pub next: Option<String>,
}

/// A customer-managed policy on a page.
#[derive(Debug)]
pub struct PolicyDetails {
    /// ARN.
    pub arn: String,
    /// Stable id; empty if the page does not contain it.
    pub id: String,
    /// The default version.
    pub default_version: String,
    /// Its document, as IAM encodes it: decoded only if the sweep needs it.
    encoded: String,
}

impl PolicyDetails {
    /// The document of the default version.
    pub fn document(&self) -> String {
        decode_document(&self.encoded)
    }
}

/// One page of roles and customer-managed policies, from `marker` on.
///
/// # Errors
/// Any error of the call; `AccessDenied` if the optional permission is missing.
pub async fn account_details(iam: &AwsIam, marker: Option<String>) -> Result<DetailsPage> {
    let page = iam
        .gate
        .call(Operation::GetAccountAuthorizationDetails, "the account", || {
            iam.client
                .get_account_authorization_details()
                .filter(EntityType::Role)
                .filter(EntityType::LocalManagedPolicy)
                .max_items(PAGE)
                .set_marker(marker.clone())
                .send()
        })
        .await?;
    let next = page.is_truncated.then_some(page.marker).flatten();
    let roles = page.role_detail_list.unwrap_or_default().into_iter().map(role);
    let policies = page.policies.unwrap_or_default().into_iter().map(policy);
    Ok(DetailsPage { roles: roles.collect(), policies: policies.collect(), next })
}

fn role(detail: aws_sdk_iam::types::RoleDetail) -> ObservedRole {
    let last_use = last_use(detail.role_last_used.as_ref());
    let attached = detail.attached_managed_policies.unwrap_or_default();
    let inline = detail.role_policy_list.unwrap_or_default();
    ObservedRole {
        tags: from_tags(&detail.tags.unwrap_or_default()),
        arn: detail.arn.unwrap_or_default(),
        id: detail.role_id.unwrap_or_default(),
        description: None,
        trust: decode_document(&detail.assume_role_policy_document.unwrap_or_default()),
        boundary: detail.permissions_boundary.and_then(|boundary| boundary.permissions_boundary_arn),
        attached: attached.into_iter().filter_map(|policy| policy.policy_arn).collect(),
        inline: inline.into_iter().filter_map(|policy| policy.policy_name).collect(),
        last_use,
    }
}

fn policy(detail: aws_sdk_iam::types::ManagedPolicyDetail) -> PolicyDetails {
    let versions = detail.policy_version_list.unwrap_or_default();
    let default = versions.into_iter().find(|version| version.is_default_version);
    let (version, encoded) = default.map_or((None, None), |version| (version.version_id, version.document));
    PolicyDetails {
        arn: detail.arn.unwrap_or_default(),
        id: detail.policy_id.unwrap_or_default(),
        default_version: version.or(detail.default_version_id).unwrap_or_default(),
        encoded: encoded.unwrap_or_default(),
    }
}
