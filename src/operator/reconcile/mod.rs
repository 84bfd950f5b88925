//! One object, start to end: `desired → observe → plan → apply → status`, the steps of the picture in
//! `docs/architecture.md`. What is decided stands in the pure modules; here is the order, and the effects.

mod claims;
mod conclude;
mod deletion;
mod ensure;
pub mod memory;
pub mod pace;
pub mod preview;
mod refusal;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Instrument;

use crate::api::account::DriftScan;
use crate::aws::rate_limit::{Caller, Priority};
use crate::aws::registry::Accounts;
use crate::kubernetes::{Kubernetes, KubernetesError};
use crate::model::names::Owner;
use crate::model::object::Object;
use crate::model::settings::Settings;
use crate::operator::index::Index;
use crate::operator::sweep::taken::TakenNames;
use crate::operator::sweep::{Mode, Modes};
use crate::operator::workqueue::backoff;
use crate::pipeline::status::Outcome;
use crate::telemetry::metrics::{Metrics, ReconcileResult};
use crate::telemetry::trace;
use memory::{Memories, Memory};
use pace::Pace;

/// The longest pause after a failure that may pass by itself.
pub const LONGEST_SOON: Duration = Duration::from_mins(1);
/// The longest pause after a failure that a person must end.
pub const LONGEST_SLOWLY: Duration = Duration::from_mins(5);
/// IAM shows a new entity to every reader within this time.
const LAG: Duration = Duration::from_mins(1);

/// Everything that a reconcile needs.
pub struct Context {
    /// The operator's flags.
    pub settings: Settings,
    /// AWS.
    pub accounts: Accounts,
    /// The API server.
    pub kubernetes: Kubernetes,
    /// What the watch has seen.
    pub index: Index,
    /// What is remembered of each object between looks.
    pub memories: Memories,
    /// Counters.
    pub metrics: Metrics,
    /// `--drift-scan`.
    pub drift_scan: DriftScan,
    /// How each account is looked at now.
    pub modes: Modes,
    /// Which names each account had when it was last swept.
    pub taken: TakenNames,
    /// The namespaces that are watched; none: all.
    pub watched: Vec<String>,
    /// When this process began: before that, nothing is remembered.
    pub started: Instant,
}

impl Context {
    /// How often this object and its account are to be looked at.
    pub fn pace(&self, object: &Object) -> Pace {
        let object = object.spec.as_ref().ok().and_then(|spec| spec.drift_check_interval).map(Duration::from);
        Pace { object, operator: self.settings.drift_check_interval }
    }

    /// Are the objects of this namespace ours to look after?
    pub fn watches(&self, namespace: &str) -> bool {
        self.watched.is_empty() || self.watched.iter().any(|watched| watched == namespace)
    }
}

/// What decides which plan an object gets, besides the object and AWS.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The operator's flags.
    pub settings: &'a Settings,
    /// AWS.
    pub accounts: &'a Accounts,
    /// All objects: some may claim the same names.
    pub index: &'a Index,
}

impl Context {
    /// The part that decides, without the effects.
    pub fn view(&self) -> View<'_> {
        View { settings: &self.settings, accounts: &self.accounts, index: &self.index }
    }
}

/// When to look at the object again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    /// It is in sync: after its interval, or rarely where sweeps look at it.
    InSync,
    /// After its interval: sweeps do not judge it.
    Interval,
    /// Soon, with growing pauses: it may pass by itself.
    Soon,
    /// Slowly, with growing pauses: a person must act, perhaps outside Kubernetes.
    Slowly,
    /// After this time.
    After(Duration),
    /// When it changes.
    OnChange,
}

/// What a reconcile came to.
struct Conclusion {
    /// `None`: the status stays as it is.
    outcome: Option<Outcome>,
    again: Again,
    result: ReconcileResult,
}

impl Conclusion {
    fn leave(again: Again, result: ReconcileResult) -> Self {
        Self { outcome: None, again, result }
    }
}

/// When an object's turn comes again, and how urgent it is then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// From now.
    pub pause: Duration,
    /// A change that could not be brought to its end is still a change; a look that found nothing to do is not.
    pub priority: Priority,
}

