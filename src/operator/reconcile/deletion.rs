//! An object that is being deleted: first what it owns in AWS goes, then its finalizer.

use std::time::{Duration, Instant};

use super::conclusion::{Conclusion, LAG, Requeue};
use super::prepare::{NotPrepared, Prepared, prepare};
use crate::api::policy::{AuroraLogExportPolicySpec, DeletionPolicy, ManagementPolicy};
use crate::api::{EventReason, Reason};
use crate::aws::account::Account;
use crate::kubernetes::KubernetesError;
use crate::model::stored::PolicyObject;
use crate::operator::context::{Context, View};
use crate::operator::reconcile_state::ReconcileState;
use crate::pipeline::apply::{Applied, ApplyError, apply};
use crate::pipeline::desired::{Identity, deletion_policy, identity};
use crate::pipeline::leftovers::{Leftovers, Presence, observe_leftovers};
use crate::pipeline::plan::{Part, deletion::plan_deletion};
use crate::pipeline::port::{ErrorClass, Iam, IamError};
use crate::pipeline::status::Parts;
use crate::telemetry::metrics::ReconcileResult;

/// A resource that may have been created just now must be absent twice, this far apart.
const SECOND_READ: Duration = Duration::from_secs(15);

type Result<T> = std::result::Result<T, KubernetesError>;

/// Removes what the object owns in AWS, then the finalizer.
///
/// # Errors
/// Only those of Kubernetes; what AWS says becomes an outcome.
pub(super) async fn delete(context: &Context, object: &PolicyObject, state: &mut ReconcileState) -> Result<Conclusion> {
    let held = |reason, message, parts| Conclusion::deletion_held(reason, message, parts, Requeue::Slowly);
    let spec = match decide(context.view(), object) {
        Decision::Done => return Ok(Conclusion::unchanged(Requeue::OnChange, ReconcileResult::Success)),
        Decision::Retain(note) => return release(context, object, EventReason::Retained, note).await,
        Decision::Unreadable(message) => return Ok(held(Reason::InvalidSpec, message, Parts::ALL)),
        Decision::Remove(spec) => spec,
    };
    let Prepared { account, caller, derived: identity } = match prepare(context.view(), object, spec, identity).await {
        Ok(prepared) => prepared,
        Err(NotPrepared::Aws(account, error)) => return Ok(aws_failed(&account, &error).await),
        Err(NotPrepared::Refused(failure)) => return Ok(held(failure.reason, failure.message, failure.parts)),
    };
    match remove(&account.iam(&caller), spec, &identity, state).await {
        Ok(Removal::Done(note)) => release(context, object, EventReason::Deleted, &note).await,
        Ok(Removal::Blocked(message)) => Ok(held(Reason::DeletionBlocked, message, Parts::default())),
        Ok(Removal::Incomplete(applied)) => Ok(incomplete(&account, &applied).await),
        Ok(Removal::ReadAgain(after)) => Ok(Conclusion::unchanged(Requeue::After(after), ReconcileResult::Waiting)),
        Err(error) => Ok(aws_failed(&account, &error).await),
    }
}

