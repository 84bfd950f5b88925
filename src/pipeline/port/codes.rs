//! The known error codes of IAM and STS, and their classes.

use super::error::ErrorClass;

/// Error codes → classes. Source: botocore's models of IAM and STS, "Common errors" of the IAM API reference, and
/// codes seen in practice. Other codes are classified by the HTTP status, see [`class_of`].
pub const CODES: &[(&str, ErrorClass)] = &[
    ("NoSuchEntity", ErrorClass::NotFound),
    ("NoSuchEntityException", ErrorClass::NotFound),
    ("EntityAlreadyExists", ErrorClass::AlreadyExists),
    ("EntityAlreadyExistsException", ErrorClass::AlreadyExists),
    ("LimitExceeded", ErrorClass::LimitExceeded),
    ("LimitExceededException", ErrorClass::LimitExceeded),
    ("DeleteConflict", ErrorClass::DeleteConflict),
    ("DeleteConflictException", ErrorClass::DeleteConflict),
    ("ConcurrentModification", ErrorClass::Transient),
    ("ConcurrentModificationException", ErrorClass::Transient),
    ("EntityTemporarilyUnmodifiable", ErrorClass::Transient),
    ("EntityTemporarilyUnmodifiableException", ErrorClass::Transient),
    ("MalformedPolicyDocument", ErrorClass::InvalidInput),
    ("MalformedPolicyDocumentException", ErrorClass::InvalidInput),
    ("InvalidInput", ErrorClass::InvalidInput),
    ("InvalidInputException", ErrorClass::InvalidInput),
    ("ValidationError", ErrorClass::InvalidInput),
    ("ValidationException", ErrorClass::InvalidInput),
    ("InvalidParameterValue", ErrorClass::InvalidInput),
    ("PackedPolicyTooLarge", ErrorClass::InvalidInput),
    ("UnmodifiableEntity", ErrorClass::InvalidInput),
    ("UnmodifiableEntityException", ErrorClass::InvalidInput),
    ("PolicyNotAttachable", ErrorClass::InvalidInput),
    ("PolicyNotAttachableException", ErrorClass::InvalidInput),
    ("ServiceFailure", ErrorClass::Transient),
    ("ServiceFailureException", ErrorClass::Transient),
    ("InternalFailure", ErrorClass::Transient),
    ("InternalError", ErrorClass::Transient),
    ("ServiceUnavailable", ErrorClass::Transient),
    ("RequestTimeout", ErrorClass::Transient),
    ("RequestTimeoutException", ErrorClass::Transient),
    ("Throttling", ErrorClass::Throttled),
    ("ThrottlingException", ErrorClass::Throttled),
    ("ThrottledException", ErrorClass::Throttled),
    ("RequestThrottled", ErrorClass::Throttled),
    ("RequestThrottledException", ErrorClass::Throttled),
    ("TooManyRequestsException", ErrorClass::Throttled),
    ("RequestLimitExceeded", ErrorClass::Throttled),
    ("SlowDown", ErrorClass::Throttled),
    ("PriorRequestNotComplete", ErrorClass::Throttled),
    ("AccessDenied", ErrorClass::AccessDenied),
    ("AccessDeniedException", ErrorClass::AccessDenied),
    ("UnauthorizedOperation", ErrorClass::AccessDenied),
    ("OptInRequired", ErrorClass::AccessDenied),
    ("NotAuthorized", ErrorClass::AccessDenied),
    ("RegionDisabledException", ErrorClass::AccessDenied),
    ("ExpiredToken", ErrorClass::CredentialsInvalid),
    ("ExpiredTokenException", ErrorClass::CredentialsInvalid),
    ("InvalidClientTokenId", ErrorClass::CredentialsInvalid),
    ("UnrecognizedClientException", ErrorClass::CredentialsInvalid),
    ("SignatureDoesNotMatch", ErrorClass::CredentialsInvalid),
    ("IncompleteSignature", ErrorClass::CredentialsInvalid),
    ("InvalidSignatureException", ErrorClass::CredentialsInvalid),
    ("MissingAuthenticationToken", ErrorClass::CredentialsInvalid),
    ("MissingAuthenticationTokenException", ErrorClass::CredentialsInvalid),
    ("RequestExpired", ErrorClass::CredentialsInvalid),
    ("InvalidIdentityToken", ErrorClass::CredentialsInvalid),
    ("InvalidIdentityTokenException", ErrorClass::CredentialsInvalid),
    ("IDPRejectedClaim", ErrorClass::CredentialsInvalid),
    ("IDPCommunicationError", ErrorClass::Transient),
];

/// The class of an error response: by its code, otherwise by its HTTP status.
pub fn class_of(code: Option<&str>, status: Option<u16>) -> ErrorClass {
    if let Some(class) = code.and_then(|code| CODES.iter().find(|(known, _)| *known == code)).map(|(_, class)| *class) {
        return class;
    }
    match status {
        Some(401) => ErrorClass::CredentialsInvalid,
        Some(403) => ErrorClass::AccessDenied,
        Some(429) => ErrorClass::Throttled,
        Some(400 | 404..=407 | 409..=428 | 430..=499) if code.is_some() => ErrorClass::InvalidInput,
        // No readable code: the response is not IAM's, or it was truncated.
        _ => ErrorClass::Transient,
    }
}
