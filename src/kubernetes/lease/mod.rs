//! Leader election by a Lease: at most one replica writes to AWS.
//!
//! # Guarantees
//! - [`Fence::may_write`] is true in at most one replica at a time. The holder counts the duration from before it sent
//!   the request. A successor waits for the whole duration after it first read the unchanged Lease. Every write names
//!   the resource version that it replaces, so the API server rejects the slower of two. The clocks of other machines
//!   are not used, and the local clock runs while the machine or the process is suspended.
//! - A write that starts only if the fence is open for its whole timeout ends before another replica may start one.
//! - After a kill, a follower leads within the duration and one poll; after [`Election::release`], within one poll.
//!
//! # Assumptions
//! - The clock rates of two machines differ by less than 1 in 64.
//! - No two running processes have the same identity: a process that starts with the identity of the holder takes the
//!   lease over at once (a restarted container with the same `POD_NAME`). If two run nevertheless, the newer one leads.
//! - The Lease is not deleted while a leader has no connection to the API server and a new process starts, nor twice
//!   within one duration. A single deletion while all replicas run is safe.
//!
//! # Limits
//! The check cannot recall a request that was sent. If a process is frozen between the check and the response, one
//! request per worker may still reach AWS late.

mod announcer;
mod api;
mod config;
mod elector;
mod fence;

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use announcer::Announcer;
use api::{LeaseApi, RequestError};
pub use config::LeaseConfig;
use elector::{Answer, Elector, Request, Step, Timing};
pub use fence::Fence;
use fence::boot_time;

/// The longest time that a shutdown waits for the release.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(3);
/// Timers stop while the machine is suspended, the clock of the lease does not: read the clock this often.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// A running candidate. Dropping it releases the lease as well, but does not wait for the release.
#[derive(Debug)]
pub struct Election {
    fence: Fence,
    restored: watch::Receiver<()>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Election {
    /// Starts a candidate. The receiver is true while this replica leads: false at first, and false as soon as the
    /// lease expires without a renewal. Needs a Tokio runtime.
    pub fn start(client: Client, mut config: LeaseConfig) -> (Self, watch::Receiver<bool>) {
        if config.identity.is_empty() {
            // An empty holder means that the lease is free.
            config.identity = format!("{}-{:016x}", config.name, fastrand::u64(..));
        }
        let timing =
            Timing { duration: config.duration, renew_every: config.renew_every, poll_every: config.poll_every };
        let fence = Fence::shut();
        let (leads, leading) = watch::channel(false);
        let (stop, stopped) = oneshot::channel();
        let api = LeaseApi::new(client, &config);
        let restored = api.restored.clone();
        let candidate = Candidate {
            announcer: Announcer::new(api.path(), config.identity.clone(), fence.clone(), leads),
            elector: Elector::new(config.identity, timing),
            api,
        };
        let task = tokio::spawn(candidate.run(stopped));
        (Self { fence, restored, stop: Some(stop), task: Some(task) }, leading)
    }

    /// The fence that every write must check first.
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Changes each time the Lease shows that etcd was restored from a backup.
    pub fn restored(&self) -> watch::Receiver<()> {
        self.restored.clone()
    }

    /// Closes the fence and releases the lease, so that a follower does not have to wait until it expires. Call this
    /// when no write is in progress any more. Takes at most 3 s.
    pub async fn release(mut self) {
        self.stop();
        if let Some(mut task) = self.task.take()
            && tokio::time::timeout(RELEASE_TIMEOUT * 2, &mut task).await.is_err()
        {
            task.abort();
        }
    }

    fn stop(&mut self) {
        self.fence.retire();
        if let Some(stop) = self.stop.take() {
            // Fails if the task has ended, and then there is nothing to stop.
            let _ = stop.send(());
        }
    }
}

impl Drop for Election {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The task of an [`Election`]: runs the elector, its requests and its timers.
struct Candidate {
    elector: Elector,
    api: LeaseApi,
    announcer: Announcer,
}

impl Candidate {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        while self.step(&mut stopped).await {}
        let released = tokio::time::timeout(RELEASE_TIMEOUT, self.release()).await;
        if released.is_err() {
            tracing::warn!("the lease was not released in time: another replica takes over when it expires");
        }
    }

    /// Takes one step. Returns false if the candidate was stopped.
    async fn step(&mut self, stopped: &mut oneshot::Receiver<()>) -> bool {
        let Self { elector, api, announcer } = self;
        let step = elector.next(boot_time(), now_in_microseconds());
        let outcome = {
            let outcome = execute(api, &step);
            tokio::pin!(outcome);
            loop {
                tokio::select! {
                    biased;
                    // Also if the sender was dropped.
                    _ = &mut *stopped => return false,
                    outcome = &mut outcome => break outcome,
                    () = reached(announcer.leads_until()) => announcer.publish(),
                }
            }
        };
        if let (Step::Send(request), Some(outcome)) = (&step, outcome) {
            handle_outcome(elector, announcer, request, outcome);
        }
        announcer.announce(elector);
        true
    }

    async fn release(&mut self) {
        let Self { elector, api, announcer } = self;
        elector.release(boot_time());
        announcer.announce(elector);
        loop {
            let step = elector.next(boot_time(), now_in_microseconds());
            if step == Step::Done {
                return;
            }
            if let (Step::Send(request), Some(outcome)) = (&step, execute(api, &step).await) {
                handle_outcome(elector, announcer, request, outcome);
            }
        }
    }
}

/// Executes a step. Waiting has no outcome.
async fn execute(api: &mut LeaseApi, step: &Step) -> Option<Result<Answer, RequestError>> {
    match step {
        Step::WaitUntil(until) => {
            sleep_until(*until).await;
            None
        }
        Step::Send(request) => Some(api.perform(request).await),
        Step::Done => None,
    }
}

fn handle_outcome(
    elector: &mut Elector,
    announcer: &mut Announcer,
    request: &Request,
    outcome: Result<Answer, RequestError>,
) {
    let answer = match outcome {
        Ok(answer) => {
            announcer.request_succeeded(request);
            answer
        }
        Err(error) => {
            announcer.request_failed(error);
            Answer::Failed
        }
    };
    elector.answered(boot_time(), answer);
}

/// Waits until that time; forever if there is none.
async fn reached(until: Option<Duration>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(until: Duration) {
    while let Some(left) = until.checked_sub(boot_time()).filter(|left| !left.is_zero()) {
        tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
    }
}

/// Now, with the precision of a Lease, so that the value read back equals the value written.
fn now_in_microseconds() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]
mod tests;
