//! The spans of traces. They have their own target: the log never shows them, with any filter, and without an exporter
//! they are disabled.
//!
//! A reconcile is the root of a trace; its calls to AWS and Kubernetes are children. Names and kinds follow the
//! conventions of `tracing-opentelemetry` (fields `otel.*`).

use std::fmt::Display;

use tracing::Span;
use tracing::field::{Empty, display};

use crate::api::Reason;
use crate::telemetry::metrics::ReconcileResult;

/// Target of every span for traces, and only of these.
pub const TARGET: &str = "aurora_log_export_operator::trace";

/// One reconcile of one object.
pub fn reconcile(object: &dyn Display, priority: &'static str) -> Span {
    tracing::debug_span!(
        target: TARGET,
        "reconcile",
        %object,
        priority,
        result = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
    )
}

/// One sweep of an account: a root, because it is not about one object.
pub fn sweep(account: &dyn Display) -> Span {
    tracing::debug_span!(target: TARGET, "sweep", %account)
}

/// One check of an `AwsAccount`: a root, because it is not about one object.
pub fn account(name: &str) -> Span {
    tracing::debug_span!(target: TARGET, "account", account = name)
}

/// One request to AWS, without the wait for the account's rate limit before it.
pub fn aws_call(service: &'static str, operation: &'static str, resource: &str, account: &str) -> Span {
    tracing::debug_span!(
        target: TARGET,
        "aws",
        otel.name = format!("{service}.{operation}"),
        otel.kind = "client",
        resource,
        account,
        outcome = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
    )
}

/// One request to the API server.
pub fn kubernetes_call(verb: &str, resource: &str) -> Span {
    tracing::debug_span!(
        target: TARGET,
        "kubernetes",
        otel.name = format!("kubernetes.{verb}"),
        otel.kind = "client",
        resource,
        outcome = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
    )
}

/// Records the outcome of a call; `failure` is the error if it counts as failed.
pub fn call_ended(span: &Span, outcome: &'static str, failure: Option<&dyn Display>) {
    span.record("outcome", outcome);
    failed(span, failure);
}

/// Records the result of a reconcile. Waiting, a suspended object and drift that is only observed are not failures.
pub fn reconciled(span: &Span, result: ReconcileResult) {
    span.record("result", result.as_str());
    let failure = match result {
        ReconcileResult::Success | ReconcileResult::Waiting | ReconcileResult::Fenced => None,
        ReconcileResult::NotReady(Reason::Progressing | Reason::Suspended | Reason::DriftDetected) => None,
        ReconcileResult::KubernetesError | ReconcileResult::Panic | ReconcileResult::NotReady(_) => {
            Some(result.as_str())
        }
    };
    failed(span, failure.as_ref().map(|text| text as &dyn Display));
}

fn failed(span: &Span, failure: Option<&dyn Display>) {
    if let Some(failure) = failure.filter(|_| !span.is_disabled()) {
        span.record("otel.status_code", "ERROR");
        span.record("otel.status_description", display(failure));
    }
}