/// Reconciles the object of that key; returns when to look again, `None`: when it changes.
pub async fn reconcile(context: &Context, key: &Owner, priority: Priority) -> Option<Next> {
    let object = context.index.get(key)?;
    let began = Instant::now();
    let mut memory = context.memories.take(&object, context.started);
    let span = trace::reconcile(key, priority);
    let next = run(context, &object, &mut memory, priority).instrument(span.clone()).await;
    let (again, result) = match next {
        Ok(Conclusion { again, result, .. }) => (again, Some(result)),
        // Either another replica goes on, or this one may write again in a moment: the queue knows which.
        Err(KubernetesError::NotLeader) => (Again::Soon, Some(ReconcileResult::Fenced)),
        // The object has changed or gone: the watch brings its new state.
        Err(error) if error.is_not_found() => (Again::OnChange, None),
        Err(error) => {
            if error.is_conflict() {
                tracing::debug!(%error, "the object has changed meanwhile");
            } else {
                tracing::warn!(%error, "Kubernetes did not take a write; it is repeated");
            }
            (Again::Soon, Some(ReconcileResult::KubernetesError))
        }
    };
    if let Some(result) = result {
        context.metrics.reconciled(result, began.elapsed());
        trace::reconciled(&span, result);
    }
    let unfinished = matches!(again, Again::Soon | Again::After(_));
    let again = pause(context, &object, &mut memory, again)
        .map(|pause| Next { pause, priority: if unfinished { priority } else { Priority::Periodic } });
    context.memories.put(key, memory);
    // It went while it was being looked at: nobody will ask for its memory again.
    if context.index.get(key).is_none() {
        context.memories.forget(key);
    }
    let missed = missed(context, &object).map(|pause| Next { pause, priority: Priority::Change });
    match (again, missed) {
        (Some(again), Some(missed)) => {
            Some(Next { pause: again.pause.min(missed.pause), priority: again.priority.min(missed.priority) })
        }
        (again, missed) => again.or(missed),
    }
}

/// What changed while the object was being reconciled. The answers to our own writes may have shown it first, and the
/// watch's event is then old news that nobody acts upon.
fn missed(context: &Context, began: &Object) -> Option<Duration> {
    let current = context.index.get(&began.key())?;
    let changed = current.uid() != began.uid()
        || current.generation() != began.generation()
        || current.is_deleting() != began.is_deleting()
        || current.is_abandoned() != began.is_abandoned();
    if changed {
        return Some(Duration::ZERO);
    }
    let due = context.memories.reconcile_at_due(&current)?;
    Some(due.saturating_duration_since(Instant::now()))
}

async fn run(
    context: &Context,
    object: &Arc<Object>,
    memory: &mut Memory,
    priority: Priority,
) -> Result<Conclusion, KubernetesError> {
    if let Some(value) = object.reconcile_at()
        && context.memories.honour_reconcile_at(&object.key(), value)
    {
        memory.asked();
    }
    let Owner { namespace, name } = object.key();
    let caller =
        Caller { namespace, object: name, priority: if object.is_deleting() { Priority::Deletion } else { priority } };
    let conclusion = if object.is_deleting() {
        deletion::delete(context, object, memory, caller).await?
    } else {
        ensure::ensure(context, object, memory, caller).await?
    };
    match conclude::conclude(context, object, &conclusion).await {
        // The object is no more; what it has in AWS may well be, and is pursued for as long as the object is known here.
        Err(error) if error.is_not_found() && object.is_deleting() => {
            if let Some(Outcome::Deleting(failure)) = &conclusion.outcome {
                tracing::warn!(reason = failure.reason.as_str(), "{}", failure.message);
            }
        }
        result => result?,
    }
    Ok(conclusion)
}

fn pause(context: &Context, object: &Object, memory: &mut Memory, again: Again) -> Option<Duration> {
    let interval = context.pace(object).interval();
    let slowest = interval.clamp(Duration::from_secs(10), LONGEST_SLOWLY);
    match again {
        Again::Interval => {
            memory.failures = 0;
            Some(interval)
        }
        Again::InSync => {
            memory.failures = 0;
            // A little jitter, so that objects made together are not looked at together for ever.
            Some(next_look(context, object).mul_f64(0.9 + 0.1 * fastrand::f64()))
        }
        Again::Soon => {
            memory.failed(object.generation());
            Some(backoff(memory.failures, Duration::from_secs(1), LONGEST_SOON))
        }
        Again::Slowly => {
            memory.failed(object.generation());
            Some(backoff(memory.failures, Duration::from_secs(10), slowest))
        }
        Again::After(time) => Some(time),
        Again::OnChange => {
            memory.failures = 0;
            None
        }
    }
}

/// When an object in sync is read by itself again: rarely where sweeps look at it, unless it asks for more.
fn next_look(context: &Context, object: &Object) -> Duration {
    let pace = context.pace(object);
    match context.modes.of(&object.account_ref().map(str::to_owned)) {
        Some(Mode::Bulk) => pace.look_between_sweeps(),
        Some(Mode::PerResource(_)) | None => pace.interval(),
    }
}
