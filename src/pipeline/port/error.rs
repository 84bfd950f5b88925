//! Errors of IAM and STS, classified once. The class determines condition, event, metric and retry.

use crate::api::Reason;

/// Declares the calls. Each line names the service, and whether the calls of that line read or write.
macro_rules! operations {
    ($($service:literal $kind:ident: $($name:ident),+ $(,)?;)+) => {
        /// The calls that the operator makes: the label of metrics, and the name in messages.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)] // the variants are AWS's names of the calls
        pub enum Operation { $($($name),+),+ }

        impl Operation {
            /// AWS's name of the call.
            pub const fn as_str(self) -> &'static str {
                match self { $($(Self::$name => stringify!($name)),+),+ }
            }

            /// The service of the call: `iam` or `sts`.
            pub const fn service(self) -> &'static str {
                match self { $($(Self::$name)|+ => $service),+ }
            }

            /// True if the call changes something in AWS.
            pub const fn writes(self) -> bool {
                match self { $($(Self::$name)|+ => operations!(@ $kind)),+ }
            }
        }
    };
    (@ reads) => { false };
    (@ writes) => { true };
}

operations! {
    "iam" reads: GetRole, ListAttachedRolePolicies, ListRolePolicies, ListInstanceProfilesForRole, GetPolicy,
        ListPolicyVersions, GetPolicyVersion, ListEntitiesForPolicy, GetAccountAuthorizationDetails, GetAccountSummary,
        ListRoles, ListPolicies, SimulatePrincipalPolicy;
    "iam" writes: CreatePolicy, CreatePolicyVersion, SetDefaultPolicyVersion, DeletePolicyVersion, TagPolicy, UntagPolicy,
        DeletePolicy, CreateRole, UpdateAssumeRolePolicy, UpdateRoleDescription, PutRolePermissionsBoundary,
        DeleteRolePermissionsBoundary, TagRole, UntagRole, AttachRolePolicy, DetachRolePolicy, DeleteRolePolicy, DeleteRole;
    "sts" reads: GetCallerIdentity, AssumeRole;
}

