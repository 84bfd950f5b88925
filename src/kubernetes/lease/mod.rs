//! Leader election by a Lease: at most one replica writes to AWS.
//!
//! # Guarantees
//! - [`Fence::may_write`] is true in at most one replica at a time. The holder counts its time from before it asked for
//!   it; a successor waits for the whole duration from its own last look at an unchanged Lease, and every write names the
//!   version it replaces, so the API server refuses the slower of two. No clock of another machine is trusted, and the
//!   own clock runs while the machine or the process sleeps.
//! - A write that starts only if the fence is open for its whole timeout has ended before another replica may start.
//! - After a kill a follower leads within a duration and one poll; after [`Election::release`] within one poll.
//!
//! # Assumptions
//! - Clocks of two machines run apart by less than 1 in 64.
//! - No two live processes have the same identity: a process that starts under the name of the holder takes its place at
//!   once (a restarted container under the same `POD_NAME`). If it happens all the same, the newer one leads.
//! - Nobody deletes the Lease while a leader is cut off from the API server and a new process starts, or twice within one
//!   duration. One deletion among running replicas is safe.
//!
//! # What remains
//! A check cannot recall a request under way: of a process that is frozen between the check and the answer, one request
//! for each worker may still reach AWS late.

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
use api::{LeaseApi, Trouble};
pub use config::LeaseConfig;
use elector::{Answer, Elector, Request, Step, Timing};
pub use fence::Fence;
use fence::boot_time;

/// A shutdown does not wait longer for the release to get through.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(3);
/// Timers stand still while the machine is suspended, the clock of the lease does not: look at it this often.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// A candidate at work. Dropping it gives up the lease as well, without waiting for that.
#[derive(Debug)]
pub struct Election {
    fence: Fence,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Election {
    /// Becomes a candidate. The receiver says whether this replica leads; it is false at first, and false at once when the
    /// lease could not be renewed in time. Needs a Tokio runtime.
    pub fn start(client: Client, mut config: LeaseConfig) -> (Self, watch::Receiver<bool>) {
        if config.identity.is_empty() {
            // An empty holder means nobody.
            config.identity = format!("{}-{:016x}", config.name, fastrand::u64(..));
        }
        let timing =
            Timing { duration: config.duration, renew_every: config.renew_every, poll_every: config.poll_every };
        let fence = Fence::shut();
        let (leads, leading) = watch::channel(false);
        let (stop, stopped) = oneshot::channel();
        let api = LeaseApi::new(client, &config);
        let candidate = Candidate {
            announcer: Announcer::new(api.path(), config.identity.clone(), fence.clone(), leads),
            elector: Elector::new(config.identity, timing),
            api,
        };
        let task = tokio::spawn(candidate.run(stopped));
        (Self { fence, stop: Some(stop), task: Some(task) }, leading)
    }

    /// What has to be asked before every write.
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Shuts the fence and gives the lease up, so that a follower need not wait until it runs out. To be called when no
    /// write is under way any more. Takes 3 s at most.
    pub async fn release(mut self) {
        self.give_up();
        if let Some(mut task) = self.task.take()
            && tokio::time::timeout(RELEASE_TIMEOUT * 2, &mut task).await.is_err()
        {
            task.abort();
        }
    }

    fn give_up(&mut self) {
        self.fence.retire();
        if let Some(stop) = self.stop.take() {
            // It fails if the task is gone, and then there is nothing to stop.
            let _ = stop.send(());
        }
    }
}

impl Drop for Election {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// The task behind an [`Election`]: runs the machine, its requests and its timers.
struct Candidate {
    elector: Elector,
    api: LeaseApi,
    announcer: Announcer,
}

impl Candidate {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        while self.goes_on(&mut stopped).await {}
        let released = tokio::time::timeout(RELEASE_TIMEOUT, self.release()).await;
        if released.is_err() {
            tracing::warn!("the lease could not be given up in time: a follower waits until it runs out");
        }
    }

    /// Takes one step; false if it was interrupted by the end.
    async fn goes_on(&mut self, stopped: &mut oneshot::Receiver<()>) -> bool {
        let Self { elector, api, announcer } = self;
        let step = elector.next(boot_time(), now_in_microseconds());
        let outcome = {
            let outcome = carry_out(api, &step);
            tokio::pin!(outcome);
            loop {
                tokio::select! {
                    biased;
                    // Also when the sender is gone.
                    _ = &mut *stopped => return false,
                    outcome = &mut outcome => break outcome,
                    () = lapse(announcer.leads_until()) => announcer.lapsed(),
                }
            }
        };
        if let (Step::Send(request), Some(outcome)) = (&step, outcome) {
            answer(elector, announcer, request, outcome);
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
            if let (Step::Send(request), Some(outcome)) = (&step, carry_out(api, &step).await) {
                answer(elector, announcer, request, outcome);
            }
        }
    }
}

/// Carries out a step, waiting included, which has no outcome.
async fn carry_out(api: &mut LeaseApi, step: &Step) -> Option<Result<Answer, Trouble>> {
    match step {
        Step::WaitUntil(until) => {
            sleep_until(*until).await;
            None
        }
        Step::Send(request) => Some(api.perform(request).await),
        Step::Done => None,
    }
}

fn answer(elector: &mut Elector, announcer: &mut Announcer, request: &Request, outcome: Result<Answer, Trouble>) {
    let answer = match outcome {
        Ok(answer) => {
            announcer.answered(request);
            answer
        }
        Err(trouble) => {
            announcer.troubled(trouble);
            Answer::Failed
        }
    };
    elector.answered(boot_time(), answer);
}

/// Waits until that time; for ever if there is none.
async fn lapse(until: Option<Duration>) {
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

/// As exact as a Lease keeps it, so that what is read back equals what was written.
fn now_in_microseconds() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]
mod tests;
