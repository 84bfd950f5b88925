//! What stands against an object: errors of AWS, another account, another identity. Decisions, without effects.

use std::time::{Duration, Instant};

use super::memory::Memory;
use super::{Again, Conclusion, Context, LAG};
use crate::api::Reason;
use crate::aws::credentials::CallerIdentity;
use crate::model::object::Object;
use crate::pipeline::desired::{Desired, Identity};
use crate::pipeline::plan::Part;
use crate::pipeline::port::{ErrorClass, IamError, Operation};
use crate::pipeline::status::{Affected, Failure, Outcome};
use crate::telemetry::metrics::ReconcileResult;

/// Between tries while IAM does not show yet what was made.
const LAG_PAUSE: Duration = Duration::from_secs(2);

/// What an error of AWS means for the object.
pub(super) fn refused_by_aws(
    context: &Context,
    object: &Object,
    memory: &mut Memory,
    error: &IamError,
    was_ready: bool,
) -> Conclusion {
    let reason = error.class.reason();
    let affected = affected(error.operation);
    match error.class {
        ErrorClass::NotLeader => Conclusion::leave(Again::Soon, ReconcileResult::Fenced),
        ErrorClass::Throttled | ErrorClass::Transient => {
            let seen = memory.last_good_look.unwrap_or(context.started);
            if was_ready && seen.elapsed() < context.pace(object).interval() * 3 {
                return Conclusion::leave(Again::Soon, ReconcileResult::NotReady(reason));
            }
            let failure = Failure { reason, message: error.for_people(), affected: Affected::default() };
            Conclusion {
                outcome: Some(Outcome::Failed(failure)),
                again: Again::Soon,
                result: ReconcileResult::NotReady(reason),
            }
        }
        ErrorClass::NotFound => {
            // A boundary that does not exist is the spec's mistake; anything else may be lag.
            let boundary = matches!(error.operation, Operation::CreateRole | Operation::PutRolePermissionsBoundary);
            let since = *memory.not_found_since.get_or_insert_with(Instant::now);
            if boundary || since.elapsed() >= LAG {
                let field = if boundary { "spec.permissionsBoundary: " } else { "" };
                return failed(Reason::InvalidSpec, format!("{field}{}", error.for_people()), affected);
            }
            if was_ready {
                return Conclusion::leave(Again::After(LAG_PAUSE), ReconcileResult::Waiting);
            }
            let message = format!("waiting for IAM to show {}", error.resource);
            let outcome = Outcome::Progressing { message, tag_keys: object.status.tag_keys.clone() };
            Conclusion { outcome: Some(outcome), again: Again::After(LAG_PAUSE), result: ReconcileResult::Waiting }
        }
        ErrorClass::AccessDenied
        | ErrorClass::CredentialsInvalid
        | ErrorClass::AccountMismatch
        | ErrorClass::AlreadyExists
        | ErrorClass::DeleteConflict
        | ErrorClass::LimitExceeded
        | ErrorClass::InvalidInput => failed(reason, error.for_people(), affected),
    }
}

/// It cannot go on for this reason, and a person must act.
pub(super) fn failed(reason: Reason, message: String, affected: Affected) -> Conclusion {
    let outcome = Some(Outcome::Failed(Failure { reason, message, affected }));
    Conclusion { outcome, again: Again::Slowly, result: ReconcileResult::NotReady(reason) }
}

/// The part that a failed call is about.
fn affected(operation: Operation) -> Affected {
    let mut affected = Affected::default();
    match operation {
        Operation::AttachRolePolicy | Operation::DetachRolePolicy | Operation::ListAttachedRolePolicies => {
            affected.attachment = true;
        }
        operation if operation.as_str().contains("Policy") && !operation.as_str().contains("Role") => {
            affected.policy = true;
        }
        Operation::GetCallerIdentity | Operation::AssumeRole => {}
        _ => affected.role = true,
    }
    affected
}

/// Is the object at home in another account than the caller's?
pub(super) fn other_account(object: &Object, caller: &CallerIdentity) -> Option<String> {
    let home = object.status.account_id.as_ref().filter(|home| **home != caller.account.as_str())?;
    Some(format!(
        "the operator's credentials belong to account {}, but this object lives in account {home}; give the operator \
         credentials of {home}, or delete the object with the annotation auroralogexport.dev/abandon: \"true\"",
        caller.account
    ))
}

/// Would the object be about other resources than those it made?
pub(super) fn identity_changed(object: &Object, identity: &Identity) -> Option<String> {
    let made = |made: Option<&String>, derived: &str| {
        made.filter(|made| **made != derived).map(|made| (made.clone(), derived.to_owned()))
    };
    let role = made(object.status.role.as_ref().map(|role| &role.arn), identity.role_arn.as_str());
    let policy = made(object.status.policy.as_ref().map(|policy| &policy.arn), identity.policy_arn.as_str());
    let (old, new) = role.or(policy)?;
    Some(format!(
        "this object made {old}, but now it would be {new}; restore the operator's --iam-path (or the account's iamPath or \
         namePrefix), or delete the object with the annotation auroralogexport.dev/abandon: \"true\" and make it anew"
    ))
}

/// IAM says that the name is taken and shows nothing of that ARN: lag if we may have made it, else somebody's.
pub(super) fn clash(
    object: &Object,
    desired: &Desired,
    memory: &mut Memory,
    error: &IamError,
    was_ready: bool,
) -> Conclusion {
    let part = if error.operation == Operation::CreateRole { Part::Role } else { Part::Policy };
    let may_be_ours = memory.created(part).is_some_and(|at| at.elapsed() < LAG);
    let since = *memory.clash_since.get_or_insert_with(Instant::now);
    if may_be_ours && since.elapsed() < LAG {
        return lagging(object, desired, error, was_ready);
    }
    let (what, other) = match part {
        Part::Role => (format!("role {}", desired.identity.role_arn), "role"),
        Part::Policy => (format!("policy {}", desired.identity.policy_arn), "policy"),
    };
    let affected = Affected { policy: part == Part::Policy, role: part == Part::Role, attachment: false };
    let message = format!(
        "{what} cannot be made: the account has another {other} of that name, under another path or in other case; choose \
         another name in a new object, or remove that {other}"
    );
    failed(Reason::Conflict, message, affected)
}

fn lagging(object: &Object, desired: &Desired, error: &IamError, was_ready: bool) -> Conclusion {
    if was_ready {
        return Conclusion::leave(Again::After(LAG_PAUSE), ReconcileResult::Waiting);
    }
    let message = format!("waiting for IAM to show {}", error.resource);
    let mut tag_keys = object.status.tag_keys.clone();
    tag_keys.extend(desired.own_tag_keys());
    tag_keys.sort_unstable();
    tag_keys.dedup();
    let outcome = Some(Outcome::Progressing { message, tag_keys });
    Conclusion { outcome, again: Again::After(LAG_PAUSE), result: ReconcileResult::Waiting }
}
