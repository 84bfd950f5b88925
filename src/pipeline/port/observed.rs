//! Resources as read from IAM, whichever call returned them.

use crate::model::ownership::Tags;

/// A role. `None` in a field: not read (sweeps do not return it).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObservedRole {
    /// ARN as AWS returned it.
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
