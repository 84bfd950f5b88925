//! Publishes the state of the election to the rest of the program and to the log.

use std::time::Duration;

use tokio::sync::watch;

use super::api::RequestError;
use super::elector::{Elector, Request};
use super::fence::{Fence, boot_time};

/// Keeps fence, receiver and log in sync with the elector. Logs changes only.
pub(super) struct Announcer {
    /// `namespace/name` of the Lease.
    lease: String,
    identity: String,
    fence: Fence,
    leads: watch::Sender<bool>,
    held_until: Option<Duration>,
    other_holder: Option<String>,
    last_error: Option<RequestError>,
}

impl Announcer {
    pub(super) fn new(lease: String, identity: String, fence: Fence, leads: watch::Sender<bool>) -> Self {
        Self { lease, identity, fence, leads, held_until: None, other_holder: None, last_error: None }
    }

    /// When the lease expires, if this replica was announced as the leader.
    pub(super) fn leads_until(&self) -> Option<Duration> {
        self.held_until.filter(|_| *self.leads.borrow())
    }

    /// Publishes the elector's state.
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
                    "another process with the same identity holds the lease: give each replica its own POD_NAME"
                ),
                Some(holder) => tracing::info!(lease = self.lease, holder, "another replica holds the lease"),
                None => {}
            }
        }
    }

    /// Publishes whether this replica leads; also to be called when the lease expires.
    pub(super) fn publish(&mut self) {
        let now_leads = self.held_until.is_some_and(|until| boot_time() < until);
        let changed = self.leads.send_if_modified(|leads| std::mem::replace(leads, now_leads) != now_leads);
        match (changed, now_leads, self.held_until) {
            (false, ..) => {}
            (true, true, _) => {
                tracing::info!(
                    lease = self.lease,
                    identity = self.identity,
                    "this replica holds the lease and is the leader"
                );
            }
            (true, false, Some(_)) => tracing::warn!(
                lease = self.lease,
                "the lease expired before it was renewed: this replica stops writing to AWS"
            ),
            (true, false, None) => tracing::info!(lease = self.lease, "this replica is no longer the leader"),
        }
    }

    /// Logs a failed request, unless the last one failed for the same reason.
    pub(super) fn request_failed(&mut self, error: RequestError) {
        if self.last_error.as_ref() != Some(&error) {
            tracing::warn!(lease = self.lease, "{error}");
            self.last_error = Some(error);
        }
    }

    /// The error that was logged last, unless it is resolved.
    #[cfg(test)]
    pub(super) fn last_error(&self) -> Option<&RequestError> {
        self.last_error.as_ref()
    }

    /// Logs that the last error is resolved, if this request's success shows it.
    pub(super) fn request_succeeded(&mut self, request: &Request) {
        if self.last_error.take_if(|error| error.is_resolved_by(request)).is_some() {
            tracing::info!(lease = self.lease, "requests for the lease succeed again");
        }
    }
}
