//! The one error every operation returns: code, HTTP status and message as AWS words them.

use std::fmt;

/// An error as AWS answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The `Code` element, for example `NoSuchEntity`.
    pub code: String,
    /// The HTTP status.
    pub status: u16,
    /// The `Message` element.
    pub message: String,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.code, self.status, self.message)
    }
}

impl std::error::Error for ApiError {}

impl ApiError {
    /// Any error; the named constructors carry the status AWS pairs with the code.
    pub fn new(code: impl Into<String>, status: u16, message: impl Into<String>) -> Self {
        Self { code: code.into(), status, message: message.into() }
    }

    /// The entity does not exist, or is not visible yet.
    pub fn no_such_entity(message: impl Into<String>) -> Self {
        Self::new("NoSuchEntity", 404, message)
    }

    /// A create met an entity of that name (case and path ignored).
    pub fn entity_already_exists(message: impl Into<String>) -> Self {
        Self::new("EntityAlreadyExists", 409, message)
    }

    /// A quota of the account.
    pub fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::new("LimitExceeded", 409, message)
    }

    /// Something still hangs on what is to be deleted.
    pub fn delete_conflict(message: impl Into<String>) -> Self {
        Self::new("DeleteConflict", 409, message)
    }

    /// A policy or trust document that AWS refuses.
    pub fn malformed_policy_document(message: impl Into<String>) -> Self {
        Self::new("MalformedPolicyDocument", 400, message)
    }

    /// A parameter that is well-formed but means nothing to IAM.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new("InvalidInput", 400, message)
    }

    /// A parameter that breaks the service model (length, pattern, missing).
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationError", 400, message)
    }

    /// A service-linked or reserved role, which only AWS may change.
    pub fn unmodifiable_entity(message: impl Into<String>) -> Self {
        Self::new("UnmodifiableEntity", 400, message)
    }

    /// The caller may not.
    pub fn access_denied(message: impl Into<String>) -> Self {
        Self::new("AccessDenied", 403, message)
    }

    /// What IAM answers when an account calls too often.
    pub fn throttling() -> Self {
        Self::new("Throttling", 400, "Rate exceeded")
    }

    /// IAM's internal error.
    pub fn service_failure() -> Self {
        Self::new("ServiceFailure", 500, "Internal failure, please try again")
    }
}
