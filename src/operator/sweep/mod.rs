//! The drift scan: one sweep over an account answers, for all its objects at once, whether anything is worth a look.
//!
//! It is a hint and never more: a sweep may conclude *in sync*; a suspicion is confirmed by fresh reads of that one
//! object, and only these lead to a plan. Of an object that is new it saves the one read that asks whether its name is free,
//! which IAM itself checks. What a sweep lacks (policy tags, role description) is read per object at a
//! slower pace. A page says nothing about an object that was written to while the page was on its way.

mod pages;
pub mod taken;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::Instrument;

use crate::api::account::DriftScan;
use crate::model::names::Owner;
use crate::model::object::Object;
use crate::operator::reconcile::Context;
use crate::operator::reconcile::pace::{DEFAULT_SWEEP_INTERVAL, Pace};
use crate::operator::workqueue::Lane;
use crate::pipeline::port::{ErrorClass, IamError};
use crate::telemetry::trace;

/// Up to so many objects, reading them one by one is cheap enough not to try a sweep.
const FEW: usize = 25;
/// Reads that one look at one object takes.
const READS_PER_OBJECT: usize = 4;
/// By default objects are swept ten times as often as they are read one by one.
const PACE: usize = 10;
/// Where sweeping is not allowed or not worth it, that is asked again after this time.
const ASK_AGAIN: Duration = Duration::from_hours(1);

/// What a sweep came to, for the queue.
#[derive(Debug)]
pub enum Report {
    /// These objects are worth a fresh look.
    Suspects(Vec<Owner>),
    /// The objects of this account must be read one by one: all now, or those that were never looked at.
    OneByOne {
        /// Of this account.
        lane: Lane,
        /// Also those whose next look is set already.
        all: bool,
    },
}

/// How an account is looked at now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In sweeps.
    Bulk,
    /// Object by object, for this reason.
    PerResource(String),
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bulk => write!(f, "Bulk: one sweep of GetAccountAuthorizationDetails looks at every object"),
            Self::PerResource(why) => write!(f, "PerResource: {why}"),
        }
    }
}

/// The mode in force of every account, for reconciles and for status.
#[derive(Default)]
pub struct Modes(Mutex<HashMap<Lane, Mode>>);

impl Modes {
    /// How an account is looked at; `None`: not decided yet.
    pub fn of(&self, lane: &Lane) -> Option<Mode> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(lane).cloned()
    }

    /// Sets it; returns how it was before.
    fn set(&self, lane: &Lane, mode: Mode) -> Option<Mode> {
        let news = format!("drift scan: {mode}");
        let mut modes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = modes.get(lane) != Some(&mode);
        let before = modes.insert(lane.clone(), mode);
        if changes {
            tracing::info!(account = lane.as_deref().unwrap_or("own"), "{news}");
        }
        before
    }
}

/// How an account is looked at, or will be as far as is known before the first sweep.
pub fn mode(context: &Context, lane: &Lane) -> Mode {
    context.modes.of(lane).unwrap_or_else(|| match decide(context, lane) {
        Ok(_) => Mode::Bulk,
        Err(why) => Mode::PerResource(why),
    })
}

/// Is an object one that a sweep can judge: said to be in sync with this generation of its spec?
pub fn is_judged_by_sweeps(object: &Object) -> bool {
    !object.is_deleting()
        && object.spec.is_ok()
        && crate::pipeline::status::is_ready(&object.status, object.generation())
}

/// The sweeps of all accounts that have objects.
pub struct Scans {
    context: Arc<Context>,
    reports: mpsc::Sender<Report>,
    running: HashMap<Lane, AbortHandle>,
}

impl Scans {
    /// No sweep yet.
    pub fn new(context: Arc<Context>, reports: mpsc::Sender<Report>) -> Self {
        Self { context, reports, running: HashMap::new() }
    }

    /// Makes sure that an account is swept from now on.
    pub fn follow(&mut self, lane: &Lane) {
        if self.running.contains_key(lane) {
            return;
        }
        let task = follow(self.context.clone(), lane.clone(), self.reports.clone());
        self.running.insert(lane.clone(), tokio::spawn(task).abort_handle());
    }

    /// Ends all sweeps: this replica does not lead any more.
    pub fn stop(&mut self) {
        for (_, task) in self.running.drain() {
            task.abort();
        }
    }
}

impl Drop for Scans {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn follow(context: Arc<Context>, lane: Lane, reports: mpsc::Sender<Report>) {
    let pace = Pace { object: None, operator: context.settings.drift_check_interval };
    let interval = pace.sweep_interval();
    // Beyond this, an object says itself that AWS cannot be reached.
    let patience = pace.interval() * 3;
    let mut last_good = Instant::now();
    loop {
        let began = Instant::now();
        let (report, pause) = match look(&context, &lane).await {
            Ok(suspects) => {
                last_good = began;
                (Some(Report::Suspects(suspects)), interval)
            }
            Err(NotSwept::One(why, pause)) => {
                let before = context.modes.set(&lane, Mode::PerResource(why));
                (Some(Report::OneByOne { lane: lane.clone(), all: before == Some(Mode::Bulk) }), pause.max(interval))
            }
            Err(NotSwept::Failed(error)) => {
                tracing::debug!(%error, "a sweep failed");
                let worried = last_good.elapsed() > patience;
                if worried {
                    last_good = began;
                }
                let undecided = context.modes.of(&lane).is_none();
                ((worried || undecided).then(|| Report::OneByOne { lane: lane.clone(), all: worried }), interval)
            }
        };
        if let Some(report) = report
            && reports.send(report).await.is_err()
        {
            return;
        }
        tokio::time::sleep_until((began + pause).into()).await;
    }
}

/// Why there was no sweep, or none that counts.
enum NotSwept {
    /// Objects are read one by one, for this reason; that is asked again after this time.
    One(String, Duration),
    /// It failed.
    Failed(IamError),
}

/// One sweep, if it is wanted and worth it; its suspects.
async fn look(context: &Context, lane: &Lane) -> Result<Vec<Owner>, NotSwept> {
    // More objects may make a sweep worth it at any time.
    let forced = decide(context, lane).map_err(|why| NotSwept::One(why, DEFAULT_SWEEP_INTERVAL))?;
    let swept = pages::sweep(context, lane).instrument(trace::sweep(lane.as_deref()));
    match swept.await {
        Ok(swept) if forced || swept.pages * PACE <= swept.objects * READS_PER_OBJECT => {
            context.modes.set(lane, Mode::Bulk);
            Ok(swept.suspects)
        }
        Ok(swept) => {
            let why = format!("a sweep takes {} calls for {} objects", swept.pages, swept.objects);
            Err(NotSwept::One(why, ASK_AGAIN))
        }
        Err(error) if error.class == ErrorClass::AccessDenied => {
            Err(NotSwept::One("iam:GetAccountAuthorizationDetails is not allowed".to_owned(), ASK_AGAIN))
        }
        Err(error) => Err(NotSwept::Failed(error)),
    }
}

/// Is this account to be swept? `Ok(true)`: whatever it costs. `Err`: no, for this reason.
fn decide(context: &Context, lane: &Lane) -> Result<bool, String> {
    let own = context.accounts.drift_scan(lane.as_deref());
    match own.unwrap_or(context.drift_scan) {
        DriftScan::Bulk => Ok(true),
        DriftScan::PerResource => Err("asked for by configuration".to_owned()),
        DriftScan::Auto => {
            let count = context.index.count(|object| object.account_ref() == lane.as_deref());
            if count > FEW { Ok(false) } else { Err(format!("reading up to {FEW} objects one by one is cheaper")) }
        }
    }
}
