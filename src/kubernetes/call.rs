//! A call to the API server: its timeout, its trace, and why it failed.

use std::fmt::Display;
use std::time::Duration;

use kube::core::Status;
use tracing::Instrument;

use super::refusal::Refusal;
use crate::telemetry::trace;

/// Timeout of every call to the API server.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Result of a call.
pub type Result<T> = std::result::Result<T, KubernetesError>;

/// Why a call to Kubernetes failed.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// The API server refused the call or could not be reached.
    #[error("{verb} of {what}: {}", describe(source))]
    Api {
        /// The verb, as in RBAC rules.
        verb: &'static str,
        /// The object.
        what: String,
        /// The error.
        #[source]
        source: Box<kube::Error>,
    },
    /// No response in time.
    #[error("{verb} of {what}: no response from the API server within {} s", TIMEOUT.as_secs())]
    Timeout {
        /// The verb, as in RBAC rules.
        verb: &'static str,
        /// The object.
        what: String,
    },
    /// The object has changed since it was read: a test of our own JSON Patch failed.
    #[error("{what} has changed since it was read")]
    Changed {
        /// The object.
        what: String,
    },
    /// This replica may not write any more.
    #[error("this replica no longer holds the lease")]
    NotLeader,
}

impl KubernetesError {
    /// True if the object does not exist (any more).
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// True if the object has changed since it was read, or is another one now.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Changed { .. }) || self.status() == Some(409)
    }

    /// Why the API server does not allow the call; `None`: it failed for another reason.
    pub fn refusal(&self) -> Option<Refusal> {
        Refusal::of(self.answer()?)
    }

    /// True if the API server rejects what was sent: the same call cannot succeed until a user changes something.
    pub fn is_invalid(&self) -> bool {
        matches!(self.status(), Some(400 | 422))
    }

    /// HTTP status of the answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        self.answer().map(|status| status.code)
    }

    fn answer(&self) -> Option<&Status> {
        match self {
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            Self::Timeout { .. } | Self::Changed { .. } | Self::NotLeader => None,
        }
    }

    /// The attribute `outcome` of the call's trace: a closed set.
    fn outcome(&self) -> &'static str {
        match self {
            error if error.is_not_found() => "not_found",
            error if error.is_conflict() => "conflict",
            error if error.refusal().is_some() => "forbidden",
            Self::Timeout { .. } => "timeout",
            Self::NotLeader => "not_leader",
            Self::Changed { .. } | Self::Api { .. } => "error",
        }
    }
}

fn describe(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => match Refusal::of(status) {
            Some(refusal) => format!("{}; {}", refusal.message(status), refusal.next_step()),
            None => format!("{} ({})", status.message, status.code),
        },
        other => other.to_string(),
    }
}

/// A call with a timeout, and an error that names verb and object.
pub async fn bounded<T>(
    verb: &'static str,
    what: &str,
    call: impl Future<Output = std::result::Result<T, kube::Error>>,
) -> Result<T> {
    let span = trace::kubernetes_call(verb, what);
    let result = match tokio::time::timeout(TIMEOUT, call).instrument(span.clone()).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(KubernetesError::Api { verb, what: what.to_owned(), source: Box::new(error) }),
        Err(_) => Err(KubernetesError::Timeout { verb, what: what.to_owned() }),
    };
    let outcome = result.as_ref().err().map_or("success", KubernetesError::outcome);
    let failure = result.as_ref().err().filter(|error| !error.is_not_found());
    trace::call_ended(&span, outcome, failure.map(|error| error as &dyn Display));
    result
}
