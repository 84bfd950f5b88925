//! Sweeps: one read of a whole account tells, for all its objects at once, which of them need a closer read.
//!
//! A sweep is a hint. It may conclude *in sync*; a suspicion is confirmed by fresh reads of that one object, and only these
//! lead to a plan. Policy tags and role descriptions are missing from a sweep, and are read per object less often. A page
//! says nothing about an object that was written to while the page was read.

mod pages;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::Instrument;

use super::context::Context;
use super::modes::{Choice, Mode, choose};
use super::resync::{DEFAULT_SWEEP_INTERVAL, ResyncIntervals};
use crate::model::account_key::AccountKey;
use crate::model::names::Owner;
use crate::pipeline::port::{ErrorClass, IamError};
use crate::telemetry::metrics::ReconcileResult;
use crate::telemetry::{panics, trace};

/// Reads that one resync of one object takes.
const READS_PER_OBJECT: usize = 4;
/// By default objects are swept ten times as often as they are read one by one.
const SWEEPS_PER_RESYNC: usize = 10;
/// Where sweeps are not allowed, or take more calls than reading the objects, they are tried again after this time.
const RETRY_AFTER: Duration = Duration::from_hours(1);

/// What a sweep came to, for the workqueue.
#[derive(Debug)]
pub enum SweepReport {
    /// These objects need a fresh read.
    Suspects(Vec<Owner>),
    /// The objects of this account must be read one by one.
    OneByOne {
        /// The account.
        account: AccountKey,
        /// True: all objects now. False: those that have no resync scheduled yet.
        all: bool,
    },
}

/// The sweeps of all accounts that have objects.
pub struct Sweeps {
    context: Arc<Context>,
    reports: mpsc::Sender<SweepReport>,
    running: HashMap<AccountKey, AbortHandle>,
}

impl Sweeps {
    /// No sweep yet.
    pub fn new(context: Arc<Context>, reports: mpsc::Sender<SweepReport>) -> Self {
        Self { context, reports, running: HashMap::new() }
    }

    /// Sweeps an account from now on, if it exists and has objects; otherwise stops sweeping it.
    pub fn follow(&mut self, account: &AccountKey) {
        let wanted = self.context.accounts.account(account).is_some() && self.context.index.count_of(account) > 0;
        if !wanted {
            if let Some(task) = self.running.remove(account) {
                task.abort();
            }
            self.context.modes.remove(account);
            not_swept(&self.context, account);
        } else if !self.running.contains_key(account) {
            let task = sweep_for_ever(self.context.clone(), account.clone(), self.reports.clone());
            self.running.insert(account.clone(), tokio::spawn(task).abort_handle());
        }
    }

    /// Stops all sweeps: this replica does not lead any more.
    pub fn stop(&mut self) {
        for (_, task) in self.running.drain() {
            task.abort();
        }
    }
}

impl Drop for Sweeps {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the last sweep found says nothing about an account that is no longer swept.
fn not_swept(context: &Context, account: &AccountKey) {
    if let Some(id) = context.accounts.account(account).and_then(|account| account.known_id()) {
        context.metrics.not_swept(id.as_str());
    }
}

async fn sweep_for_ever(context: Arc<Context>, account: AccountKey, reports: mpsc::Sender<SweepReport>) {
    let intervals = ResyncIntervals { object: None, operator: context.settings.drift_check_interval };
    let interval = intervals.sweep_interval();
    // After this time without a sweep, the objects are read themselves and report that AWS cannot be reached.
    let longest_failure = intervals.interval() * 3;
    let mut last_good = Instant::now();
    loop {
        let began = Instant::now();
        let swept = panics::contain(try_sweep(&context, &account)).instrument(trace::sweep(&account)).await;
        let (report, pause) = match swept {
            Ok(Ok(suspects)) => {
                last_good = began;
                (Some(SweepReport::Suspects(suspects)), interval)
            }
            Ok(Err(NotSwept::OneByOne(why, pause))) => {
                let before = context.modes.set(&account, Mode::PerResource(why));
                not_swept(&context, &account);
                let all = before == Some(Mode::Bulk);
                (Some(SweepReport::OneByOne { account: account.clone(), all }), pause.max(interval))
            }
            failed => {
                match failed {
                    Ok(Err(NotSwept::Failed(error))) => tracing::debug!(%account, %error, "sweep failed"),
                    _ => context.metrics.reconciled(ReconcileResult::Panic, began.elapsed()),
                }
                let mode = context.modes.get(&account);
                // In the other mode the objects are read one by one anyway.
                let all = mode == Some(Mode::Bulk) && last_good.elapsed() > longest_failure;
                if all {
                    last_good = began;
                }
                let report = (all || mode.is_none()).then(|| SweepReport::OneByOne { account: account.clone(), all });
                (report, interval)
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
    /// Objects are read one by one, for this reason. The next try comes after this time.
    OneByOne(String, Duration),
    /// It failed.
    Failed(IamError),
}

/// One sweep, if it is wanted and takes fewer calls than reading the objects. Returns its suspects.
async fn try_sweep(context: &Context, account: &AccountKey) -> Result<Vec<Owner>, NotSwept> {
    let whatever_it_costs = match choose(&context.accounts, &context.index, context.drift_scan, account) {
        Choice::Sweep => true,
        Choice::SweepIfCheaper => false,
        // More objects may make a sweep cheaper at any time.
        Choice::PerResource(why) => return Err(NotSwept::OneByOne(why, DEFAULT_SWEEP_INTERVAL)),
    };
    panics::inject(&format_args!("sweep {account}"));
    match pages::sweep(context, account).await {
        Ok(swept) if whatever_it_costs || swept.pages * SWEEPS_PER_RESYNC <= swept.objects * READS_PER_OBJECT => {
            context.modes.set(account, Mode::Bulk);
            Ok(swept.suspects)
        }
        Ok(swept) => {
            let why = format!("a sweep takes {} calls for {} objects", swept.pages, swept.objects);
            Err(NotSwept::OneByOne(why, RETRY_AFTER))
        }
        Err(error) if error.class == ErrorClass::AccessDenied => {
            Err(NotSwept::OneByOne("iam:GetAccountAuthorizationDetails is not allowed".to_owned(), RETRY_AFTER))
        }
        Err(error) => Err(NotSwept::Failed(error)),
    }
}
