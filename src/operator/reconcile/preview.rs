//! What a reconcile would do to AWS, and why, without doing it: the same steps up to the plan.

use super::claims;
use super::deletion::{self, Decision};
use super::prepare::{NotPrepared, Prepared, prepare, prepare_desired};
use crate::api::Reason;
use crate::api::policy::{AuroraLogExportPolicySpec, ManagementPolicy};
use crate::aws::credentials::CallerIdentity;
use crate::model::stored::PolicyObject;
use crate::operator::context::View;
use crate::pipeline::desired::{Desired, Identity, identity};
use crate::pipeline::leftovers::observe_leftovers;
use crate::pipeline::observe::{KnownVersions, observe};
use crate::pipeline::plan::deletion::plan_deletion;
use crate::pipeline::plan::{Plan, Step, plan};
use crate::pipeline::port::IamError;

/// What a reconcile of an object would come to.
#[derive(Debug)]
pub enum Preview {
    /// This would be written; with `Observe` only reported.
    Planned(Box<Planned>),
    /// The object is being deleted: this would be removed.
    Removal {
        /// Verified STS caller identity.
        caller: CallerIdentity,
        /// Which resources.
        identity: Box<Identity>,
        /// The writes.
        steps: Vec<Step>,
    },
    /// AWS would not be called.
    LeftAlone(String),
    /// The object would not become ready: this reason and this message.
    Refused(Reason, String),
    /// AWS refuses a read, or does not answer.
    Aws(IamError),
}

/// A plan, and what it is for.
#[derive(Debug)]
pub struct Planned {
    /// Verified STS caller identity.
    pub caller: CallerIdentity,
    /// What must be in AWS.
    pub desired: Desired,
    /// What differs, and the writes that end it.
    pub plan: Plan,
}

impl Planned {
    /// True if differences are only reported.
    pub fn only_observed(&self) -> bool {
        self.desired.management == ManagementPolicy::Observe
    }
}

/// Reads everything that a reconcile reads and writes nothing, neither to AWS nor to Kubernetes.
pub async fn preview(view: View<'_>, object: &PolicyObject) -> Preview {
    let result = if object.is_deleting() {
        preview_deletion(view, object).await
    } else {
        match &object.spec {
            Err(error) => return Preview::Refused(Reason::InvalidSpec, error.to_string()),
            Ok(spec) if spec.suspend == Some(true) => {
                return Preview::LeftAlone("spec.suspend is true: AWS is neither read nor changed".into());
            }
            Ok(spec) => preview_plan(view, object, spec).await,
        }
    };
    result.unwrap_or_else(|refused| match refused {
        NotPrepared::Aws(_, error) => Preview::Aws(error),
        NotPrepared::Refused(failure) => Preview::Refused(failure.reason, failure.message),
    })
}

async fn preview_plan(
    view: View<'_>,
    object: &PolicyObject,
    spec: &AuroraLogExportPolicySpec,
) -> Result<Preview, NotPrepared> {
    let Prepared { account, caller, derived: desired } = prepare_desired(view, object, spec).await?;
    let claims = claims::earlier_claims(view, object, &desired.identity, &caller);
    let observed = match observe(&account.iam(&caller), &desired, &mut KnownVersions::default()).await {
        Ok(observed) => observed,
        Err(error) => return Err(NotPrepared::Aws(account, error)),
    };
    if let Some(error) = observed.denied.first() {
        return Err(NotPrepared::Aws(account, error.clone()));
    }
    Ok(match plan(&desired, &observed, &claims, &object.status.tag_keys) {
        Ok(plan) => Preview::Planned(Box::new(Planned { caller, desired, plan })),
        Err(conflict) => Preview::Refused(Reason::Conflict, conflict.message()),
    })
}

async fn preview_deletion(view: View<'_>, object: &PolicyObject) -> Result<Preview, NotPrepared> {
    let spec = match deletion::decide(view, object, false) {
        Decision::Done => return Ok(Preview::LeftAlone("the object has nothing in AWS".into())),
        Decision::Retain(note) => return Ok(Preview::LeftAlone(note.into())),
        Decision::Unreadable(message) => return Ok(Preview::Refused(Reason::InvalidSpec, message)),
        Decision::Remove(spec) => spec,
    };
    let Prepared { account, caller, derived: identity } = prepare(view, object, spec, identity).await?;
    let leftovers = match observe_leftovers(&account.iam(&caller), &identity).await {
        Ok(leftovers) => leftovers,
        Err(error) => return Err(NotPrepared::Aws(account, error)),
    };
    Ok(match plan_deletion(&identity, &leftovers) {
        Ok(steps) => Preview::Removal { caller, identity: Box::new(identity), steps },
        Err(blockers) => Preview::Refused(Reason::DeletionBlocked, blockers.join("; ")),
    })
}