/// What happens to policy and role of an object that is being deleted.
pub(super) enum Decision<'a> {
    /// Nothing was ever created, or everything is done.
    Done,
    /// They stay, for this reason.
    Retain(&'static str),
    /// They are not known.
    Unreadable(String),
    /// They are deleted.
    Remove(&'a AuroraLogExportPolicySpec),
}

pub(super) fn decide<'a>(view: View<'_>, object: &'a PolicyObject) -> Decision<'a> {
    if !object.has_finalizer() {
        return Decision::Done;
    }
    if object.is_abandoned() {
        return Decision::Retain("policy and role stay in AWS: the annotation auroralogexport.dev/abandon is \"true\"");
    }
    let spec = match &object.spec {
        Ok(spec) => spec,
        Err(error) => {
            return Decision::Unreadable(format!(
                "{error}; the policy and role of this object are not known while its spec cannot be read: annotate the \
                 object with auroralogexport.dev/abandon: \"true\" to delete it without touching AWS"
            ));
        }
    };
    if spec.management_policy == Some(ManagementPolicy::Observe) {
        return Decision::Retain("policy and role stay in AWS: managementPolicy is Observe");
    }
    let binding = view.accounts.binding(object.account_ref());
    let limit = binding.and_then(|binding| binding.guardrails.max_deletion_policy).unwrap_or_default();
    if deletion_policy(spec, view.settings, None).max(limit) == DeletionPolicy::Retain {
        return Decision::Retain("policy and role stay in AWS with their tags: the deletion policy is Retain");
    }
    Decision::Remove(spec)
}

enum Removal {
    /// Nothing of the object is left.
    Done(String),
    /// Something that is not ours holds what is left.
    Blocked(String),
    /// AWS refused a part of it.
    Incomplete(Box<Applied>),
    /// What was not found may only not be visible yet.
    ReadAgain(Duration),
}

async fn remove<I: Iam>(
    iam: &I,
    spec: &AuroraLogExportPolicySpec,
    identity: &Identity,
    state: &mut ReconcileState,
) -> std::result::Result<Removal, IamError> {
    let leftovers = observe_leftovers(iam, identity).await?;
    state.role_seen |= leftovers.role != Presence::Absent;
    state.policy_seen |= leftovers.policy != Presence::Absent;
    let steps = match plan_deletion(identity, &leftovers, spec.attachment_policy.unwrap_or_default()) {
        Ok(steps) => steps,
        Err(blockers) => return Ok(Removal::Blocked(blockers.join("; "))),
    };
    let applied = apply(iam, &steps, |_| {}).await;
    if applied.is_incomplete() {
        return Ok(Removal::Incomplete(Box::new(applied)));
    }
    if let Some(wait) = wait_for_second_read(state) {
        return Ok(Removal::ReadAgain(wait));
    }
    Ok(Removal::Done(note(identity, &leftovers)))
}

fn note(identity: &Identity, leftovers: &Leftovers) -> String {
    let (policy, role) = (&identity.policy_arn, &identity.role_arn);
    match (&leftovers.policy, &leftovers.role) {
        (Presence::Ours(_), Presence::Ours(_)) => format!("deleted policy {policy} and role {role}"),
        (Presence::Ours(_), _) => format!("deleted policy {policy}; this object had no role"),
        (_, Presence::Ours(_)) => format!("deleted role {role}; this object had no policy"),
        _ => "this object had neither policy nor role in AWS".to_owned(),
    }
}

/// How long to wait before absence is believed; `None`: it is believed now.
fn wait_for_second_read(state: &mut ReconcileState) -> Option<Duration> {
    let doubtful = [(Part::Policy, state.policy_seen), (Part::Role, state.role_seen)]
        .into_iter()
        .any(|(part, seen)| !seen && state.created(part).is_some_and(|at| at.elapsed() < LAG));
    if !doubtful && state.absent_since.is_none() {
        return None;
    }
    let first = *state.absent_since.get_or_insert_with(Instant::now);
    let waited = first.elapsed();
    (waited < SECOND_READ).then(|| SECOND_READ.saturating_sub(waited))
}

async fn release(context: &Context, object: &PolicyObject, reason: EventReason, note: &str) -> Result<Conclusion> {
    // The event comes afterwards: the release may have to be tried again.
    if context.kubernetes.remove_finalizer(object).await? {
        tracing::info!(reason = reason.as_str(), "{note}");
        context.kubernetes.event(object, false, reason.as_str(), "Delete", note).await;
    } else {
        // An earlier reconcile published the event; the watch has not reported the removal yet.
        tracing::debug!(reason = reason.as_str(), "the object is gone: {note}");
    }
    Ok(Conclusion::unchanged(Requeue::OnChange, ReconcileResult::Success))
}

/// What could not be deleted, by each call that failed. What was deleted, or was to be, is no longer as the spec says.
async fn incomplete(account: &Account, applied: &Applied) -> Conclusion {
    let Applied { done, failed, skipped, .. } = applied;
    let Some(first) = failed.first() else {
        return Conclusion::unchanged(Requeue::Soon, ReconcileResult::Waiting);
    };
    for ApplyError { error, .. } in failed {
        account.credentials_failed(error).await;
    }
    if failed.iter().any(|failure| failure.error.class == ErrorClass::NotLeader) {
        return Conclusion::unchanged(Requeue::Soon, ReconcileResult::Fenced);
    }
    let mut told = Vec::new();
    let mut messages = Vec::new();
    for ApplyError { error, .. } in failed {
        if !told.contains(&error.operation) {
            told.push(error.operation);
            messages.push(error.user_message());
        }
    }
    let steps = done.iter().chain(failed.iter().map(|failure| &failure.step)).chain(skipped.iter().map(|it| &it.step));
    let requeue =
        if failed.iter().all(|failure| failure.error.class.is_terminal()) { Requeue::Slowly } else { Requeue::Soon };
    Conclusion::deletion_held(first.error.class.reason(), messages.join("; "), Parts::of_steps(steps), requeue)
}

async fn aws_failed(account: &Account, error: &IamError) -> Conclusion {
    account.credentials_failed(error).await;
    if error.class == ErrorClass::NotLeader {
        return Conclusion::unchanged(Requeue::Soon, ReconcileResult::Fenced);
    }
    let requeue = if error.class.is_terminal() { Requeue::Slowly } else { Requeue::Soon };
    Conclusion::deletion_held(error.class.reason(), error.user_message(), Parts::default(), requeue)
}
