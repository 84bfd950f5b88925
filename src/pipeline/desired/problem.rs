//! Problems of a spec, each with the path of its field.

use crate::api::Reason;

/// One problem of a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field, as in `spec.scope.regions[1]`.
    pub field: String,
    /// What is wrong with the field, and the next step.
    pub message: String,
    /// The guardrail or flag that forbids the value; `None` if the value is invalid regardless of guardrails.
    pub guardrail: Option<&'static str>,
}

impl Problem {
    pub(super) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), guardrail: None }
    }

    pub(super) fn forbidden(guardrail: &'static str, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), guardrail: Some(guardrail) }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.guardrail {
            None => write!(f, "{}: {}", self.field, self.message),
            Some(guardrail) => write!(f, "{}: {} (guardrail {guardrail})", self.field, self.message),
        }
    }
}

/// All problems of a spec. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Refused(pub Vec<Problem>);

impl Refused {
    /// `NotPermitted` if only guardrails forbid the spec, otherwise `InvalidSpec`.
    pub fn reason(&self) -> Reason {
        if self.0.iter().all(|problem| problem.guardrail.is_some()) {
            Reason::NotPermitted
        } else {
            Reason::InvalidSpec
        }
    }
}
