//! What this process knows of an object besides its last version: whether it may leave resources in AWS when it is gone.

use crate::api::policy::ManagementPolicy;
use crate::model::stored::PolicyObject;

/// See the [module](self).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    /// It has, or has had, our finalizer.
    was_held: bool,
    /// It needs nothing more in AWS: a leader has decided so, and has removed the finalizer or is about to.
    pub(super) released: bool,
    /// This replica has seen it while it led, so no other replica has released it.
    pub(super) seen_leading: bool,
}

impl Record {
    /// The record of the next version of an object; `old` is the one before.
    pub(super) fn next(self, old: Option<&PolicyObject>, new: &PolicyObject, leads: bool) -> Self {
        // What the release was decided by has changed.
        let decided_anew = old.is_some_and(|old| new.has_finalizer() && is_edited(old, new));
        let by_another = new.is_released() && (!leads || old.is_none());
        Self {
            was_held: self.was_held || new.has_finalizer(),
            released: (self.released && !decided_anew) || by_another,
            seen_leading: leads || self.seen_leading,
        }
    }

    /// True if the object should have our finalizer: it has had it, or its status names resources.
    pub(super) fn needs_finalizer(self, object: &PolicyObject) -> bool {
        let observes = object.spec.as_ref().is_ok_and(|spec| spec.management_policy == Some(ManagementPolicy::Observe));
        let status = &object.status;
        let named = status.role.is_some() || status.policy.is_some();
        !observes && (self.was_held || object.has_finalizer() || named)
    }

    /// See [`super::Index::left_resources`].
    pub(super) fn left_resources(self, last: &PolicyObject, is_final: bool) -> bool {
        !self.released && (is_final || self.seen_leading) && self.needs_finalizer(last)
    }
}

/// True if a user has changed the spec or an annotation.
pub(super) fn is_edited(old: &PolicyObject, new: &PolicyObject) -> bool {
    old.generation() != new.generation() || old.metadata.annotations != new.metadata.annotations
}
