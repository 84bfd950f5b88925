//! The error of every operation: code, HTTP status and message, as in AWS.

use std::fmt;

/// An error as AWS returns it.
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
    /// Any error; the other constructors have the status that AWS uses with the code.
    pub fn new(code: impl Into<String>, status: u16, message: impl Into<String>) -> Self {
        Self { code: code.into(), status, message: message.into() }
    }

    /// The entity does not exist, or is not visible yet.
    pub fn no_such_entity(message: impl Into<String>) -> Self {
        Self::new("NoSuchEntity", 404, message)
    }

    /// An entity of this name exists already (case and path are ignored).
    pub fn entity_already_exists(message: impl Into<String>) -> Self {
        Self::new("EntityAlreadyExists", 409, message)
    }

    /// A quota of the account is exceeded.
    pub fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::new("LimitExceeded", 409, message)
    }

    /// The entity to delete is still in use.
    pub fn delete_conflict(message: impl Into<String>) -> Self {
        Self::new("DeleteConflict", 409, message)
    }

    /// AWS rejects the policy or trust document.
    pub fn malformed_policy_document(message: impl Into<String>) -> Self {
        Self::new("MalformedPolicyDocument", 400, message)
    }

    /// A parameter is well-formed, but IAM does not accept its value.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new("InvalidInput", 400, message)
    }

    /// A parameter violates the service model (length, pattern, missing).
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationError", 400, message)
    }

    /// Only AWS may change a service-linked or reserved role.
    pub fn unmodifiable_entity(message: impl Into<String>) -> Self {
        Self::new("UnmodifiableEntity", 400, message)
    }

    /// The caller lacks the permission.
    pub fn access_denied(message: impl Into<String>) -> Self {
        Self::new("AccessDenied", 403, message)
    }

    /// IAM's response if an account makes too many calls.
    pub fn throttling() -> Self {
        Self::new("Throttling", 400, "Rate exceeded")
    }

    /// IAM's internal error.
    pub fn service_failure() -> Self {
        Self::new("ServiceFailure", 500, "Internal failure, please try again")
    }
}
