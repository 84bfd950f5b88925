//! The closed vocabularies: condition types, reasons of conditions, reasons of events.
//!
//! One enum each, so that a condition, an event, a metric label and the reference docs cannot disagree.

/// Implements the name of every variant of a closed vocabulary: `as_str`, `Display`, `FromStr`, `ALL`.
macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[doc = $meaning:literal])+ $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[doc = $meaning])+ $variant),+ }

        impl $name {
            /// Every member, in the order of the reference docs.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name as it stands in conditions, events and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),+ }
            }

            /// What it means, for the reference docs.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($meaning),+)),+ }
            }

            /// The member of that name, if there is one.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|member| member.as_str() == name)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

vocabulary! {
    /// Types of conditions.
    ConditionType {
        /// AWS is as this generation of the spec says.
        Ready,
        /// Work is under way (kstatus; absent otherwise).
        Reconciling,
        /// A person must act (kstatus; absent otherwise).
        Stalled,
        /// The managed policy is in sync.
        PolicyReady,
        /// The role is in sync.
        RoleReady,
        /// The policy is attached to the role.
        PolicyAttached,
        /// AWS differs and is not being repaired.
        Drifted,
        /// Nothing is known to override this role.
        Effective,
    }
}

vocabulary! {
    /// Reasons of conditions.
    Reason {
        /// AWS is as the spec says.
        InSync,
        /// Work is under way.
        Progressing,
        /// `spec.suspend` is true.
        Suspended,
        /// AWS differs, and `managementPolicy: Observe` forbids to repair it.
        DriftDetected,
        /// The spec cannot be carried out as it stands.
        InvalidSpec,
        /// The policy or role belongs to somebody else.
        Conflict,
        /// The operator now derives another ARN for this object than the one it made.
        IdentityChanged,
        /// AWS refuses a call for lack of permission.
        AccessDenied,
        /// AWS does not accept the operator's credentials, or there are none.
        CredentialsInvalid,
        /// AWS asks to slow down.
        Throttled,
        /// A quota of the AWS account is used up.
        LimitExceeded,
        /// The AWS account cannot be used now.
        AccountNotReady,
        /// The account's guardrails or the operator's flags forbid what the spec asks for.
        NotPermitted,
        /// AWS could not be reached or failed.
        AwsUnavailable,
        /// Something that is not ours holds the policy or the role.
        DeletionBlocked,
        /// A failed call is being repeated.
        Retrying,
        /// The object is being deleted.
        Deleting,
        /// This part is not managed in this mode.
        NotManaged,
        /// Others attached policies to our role.
        UnexpectedAttachments,
        /// The difference cannot be repaired: IAM fixes this at creation.
        ImmutableInAws,
        /// No difference that is not being repaired.
        NoDrift,
        /// The account has no `AWSServiceRoleForRDS`.
        NoServiceLinkedRole,
        /// The account has `AWSServiceRoleForRDS`, which takes precedence for log export.
        ServiceLinkedRoleOverrides,
        /// Not known.
        Unknown,
        /// The credentials belong to another account than `spec.accountId` says.
        AccountMismatch,
        /// The account is being deleted and policies still use it.
        InUse,
    }
}

vocabulary! {
    /// Reasons of events, besides those of the conditions.
    EventReason {
        /// A policy was created.
        PolicyCreated,
        /// A new default version of the policy was created, or an older one made the default again.
        PolicyVersionCreated,
        /// An old version was deleted to make room.
        PolicyVersionPruned,
        /// A role was created.
        RoleCreated,
        /// The role's trust policy, description, boundary or tags were changed.
        RoleUpdated,
        /// A policy was attached to the role.
        PolicyAttached,
        /// A policy was detached from the role.
        PolicyDetached,
        /// A manual change in AWS was undone.
        DriftRepaired,
        /// An existing policy or role was taken over.
        Adopted,
        /// Policy and role were deleted.
        Deleted,
        /// Policy and role stay in AWS.
        Retained,
    }
}