impl Operation {
    /// The permission that the call needs, `iam:…` or `sts:…`.
    pub fn permission(self) -> String {
        format!("{}:{}", self.service(), self.as_str())
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an error means for the object and for its next retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorClass {
    /// AWS throttles the calls.
    Throttled,
    /// The operator's identity may not make the call.
    AccessDenied,
    /// AWS rejects the credentials, or there are none.
    CredentialsInvalid,
    /// The credentials belong to another account than expected. The call was not sent.
    AccountMismatch,
    /// The entity does not exist, no longer exists, or is not visible yet.
    NotFound,
    /// The name is in use.
    AlreadyExists,
    /// Something else still uses the entity.
    DeleteConflict,
    /// A quota is reached.
    LimitExceeded,
    /// IAM rejects the values.
    InvalidInput,
    /// AWS or the connection to it failed. A retry may succeed.
    Transient,
    /// This replica is not the leader, or no longer. The call was not sent.
    NotLeader,
}

impl ErrorClass {
    /// Every class, in the order of the reference docs.
    pub const ALL: &'static [Self] = &[
        Self::Throttled,
        Self::AccessDenied,
        Self::CredentialsInvalid,
        Self::AccountMismatch,
        Self::NotFound,
        Self::AlreadyExists,
        Self::DeleteConflict,
        Self::LimitExceeded,
        Self::InvalidInput,
        Self::Transient,
        Self::NotLeader,
    ];

    /// The reason that conditions and events show.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Throttled => Reason::Throttled,
            Self::AccessDenied => Reason::AccessDenied,
            Self::CredentialsInvalid => Reason::CredentialsInvalid,
            Self::AccountMismatch => Reason::AccountNotReady,
            Self::NotFound | Self::Transient | Self::NotLeader => Reason::AwsUnavailable,
            Self::AlreadyExists => Reason::Conflict,
            Self::DeleteConflict => Reason::DeletionBlocked,
            Self::LimitExceeded => Reason::LimitExceeded,
            Self::InvalidInput => Reason::InvalidSpec,
        }
    }

    /// True if a retry cannot succeed before a user acts. Such errors are retried slowly, never dropped.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::AccessDenied
            | Self::CredentialsInvalid
            | Self::AccountMismatch
            | Self::AlreadyExists
            | Self::DeleteConflict
            | Self::LimitExceeded
            | Self::InvalidInput => true,
            Self::Throttled | Self::NotFound | Self::Transient | Self::NotLeader => false,
        }
    }

    /// Label of `iam_requests_total{outcome}`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::AccessDenied => "access_denied",
            Self::CredentialsInvalid => "credentials_invalid",
            Self::AccountMismatch => "account_mismatch",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::DeleteConflict => "delete_conflict",
            Self::LimitExceeded => "limit_exceeded",
            Self::InvalidInput => "invalid_input",
            Self::Transient => "transient",
            Self::NotLeader => "not_leader",
        }
    }

    /// The next step for the user.
    pub const fn next_step(self) -> &'static str {
        match self {
            Self::Throttled => "AWS throttles the calls; the operator retries automatically",
            Self::AccessDenied => "allow the action in the operator's IAM policy (deploy/aws)",
            Self::CredentialsInvalid => {
                "check the operator's AWS credentials (service account annotation, secret or profile)"
            }
            Self::AccountMismatch => "give the operator credentials of the account that this object uses",
            Self::NotFound => {
                "this is expected for a short time after a create; if the policy of spec.permissionsBoundary does not \
                 exist, create it or correct the field"
            }
            Self::AlreadyExists => {
                "choose another name, or let the object adopt the existing one (spec.adoptionPolicy)"
            }
            Self::DeleteConflict => "remove what still uses it",
            Self::LimitExceeded => "raise the quota in AWS Service Quotas, or delete what is not needed",
            Self::InvalidInput => "correct the spec",
            Self::Transient => "the operator retries automatically",
            Self::NotLeader => "another replica is the leader and continues",
        }
    }
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} of {resource}: {code}: {message}")]
pub struct IamError {
    /// The class of the error.
    pub class: ErrorClass,
    /// The call.
    pub operation: Operation,
    /// The resource of the call, for messages: `role x`, `policy arn:…`.
    pub resource: String,
    /// AWS's error code, or the name of a failure below HTTP (`Timeout`, `Connection`, …).
    pub code: String,
    /// AWS's message, without the parts that vary between attempts.
    pub message: String,
}

impl IamError {
    /// True if the next call for the object would most likely fail as well, or must not be sent. Other errors concern only
    /// the call that failed.
    pub fn stops_plan(&self) -> bool {
        match self.class {
            // Another change of the same resource is in progress.
            ErrorClass::Transient => !["ConcurrentModification", "EntityTemporarilyUnmodifiable"]
                .iter()
                .any(|code| self.code.starts_with(code)),
            // The names are not the object's: nothing is written before that is decided.
            ErrorClass::AlreadyExists
            | ErrorClass::Throttled
            | ErrorClass::CredentialsInvalid
            | ErrorClass::AccountMismatch
            | ErrorClass::NotLeader => true,
            ErrorClass::AccessDenied
            | ErrorClass::NotFound
            | ErrorClass::DeleteConflict
            | ErrorClass::LimitExceeded
            | ErrorClass::InvalidInput => false,
        }
    }

    /// The message for conditions: the AWS object, the failed action and the next step. It is equal for all attempts.
    pub fn user_message(&self) -> String {
        let Self { class, operation, resource, code, message } = self;
        let detail = if message.is_empty() { code.clone() } else { format!("{code}: {message}") };
        let next_step = match (operation, class) {
            // AWS does not return which of these is the cause.
            (Operation::AssumeRole, ErrorClass::AccessDenied) => {
                "check that the role exists, that its trust policy allows the operator's role with the external id of the \
                 AwsAccount (deploy/aws/trust-policy-member-account.json), and that the operator's IAM policy allows \
                 sts:AssumeRole on it"
            }
            _ => class.next_step(),
        };
        format!("{} on {resource} failed ({detail}); {next_step}", operation.permission())
    }
}

