//! Reconciles one object, from its spec to AWS and back to its status:
//!
//! ```text
//! prepare ─▶ observe ─▶ plan ─▶ apply ─▶ report
//! ```
//!
//! The pipeline decides each step; this module holds the order, the effects, and what comes next.

mod claims;
mod conclusion;
mod deletion;
mod prepare;
pub mod preview;
mod refusal;
mod removed;
mod report;
mod work;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Instrument;

use super::backoff::backoff;
use super::context::Context;
use super::modes::Mode;
use super::reconcile_state::ReconcileState;
use super::workqueue::Priority;
use crate::api::Reason;
use crate::kubernetes::KubernetesError;
use crate::model::names::Owner;
use crate::model::stored::PolicyObject;
use crate::pipeline::status::{Outcome, Parts, Shortfall};
use crate::telemetry::metrics::ReconcileResult;
use crate::telemetry::{panics, trace};
use conclusion::{Conclusion, Requeue};
use prepare::{NotPrepared, prepare_desired};
use work::Work;

/// The longest pause after a failure that may pass by itself.
pub const LONGEST_SOON: Duration = Duration::from_mins(1);
/// The longest pause after a failure that a person must end.
pub const LONGEST_SLOWLY: Duration = Duration::from_mins(5);

/// When an object is reconciled again, and how urgent it is then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// From now.
    pub pause: Duration,
    /// A change that is not done is still a change; a resync that found nothing to do is not.
    pub priority: Priority,
}

/// Reconciles the object of that key, after it has cleaned up after those of that name that are gone. Returns when to
/// reconcile again; `None`: when the object changes.
pub async fn reconcile(context: &Context, key: &Owner, priority: Priority) -> Option<Next> {
    let mut next = None;
    for gone in context.removed.of(key) {
        next = earlier(next, clean_up(context, &gone).await);
    }
    match context.index.get(key) {
        Some(object) => earlier(next, reconcile_known(context, &object, priority).await),
        None => next,
    }
}

async fn reconcile_known(context: &Context, object: &Arc<PolicyObject>, priority: Priority) -> Option<Next> {
    let key = &object.key();
    let mut state = context.states.take(object, context.started);
    let work = async {
        let result = reconcile_object(context, object, &mut state, priority).await;
        if let Err(error) = &result
            && state.failures == 0
        {
            context.report_rejected_write(&**object, "Reconcile", error);
        }
        result
    };
    let requeue = observed(context, key, priority, work).await;
    let unfinished = matches!(requeue, Requeue::Soon | Requeue::After(_));
    let next = pause(context, object, &mut state, requeue)
        .map(|pause| Next { pause, priority: if unfinished { priority } else { Priority::Resync } });
    context.states.put(key, state);
    // The object may have gone meanwhile: then nothing else forgets its state.
    if context.index.get(key).is_none() && !context.removed.has(key) {
        context.states.remove(key);
    }
    let changed = changed_meanwhile(context, object).map(|pause| Next { pause, priority: Priority::Change });
    earlier(next, changed)
}

/// Cleans up after an object that is gone.
async fn clean_up(context: &Context, object: &Arc<PolicyObject>) -> Option<Next> {
    let known = context.removed.take_state(object);
    let mut state = known.unwrap_or_else(|| context.states.take(object, context.started));
    let work = removed::clean_up(context, object, &mut state);
    let requeue = observed(context, &object.key(), Priority::Deletion, work).await;
    let pause = pause(context, object, &mut state, requeue);
    if pause.is_some() {
        context.removed.put_state(object, state);
    } else {
        context.removed.done(object);
    }
    pause.map(|pause| Next { pause, priority: Priority::Deletion })
}

fn earlier(one: Option<Next>, other: Option<Next>) -> Option<Next> {
    match (one, other) {
        (Some(one), Some(other)) => {
            Some(Next { pause: one.pause.min(other.pause), priority: one.priority.min(other.priority) })
        }
        (one, other) => one.or(other),
    }
}

/// Runs the work on an object with its trace and its metrics, and contains a panic.
async fn observed(
    context: &Context,
    key: &Owner,
    priority: Priority,
    work: impl Future<Output = Result<Conclusion, KubernetesError>>,
) -> Requeue {
    let began = Instant::now();
    let span = trace::reconcile(key, priority.as_str());
    let (requeue, result) = match panics::contain(Box::pin(work)).instrument(span.clone()).await {
        Ok(Ok(conclusion)) => (conclusion.requeue, Some(conclusion.result)),
        Ok(Err(error)) => after_kubernetes_error(&error),
        Err(panics::Panicked) => (Requeue::Soon, Some(ReconcileResult::Panic)),
    };
    if let Some(result) = result {
        context.metrics.reconciled(result, began.elapsed());
        trace::reconciled(&span, result);
    }
    requeue
}

