//! What a reconcile came to, told to users: the status if it changed, an event if `Ready` did.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Conclusion, Context};
use crate::api::{Condition, ConditionType, EventReason, Reason};
use crate::kubernetes::KubernetesError;
use crate::model::object::{Object, Unread};
use crate::pipeline::desired::Desired;
use crate::pipeline::plan::Action;
use crate::pipeline::status::{Outcome, condition, next};

/// Writes the status if it differs, and an event if reason or status of `Ready` changed.
///
/// # Errors
/// Those of the status write.
pub(super) async fn conclude(
    context: &Context,
    object: &Object,
    conclusion: &Conclusion,
) -> Result<(), KubernetesError> {
    let Some(outcome) = &conclusion.outcome else {
        return Ok(());
    };
    // The announcement of this very reconcile may be newer than the object it began with.
    let current = context.index.get(&object.key()).filter(|current| current.uid() == object.uid());
    // So may be its spec, which this outcome says nothing of.
    let generation = object.generation();
    let object = current.as_deref().unwrap_or(object);
    let before =
        condition(&object.status, ConditionType::Ready).map(|ready| (ready.reason.clone(), ready.status.clone()));
    let Some(after) = write(context, object, outcome, generation).await? else {
        return Ok(());
    };
    if Some(&(after.reason.clone(), after.status.clone())) != before.as_ref()
        && after.reason != Reason::Progressing.as_str()
    {
        let warning = after.status != "True" && after.reason != Reason::Suspended.as_str();
        if warning {
            tracing::warn!(reason = &*after.reason, "{}", after.message);
        } else {
            tracing::info!(reason = &*after.reason, "{}", after.message);
        }
        context.kubernetes.event(object, warning, &after.reason, "Reconcile", &after.message).await;
    }
    Ok(())
}

/// Writes the status if it differs from the object's; returns `Ready` as written. `generation` is that of the spec
/// which the outcome speaks of.
///
/// # Errors
/// Those of the status write.
pub(super) async fn write(
    context: &Context,
    object: &Object,
    outcome: &Outcome,
    generation: i64,
) -> Result<Option<Condition>, KubernetesError> {
    let status = next(&object.status, outcome, generation, Timestamp::now());
    if status == object.status {
        return Ok(None);
    }
    context.kubernetes.write_status(object, &status, |answer| context.remember_written(answer)).await?;
    Ok(condition(&status, ConditionType::Ready).cloned())
}

impl Context {
    /// Takes in the answer to our own write, if the watch has not told of it before: a reconcile in between must know.
    /// Returns what is known of the object.
    pub(super) fn remember_written(&self, answer: Unread) -> Arc<Object> {
        if let Some(known) = self.index.known(&answer) {
            return known;
        }
        let object = Arc::new(Object::from(answer));
        self.index.update(object.clone(), &self.name_prefix(&object));
        object
    }

    /// What stands before default names in the object's account.
    pub fn name_prefix(&self, object: &Object) -> String {
        self.accounts.via(object.account_ref()).and_then(|via| via.guardrails.name_prefix).unwrap_or_default()
    }
}

/// Reason, action and note of the event for a write.
pub(super) fn describe(action: &Action, desired: &Desired) -> (EventReason, &'static str, String) {
    let identity = &desired.identity;
    let (policy, role) = (&identity.policy_arn, &identity.role_arn);
    match action {
        Action::CreatePolicy(_) => (EventReason::PolicyCreated, "CreatePolicy", format!("created policy {policy}")),
        Action::CreatePolicyVersion { .. } => (
            EventReason::PolicyVersionCreated,
            "CreatePolicyVersion",
            format!("created a new default version of policy {policy}"),
        ),
        Action::SetDefaultPolicyVersion { version, .. } => (
            EventReason::PolicyVersionCreated,
            "SetDefaultPolicyVersion",
            format!("made the existing version {version} the default of policy {policy}"),
        ),
        Action::DeletePolicyVersion { version, .. } => (
            EventReason::PolicyVersionPruned,
            "DeletePolicyVersion",
            format!("deleted version {version} of policy {policy}"),
        ),
        Action::TagPolicy { .. } => {
            (EventReason::PolicyVersionCreated, "TagPolicy", format!("set tags of policy {policy}"))
        }
        Action::UntagPolicy { .. } => {
            (EventReason::PolicyVersionCreated, "UntagPolicy", format!("removed tags of policy {policy}"))
        }
        Action::DeletePolicy { .. } => (EventReason::Deleted, "DeletePolicy", format!("deleted policy {policy}")),
        Action::CreateRole(_) => (EventReason::RoleCreated, "CreateRole", format!("created role {role}")),
        Action::PutBoundary { boundary, .. } => (
            EventReason::RoleUpdated,
            "PutRolePermissionsBoundary",
            format!("set the boundary {boundary} of role {role}"),
        ),
        Action::DeleteBoundary { .. } => {
            (EventReason::RoleUpdated, "DeleteRolePermissionsBoundary", format!("removed the boundary of role {role}"))
        }
        Action::TagRole { .. } => (EventReason::RoleUpdated, "TagRole", format!("set tags of role {role}")),
        Action::UntagRole { .. } => (EventReason::RoleUpdated, "UntagRole", format!("removed tags of role {role}")),
        Action::UpdateTrust { .. } => {
            (EventReason::RoleUpdated, "UpdateAssumeRolePolicy", format!("replaced the trust policy of role {role}"))
        }
        Action::UpdateDescription { .. } => {
            (EventReason::RoleUpdated, "UpdateRoleDescription", format!("set the description of role {role}"))
        }
        Action::Attach { policy, .. } => {
            (EventReason::PolicyAttached, "AttachRolePolicy", format!("attached policy {policy} to role {role}"))
        }
        Action::Detach { policy, .. } => {
            (EventReason::PolicyDetached, "DetachRolePolicy", format!("detached policy {policy} from role {role}"))
        }
        Action::DeleteInlinePolicy { policy, .. } => (
            EventReason::PolicyDetached,
            "DeleteRolePolicy",
            format!("deleted the inline policy {policy} of role {role}"),
        ),
        Action::DeleteRole { .. } => (EventReason::Deleted, "DeleteRole", format!("deleted role {role}")),
    }
}
