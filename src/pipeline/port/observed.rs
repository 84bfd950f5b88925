//! Resources as reads of IAM show them, whichever call brought them.

use crate::model::ownership::Tags;

/// A role. `None` in a field: not looked at (an account scan does not say).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObservedRole {
    /// ARN as AWS says it.
    pub arn: String,
    /// Stable id.
    pub id: String,
    /// Description.
    pub description: Option<String>,
    /// Trust policy, decoded.
    pub trust: String,
    /// Permissions boundary.
    pub boundary: Option<String>,
    /// Tags.
    pub tags: Tags,
    /// ARNs of attached policies.
    pub attached: Vec<String>,
    /// Names of inline policies.
    pub inline: Vec<String>,
}
