//! The properties that can differ between a spec and AWS: the names in `status.drift` and in the metric
//! `drift_repaired_total{field}`.

/// A property that can differ between a spec and AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The resource is missing, or exists although it should not.
    Existence,
    /// The policy document.
    Document,
    /// The default version of the policy.
    DefaultVersion,
    /// The trust policy.
    Trust,
    /// The description.
    Description,
    /// The permissions boundary.
    PermissionsBoundary,
    /// A tag.
    Tags,
    /// A managed policy attached to the role.
    Attachments,
    /// An inline policy of the role.
    InlinePolicies,
}

impl Field {
    /// Every field, in the order of the reference docs.
    pub const ALL: &'static [Self] = &[
        Self::Existence,
        Self::Document,
        Self::DefaultVersion,
        Self::Trust,
        Self::Description,
        Self::PermissionsBoundary,
        Self::Tags,
        Self::Attachments,
        Self::InlinePolicies,
    ];

    /// The name in `status.drift` and in the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Existence => "existence",
            Self::Document => "document",
            Self::DefaultVersion => "defaultVersion",
            Self::Trust => "trust",
            Self::Description => "description",
            Self::PermissionsBoundary => "permissionsBoundary",
            Self::Tags => "tags",
            Self::Attachments => "attachments",
            Self::InlinePolicies => "inlinePolicies",
        }
    }
}
