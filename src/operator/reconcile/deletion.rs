//! An object that is to go: what it owns in AWS goes first, and nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::memory::Memory;
use super::refusal::{identity_changed, other_account};
use super::{Again, Conclusion, Context, LAG, View};
use crate::api::policy::{AuroraLogExportPolicySpec, DeletionPolicy, ManagementPolicy};
use crate::api::{EventReason, Reason};
use crate::aws::account::Account;
use crate::aws::credentials::CallerIdentity;
use crate::aws::rate_limit::Caller;
use crate::kubernetes::KubernetesError;
use crate::model::object::Object;
use crate::model::settings::AccountFacts;
use crate::pipeline::apply::{Applied, ApplyError, apply};
use crate::pipeline::desired::{Identity, deletion_policy, identity};
use crate::pipeline::plan::Part;
use crate::pipeline::plan::deletion::{Presence, Remains, plan, remains};
use crate::pipeline::port::{ErrorClass, IamError};
use crate::pipeline::status::{Affected, Failure, Outcome};
use crate::telemetry::metrics::ReconcileResult;

/// A resource that may have been made just now is looked for twice, this far apart, before its absence is believed.
const SECOND_LOOK: Duration = Duration::from_secs(15);

type Result<T> = std::result::Result<T, KubernetesError>;

/// Removes what the object owns in AWS, then the finalizer.
///
/// # Errors
/// Only those of Kubernetes; what AWS says becomes an outcome.
pub(super) async fn delete(
    context: &Context,
    object: &Object,
    memory: &mut Memory,
    caller: Caller,
) -> Result<Conclusion> {
    let spec = match fate(context.view(), object) {
        Fate::Gone => return Ok(Conclusion::leave(Again::OnChange, ReconcileResult::Success)),
        Fate::Stays(note) => return release(context, object, EventReason::Retained, note).await,
        Fate::Unreadable(message) => return Ok(held(Reason::InvalidSpec, message, Affected::ALL)),
        Fate::Remove(spec) => spec,
    };
    let PreparedDeletion { account, who, identity } = match prepare(context.view(), object, spec).await {
        Ok(prepared) => prepared,
        Err(Unprepared::Aws(account, error)) => return Ok(refused(&account, &error).await),
        Err(Unprepared::Refused(reason, message, affected)) => return Ok(held(reason, message, affected)),
    };
    let iam = account.iam(&who, caller);
    match remove(&iam, spec, &identity, memory).await {
        Ok(Removal::Blocked(message)) => Ok(held(Reason::DeletionBlocked, message, Affected::default())),
        Ok(Removal::LookAgain(after)) => Ok(Conclusion::leave(Again::After(after), ReconcileResult::Waiting)),
        Ok(Removal::Done(note)) => release(context, object, EventReason::Deleted, &note).await,
        Err(error) => Ok(refused(&account, &error).await),
    }
}

