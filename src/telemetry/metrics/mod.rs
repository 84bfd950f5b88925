//! The operator's metrics, in the `OpenMetrics` text format.
//!
//! Recording never fails, and a scrape blocks it for no longer than a map lookup. Label values come from closed
//! vocabularies or from account names, so the number of accounts bounds the number of series.

mod catalog;
mod collectors;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::api::{Field, Reason};
pub use catalog::{METRICS, MetricInfo, MetricKind};
use collectors::{Accounts, Resources};
pub use collectors::{ResourceCount, ResourceCounts};

/// The result of a reconcile: the label `result` of `reconcile_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileResult {
    /// Nothing is left to do.
    Success,
    /// No error; the object is resynced soon, for example because AWS is eventually consistent.
    Waiting,
    /// This replica does not hold the lease, or not for long enough to write.
    Fenced,
    /// The API server rejected a request or did not respond.
    KubernetesError,
    /// The reconcile panicked.
    Panic,
    /// The object is not ready, for this reason.
    NotReady(Reason),
}

impl ReconcileResult {
    /// The label's value. A reason has the spelling of the condition `Ready`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Waiting => "waiting",
            Self::Fenced => "fenced",
            Self::KubernetesError => "kubernetes_error",
            Self::Panic => "panic",
            Self::NotReady(reason) => reason.as_str(),
        }
    }
}

/// `Content-Type` of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FieldLabel {
    field: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VersionLabel {
    version: &'static str,
}

/// Handle to all metrics; clones share their state.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    reconciles: Family<ResultLabel, Counter>,
    reconcile_duration: Histogram,
    rate_limit_wait: Histogram,
    drift_repaired: Family<FieldLabel, Counter>,
    leader: Gauge,
    status_writes: Counter,
    accounts: Arc<Accounts>,
    resources: Arc<Resources>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics at zero; `build_info` is set from the crate's version.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let reconciles = register(&mut registry, catalog::RECONCILES, Family::default());
        // From a reconcile without changes (milliseconds) to one that waited for a throttled account.
        let seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
        let reconcile_duration = register(&mut registry, catalog::RECONCILE_DURATION, Histogram::new(seconds));
        let rate_limit_wait = register(&mut registry, catalog::RATE_LIMIT_WAIT, Histogram::new(seconds));
        let drift_repaired = register(&mut registry, catalog::DRIFT_REPAIRED, Family::<FieldLabel, Counter>::default());
        // If a series starts at 1, `increase` and therefore the alert miss the first repair.
        for field in Field::ALL {
            drop(drift_repaired.get_or_create(&FieldLabel { field: field.as_str() }));
        }
        let leader = register(&mut registry, catalog::LEADER, Gauge::default());
        let status_writes = register(&mut registry, catalog::STATUS_WRITES, Counter::default());
        let build = register(&mut registry, catalog::BUILD_INFO, Family::<VersionLabel, Gauge>::default());
        let version = VersionLabel { version: env!("CARGO_PKG_VERSION") };
        build.get_or_create(&version).set(1);
        let accounts = Arc::new(Accounts::default());
        registry.register_collector(Box::new(accounts.clone()));
        let resources = Arc::new(Resources::default());
        registry.register_collector(Box::new(resources.clone()));
        Self(Arc::new(Inner {
            registry,
            reconciles,
            reconcile_duration,
            rate_limit_wait,
            drift_repaired,
            leader,
            status_writes,
            accounts,
            resources,
        }))
    }

    /// Counts a finished reconcile.
    pub fn reconciled(&self, result: ReconcileResult, took: Duration) {
        self.0.reconciles.get_or_create(&ResultLabel { result: result.as_str() }).inc();
        self.0.reconcile_duration.observe(took.as_secs_f64());
    }

    /// Counts a request to AWS: `operation` is AWS's name (`GetRole`), `outcome` is `success` or an error class.
    pub fn iam_request(&self, account: &str, operation: &'static str, outcome: &'static str) {
        self.0.accounts.request(account, operation, outcome);
    }

    /// Records how long a call waited for its account's rate limit.
    pub fn rate_limit_waited(&self, waited: Duration) {
        self.0.rate_limit_wait.observe(waited.as_secs_f64());
    }

    /// Counts a repaired difference.
    pub fn drift_repaired(&self, field: Field) {
        self.0.drift_repaired.get_or_create(&FieldLabel { field: field.as_str() }).inc();
    }

    /// Counts a status write.
    pub fn status_written(&self) {
        self.0.status_writes.inc();
    }

    /// Sets the number of roles in the account with our ownership tags that belong to no object.
    pub fn orphans(&self, account: &str, count: u64) {
        self.0.accounts.orphans(account, count);
    }

    /// Records the end of a complete sweep of the account; every scrape computes its age.
    pub fn swept(&self, account: &str, at: Instant) {
        self.0.accounts.swept(account, at);
    }

    /// Removes what the last sweep of the account found: the account is no longer swept.
    pub fn not_swept(&self, account: &str) {
        self.0.accounts.not_swept(account);
    }

    /// Removes every series of an account that is no longer in use.
    pub fn forget_account(&self, account: &str) {
        self.0.accounts.forget(account);
    }

    /// Sets whether this replica is the leader.
    pub fn leader(&self, leads: bool) {
        self.0.leader.set(i64::from(leads));
    }

    /// Sets the source of the gauge `resources`. Every scrape calls it, so it should be cheap.
    pub fn set_resources(&self, counts: ResourceCounts) {
        self.0.resources.set(counts);
    }

    /// All metrics, in the `OpenMetrics` text format.
    pub fn encode(&self) -> String {
        let mut page = String::new();
        if text::encode(&mut page, &self.0.registry).is_err() {
            // Writing to a String cannot fail. A collector that fails leaves a truncated page, and the missing `# EOF` tells
            // the scraper.
            tracing::error!("the metrics could not be encoded completely");
        }
        page
    }
}

fn register<M: Metric + Clone>(registry: &mut Registry, info: MetricInfo, metric: M) -> M {
    registry.register(info.family(), info.help, metric.clone());
    metric
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests;
