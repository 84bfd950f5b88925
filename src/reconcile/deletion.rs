//! An object that is to go: what it owns in AWS goes first, and nothing else.

use std::time::{Duration, Instant};

use super::ensure::{identity_changed, other_account};
use super::memory::Memory;
use super::{Again, Conclusion, Context, LAG};
use crate::account::Account;
use crate::account::budget::Caller;
use crate::api::policy::{AuroraLogExportPolicySpec, DeletionPolicy, ManagementPolicy};
use crate::api::{EventReason, Reason};
use crate::apply::{Applied, ApplyError, apply};
use crate::desired::{Identity, deletion_policy, identity};
use crate::iam::{ErrorClass, IamError};
use crate::kubernetes::KubernetesError;
use crate::metrics::ReconcileResult;
use crate::object::Object;
use crate::plan::Part;
use crate::plan::deletion::{Presence, Remains, plan, remains};
use crate::settings::AccountFacts;
use crate::status::{Affected, Failure, Outcome};

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
    if !object.has_finalizer() {
        return Ok(Conclusion::leave(Again::OnChange, ReconcileResult::Success));
    }
    if object.is_abandoned() {
        let note = "policy and role stay in AWS as they are: the object is abandoned by annotation";
        return release(context, object, EventReason::Retained, note).await;
    }
    let spec = match &object.spec {
        Ok(spec) => spec,
        Err(error) => {
            let message = format!(
                "{error}; as long as the spec cannot be read, its policy and role are not known: annotate the object with \
                 auroralogexport.dev/abandon: \"true\" to let it go without touching AWS"
            );
            return Ok(held(Reason::InvalidSpec, message, Affected::ALL));
        }
    };
    if spec.management_policy == Some(ManagementPolicy::Observe) {
        let note = "policy and role stay in AWS: managementPolicy is Observe";
        return release(context, object, EventReason::Retained, note).await;
    }
    let via = context.accounts.via(object.account_ref());
    if retains(context, spec, via.as_ref()) {
        let note = "policy and role stay in AWS with their tags: the deletion policy is Retain";
        return release(context, object, EventReason::Retained, note).await;
    }
    let resolved = match context.accounts.resolve(object.account_ref(), &caller.namespace, true) {
        Ok(resolved) => resolved,
        Err(error) => return Ok(held(error.reason, error.message, Affected::default())),
    };
    let account = resolved.account;
    let who = match account.identity().await {
        Ok(who) => who,
        Err(error) => return Ok(refused(&account, &error).await),
    };
    if let Some(message) = other_account(object, &who) {
        return Ok(held(Reason::AccountNotReady, message, Affected::default()));
    }
    let facts = AccountFacts {
        id: who.account.clone(),
        partition: who.partition.clone(),
        via: resolved.via,
    };
    let identity = match identity(&object.key(), spec, &context.settings, &facts) {
        Ok(identity) => identity,
        Err(error) => return Ok(held(error.reason(), error.to_string(), Affected::ALL)),
    };
    if let Some(message) = identity_changed(object, &identity) {
        return Ok(held(Reason::IdentityChanged, message, Affected::default()));
    }
    let iam = account.iam(&who, caller);
    match remove(&iam, spec, &identity, memory).await {
        Ok(Removal::Blocked(message)) => Ok(held(Reason::DeletionBlocked, message, Affected::default())),
        Ok(Removal::LookAgain(after)) => Ok(Conclusion::leave(Again::After(after), ReconcileResult::Waiting)),
        Ok(Removal::Done(note)) => release(context, object, EventReason::Deleted, &note).await,
        Err(error) => Ok(refused(&account, &error).await),
    }
}

fn retains(context: &Context, spec: &AuroraLogExportPolicySpec, via: Option<&crate::settings::Via>) -> bool {
    let limit = via
        .and_then(|via| via.guardrails.max_deletion_policy)
        .unwrap_or_default();
    deletion_policy(spec, &context.settings, None).max(limit) == DeletionPolicy::Retain
}

enum Removal {
    /// Nothing of the object is left.
    Done(String),
    /// Something that is not ours holds what is.
    Blocked(String),
    /// What was not found may only not be visible yet.
    LookAgain(Duration),
}

async fn remove<I: crate::iam::Iam>(
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
    context
        .kubernetes
        .event(object, false, reason.as_str(), "Delete", note)
        .await;
    context.kubernetes.remove_finalizer(object).await?;
    tracing::info!(reason = reason.as_str(), "{note}");
    Ok(Conclusion::leave(Again::OnChange, ReconcileResult::Success))
}

async fn refused(account: &Account, error: &IamError) -> Conclusion {
    account.note(error).await;
    if error.class == ErrorClass::NotLeader {
        return Conclusion::leave(Again::OnChange, ReconcileResult::Fenced);
    }
    let reason = error.class.reason();
    let again = if error.class.is_terminal() {
        Again::Slowly
    } else {
        Again::Soon
    };
    let failure = Failure {
        reason,
        message: error.for_people(),
        affected: Affected::default(),
    };
    Conclusion {
        outcome: Some(Outcome::Deleting(failure)),
        again,
        result: ReconcileResult::NotReady(reason),
    }
}

fn held(reason: Reason, message: String, affected: Affected) -> Conclusion {
    let outcome = Some(Outcome::Deleting(Failure {
        reason,
        message,
        affected,
    }));
    Conclusion {
        outcome,
        again: Again::Slowly,
        result: ReconcileResult::NotReady(reason),
    }
}