/// Removes from AWS's message what varies between attempts: request ids and session names.
pub fn stable_message(message: &str) -> String {
    let mut words = Vec::new();
    for word in message.split_whitespace() {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        if is_uuid(bare) {
            continue;
        }
        // Removes the session from arn:aws:sts::123456789012:assumed-role/<role>/<session>.
        match word.split_once(":assumed-role/").and_then(|(_, rest)| rest.split_once('/')) {
            Some((_, session)) => {
                let trailing: String = session.chars().rev().take_while(|c| ",.;:)\"'".contains(*c)).collect();
                let kept = word.len() - session.len() - 1;
                words.push(format!("{}{}", &word[..kept], trailing.chars().rev().collect::<String>()));
            }
            None => words.push(word.to_owned()),
        }
    }
    let text = words.join(" ");
    let text = text.split("(Service:").next().unwrap_or_default().trim_end();
    let text = text.trim_end_matches("RequestID:").trim_end_matches("Request ID:").trim_end();
    text.chars().take(400).collect()
}

fn is_uuid(word: &str) -> bool {
    word.len() == 36
        && word.char_indices().all(
            |(i, c)| {
                if matches!(i, 8 | 13 | 18 | 23) { c == '-' } else { c.is_ascii_hexdigit() }
            },
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::codes::{CODES, class_of};
    use super::*;

    #[test]
    fn codes_take_precedence_over_the_http_status() {
        assert_eq!(class_of(Some("Throttling"), Some(400)), ErrorClass::Throttled);
        assert_eq!(class_of(Some("AccessDenied"), Some(403)), ErrorClass::AccessDenied);
        assert_eq!(class_of(Some("SignatureDoesNotMatch"), Some(403)), ErrorClass::CredentialsInvalid);
        assert_eq!(class_of(Some("SomethingNew"), Some(403)), ErrorClass::AccessDenied);
        assert_eq!(class_of(Some("SomethingNew"), Some(400)), ErrorClass::InvalidInput);
        assert_eq!(class_of(Some("SomethingNew"), Some(500)), ErrorClass::Transient);
        assert_eq!(class_of(None, Some(400)), ErrorClass::Transient, "a 400 without a code is not IAM's response");
        assert_eq!(class_of(None, Some(429)), ErrorClass::Throttled);
        assert_eq!(class_of(None, None), ErrorClass::Transient);
    }

    #[test]
    fn no_code_is_listed_twice() {
        for (index, (code, _)) in CODES.iter().enumerate() {
            assert!(!CODES[..index].iter().any(|(other, _)| other == code), "{code}");
        }
    }

    #[test]
    fn messages_contain_nothing_that_varies() {
        assert_eq!(
            stable_message(
                "User: arn:aws:sts::123456789012:assumed-role/op/1732290000-abc is not authorized to perform: iam:GetRole \
                 RequestID: 0a1b2c3d-0000-4000-8000-0123456789ab"
            ),
            "User: arn:aws:sts::123456789012:assumed-role/op is not authorized to perform: iam:GetRole"
        );
        assert_eq!(stable_message("(arn:aws:sts::1:assumed-role/op/s) x"), "(arn:aws:sts::1:assumed-role/op) x");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_error_is_classified_and_its_message_is_bounded(
            code in prop::option::of(any::<String>()), status in prop::option::of(any::<u16>()),
            message in prop_oneof![any::<String>(), "([a-z(]{0,3}:assumed-role/[a-z/]{0,4}[,.)]{0,2} ?){1,3}", ".{390,900}"],
        ) {
            prop_assert!(ErrorClass::ALL.contains(&class_of(code.as_deref(), status)));
            prop_assert!(stable_message(&message).chars().count() <= 400);
        }
    }

    #[test]
    fn every_class_has_a_next_step_and_only_temporary_ones_are_not_terminal() {
        for class in ErrorClass::ALL {
            assert!(!class.next_step().is_empty());
            assert_eq!(
                class.is_terminal(),
                !matches!(class.reason(), Reason::Throttled | Reason::AwsUnavailable),
                "{class:?}"
            );
        }
    }
}
