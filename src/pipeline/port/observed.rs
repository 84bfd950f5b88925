//! Resources as read from IAM, whichever call returned them.

use jiff::Timestamp;

use crate::model::ownership::Tags;

/// When somebody last assumed a role, as IAM says it: usually within four hours, and for 400 days.
///
/// Source: IAM API reference, `RoleLastUsed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LastUse {
    /// The answer does not say.
    #[default]
    NotTold,
    /// IAM knows no use.
    Never,
    /// The last use that IAM knows.
    At(Timestamp),
}

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
    /// Last use.
    pub last_use: LastUse,
}
