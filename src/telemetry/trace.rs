//! The spans of traces. They have a target of their own: the log never shows them, whatever its filter, and without an
//! exporter nobody asks for them, so that they cost a look at a static.
//!
//! A reconcile is the root of a trace; the calls to AWS and Kubernetes that it makes are its children. Names and kinds
//! follow the conventions of `tracing-opentelemetry` (fields `otel.*`).

use std::fmt::Display;

use tracing::Span;
use tracing::field::{Empty, display};

use crate::api::Reason;
use crate::aws::rate_limit::Priority;
use crate::kubernetes::KubernetesError;
use crate::model::names::Owner;
use crate::pipeline::port::Operation;
use crate::telemetry::metrics::ReconcileResult;

/// Target of every span for traces, and of nothing else.
pub const TARGET: &str = "aurora_log_export_operator::trace";

/// One reconcile of one object.
pub fn reconcile(object: &Owner, priority: Priority) -> Span {
    tracing::debug_span!(
        target: TARGET,
        "reconcile",
        %object,
        priority = label(priority),
        result = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
    )
}

const fn label(priority: Priority) -> &'static str {
    match priority {
        Priority::Deletion => "deletion",
        Priority::Change => "change",
        Priority::Periodic => "periodic",
    }
}

/// One sweep over an account: not of one object, so a root of its own.
pub fn sweep(account: Option<&str>) -> Span {
    tracing::debug_span!(target: TARGET, "sweep", account = account.unwrap_or("own"))
}

/// One look at an `AwsAccount`: not of one object, so a root of its own.
pub fn account(name: &str) -> Span {
    tracing::debug_span!(target: TARGET, "account", account = name)
}

/// One request to AWS, without the wait for the account's budget before it.
pub fn aws_call(operation: Operation, resource: &str, account: &str) -> Span {
    tracing::debug_span!(
        target: TARGET,
        "aws",
        otel.name = operation.permission().replace(':', "."),
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

/// How a call ended; `failure`: why it counts as one.
pub fn call_ended(span: &Span, outcome: &'static str, failure: Option<&dyn Display>) {
    span.record("outcome", outcome);
    failed(span, failure);
}

/// How a reconcile ended. Waiting, a suspended object and drift that is only observed are no failures.
pub fn reconciled(span: &Span, result: ReconcileResult) {
    span.record("result", result.as_str());
    let failure = match result {
        ReconcileResult::Success | ReconcileResult::Waiting | ReconcileResult::Fenced => None,
        ReconcileResult::NotReady(Reason::Progressing | Reason::Suspended | Reason::DriftDetected) => None,
        ReconcileResult::KubernetesError | ReconcileResult::NotReady(_) => Some(result.as_str()),
    };
    failed(span, failure.as_ref().map(|text| text as &dyn Display));
}

fn failed(span: &Span, failure: Option<&dyn Display>) {
    if let Some(failure) = failure.filter(|_| !span.is_disabled()) {
        span.record("otel.status_code", "ERROR");
        span.record("otel.status_description", display(failure));
    }
}

impl KubernetesError {
    /// The attribute `outcome` of a call: a closed set.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            error if error.is_not_found() => "not_found",
            error if error.is_conflict() => "conflict",
            error if error.is_forbidden() => "forbidden",
            Self::Timeout { .. } => "timeout",
            Self::NotLeader => "not_leader",
            Self::Api { .. } => "error",
        }
    }
}
