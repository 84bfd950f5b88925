//! The closed vocabularies: condition types, reasons of conditions, reasons of events.
//!
//! Each is one enum, so that conditions, events, metric labels and the reference docs use the same names.

/// Implements the name of every variant of a closed vocabulary: `as_str`, `Display`, `from_name`, `ALL`.
macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[doc = $meaning:literal])+ $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[doc = $meaning])+ $variant),+ }

        impl $name {
            /// Every member, in the order of the reference docs.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in conditions, events and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),+ }
            }

            /// The meaning, for the reference docs.
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
        /// AWS matches this generation of the spec.
        Ready,
        /// Work is in progress (kstatus; absent otherwise).
        Reconciling,
        /// Manual action is required (kstatus; absent otherwise).
        Stalled,
        /// The managed policy is in sync.
        PolicyReady,
        /// The role is in sync.
        RoleReady,
        /// The policy is attached to the role.
        PolicyAttached,
        /// AWS differs from the spec and is not repaired.
        Drifted,
        /// Something uses the role. It is information, and never part of `Ready`.
        Effective,
    }
}

vocabulary! {
    /// Reasons of conditions.
    Reason {
        /// AWS matches the spec.
        InSync,
        /// Work is in progress.
        Progressing,
        /// `spec.suspend` is true.
        Suspended,
        /// AWS differs from the spec, and `managementPolicy: Observe` forbids repairs.
        DriftDetected,
        /// The spec is invalid, or IAM rejects it.
        InvalidSpec,
        /// The policy or role is not owned by this object, or an earlier object claims its name.
        Conflict,
        /// The operator now derives a different ARN for this object than the ARN in its status.
        IdentityChanged,
        /// AWS denies a call because a permission is missing.
        AccessDenied,
        /// AWS rejects the operator's credentials, or there are none.
        CredentialsInvalid,
        /// AWS throttles the calls.
        Throttled,
        /// A quota of the AWS account is reached, or, for outputs, a quota of the namespace.
        LimitExceeded,
        /// The AWS account cannot be used at the moment.
        AccountNotReady,
        /// The account's guardrails or the operator's flags forbid what the spec requests.
        NotPermitted,
        /// AWS could not be reached, or a call failed temporarily.
        AwsUnavailable,
        /// The policy or role cannot be deleted because something else still uses it.
        DeletionBlocked,
        /// A failed call is retried.
        Retrying,
        /// The object is being deleted.
        Deleting,
        /// This part is not managed with the current `access`.
        NotManaged,
        /// The role has policies that the operator did not attach.
        UnexpectedAttachments,
        /// The difference cannot be repaired: IAM does not allow the value to change.
        ImmutableInAws,
        /// There is no difference that is not repaired.
        NoDrift,
        /// IAM reports that the role was assumed within the last 7 days.
        RoleAssumed,
        /// IAM reports no use of the role within the last 7 days.
        NotAssumed,
        /// The status is not known.
        Unknown,
        /// The credentials belong to another account than `spec.accountId`.
        AccountMismatch,
        /// The `AwsAccount` is being deleted, and policies still use it.
        InUse,
    }
}

vocabulary! {
    /// Reasons of events, besides those of the conditions.
    EventReason {
        /// A policy was created.
        PolicyCreated,
        /// A new default version of the policy was created, or an older version became the default again.
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
        /// A difference in AWS was repaired: a manual change, or a document that this operator writes in another way.
        DriftRepaired,
        /// An existing policy or role was adopted.
        Adopted,
        /// The policy and the role were deleted.
        Deleted,
        /// The policy and the role were kept in AWS.
        Retained,
        /// The spec has fields or choices of a newer version, which this version of the operator ignores.
        UnknownFields,
        /// The API server rejects the finalizer or the status that the operator writes.
        WriteRejected,
    }
}
