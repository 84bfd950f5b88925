//! An object that was gone from Kubernetes before its AWS resources were cleaned up.

use super::conclusion::{Conclusion, Requeue};
use super::deletion;
use crate::api::Reason;
use crate::kubernetes::KubernetesError;
use crate::kubernetes::gone::{Existence, existence};
use crate::model::stored::PolicyObject;
use crate::operator::context::Context;
use crate::operator::reconcile_state::ReconcileState;
use crate::pipeline::status::Outcome;
use crate::telemetry::metrics::ReconcileResult;

/// Cleans up by the deletion policy, as the object's last version says it. What an object of the same name owns now is
/// kept.
///
/// # Errors
/// Only those of Kubernetes.
pub(super) async fn clean_up(
    context: &Context,
    object: &PolicyObject,
    state: &mut ReconcileState,
) -> Result<Conclusion, KubernetesError> {
    let done = || Ok(Conclusion::unchanged(Requeue::OnChange, ReconcileResult::Success));
    if let Err(error) = &object.spec
        && !object.is_abandoned()
    {
        tracing::warn!(
            "the AWS resources of the removed object stay, because its deletion policy cannot be read: {error}"
        );
        return done();
    }
    let successor = match existence(context.kubernetes.client(), object).await? {
        Existence::Exists => return done(),
        Existence::Restored => {
            tracing::warn!(
                "the AWS resources of the removed object stay: the API server's data is older than the object, so it was \
                 restored from a backup"
            );
            return done();
        }
        Existence::Gone(successor) => successor,
    };
    let conclusion = deletion::delete(context, object, successor.as_deref(), state).await?;
    if let Some(Outcome::Deleting(failure)) = &conclusion.outcome
        && failure.reason != Reason::Progressing
    {
        tracing::warn!(
            reason = failure.reason.as_str(),
            "the AWS resources of the removed object cannot be deleted yet: {}",
            failure.message
        );
    }
    Ok(conclusion)
}
