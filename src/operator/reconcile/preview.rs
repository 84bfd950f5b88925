//! What a reconcile would do to AWS, and why, without doing it: the same steps up to the plan.

use super::View;
use super::claims;
use super::deletion::{self, Fate, PreparedDeletion};
use super::ensure::{Prepared, Unprepared, prepare};
use crate::api::Reason;
use crate::api::policy::{AuroraLogExportPolicySpec, ManagementPolicy};
use crate::aws::credentials::CallerIdentity;
use crate::aws::rate_limit::{Caller, Priority};
use crate::model::names::Owner;
use crate::model::object::Object;
use crate::pipeline::desired::{Desired, Identity};
use crate::pipeline::observe::{VersionMemory, observe};
use crate::pipeline::plan::deletion as removal;
use crate::pipeline::plan::{Plan, Step, plan};
use crate::pipeline::port::IamError;

/// What a reconcile of an object would come to.
#[derive(Debug)]
pub enum Preview {
    /// This would be written; with `Observe` only reported.
    Planned(Box<Planned>),
    /// The object is being deleted: this would be removed.
    Removal {
        /// Whom AWS takes us for.
        caller: CallerIdentity,
        /// Which resources.
        identity: Box<Identity>,
        /// The writes.
        steps: Vec<Step>,
    },
    /// Nothing would be asked of AWS.
    LeftAlone(String),
    /// The object would not become ready: this reason and this message.
    Refused(Reason, String),
    /// AWS does not answer as it must.
    Aws(IamError),
}

/// A plan, and what it is for.
#[derive(Debug)]
pub struct Planned {
    /// Whom AWS takes us for.
    pub caller: CallerIdentity,
    /// What must be in AWS.
    pub desired: Desired,
    /// What differs, and the writes that end it.
    pub plan: Plan,
}

/// Looks at everything that a reconcile looks at and writes nothing, neither to AWS nor to Kubernetes.
pub async fn preview(view: View<'_>, object: &Object) -> Preview {
    if object.is_deleting() {
        return preview_deletion(view, object).await;
    }
    let spec = match &object.spec {
        Ok(spec) => spec,
        Err(error) => return Preview::Refused(Reason::InvalidSpec, error.to_string()),
    };
    if spec.suspend == Some(true) {
        return Preview::LeftAlone("spec.suspend is true: AWS is neither read nor changed".into());
    }
    match look(view, object, spec).await {
        Ok(preview) => preview,
        Err(Unprepared::Aws(error)) => Preview::Aws(error),
        Err(Unprepared::Refused(reason, message, _)) => Preview::Refused(reason, message),
    }
}

async fn look(view: View<'_>, object: &Object, spec: &AuroraLogExportPolicySpec) -> Result<Preview, Unprepared> {
    let Prepared { account, caller, desired } = prepare(view, object, spec).await?;
    let iam = account.iam(&caller, asking(object));
    let rivals = claims::rivals(view, object, &desired.identity, &caller);
    let observed = observe(&iam, &desired, &mut VersionMemory::default()).await.map_err(Unprepared::Aws)?;
    match plan(&desired, &observed, &rivals, &object.status.tag_keys) {
        Ok(plan) => Ok(Preview::Planned(Box::new(Planned { caller, desired, plan }))),
        Err(conflict) => Ok(Preview::Refused(Reason::Conflict, conflict.message())),
    }
}

async fn preview_deletion(view: View<'_>, object: &Object) -> Preview {
    let spec = match deletion::fate(view, object) {
        Fate::Gone => return Preview::LeftAlone("the object never reached AWS, or is done with it".into()),
        Fate::Stays(note) => return Preview::LeftAlone(note.into()),
        Fate::Unreadable(message) => return Preview::Refused(Reason::InvalidSpec, message),
        Fate::Remove(spec) => spec,
    };
    let PreparedDeletion { account, who, identity } = match deletion::prepare(view, object, spec).await {
        Ok(prepared) => prepared,
        Err(deletion::Unprepared::Aws(_, error)) => return Preview::Aws(error),
        Err(deletion::Unprepared::Refused(reason, message, _)) => return Preview::Refused(reason, message),
    };
    let iam = account.iam(&who, asking(object));
    let remains = match removal::remains(&iam, &identity).await {
        Ok(remains) => remains,
        Err(error) => return Preview::Aws(error),
    };
    match removal::plan(&identity, &remains, spec.attachment_policy.unwrap_or_default()) {
        Ok(steps) => Preview::Removal { caller: who, identity: Box::new(identity), steps },
        Err(blockers) => Preview::Refused(Reason::DeletionBlocked, blockers.join("; ")),
    }
}

impl Planned {
    /// Are differences only reported?
    pub fn only_observed(&self) -> bool {
        self.desired.management == ManagementPolicy::Observe
    }
}

fn asking(object: &Object) -> Caller {
    let Owner { namespace, name } = object.key();
    Caller { namespace, object: name, priority: Priority::Change }
}
