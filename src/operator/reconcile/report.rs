//! Tells users what a reconcile came to: the one place that writes the status, and the events about it.

use jiff::Timestamp;

use super::conclusion::Conclusion;
use crate::api::{Condition, ConditionType, EventReason, Reason};
use crate::kubernetes::KubernetesError;
use crate::model::documents::Meaning;
use crate::model::documents::differences::in_words;
use crate::model::stored::PolicyObject;
use crate::operator::context::Context;
use crate::pipeline::apply::Applied;
use crate::pipeline::desired::Desired;
use crate::pipeline::observe::{Content, Observed, ObservedPolicy};
use crate::pipeline::plan::{Action, Part, Plan, Step};
use crate::pipeline::status::{Outcome, condition, ignored_note, is_new_note, is_ready, next, note_ignored};

/// Writes the status if it differs, and an event if status or reason of `Ready` changed.
///
/// # Errors
/// Those of the status write; but an object that is gone while it was being deleted needs no status.
pub(super) async fn report(
    context: &Context,
    object: &PolicyObject,
    conclusion: &Conclusion,
) -> Result<(), KubernetesError> {
    let Some(outcome) = &conclusion.outcome else {
        return Ok(());
    };
    // The answers to our own writes are newer than the object that the reconcile began with. The outcome is about the
    // spec that it began with.
    let current = context.index.get(&object.key()).filter(|current| current.uid() == object.uid());
    let generation = object.generation();
    let object = current.as_deref().unwrap_or(object);
    let before = condition(&object.status, ConditionType::Ready).cloned();
    let after = match write_status(context, object, outcome, generation).await {
        Ok(Some(after)) => after,
        Ok(None) => return Ok(()),
        // What it has in AWS is still cleaned up: the controller holds it until that is done.
        Err(error) if error.is_not_found() && object.is_deleting() => {
            if let Outcome::Deleting(failure) = outcome {
                tracing::warn!(reason = failure.reason.as_str(), "{}", failure.message);
            }
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let changed = before.is_none_or(|before| (&before.reason, &before.status) != (&after.reason, &after.status));
    if changed && after.reason != Reason::Progressing.as_str() {
        let warning = after.status != "True" && after.reason != Reason::Suspended.as_str();
        if warning {
            tracing::warn!(reason = &*after.reason, "{}", after.message);
        } else {
            tracing::info!(reason = &*after.reason, "{}", after.message);
        }
        context.kubernetes.event(object, warning, &after.reason, "Reconcile", &after.message);
    }
    Ok(())
}

/// Writes the status if it differs from the object's, and an event if it is the first to name fields that are ignored.
/// Returns `Ready` as written. `generation` is that of the spec that the outcome is about.
///
/// # Errors
/// Those of the status write.
pub(super) async fn write_status(
    context: &Context,
    object: &PolicyObject,
    outcome: &Outcome,
    generation: i64,
) -> Result<Option<Condition>, KubernetesError> {
    let mut status = next(&object.status, outcome, generation, Timestamp::now());
    note_ignored(&mut status.conditions, &object.ignored);
    if status == object.status {
        return Ok(None);
    }
    let answer = context.kubernetes.write_status(object, &status).await?;
    context.written(answer);
    let after = condition(&status, ConditionType::Ready);
    if after.is_some_and(|after| is_new_note(&object.ignored, condition(&object.status, ConditionType::Ready), after))
        && let Some(note) = ignored_note(&object.ignored)
    {
        tracing::warn!("{note}");
        context.kubernetes.event(object, true, EventReason::UnknownFields.as_str(), "Reconcile", &note);
    }
    Ok(after.cloned())
}

/// Events and metrics about the writes to AWS: repaired drift if the object was in sync before, changes otherwise.
pub(super) fn report_changes(
    context: &Context,
    object: &PolicyObject,
    desired: &Desired,
    observed: &Observed,
    plan: &Plan,
    applied: &Applied,
) {
    if applied.done.is_empty() {
        return;
    }
    // Not before the tags that make it ours are set.
    let is_tagged = |part: Part| {
        let tags = |step: &Step| matches!(step.action, Action::TagPolicy { .. } | Action::TagRole { .. });
        applied.done.iter().any(|step| step.part == part && tags(step))
    };
    for (_, adopted) in plan.adopted.iter().filter(|(part, _)| is_tagged(*part)) {
        let note = format!("adopted {adopted}");
        event(context, object, EventReason::Adopted, "Adopt", &note);
    }
    if is_ready(&object.status, object.generation()) {
        let mut fields: Vec<_> = applied.done.iter().map(|step| (step.part, step.field)).collect();
        fields.sort_unstable();
        fields.dedup();
        for (_, field) in &fields {
            context.metrics.drift_repaired(*field);
        }
        let names: Vec<_> = fields.iter().map(|(part, field)| format!("{} {}", part.noun(), field.as_str())).collect();
        let names = names.join(", ");
        let mut note = format!("repaired drift in AWS: {names}");
        for step in &applied.done {
            note.push_str(&replaced(object, desired, observed, step));
        }
        tracing::info!(fields = names, "drift repaired: {note}");
        event(context, object, EventReason::DriftRepaired, "Repair", &note);
        return;
    }
    for step in &applied.done {
        let action = step.action.operation().as_str();
        let note = step.action.describe(&desired.identity) + &replaced(object, desired, observed, step);
        tracing::info!(action, "{note}");
        event(context, object, step.action.event(), action, &note);
    }
}

/// What a step changed in a document, in words; empty for other steps.
fn replaced(object: &PolicyObject, desired: &Desired, observed: &Observed, step: &Step) -> String {
    match (&step.action, &desired.policy, &observed.policy, &observed.role) {
        (
            Action::CreatePolicyVersion { .. } | Action::SetDefaultPolicyVersion { .. },
            Some(wanted),
            Some(ObservedPolicy { content: Content::Differs { text }, .. }),
            _,
        ) => {
            let found = Meaning::of(text).fingerprint().to_string();
            let in_sync = is_ready(&object.status, object.generation());
            // The document that was in sync before: AWS did not change, the wanted document did.
            let known = object.status.policy.as_ref().is_some_and(|policy| policy.document_sha256 == Some(found));
            let why = if in_sync && known {
                "AWS was not changed, but this operator writes another document than before; "
            } else {
                ""
            };
            format!("; policy document: {why}{}", in_words(&wanted.document.to_json(), text))
        }
        (Action::UpdateTrust { document, .. }, _, _, Some(role)) => {
            format!("; trust policy: {}", in_words(document, &role.trust))
        }
        _ => String::new(),
    }
}

fn event(context: &Context, object: &PolicyObject, reason: EventReason, action: &str, note: &str) {
    context.kubernetes.event(object, false, reason.as_str(), action, note);
}
