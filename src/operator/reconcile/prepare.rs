//! The first step of every reconcile, deletion included: from object and account to what must be in AWS, or must go.

use std::sync::Arc;

use crate::api::{AuroraLogExportPolicySpec, Reason};
use crate::aws::account::Account;
use crate::aws::credentials::CallerIdentity;
use crate::model::names::Owner;
use crate::model::settings::{AccountFacts, Settings};
use crate::model::stored::PolicyObject;
use crate::operator::context::View;
use crate::pipeline::desired::{Desired, Identity, Refused, desired};
use crate::pipeline::port::IamError;
use crate::pipeline::status::{Failure, Parts};

/// The account that an object works in, and what was derived for it there.
pub(super) struct Prepared<T> {
    pub(super) account: Arc<Account>,
    pub(super) caller: CallerIdentity,
    pub(super) derived: T,
}

/// Why AWS is not asked about an object.
pub(super) enum NotPrepared {
    /// AWS does not accept the credentials, or does not answer.
    Aws(Arc<Account>, IamError),
    /// The spec, the account or the guardrails do not allow it.
    Refused(Failure),
}

/// Derives, from the spec and the account, what must be in AWS (`derive`: [`crate::pipeline::desired::desired`]) or which
/// resources the object is about (`derive`: [`crate::pipeline::desired::identity`]). Asks AWS for the caller's identity
/// only.
pub(super) async fn prepare<T: AsRef<Identity>>(
    view: View<'_>,
    object: &PolicyObject,
    spec: &AuroraLogExportPolicySpec,
    derive: fn(&Owner, &AuroraLogExportPolicySpec, &Settings, &AccountFacts) -> Result<T, Refused>,
) -> Result<Prepared<T>, NotPrepared> {
    let refused = |reason, message| NotPrepared::Refused(Failure { reason, message, parts: Parts::default() });
    let resolved = view.resolve(object).map_err(|error| refused(error.reason, error.message))?;
    let account = resolved.account;
    let caller = match account.identity().await {
        Ok(caller) => caller,
        Err(error) => return Err(NotPrepared::Aws(account, error)),
    };
    if let Some(message) = other_account(object, &caller) {
        return Err(refused(Reason::AccountNotReady, message));
    }
    let facts =
        AccountFacts { id: caller.account.clone(), partition: caller.partition.clone(), binding: resolved.binding };
    let derived = derive(&object.key(), spec, view.settings, &facts).map_err(|error| {
        NotPrepared::Refused(Failure { reason: error.reason(), message: error.to_string(), parts: Parts::ALL })
    })?;
    if let Some(message) = identity_changed(object, derived.as_ref()) {
        return Err(refused(Reason::IdentityChanged, message));
    }
    Ok(Prepared { account, caller, derived })
}

/// [`prepare`] for an object that is not being deleted, with the checks that need the other objects: how many its namespace
/// may have in the account, and whose policy its permissions boundary is.
pub(super) async fn prepare_desired(
    view: View<'_>,
    object: &PolicyObject,
    spec: &AuroraLogExportPolicySpec,
) -> Result<Prepared<Desired>, NotPrepared> {
    let prepared = prepare(view, object, spec, desired).await?;
    if spec.permissions_boundary.as_ref().is_some_and(|arn| view.index.has_policy(arn)) {
        // Its owner could not delete it while a role has it as its boundary.
        let message = "spec.permissionsBoundary is the policy of another object: use another policy".to_owned();
        return Err(NotPrepared::Refused(Failure { reason: Reason::InvalidSpec, message, parts: Parts::ALL }));
    }
    match view.objects_allowed(object) {
        Some(allowed) if view.index.is_surplus(object, allowed) => {
            let message = format!(
                "namespace {} may have {allowed} objects in this account, and others are earlier: delete one of them, or ask \
                 the platform team (guardrail maxObjectsPerNamespace)",
                object.namespace()
            );
            Err(NotPrepared::Refused(Failure { reason: Reason::NotPermitted, message, parts: Parts::ALL }))
        }
        _ => Ok(prepared),
    }
}

/// The message where the object was created in another account than the caller's.
fn other_account(object: &PolicyObject, caller: &CallerIdentity) -> Option<String> {
    let home = object.status.account_id.as_ref().filter(|home| **home != caller.account.as_str())?;
    Some(format!(
        "the operator's credentials belong to account {}, but the policy and role of this object are in account {home}; give \
         the operator credentials of {home}, or delete the object with the annotation auroralogexport.dev/abandon: \"true\"",
        caller.account
    ))
}

/// The message where other resources are derived now than those that the object created.
fn identity_changed(object: &PolicyObject, identity: &Identity) -> Option<String> {
    let changed = |created: Option<&String>, derived: &str| {
        created.filter(|created| **created != derived).map(|created| (created.clone(), derived.to_owned()))
    };
    let role = changed(object.status.role.as_ref().map(|role| &role.arn), identity.role_arn.as_str());
    let policy = changed(object.status.policy.as_ref().map(|policy| &policy.arn), identity.policy_arn.as_str());
    let (old, new) = role.or(policy)?;
    Some(format!(
        "this object created {old}, but its ARN would now be {new}; restore the operator's --iam-path (or the account's \
         iamPath or namePrefix), or delete the object with the annotation auroralogexport.dev/abandon: \"true\" and create it \
         again"
    ))
}