/// What becomes of the policy and role of an object that is being deleted.
pub(super) enum Fate<'a> {
    /// Nothing was ever made, or everything is done.
    Gone,
    /// They stay, for this reason.
    Stays(&'static str),
    /// They are not known.
    Unreadable(String),
    /// They go.
    Remove(&'a AuroraLogExportPolicySpec),
}

pub(super) fn fate<'a>(view: View<'_>, object: &'a Object) -> Fate<'a> {
    if !object.has_finalizer() {
        return Fate::Gone;
    }
    if object.is_abandoned() {
        return Fate::Stays("policy and role stay in AWS as they are: the object is abandoned by annotation");
    }
    let spec = match &object.spec {
        Ok(spec) => spec,
        Err(error) => {
            return Fate::Unreadable(format!(
                "{error}; as long as the spec cannot be read, its policy and role are not known: annotate the object with \
                 auroralogexport.dev/abandon: \"true\" to let it go without touching AWS"
            ));
        }
    };
    if spec.management_policy == Some(ManagementPolicy::Observe) {
        return Fate::Stays("policy and role stay in AWS: managementPolicy is Observe");
    }
    let via = view.accounts.via(object.account_ref());
    if retains(view, spec, via.as_ref()) {
        return Fate::Stays("policy and role stay in AWS with their tags: the deletion policy is Retain");
    }
    Fate::Remove(spec)
}

/// The account that an object being deleted works in, and its resources there.
pub(super) struct PreparedDeletion {
    pub(super) account: Arc<Account>,
    pub(super) who: CallerIdentity,
    pub(super) identity: Identity,
}

/// Why it is not known what to remove, or where.
pub(super) enum Unprepared {
    /// AWS does not let us in.
    Aws(Arc<Account>, IamError),
    /// The account or the spec stands against it.
    Refused(Reason, String, Affected),
}

pub(super) async fn prepare(
    view: View<'_>,
    object: &Object,
    spec: &AuroraLogExportPolicySpec,
) -> std::result::Result<PreparedDeletion, Unprepared> {
    let refused = |reason, message| Unprepared::Refused(reason, message, Affected::default());
    let key = object.key();
    let resolved = view
        .accounts
        .resolve(object.account_ref(), &key.namespace, true)
        .map_err(|error| refused(error.reason, error.message))?;
    let account = resolved.account;
    let who = match account.identity().await {
        Ok(who) => who,
        Err(error) => return Err(Unprepared::Aws(account, error)),
    };
    if let Some(message) = other_account(object, &who) {
        return Err(refused(Reason::AccountNotReady, message));
    }
    let facts = AccountFacts { id: who.account.clone(), partition: who.partition.clone(), via: resolved.via };
    let identity = identity(&key, spec, view.settings, &facts)
        .map_err(|error| Unprepared::Refused(error.reason(), error.to_string(), Affected::ALL))?;
    if let Some(message) = identity_changed(object, &identity) {
        return Err(refused(Reason::IdentityChanged, message));
    }
    Ok(PreparedDeletion { account, who, identity })
}

fn retains(view: View<'_>, spec: &AuroraLogExportPolicySpec, via: Option<&crate::model::settings::Via>) -> bool {
    let limit = via.and_then(|via| via.guardrails.max_deletion_policy).unwrap_or_default();
    deletion_policy(spec, view.settings, None).max(limit) == DeletionPolicy::Retain
}

enum Removal {
    /// Nothing of the object is left.
    Done(String),
    /// Something that is not ours holds what is.
    Blocked(String),
    /// What was not found may only not be visible yet.
    LookAgain(Duration),
}

async fn remove<I: crate::pipeline::port::Iam>(
    iam: &I,
    spec: &AuroraLogExportPolicySpec,
    identity: &Identity,
    memory: &mut Memory,
) -> std::result::Result<Removal, IamError> {
    let remains = remains(iam, identity).await?;
    memory.role_seen |= remains.role != Presence::Absent;
    memory.policy_seen |= remains.policy != Presence::Absent;
    let steps = match plan(identity, &remains, spec.attachment_policy.unwrap_or_default()) {
        Ok(steps) => steps,
        Err(blockers) => return Ok(Removal::Blocked(blockers.join("; "))),
    };
    let mut applied = Applied::default();
    match apply(iam, &steps, &mut applied, |_| {}).await {
        Ok(()) => {}
        Err(ApplyError { error, .. }) if error.class == ErrorClass::DeleteConflict => {
            return Ok(Removal::Blocked(error.for_people()));
        }
        Err(ApplyError { error, .. }) => return Err(error),
    }
    if let Some(wait) = second_look(memory) {
        return Ok(Removal::LookAgain(wait));
    }
    Ok(Removal::Done(note(identity, &remains)))
}

fn note(identity: &Identity, remains: &Remains) -> String {
    match (&remains.policy, &remains.role) {
        (Presence::Ours(_), Presence::Ours(_)) => {
            format!("deleted policy {} and role {}", identity.policy_arn, identity.role_arn)
        }
        (Presence::Ours(_), _) => format!("deleted policy {}; no role of ours was left", identity.policy_arn),
        (_, Presence::Ours(_)) => format!("deleted role {}; no policy of ours was left", identity.role_arn),
        _ => "nothing of this object was left in AWS".to_owned(),
    }
}

/// How long to wait before absence is believed; `None`: now.
fn second_look(memory: &mut Memory) -> Option<Duration> {
    let doubtful = [(Part::Policy, memory.policy_seen), (Part::Role, memory.role_seen)]
        .into_iter()
        .any(|(part, seen)| !seen && memory.created(part).is_some_and(|at| at.elapsed() < LAG));
    if !doubtful && memory.absent_since.is_none() {
        return None;
    }
    let first = *memory.absent_since.get_or_insert_with(Instant::now);
    let waited = first.elapsed();
    (waited < SECOND_LOOK).then(|| SECOND_LOOK.saturating_sub(waited))
}

async fn release(context: &Context, object: &Object, reason: EventReason, note: &str) -> Result<Conclusion> {
    context.kubernetes.remove_finalizer(object).await?;
    tracing::info!(reason = reason.as_str(), "{note}");
    // Afterwards: the release may have to be tried again.
    context.kubernetes.event(object, false, reason.as_str(), "Delete", note).await;
    Ok(Conclusion::leave(Again::OnChange, ReconcileResult::Success))
}

async fn refused(account: &Account, error: &IamError) -> Conclusion {
    account.note(error).await;
    if error.class == ErrorClass::NotLeader {
        return Conclusion::leave(Again::Soon, ReconcileResult::Fenced);
    }
    let reason = error.class.reason();
    let again = if error.class.is_terminal() { Again::Slowly } else { Again::Soon };
    let failure = Failure { reason, message: error.for_people(), affected: Affected::default() };
    Conclusion { outcome: Some(Outcome::Deleting(failure)), again, result: ReconcileResult::NotReady(reason) }
}

fn held(reason: Reason, message: String, affected: Affected) -> Conclusion {
    let outcome = Some(Outcome::Deleting(Failure { reason, message, affected }));
    Conclusion { outcome, again: Again::Slowly, result: ReconcileResult::NotReady(reason) }
}
