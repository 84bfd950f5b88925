//! Name, type, labels and help of every metric, in one table: a contract for dashboards and alerts.
//!
//! Both the registration and the reference docs are generated from this table.

use prometheus_client::metrics::MetricType;

/// One metric, as a scrape shows it.
#[derive(Clone, Copy, Debug)]
pub struct MetricInfo {
    /// Full name, including `_total` of counters.
    pub name: &'static str,
    /// Prometheus type.
    pub kind: MetricKind,
    /// Label names, in the order of the exposition.
    pub labels: &'static [&'static str],
    /// One sentence without the full stop, which the exposition adds.
    pub help: &'static str,
}

impl MetricInfo {
    /// The name for `prometheus-client`, which appends `_total` to counters itself.
    pub(super) fn family(&self) -> &'static str {
        self.name.strip_suffix("_total").unwrap_or(self.name)
    }
}

/// The types of the operator's metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only increases, until the process restarts.
    Counter,
    /// Increases and decreases.
    Gauge,
    /// Counts observations in buckets.
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

/// Defines a constant for each metric, and the table of all metrics.
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
        "Duration of a reconcile, including the wait for the account's rate limit";
    IAM_REQUESTS = Counter "iam_requests_total" ["account", "operation", "outcome"]
        "Requests to IAM and STS; the outcome is success or an error class";
    RATE_LIMIT_WAIT = Histogram "iam_budget_wait_seconds" []
        "Time that a call to AWS waited for the account's rate limit";
    DRIFT_REPAIRED = Counter "drift_repaired_total" ["field"]
        "Repaired differences in AWS, by field";
    RESOURCES = Gauge "resources" ["condition", "status", "reason"]
        "AuroraLogExportPolicy objects by condition";
    ORPHANS = Gauge "orphans" ["account"]
        "Roles in AWS with this cluster's ownership tags that belong to no object";
    DRIFT_SCAN_AGE = Gauge "drift_scan_age_seconds" ["account"]
        "Time since the account's last complete sweep";
    LEADER = Gauge "leader" []
        "1 if this replica holds the lease, else 0";
    STATUS_WRITES = Counter "status_writes_total" []
        "Status writes to the API server";
    BUILD_INFO = Gauge "build_info" ["version"]
        "Always 1; the label is the operator's version";
}
