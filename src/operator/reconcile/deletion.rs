//! An object that is being deleted: first what it owns in AWS goes, then its finalizer.

use std::time::Duration;

use super::conclusion::{Conclusion, LAG, Requeue};
use super::prepare::{NotPrepared, Prepared, prepare};
use super::report;
use crate::api::policy::{AuroraLogExportPolicySpec, DeletionPolicy, ManagementPolicy};
use crate::api::{EventReason, FINALIZER, Reason, TAG_ADOPTABLE_BY};
use crate::aws::account::Account;
use crate::aws::credentials::CallerIdentity;
use crate::kubernetes::KubernetesError;
use crate::model::settings::AccountFacts;
use crate::model::stored::PolicyObject;
use crate::operator::context::{Context, View};
use crate::operator::reconcile_state::ReconcileState;
use crate::pipeline::apply::{Applied, ApplyError, apply};
use crate::pipeline::desired::{Identity, deletion_policy, identity};
use crate::pipeline::leftovers::{Leftovers, Presence, observe_leftovers};
use crate::pipeline::plan::{Part, deletion::plan_deletion};
use crate::pipeline::port::{ErrorClass, Iam, IamError};
use crate::pipeline::status::{Failure, Outcome, Parts};
use crate::telemetry::metrics::ReconcileResult;

type Result<T> = std::result::Result<T, KubernetesError>;

