//! Which policies of others the operator removes from a role.

use crate::api::account::Guardrails;
use crate::api::policy::{AttachmentPolicy, AuroraLogExportPolicySpec};
use crate::model::documents::pattern;

/// What may be removed from a role besides the operator's own policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attachments {
    /// `attachmentPolicy: Exclusive`: policies of others are removed.
    pub exclusive: bool,
    /// Patterns of ARNs that are never detached.
    protected: Vec<String>,
}

impl Attachments {
    pub(super) fn new(spec: &AuroraLogExportPolicySpec, guardrails: Option<&Guardrails>) -> Self {
        Self {
            exclusive: spec.attachment_policy == Some(AttachmentPolicy::Exclusive),
            protected: guardrails.and_then(|guardrails| guardrails.protected_policies.clone()).unwrap_or_default(),
        }
    }

    #[cfg(test)]
    pub(in crate::pipeline) fn exclusive_but(protected: &[&str]) -> Self {
        Self { exclusive: true, protected: protected.iter().map(ToString::to_string).collect() }
    }

    /// True if the policy of somebody else with this ARN is detached.
    pub fn detaches(&self, arn: &str) -> bool {
        self.exclusive && !self.protects(arn)
    }

    /// True if a guardrail protects the policy with this ARN.
    pub fn protects(&self, arn: &str) -> bool {
        self.protected.iter().any(|protected| pattern::contains(protected, arn))
    }
}
