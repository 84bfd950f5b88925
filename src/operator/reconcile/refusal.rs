//! What an error of AWS means for an object. Changes nothing but the reconcile state.

use std::time::{Duration, Instant};

use super::conclusion::{Conclusion, LAG, Requeue};
use crate::api::Reason;
use crate::model::stored::PolicyObject;
use crate::operator::context::Context;
use crate::operator::reconcile_state::ReconcileState;
use crate::pipeline::desired::Desired;
use crate::pipeline::plan::Part;
use crate::pipeline::port::{ErrorClass, IamError, Operation};
use crate::pipeline::status::{Outcome, Parts, Shortfall, is_ready};
use crate::telemetry::metrics::ReconcileResult;

/// Between tries while IAM does not show yet what was created.
const LAG_PAUSE: Duration = Duration::from_secs(2);

/// What an error of AWS means for the object.
pub(super) fn refused_by_aws(
    context: &Context,
    object: &PolicyObject,
    state: &mut ReconcileState,
    shortfall: Shortfall,
) -> Conclusion {
    let Shortfall { error, message, parts, retry_soon } = shortfall;
    let reason = error.class.reason();
    let was_ready = is_ready(&object.status, object.generation());
    let mut conclusion = match error.class {
        ErrorClass::NotLeader => return Conclusion::unchanged(Requeue::Soon, ReconcileResult::Fenced),
        ErrorClass::Throttled | ErrorClass::Transient => {
            let last_in_sync = state.last_in_sync.unwrap_or(context.started);
            if was_ready && last_in_sync.elapsed() < context.resync(object).interval() * 3 {
                return Conclusion::unchanged(Requeue::Soon, ReconcileResult::NotReady(reason));
            }
            Conclusion::failed(reason, message, parts)
        }
        ErrorClass::NotFound => {
            // A boundary that does not exist is a mistake in the spec; anything else may be lag.
            let boundary = matches!(error.operation, Operation::CreateRole | Operation::PutRolePermissionsBoundary);
            let since = *state.not_found_since.get_or_insert_with(Instant::now);
            if boundary || since.elapsed() >= LAG {
                let field = if boundary { "spec.permissionsBoundary: " } else { "" };
                return Conclusion::failed(Reason::InvalidSpec, format!("{field}{message}"), parts);
            }
            return waiting_for_iam(&error, was_ready);
        }
        ErrorClass::AccessDenied
        | ErrorClass::CredentialsInvalid
        | ErrorClass::AccountMismatch
        | ErrorClass::AlreadyExists
        | ErrorClass::DeleteConflict
        | ErrorClass::LimitExceeded
        | ErrorClass::InvalidInput => Conclusion::failed(reason, message, parts),
    };
    if retry_soon {
        conclusion.requeue = Requeue::Soon;
    }
    conclusion
}

/// IAM says that the name is taken and shows nothing of that ARN: lag if we may have created it, else a conflict.
pub(super) fn already_exists(
    object: &PolicyObject,
    desired: &Desired,
    state: &mut ReconcileState,
    error: &IamError,
) -> Conclusion {
    let part = if error.operation == Operation::CreateRole { Part::Role } else { Part::Policy };
    let may_be_ours = state.created(part).is_some_and(|at| at.elapsed() < LAG);
    let since = *state.already_exists_since.get_or_insert_with(Instant::now);
    if may_be_ours && since.elapsed() < LAG {
        return waiting_for_iam(error, is_ready(&object.status, object.generation()));
    }
    let noun = part.noun();
    let arn = match part {
        Part::Role => desired.identity.role_arn.as_str(),
        Part::Policy => desired.identity.policy_arn.as_str(),
    };
    let message = format!(
        "{noun} {arn} cannot be created: the account has another {noun} of that name, with another path or in another case; \
         choose another name in a new object, or delete that {noun}"
    );
    Conclusion::failed(Reason::Conflict, message, Parts::of(error.operation))
}

fn waiting_for_iam(error: &IamError, was_ready: bool) -> Conclusion {
    let requeue = Requeue::After(LAG_PAUSE);
    if was_ready {
        return Conclusion::unchanged(requeue, ReconcileResult::Waiting);
    }
    let message = format!("waiting for IAM to show {}", error.resource);
    let outcome = Some(Outcome::Progressing { message, tag_keys: None });
    Conclusion { outcome, requeue, result: ReconcileResult::Waiting }
}
