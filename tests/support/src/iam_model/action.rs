//! The closed list of operations, by their names on the wire.

macro_rules! actions {
    ($($kind:ident $name:ident),* $(,)?) => {
        /// An operation of IAM or STS that the model supports.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)] // named as in the API reference
        pub enum Action { $($name),* }

        impl Action {
            /// All operations.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name on the wire.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }

            /// By its name on the wire.
            pub fn parse(name: &str) -> Option<Self> {
                match name { $(stringify!($name) => Some(Self::$name),)* _ => None }
            }

            /// True if it changes IAM. STS calls do not.
            pub fn is_write(self) -> bool {
                match self { $(Self::$name => actions!(@$kind)),* }
            }
        }
    };
    (@read) => { false };
    (@write) => { true };
}

actions! {
    write CreatePolicy, read GetPolicy, write DeletePolicy, read ListPolicies,
    write CreatePolicyVersion, read GetPolicyVersion, read ListPolicyVersions,
    write SetDefaultPolicyVersion, write DeletePolicyVersion,
    write TagPolicy, write UntagPolicy, read ListPolicyTags, read ListEntitiesForPolicy,
    write CreateRole, read GetRole, write DeleteRole, read ListRoles,
    write UpdateRole, write UpdateRoleDescription, write UpdateAssumeRolePolicy,
    write TagRole, write UntagRole, read ListRoleTags,
    write PutRolePermissionsBoundary, write DeleteRolePermissionsBoundary,
    write AttachRolePolicy, write DetachRolePolicy, read ListAttachedRolePolicies,
    write PutRolePolicy, read GetRolePolicy, write DeleteRolePolicy, read ListRolePolicies,
    write CreateInstanceProfile, write DeleteInstanceProfile,
    write AddRoleToInstanceProfile, write RemoveRoleFromInstanceProfile, read ListInstanceProfilesForRole,
    write CreateUser, write DeleteUser, write AttachUserPolicy, write DetachUserPolicy,
    write PutUserPermissionsBoundary, write DeleteUserPermissionsBoundary,
    read GetAccountAuthorizationDetails, read GetAccountSummary, read SimulatePrincipalPolicy,
    read GetCallerIdentity, read AssumeRole, read AssumeRoleWithWebIdentity,
}

/// True if the operation of this name is a read. Works for operations that the model does not support as well.
pub(crate) fn name_is_read(name: &str) -> bool {
    Action::parse(name).map_or_else(
        || ["Get", "List", "Describe", "Simulate"].iter().any(|prefix| name.starts_with(prefix)),
        |action| !action.is_write(),
    )
}
