//! The metrics' names, types, labels and help: what dashboards and alerts rely on, in one table.
//!
//! Registration reads this table and so do the reference docs, so the two cannot disagree.

use prometheus_client::metrics::MetricType;

/// One metric as a scrape shows it.
#[derive(Clone, Copy, Debug)]
pub struct MetricInfo {
    /// Full name, `_total` of counters included.
    pub name: &'static str,
    /// Type in the sense of Prometheus.
    pub kind: MetricKind,
    /// Label names, in the order they are shown.
    pub labels: &'static [&'static str],
    /// One sentence, without the full stop that the exposition adds.
    pub help: &'static str,
}

impl MetricInfo {
    /// The name that `prometheus-client` wants: it appends `_total` to counters itself.
    pub(super) fn family(&self) -> &'static str {
        self.name.strip_suffix("_total").unwrap_or(self.name)
    }
}

/// Types of metrics in use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only ever rises (until the process restarts).
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts observations by size.
    Histogram,
}

impl MetricKind {
    /// The type's name in an exposition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    pub(super) const fn prometheus(self) -> MetricType {
        match self {
            Self::Counter => MetricType::Counter,
            Self::Gauge => MetricType::Gauge,
            Self::Histogram => MetricType::Histogram,
        }
    }
}

/// Writes a constant for every metric, and the table of all of them.
macro_rules! catalog {
    ($($konst:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(pub(super) const $konst: MetricInfo = MetricInfo {
            name: concat!("auroralogexport_", $name),
            kind: MetricKind::$kind,
            labels: &[$($label),*],
            help: $help,
        };)+

        /// Every metric of the operator, in the order of the reference docs.
        pub const METRICS: &[MetricInfo] = &[$($konst),+];
    };
}

catalog! {
    RECONCILES = Counter "reconcile_total" ["result"]
        "Reconciles by result: success, waiting, fenced, kubernetes_error, panic, or the reason of Ready";
    RECONCILE_DURATION = Histogram "reconcile_duration_seconds" []
        "Time one reconcile took, waiting for the account's rate limit included";
    IAM_REQUESTS = Counter "iam_requests_total" ["account", "operation", "outcome"]
        "Requests sent to IAM and STS, by the outcome's error class";
    RATE_LIMIT_WAIT = Histogram "iam_budget_wait_seconds" []
        "Time a call to AWS waited for its account's rate limit";
    DRIFT_REPAIRED = Counter "drift_repaired_total" ["field"]
        "Differences found in AWS and repaired, by the field that differed";
    RESOURCES = Gauge "resources" ["condition", "status", "reason"]
        "AuroraLogExportPolicy objects by condition";
    ORPHANS = Gauge "orphans" ["account"]
        "Policies and roles in AWS that carry this cluster's tags and have no object";
    DRIFT_SCAN_AGE = Gauge "drift_scan_age_seconds" ["account"]
        "Time since the account's last complete drift scan";
    LEADER = Gauge "leader" []
        "1 while this replica holds the lease, else 0";
    STATUS_WRITES = Counter "status_writes_total" []
        "Status writes sent to the API server";
    BUILD_INFO = Gauge "build_info" ["version"]
        "Always 1; the label says which build this is";
}