/// Removes what the object owns in AWS, then the finalizer. `successor` is the object of that name that was created after
/// this one was gone: what it owns now is kept.
///
/// # Errors
/// Only those of Kubernetes; what AWS says becomes an outcome.
pub(super) async fn delete(
    context: &Context,
    object: &PolicyObject,
    successor: Option<&PolicyObject>,
    state: &mut ReconcileState,
) -> Result<Conclusion> {
    let held = |reason, message, parts| Conclusion::deletion_held(reason, message, parts, Requeue::Slowly);
    let spec = match decide(context.view(), object, state.last_write.is_some()) {
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
    let kept = match successor.map(|successor| kept_by(context.view(), successor, &caller, &identity)) {
        None => Kept::default(),
        Some(Ok(kept)) => kept,
        Some(Err(message)) => return Ok(held(Reason::DeletionBlocked, message, Parts::default())),
    };
    match remove(&account.iam(&caller), &identity, kept, state).await {
        Ok(Removal::Done(note)) => release(context, object, EventReason::Deleted, &note).await,
        Ok(Removal::Blocked(message)) => Ok(held(Reason::DeletionBlocked, message, Parts::default())),
        Ok(Removal::Incomplete(applied)) => Ok(incomplete(&account, &applied).await),
        Ok(Removal::ReadAgain(after)) => Ok(reading_again(&identity, after)),
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

/// `wrote`: this process has written to AWS for the object.
pub(super) fn decide<'a>(view: View<'_>, object: &'a PolicyObject, wrote: bool) -> Decision<'a> {
    // Without our finalizer it may have been released, or have lost it.
    if !object.has_finalizer() && !view.index.left_resources(object, true) {
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
    // Users can add the finalizer, but not write the status: without it there is nothing to delete, and a namespace that may
    // not use the account causes no calls there.
    let created = wrote || object.status.role.is_some() || object.status.policy.is_some();
    if !created && view.refuses_namespace_of(object) {
        return Decision::Retain(
            "nothing was created in AWS for this object, and its namespace may not use the account",
        );
    }
    Decision::Remove(spec)
}

/// Which resources belong to a successor.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    policy: bool,
    role: bool,
}

/// What the successor of an object owns of its resources: tags name the object, so the successor owns what has its names.
///
/// # Errors
/// A message if that cannot be derived.
fn kept_by(
    view: View<'_>,
    successor: &PolicyObject,
    caller: &CallerIdentity,
    gone: &Identity,
) -> std::result::Result<Kept, String> {
    let unknown = |why: String| format!("it is not known which AWS resources the object of that name owns now: {why}");
    let spec = successor.spec.as_ref().map_err(|error| unknown(error.to_string()))?;
    let resolved = view.resolve(successor).map_err(|error| unknown(error.message))?;
    match resolved.account.known_id() {
        None => return Err(unknown("its account has not been verified yet".to_owned())),
        Some(id) if id != caller.account => return Ok(Kept::default()),
        Some(_) => {}
    }
    let facts =
        AccountFacts { id: caller.account.clone(), partition: caller.partition.clone(), binding: resolved.binding };
    let owned = identity(&successor.key(), spec, view.settings, &facts).map_err(|error| unknown(error.to_string()))?;
    Ok(Kept { policy: owned.policy_arn == gone.policy_arn, role: owned.role_arn == gone.role_arn })
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
    identity: &Identity,
    kept: Kept,
    state: &mut ReconcileState,
) -> std::result::Result<Removal, IamError> {
    let mut leftovers = observe_leftovers(iam, identity).await?;
    if kept.role {
        leftovers.role = Presence::NotOurs;
    }
    if kept.policy {
        leftovers.policy = Presence::NotOurs;
    }
    state.role_seen |= leftovers.role != Presence::Absent;
    state.policy_seen |= leftovers.policy != Presence::Absent;
    let steps = match plan_deletion(identity, &leftovers) {
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

fn reading_again(identity: &Identity, after: Duration) -> Conclusion {
    let Identity { policy_arn, role_arn, .. } = identity;
    let message = format!(
        "waiting for a second read: IAM may not show yet that policy {policy_arn} or role {role_arn} was created"
    );
    let failure = Failure { reason: Reason::Progressing, message, parts: Parts::default() };
    let outcome = Some(Outcome::Deleting(failure));
    Conclusion { outcome, requeue: Requeue::After(after), result: ReconcileResult::Waiting }
}

fn note(identity: &Identity, leftovers: &Leftovers) -> String {
    let Leftovers { policy, role } = leftovers;
    let policy = fate("policy", identity.policy_arn.as_str(), policy);
    let role = fate("role", identity.role_arn.as_str(), role);
    match (policy, role) {
        (Fate::Deleted(policy), Fate::Deleted(role)) => format!("deleted {policy} and {role}"),
        (Fate::Deleted(deleted), Fate::Kept(other) | Fate::None(other))
        | (Fate::Kept(other) | Fate::None(other), Fate::Deleted(deleted)) => format!("deleted {deleted}; {other}"),
        (Fate::None(_), Fate::None(_)) => "this object had neither policy nor role in AWS".to_owned(),
        (Fate::Kept(policy) | Fate::None(policy), Fate::Kept(role) | Fate::None(role)) => format!("{policy}; {role}"),
    }
}

/// What became of a resource, in words.
enum Fate {
    Deleted(String),
    Kept(String),
    None(String),
}

fn fate<T>(noun: &str, arn: &str, presence: &Presence<T>) -> Fate {
    match presence {
        Presence::Ours(_) => Fate::Deleted(format!("{noun} {arn}")),
        Presence::Offered => {
            Fate::Kept(format!("{noun} {arn} stays in AWS: its tag {TAG_ADOPTABLE_BY} offers it to another object"))
        }
        Presence::Absent | Presence::NotOurs => Fate::None(format!("this object had no {noun}")),
    }
}

/// How long to wait before absence is believed: IAM may not show yet what was created within the last minute. `None`: it
/// is believed now.
fn wait_for_second_read(state: &mut ReconcileState) -> Option<Duration> {
    let unseen =
        [(Part::Policy, state.policy_seen), (Part::Role, state.role_seen)].into_iter().filter(|(_, seen)| !seen);
    let created = unseen.filter_map(|(part, _)| *state.created(part)).max()?;
    LAG.checked_sub(created.elapsed()).filter(|wait| !wait.is_zero())
}

async fn release(context: &Context, object: &PolicyObject, reason: EventReason, note: &str) -> Result<Conclusion> {
    let is_gone = context.removed.contains(object);
    let others: Vec<_> =
        object.metadata.finalizers.iter().flatten().filter(|name| *name != FINALIZER).cloned().collect();
    if !is_gone && !others.is_empty() {
        let message = format!("{note}; the object waits for other finalizers: {}", others.join(", "));
        let outcome = Outcome::Released { message, deleted: reason == EventReason::Deleted };
        // A status that cannot be written must not hold the object.
        if let Err(error) = report::write_status(context, object, &outcome, object.generation()).await {
            tracing::warn!(%error, "status of an object whose deletion is complete could not be written");
        }
    }
    context.index.release(object);
    // The event comes afterwards: the release may have to be tried again.
    if is_gone || context.kubernetes.remove_finalizer(object).await? {
        tracing::info!(reason = reason.as_str(), "{note}");
        context.kubernetes.event(object, false, reason.as_str(), "Delete", note);
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
