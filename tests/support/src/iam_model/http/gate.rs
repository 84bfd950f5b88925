//! Faults and call log. Every call passes through them, and tests change them at run time.

use super::super::call_log::{CallInfo, CallLog, CallRecord, now_ms};
use super::super::faults::{Decision, FaultPlan, Faults};
use super::super::handle::lock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The control handle; clones share their state.
#[derive(Clone, Debug)]
pub struct Gate {
    faults: Arc<Mutex<Faults>>,
    log: Arc<Mutex<CallLog>>,
}

impl Gate {
    /// Without faults; keeps the records of the last `log_capacity` calls.
    pub fn new(log_capacity: usize) -> Self {
        Self {
            faults: Arc::new(Mutex::new(Faults::new(FaultPlan::none()))),
            log: Arc::new(Mutex::new(CallLog::new(log_capacity))),
        }
    }

    /// Replaces the plan, from the next call on.
    pub fn set_faults(&self, plan: FaultPlan) {
        *lock(&self.faults) = Faults::new(plan);
    }

    /// No faults from the next call on.
    pub fn clear_faults(&self) {
        self.set_faults(FaultPlan::none());
    }

    /// How often each rule of the plan struck.
    pub fn struck(&self) -> Vec<u64> {
        lock(&self.faults).struck()
    }

    /// The calls with a number above `seq` (0: all that are kept).
    pub fn calls_since(&self, seq: u64) -> Vec<CallRecord> {
        lock(&self.log).since(seq)
    }

    /// The number of the last call, a mark for [`Gate::calls_since`].
    pub fn last_seq(&self) -> u64 {
        lock(&self.log).last_seq()
    }

    /// Calls by action since the start or the last [`Gate::clear_log`].
    pub fn counts(&self) -> BTreeMap<String, u64> {
        lock(&self.log).counts()
    }

    /// Calls by outcome since the start or the last [`Gate::clear_log`].
    pub fn outcomes(&self) -> BTreeMap<String, u64> {
        lock(&self.log).outcomes()
    }

    /// Removes records and counts.
    pub fn clear_log(&self) {
        lock(&self.log).clear();
    }

    pub(crate) fn enter(&self, call: &CallInfo) -> (u64, Decision) {
        let seq = lock(&self.log).begin(call);
        (seq, lock(&self.faults).decide(call, now_ms()))
    }

    pub(crate) fn leave(&self, seq: u64, outcome: &str, executed: bool) {
        lock(&self.log).finish(seq, outcome, executed);
    }
}
