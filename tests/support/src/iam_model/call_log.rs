//! The call log: every call with its caller, time and outcome.

use std::collections::{BTreeMap, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

/// One call. It is recorded when it arrives and completed when it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// Counts from 1 in order of arrival.
    pub seq: u64,
    /// When the call arrived, milliseconds since 1970.
    pub at_ms: u64,
    /// When it ended; `None` while in progress.
    pub done_ms: Option<u64>,
    /// The account of the call; empty if unknown.
    pub account: String,
    /// The access key id it was signed with; tells replicas apart.
    pub access_key: String,
    /// By what it was made, as CloudTrail's `userAgent` has it.
    pub user_agent: String,
    /// The operation.
    pub action: String,
    /// The name or ARN it was about; empty for account-wide calls.
    pub resource: String,
    /// What a call that changes something was sent with, documents aside: what policies can set conditions on.
    pub parameters: BTreeMap<String, String>,
    /// `pending`, `OK`, an error code, or `ConnectionLost`, `TruncatedBody`, `Unavailable`.
    pub outcome: String,
    /// Whether the operation took effect.
    pub executed: bool,
}

/// The data of a call on arrival.
#[derive(Clone, Debug, Default)]
pub struct CallInfo {
    /// See [`CallRecord::account`].
    pub account: String,
    /// See [`CallRecord::access_key`].
    pub access_key: String,
    /// See [`CallRecord::user_agent`].
    pub user_agent: String,
    /// See [`CallRecord::action`].
    pub action: String,
    /// See [`CallRecord::resource`].
    pub resource: String,
    /// See [`CallRecord::parameters`].
    pub parameters: BTreeMap<String, String>,
}

/// Counts of all calls, and the records of the last ones.
#[derive(Debug)]
pub struct CallLog {
    capacity: usize,
    next_seq: u64,
    records: VecDeque<CallRecord>,
    counts: BTreeMap<String, u64>,
    outcomes: BTreeMap<String, u64>,
}

impl CallLog {
    /// Keeps the records of the last `capacity` calls; 0 keeps counts only.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, next_seq: 1, records: VecDeque::new(), counts: BTreeMap::new(), outcomes: BTreeMap::new() }
    }

    /// Records a call that arrived and returns its number.
    pub fn begin(&mut self, info: &CallInfo) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        match self.counts.get_mut(&info.action) {
            Some(count) => *count += 1,
            None => {
                self.counts.insert(info.action.clone(), 1);
            }
        }
        if self.capacity > 0 {
            if self.records.len() == self.capacity {
                self.records.pop_front();
            }
            let info = info.clone();
            self.records.push_back(CallRecord {
                seq,
                at_ms: now_ms(),
                done_ms: None,
                account: info.account,
                access_key: info.access_key,
                user_agent: info.user_agent,
                action: info.action,
                resource: info.resource,
                parameters: info.parameters,
                outcome: "pending".to_owned(),
                executed: false,
            });
        }
        seq
    }

    /// Records the outcome of a call.
    pub fn finish(&mut self, seq: u64, outcome: &str, executed: bool) {
        match self.outcomes.get_mut(outcome) {
            Some(count) => *count += 1,
            None => {
                self.outcomes.insert(outcome.to_owned(), 1);
            }
        }
        let first = self.records.front().map_or(u64::MAX, |record| record.seq);
        let index = seq.checked_sub(first).and_then(|index| usize::try_from(index).ok());
        if let Some(record) = index.and_then(|index| self.records.get_mut(index)) {
            record.done_ms = Some(now_ms());
            outcome.clone_into(&mut record.outcome);
            record.executed = executed;
        }
    }

    /// The records with a number above `seq` (0: all that are kept).
    pub fn since(&self, seq: u64) -> Vec<CallRecord> {
        self.records.iter().filter(|record| record.seq > seq).cloned().collect()
    }

    /// The number of the last call; 0 before the first. A mark for [`CallLog::since`].
    pub fn last_seq(&self) -> u64 {
        self.next_seq - 1
    }

    /// Calls by action, since the start or the last [`CallLog::clear`].
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.clone()
    }

    /// Calls by outcome, since the start or the last [`CallLog::clear`].
    pub fn outcomes(&self) -> BTreeMap<String, u64> {
        self.outcomes.clone()
    }

    /// Removes records and counts; numbers continue.
    pub fn clear(&mut self) {
        self.records.clear();
        self.counts.clear();
        self.outcomes.clear();
    }
}

/// The wall clock, milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
