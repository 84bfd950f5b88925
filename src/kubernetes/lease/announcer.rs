//! What the rest of the program, and the log, get to know of the election.

use std::time::Duration;

use tokio::sync::watch;

use super::api::Trouble;
use super::elector::{Elector, Request};
use super::fence::{Fence, boot_time};

/// Keeps fence, receiver and log in step with the machine. Logs changes only.
pub(super) struct Announcer {
    /// `namespace/name` of the Lease.
    lease: String,
    identity: String,
    fence: Fence,
    leads: watch::Sender<bool>,
    held_until: Option<Duration>,
    other_holder: Option<String>,
    trouble: Option<Trouble>,
}

impl Announcer {
    pub(super) fn new(lease: String, identity: String, fence: Fence, leads: watch::Sender<bool>) -> Self {
        Self { lease, identity, fence, leads, held_until: None, other_holder: None, trouble: None }
    }

    /// Until when this replica leads, if it was announced that it does.
    pub(super) fn leads_until(&self) -> Option<Duration> {
        self.held_until.filter(|_| *self.leads.borrow())
    }

    /// Publishes where the machine stands.
    pub(super) fn announce(&mut self, elector: &Elector) {
        self.held_until = elector.held_until();
        self.fence.set(self.held_until);
        self.publish();
        let other = elector.other_holder();
        if other != self.other_holder.as_deref() {
            self.other_holder = other.map(str::to_owned);
            match other {
                Some(holder) if elector.has_namesake() => tracing::warn!(
                    lease = self.lease,
                    holder,
                    "another process with this replica's name holds the lease: give every replica its own POD_NAME"
                ),
                Some(holder) => tracing::info!(lease = self.lease, holder, "another replica holds the lease"),
                None => {}
            }
        }
    }

    /// The lease ran out before it could be renewed.
    pub(super) fn lapsed(&mut self) {
        self.publish();
    }

    fn publish(&mut self) {
        let now_leads = self.held_until.is_some_and(|until| boot_time() < until);
        let changed = self.leads.send_if_modified(|leads| std::mem::replace(leads, now_leads) != now_leads);
        match (changed, now_leads, self.held_until) {
            (false, ..) => {}
            (true, true, _) => {
                tracing::info!(lease = self.lease, identity = self.identity, "this replica holds the lease and leads");
            }
            (true, false, Some(_)) => tracing::warn!(
                lease = self.lease,
                "the lease ran out before it could be renewed: this replica stops writing to AWS"
            ),
            (true, false, None) => tracing::info!(lease = self.lease, "this replica does not lead any more"),
        }
    }

    /// A request came to nothing.
    pub(super) fn troubled(&mut self, trouble: Trouble) {
        if self.trouble.as_ref() != Some(&trouble) {
            tracing::warn!(lease = self.lease, "{trouble}");
            self.trouble = Some(trouble);
        }
    }

    /// What was last logged to be wrong.
    #[cfg(test)]
    pub(super) fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// A request was answered.
    pub(super) fn answered(&mut self, request: &Request) {
        if self.trouble.take_if(|trouble| trouble.is_over_with(request)).is_some() {
            tracing::info!(lease = self.lease, "requests for the lease are answered again");
        }
    }
}