async fn reconcile_object(
    context: &Context,
    object: &Arc<PolicyObject>,
    state: &mut ReconcileState,
    priority: Priority,
) -> Result<Conclusion, KubernetesError> {
    panics::inject(&object.key());
    if let Some(value) = object.reconcile_at()
        && context.states.honour_reconcile_at(&object.key(), value)
    {
        state.reconcile_requested();
        context.states.outputs.forget(&object.key());
    }
    let conclusion = if object.is_deleting() {
        deletion::delete(context, object, None, state).await?
    } else {
        if context.index.needs_finalizer(object) {
            // If it was lost: whatever else is wrong with the object, its deletion must not leave resources in AWS.
            context.ensure_finalizer(object).await?;
        }
        ensure(context, object, state, priority).await?
    };
    report::report(context, object, &conclusion).await?;
    Ok(conclusion)
}

/// Makes AWS as the spec says.
async fn ensure(
    context: &Context,
    object: &PolicyObject,
    state: &mut ReconcileState,
    priority: Priority,
) -> Result<Conclusion, KubernetesError> {
    let spec = match &object.spec {
        Ok(spec) => spec,
        Err(error) => return Ok(Conclusion::failed(Reason::InvalidSpec, error.to_string(), Parts::ALL)),
    };
    if spec.suspend == Some(true) {
        let result = ReconcileResult::NotReady(Reason::Suspended);
        return Ok(Conclusion { outcome: Some(Outcome::Suspended), requeue: Requeue::OnChange, result });
    }
    let prepared = match prepare_desired(context.view(), object, spec).await {
        Ok(prepared) => prepared,
        Err(NotPrepared::Aws(_, error)) => {
            return Ok(refusal::refused_by_aws(context, object, state, Shortfall::from(&error)));
        }
        Err(NotPrepared::Refused(failure)) => {
            return Ok(Conclusion::failed(failure.reason, failure.message, failure.parts));
        }
    };
    if object.status.role.is_none()
        && let Some(message) = context.refused_by_labels(object).await?
    {
        return Ok(Conclusion::failed(Reason::NotPermitted, message, Parts::default()));
    }
    let mut work = Work::new(context, object, state, prepared, priority);
    if work.never_reached_aws()
        && let Some(conclusion) = work.create_new().await?
    {
        return Ok(conclusion);
    }
    work.reconcile_existing().await
}

fn after_kubernetes_error(error: &KubernetesError) -> (Requeue, Option<ReconcileResult>) {
    match error {
        // Another replica goes on, or this one may write again in a moment: the workqueue knows which.
        KubernetesError::NotLeader => (Requeue::Soon, Some(ReconcileResult::Fenced)),
        // The object has gone: the watch says so.
        error if error.is_not_found() => (Requeue::OnChange, None),
        error => {
            if error.is_conflict() {
                tracing::debug!(%error, "object changed during its reconcile; retrying");
            } else {
                tracing::warn!(%error, "Kubernetes write failed; retrying");
            }
            (Requeue::Soon, Some(ReconcileResult::KubernetesError))
        }
    }
}

fn pause(context: &Context, object: &PolicyObject, state: &mut ReconcileState, requeue: Requeue) -> Option<Duration> {
    let intervals = context.resync(object);
    match requeue {
        Requeue::Interval => {
            state.failures = 0;
            Some(intervals.interval())
        }
        Requeue::InSync => {
            state.failures = 0;
            let interval = match context.modes.get(&object.account_key()) {
                Some(Mode::Bulk) => intervals.interval_beside_sweeps(),
                Some(Mode::PerResource(_)) | None => intervals.interval(),
            };
            // Objects that were created together must not be read together for ever.
            Some(interval.mul_f64(0.9 + 0.1 * fastrand::f64()))
        }
        Requeue::Soon => {
            state.failed(object.generation());
            Some(backoff(state.failures, Duration::from_secs(1), LONGEST_SOON))
        }
        Requeue::Slowly => {
            state.failed(object.generation());
            let longest = intervals.interval().clamp(Duration::from_secs(10), LONGEST_SLOWLY);
            Some(backoff(state.failures, Duration::from_secs(10), longest))
        }
        Requeue::After(time) => Some(time),
        Requeue::OnChange => {
            state.failures = 0;
            None
        }
    }
}

/// When to reconcile again because the object changed while it was being reconciled. The answers to our own writes may
/// have brought the change first; the watch's event is then no news to the controller.
fn changed_meanwhile(context: &Context, began_with: &PolicyObject) -> Option<Duration> {
    let current = context.index.get(&began_with.key())?;
    let changed = current.uid() != began_with.uid()
        || current.generation() != began_with.generation()
        || current.is_deleting() != began_with.is_deleting()
        || current.is_abandoned() != began_with.is_abandoned();
    if changed {
        return Some(Duration::ZERO);
    }
    let due = context.states.reconcile_at_due(&current)?;
    Some(due.saturating_duration_since(Instant::now()))
}
