//! Metrics that are computed when scraped, or whose series come and go with an account.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};

use super::catalog::{self, MetricInfo};
use crate::api::{ConditionType, Reason};

/// A gauge that holds seconds.
type SecondsGauge = prometheus_client::metrics::gauge::ConstGauge<f64>;
/// A gauge that holds a count.
type CountGauge = prometheus_client::metrics::gauge::ConstGauge<u64>;
/// A counter whose value is in a map of this module.
type CountCounter = prometheus_client::metrics::counter::ConstCounter<u64>;

/// Number of objects with one condition: type, status (`True`, `False`, `Unknown`), reason, count.
pub type ResourceCount = (ConditionType, String, Reason, u64);

/// Counts all objects by condition.
pub type ResourceCounts = Arc<dyn Fn() -> Vec<ResourceCount> + Send + Sync>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere must not end the metrics. Every update is a single insertion, so the data stays consistent.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn describe<'a>(encoder: &'a mut DescriptorEncoder<'_>, info: &'a MetricInfo) -> Result<MetricEncoder<'a>, fmt::Error> {
    encoder.encode_descriptor(info.family(), &format!("{}.", info.help), None, info.kind.prometheus())
}

/// The metrics of one account.
#[derive(Debug, Default)]
struct Account {
    requests: BTreeMap<(&'static str, &'static str), u64>,
    orphans: Option<u64>,
    swept: Option<Instant>,
}

/// The series of each account. A map, because a `Family` cannot remove all series of one account.
#[derive(Debug, Default)]
pub(super) struct Accounts(Mutex<BTreeMap<String, Account>>);

impl Accounts {
    fn update(&self, account: &str, change: impl FnOnce(&mut Account)) {
        let mut accounts = lock(&self.0);
        if let Some(known) = accounts.get_mut(account) {
            change(known);
        } else {
            change(accounts.entry(account.to_owned()).or_default());
        }
    }

    pub(super) fn request(&self, account: &str, operation: &'static str, outcome: &'static str) {
        self.update(account, |known| {
            *known.requests.entry((operation, outcome)).or_default() += 1;
        });
    }

    pub(super) fn orphans(&self, account: &str, count: u64) {
        self.update(account, |known| known.orphans = Some(count));
    }

    pub(super) fn swept(&self, account: &str, at: Instant) {
        self.update(account, |known| known.swept = Some(at));
    }

    pub(super) fn not_swept(&self, account: &str) {
        if let Some(known) = lock(&self.0).get_mut(account) {
            (known.swept, known.orphans) = (None, None);
        }
    }

    pub(super) fn forget(&self, account: &str) {
        lock(&self.0).remove(account);
    }
}

impl Collector for Accounts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let accounts = lock(&self.0);
        let mut requests = describe(&mut encoder, &catalog::IAM_REQUESTS)?;
        for (name, account) in accounts.iter() {
            for ((operation, outcome), count) in &account.requests {
                let labels = [("account", name.as_str()), ("operation", operation), ("outcome", outcome)];
                CountCounter::new(*count).encode(requests.encode_family(&labels)?)?;
            }
        }
        let mut orphans = describe(&mut encoder, &catalog::ORPHANS)?;
        for (name, account) in accounts.iter() {
            if let Some(count) = account.orphans {
                CountGauge::new(count).encode(orphans.encode_family(&[("account", name.as_str())])?)?;
            }
        }
        let mut ages = describe(&mut encoder, &catalog::DRIFT_SCAN_AGE)?;
        for (name, account) in accounts.iter() {
            if let Some(at) = account.swept {
                let age = at.elapsed().as_secs_f64();
                SecondsGauge::new(age).encode(ages.encode_family(&[("account", name.as_str())])?)?;
            }
        }
        Ok(())
    }
}

/// The gauge `resources`. A callback provides the counts.
#[derive(Default)]
pub(super) struct Resources(Mutex<Option<ResourceCounts>>);

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resources").finish_non_exhaustive()
    }
}

impl Resources {
    pub(super) fn set(&self, counts: ResourceCounts) {
        *lock(&self.0) = Some(counts);
    }
}

impl Collector for Resources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // Called outside the lock: the callback may be slow, and may record metrics.
        let source = lock(&self.0).clone();
        let counts = source.map(|count| count()).unwrap_or_default();
        // A duplicate series makes the whole page invalid, so counts of equal series are added.
        let mut series = BTreeMap::new();
        for (condition, status, reason, count) in counts {
            *series.entry((condition, status, reason)).or_insert(0) += count;
        }
        let mut metric = describe(&mut encoder, &catalog::RESOURCES)?;
        for ((condition, status, reason), count) in &series {
            let labels = [("condition", condition.as_str()), ("status", status), ("reason", reason.as_str())];
            CountGauge::new(*count).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
