//! What a reconcile came to: for the status, for the workqueue, and for the metrics.

use std::time::Duration;

use crate::api::Reason;
use crate::pipeline::status::{Failure, Outcome, Parts};
use crate::telemetry::metrics::ReconcileResult;

/// IAM shows a new entity to every reader within this time.
pub(super) const LAG: Duration = Duration::from_mins(1);

/// When to reconcile the object again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Requeue {
    /// The object is in sync: after its interval, or rarely where sweeps check it.
    InSync,
    /// After the object's interval: sweeps do not check it.
    Interval,
    /// Soon, with growing pauses: the failure may pass by itself.
    Soon,
    /// Slowly, with growing pauses: a person must act, perhaps outside Kubernetes.
    Slowly,
    /// After this time.
    After(Duration),
    /// When the object changes.
    OnChange,
}

/// What a reconcile came to.
pub(super) struct Conclusion {
    /// `None`: the status stays as it is.
    pub(super) outcome: Option<Outcome>,
    pub(super) requeue: Requeue,
    pub(super) result: ReconcileResult,
}

impl Conclusion {
    /// The status stays as it is.
    pub(super) fn unchanged(requeue: Requeue, result: ReconcileResult) -> Self {
        Self { outcome: None, requeue, result }
    }

    /// The object cannot be brought in sync until a person acts.
    pub(super) fn failed(reason: Reason, message: String, parts: Parts) -> Self {
        Self::after_failure(Outcome::Failed(Failure { reason, message, parts }), reason, Requeue::Slowly)
    }

    /// The object cannot be deleted now.
    pub(super) fn deletion_held(reason: Reason, message: String, parts: Parts, requeue: Requeue) -> Self {
        Self::after_failure(Outcome::Deleting(Failure { reason, message, parts }), reason, requeue)
    }

    fn after_failure(outcome: Outcome, reason: Reason, requeue: Requeue) -> Self {
        Self { outcome: Some(outcome), requeue, result: ReconcileResult::NotReady(reason) }
    }
}
