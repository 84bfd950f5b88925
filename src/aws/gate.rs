//! The gate: every call to AWS, retries included, passes through it. It applies the rate limit, the write fence and a
//! timeout, records metrics and classifies errors.

use std::error::Error;
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use tracing::Instrument;

use super::rate_limit::{CallKind, RateLimit, Urgency};
use crate::pipeline::port::codes::class_of;
use crate::pipeline::port::error::stable_message;
use crate::pipeline::port::{ErrorClass, IamError, Operation, Result};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace;

/// A write must complete before the lease expires, so its timeout is short.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Reads may take longer: a page of a sweep is large.
pub const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// Attempts for a throttled call before the object is requeued.
const TRIES: u32 = 3;

/// Returns true if this replica may start a write that takes at most this long.
pub type WriteFence = Arc<dyn Fn(Duration) -> bool + Send + Sync>;

/// The gate of one account.
#[derive(Clone)]
pub struct Gate {
    /// Label of metrics: the account id; for STS calls `sts` or `sts/<name of the AwsAccount>`.
    pub account: Arc<str>,
    /// Shared by everything that calls this account.
    pub rate_limit: RateLimit,
    /// Whether a user waits for the calls.
    pub urgency: Urgency,
    /// Decides whether this replica may write.
    pub fence: WriteFence,
    /// Counts the calls.
    pub metrics: Metrics,
}

impl Gate {
    /// Makes a call, and retries it if AWS throttles it.
    ///
    /// # Errors
    /// Any error of AWS or of the connection, classified; `NotLeader` if the fence is closed for a write.
    pub async fn call<T, E, F>(
        &self,
        operation: Operation,
        resource: &str,
        send: impl Fn() -> F + Send + Sync,
    ) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, SdkError<E, HttpResponse>>> + Send,
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        T: Send,
    {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.call_once(operation, resource, &send).await {
                Err(error) if error.class == ErrorClass::Throttled && tries < TRIES => {}
                result => return result,
            }
        }
    }

    async fn call_once<T, E, F>(
        &self,
        operation: Operation,
        resource: &str,
        send: &(impl Fn() -> F + Send + Sync),
    ) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, SdkError<E, HttpResponse>>> + Send,
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        T: Send,
    {
        let fail = |class, code: &str, message: String| IamError {
            class,
            operation,
            resource: resource.to_owned(),
            code: code.to_owned(),
            message,
        };
        let (kind, limit) =
            if operation.writes() { (CallKind::Write, WRITE_TIMEOUT) } else { (CallKind::Read, READ_TIMEOUT) };
        let waited = self.rate_limit.acquire(kind, self.urgency).await;
        self.metrics.rate_limit_waited(waited);
        // After the wait: the lease must hold when the call starts.
        if operation.writes() && !(self.fence)(limit) {
            return Err(fail(ErrorClass::NotLeader, "NotLeader", "this replica no longer holds the lease".to_owned()));
        }
        tracing::debug!(%operation, resource, "calling AWS");
        let span = trace::aws_call(operation.service(), operation.as_str(), resource, &self.account);
        let result = match tokio::time::timeout(limit, send()).instrument(span.clone()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                let (class, code, message) = classify(&error);
                Err(fail(class, &code, message))
            }
            Err(_) => Err(fail(ErrorClass::Transient, "Timeout", format!("no response within {} s", limit.as_secs()))),
        };
        let outcome = match &result {
            Ok(_) => "success",
            Err(error) => error.class.label(),
        };
        if result.as_ref().is_err_and(|error| error.class == ErrorClass::Throttled) {
            self.rate_limit.throttled(kind);
        }
        // "Not found" is a valid response.
        let failure = result.as_ref().err().filter(|error| error.class != ErrorClass::NotFound);
        trace::call_ended(&span, outcome, failure.map(|error| error as &dyn Display));
        self.metrics.iam_request(&self.account, operation.as_str(), outcome);
        tracing::debug!(%operation, resource, outcome, "called AWS");
        result
    }
}

/// Class, code and message of a failed call.
pub fn classify<E>(error: &SdkError<E, HttpResponse>) -> (ErrorClass, String, String)
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(context) => {
            let status = context.raw().status().as_u16();
            let meta = context.err();
            let message = stable_message(meta.message().unwrap_or_default());
            let mut class = class_of(meta.code(), Some(status));
            if class == ErrorClass::InvalidInput && message.contains("Invalid principal") {
                // IAM does not see the principal yet. Our principal is a constant, so a retry succeeds.
                class = ErrorClass::Transient;
            }
            let code = meta.code().map_or_else(|| format!("HTTP {status}"), str::to_owned);
            (class, code, message)
        }
        SdkError::ResponseError(context) => {
            let status = context.raw().status().as_u16();
            (class_of(None, Some(status)), format!("HTTP {status}"), "the response could not be read".to_owned())
        }
        SdkError::TimeoutError(_) => (ErrorClass::Transient, "Timeout".into(), "no response in time".into()),
        SdkError::DispatchFailure(failure) => {
            if chain(error).any(|text| text.contains("credential") || text.contains("Credential")) {
                return (ErrorClass::CredentialsInvalid, "NoCredentials".into(), stable_message(&root_cause(error)));
            }
            let code = if failure.is_timeout() { "Timeout" } else { "Connection" };
            (ErrorClass::Transient, code.into(), "AWS could not be reached".into())
        }
        SdkError::ConstructionFailure(_) => {
            (ErrorClass::InvalidInput, "Request".into(), stable_message(&root_cause(error)))
        }
        _ => (ErrorClass::Transient, "Unknown".into(), String::new()),
    }
}

/// The texts of an error and of its sources, the deepest last.
fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = String> + 'e {
    std::iter::successors(Some(error), |&error| error.source()).map(ToString::to_string)
}

/// The text of the deepest source of an error.
pub(super) fn root_cause(error: &(dyn Error + 'static)) -> String {
    chain(error).last().unwrap_or_default()
}
