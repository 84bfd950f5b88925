//! Lists of an account's roles and policies, for the commands. Read-only. The operator itself reads through the port
//! ([`crate::pipeline::port::Iam`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_iam::Client;
use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, EntityType, PolicyEvaluationDecisionType, PolicyScopeType};

use super::gate::Gate;
use super::iam::pages;
use crate::model::documents::encoding::decode_document;
use crate::model::ownership::Tags;
use crate::pipeline::port::{Operation, Result};

/// Lists of a whole account.
#[derive(Clone)]
pub struct Inventory {
    client: Client,
    gate: Arc<Gate>,
}

/// A role as `ListRoles` returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRole {
    /// Name.
    pub name: String,
    /// ARN, path included.
    pub arn: String,
    /// Path.
    pub path: String,
    /// Trust policy, decoded.
    pub trust: String,
}

/// A customer-managed policy as `ListPolicies` returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPolicy {
    /// ARN, path included.
    pub arn: String,
    /// Id of the default version.
    pub default_version: String,
    /// Number of roles, users and groups that it is attached to.
    pub attachments: i32,
}

/// Whether a principal may make a call, as the IAM policy simulator decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulated {
    /// `iam:…`.
    pub action: String,
    /// True if the call is allowed.
    pub allowed: bool,
    /// Condition keys that the decision depends on and the simulation did not have: a denial is then inconclusive.
    pub missing_context: Vec<String>,
}

/// A role's ARN with its tags, as `GetAccountAuthorizationDetails` returns it.
pub type TaggedRole = (String, Tags);

impl Inventory {
    /// Lists through this gate.
    pub fn new(client: Client, gate: Arc<Gate>) -> Self {
        Self { client, gate }
    }

    /// `ListRoles`, all pages.
    ///
    /// # Errors
    /// Any error of AWS, classified.
    pub async fn roles(&self) -> Result<Vec<ListedRole>> {
        let mut roles = Vec::new();
        pages!(self, ListRoles, "the account's roles", self.client.list_roles().max_items(1000), |page| {
            roles.extend(page.roles.into_iter().map(|role| ListedRole {
                trust: decode_document(&role.assume_role_policy_document.unwrap_or_default()),
                name: role.role_name,
                arn: role.arn,
                path: role.path,
            }));
        });
        Ok(roles)
    }

    /// `ListPolicies` of customer-managed policies, all pages.
    ///
    /// # Errors
    /// Any error of AWS, classified.
    pub async fn policies(&self) -> Result<Vec<ListedPolicy>> {
        let mut policies = Vec::new();
        let request = || self.client.list_policies().scope(PolicyScopeType::Local).max_items(1000);
        pages!(self, ListPolicies, "the account's policies", request(), |page| {
            policies.extend(page.policies.unwrap_or_default().into_iter().map(|policy| ListedPolicy {
                arn: policy.arn.unwrap_or_default(),
                default_version: policy.default_version_id.unwrap_or_default(),
                attachments: policy.attachment_count.unwrap_or_default(),
            }));
        });
        Ok(policies)
    }

    /// `GetAccountAuthorizationDetails` of roles, all pages: ARN and tags.
    ///
    /// # Errors
    /// Any error of AWS, classified; the operator's permission for it is optional.
    pub async fn tagged_roles(&self) -> Result<Vec<TaggedRole>> {
        let mut roles = Vec::new();
        let request = || self.client.get_account_authorization_details().filter(EntityType::Role).max_items(1000);
        pages!(self, GetAccountAuthorizationDetails, "the account", request(), |page| {
            roles.extend(page.role_detail_list.unwrap_or_default().into_iter().map(|role| {
                let tags = role.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect();
                (role.arn.unwrap_or_default(), tags)
            }));
        });
        Ok(roles)
    }

    /// `GetAccountSummary`: counts and quotas, by AWS's names (`Roles`, `RolesQuota`, …).
    ///
    /// # Errors
    /// Any error of AWS, classified.
    pub async fn summary(&self) -> Result<BTreeMap<String, i32>> {
        let answer = self
            .gate
            .call(Operation::GetAccountSummary, "the account", || self.client.get_account_summary().send())
            .await?;
        let map = answer.summary_map.unwrap_or_default();
        Ok(map.into_iter().map(|(key, value)| (key.as_str().to_owned(), value)).collect())
    }

    /// `SimulatePrincipalPolicy`: whether `principal` may perform these actions on this resource, with these string
    /// context keys.
    ///
    /// # Errors
    /// Any error of AWS, classified; the permission is optional.
    pub async fn simulate(
        &self,
        principal: &str,
        actions: &[&str],
        resource: &str,
        context: &BTreeMap<String, String>,
    ) -> Result<Vec<Simulated>> {
        let entries: Vec<ContextEntry> = context
            .iter()
            .map(|(key, value)| {
                ContextEntry::builder()
                    .context_key_name(key)
                    .context_key_values(value)
                    .context_key_type(ContextKeyTypeEnum::String)
                    .build()
            })
            .collect();
        let answer = self
            .gate
            .call(Operation::SimulatePrincipalPolicy, principal, || {
                self.client
                    .simulate_principal_policy()
                    .policy_source_arn(principal)
                    .set_action_names(Some(actions.iter().map(|action| (*action).to_owned()).collect()))
                    .resource_arns(resource)
                    .set_context_entries(Some(entries.clone()))
                    .send()
            })
            .await?;
        let results = answer.evaluation_results.unwrap_or_default();
        Ok(results
            .into_iter()
            .map(|result| Simulated {
                allowed: result.eval_decision == PolicyEvaluationDecisionType::Allowed,
                missing_context: result.missing_context_values.unwrap_or_default(),
                action: result.eval_action_name,
            })
            .collect())
    }
}
