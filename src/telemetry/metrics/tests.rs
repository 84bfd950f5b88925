use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::api::ConditionType;

/// Metrics with at least one series each.
fn filled() -> Metrics {
    let metrics = Metrics::new();
    metrics.reconciled(ReconcileResult::Success, Duration::from_millis(20));
    metrics.reconciled(ReconcileResult::NotReady(Reason::Throttled), Duration::from_secs(2));
    metrics.iam_request("prod", "GetRole", "success");
    metrics.iam_request("prod", "GetRole", "success");
    metrics.iam_request("test", "CreateRole", "throttled");
    metrics.rate_limit_waited(Duration::from_millis(3));
    metrics.drift_repaired(Field::Trust);
    metrics.drift_repaired(Field::Tags);
    metrics.drift_repaired(Field::Tags);
    metrics.status_written();
    metrics.orphans("prod", 2);
    metrics.swept("prod", Instant::now().checked_sub(Duration::from_secs(90)).unwrap());
    metrics.leader(true);
    metrics.set_resources(Arc::new(|| {
        let ready = |count| (ConditionType::Ready, "True".to_owned(), Reason::InSync, count);
        vec![ready(3), (ConditionType::Stalled, "True".to_owned(), Reason::Conflict, 1), ready(4)]
    }));
    metrics
}

/// Values by series.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(found.insert(series.to_owned(), value.parse().unwrap()).is_none(), "duplicate: {series}");
    }
    found
}

#[test]
fn the_table_and_a_full_page_agree() {
    let page = filled().encode();
    let comment = |keyword: &str| -> BTreeMap<String, String> {
        page.lines()
            .filter_map(|line| line.strip_prefix(keyword)?.split_once(' '))
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .collect()
    };
    let table = |text: fn(&MetricInfo) -> String| -> BTreeMap<String, String> {
        METRICS.iter().map(|info| (info.family().to_owned(), text(info))).collect()
    };
    assert_eq!(comment("# TYPE "), table(|info| info.kind.as_str().to_owned()));
    assert_eq!(comment("# HELP "), table(|info| format!("{}.", info.help)));
    for info in METRICS {
        let labels: BTreeSet<Vec<String>> = samples(&page)
            .keys()
            .filter_map(|series| {
                let (name, labels) = series.split_once('{').unwrap_or((series, ""));
                let name = match info.kind {
                    MetricKind::Histogram => name.strip_suffix("_count")?,
                    MetricKind::Counter | MetricKind::Gauge => name,
                };
                (name == info.name).then(|| labels.trim_end_matches('}').to_owned())
            })
            .map(|labels| labels.split(',').filter_map(|l| Some(l.split_once('=')?.0.to_owned())).collect())
            .collect();
        let expected: Vec<String> = info.labels.iter().map(ToString::to_string).collect();
        assert_eq!(labels, BTreeSet::from([expected]), "{}", info.name);
    }
}

#[test]
fn the_metric_names_do_not_change() {
    let names: Vec<_> = METRICS.iter().map(|info| info.name.strip_prefix("auroralogexport_").unwrap()).collect();
    let contract = [
        "reconcile_total",
        "reconcile_duration_seconds",
        "iam_requests_total",
        "iam_budget_wait_seconds",
        "drift_repaired_total",
        "resources",
        "orphans",
        "drift_scan_age_seconds",
        "leader",
        "status_writes_total",
        "build_info",
    ];
    assert_eq!(names, contract);
}

#[test]
fn the_page_shows_the_recorded_values() {
    let found = samples(&filled().encode());
    let value = |series: &str| found.get(&format!("auroralogexport_{series}")).copied();
    assert_eq!(value(r#"reconcile_total{result="success"}"#), Some(1.0));
    assert_eq!(value(r#"reconcile_total{result="Throttled"}"#), Some(1.0));
    assert_eq!(value(r#"iam_requests_total{account="prod",operation="GetRole",outcome="success"}"#), Some(2.0));
    assert_eq!(value(r#"drift_repaired_total{field="tags"}"#), Some(2.0), "tag keys are not labels");
    assert_eq!(value(r#"resources{condition="Ready",status="True",reason="InSync"}"#), Some(7.0));
    assert_eq!(value(r#"orphans{account="prod"}"#), Some(2.0));
    assert_eq!(value("leader"), Some(1.0));
    assert_eq!(value("status_writes_total"), Some(1.0));
    assert_eq!(value("reconcile_duration_seconds_count"), Some(2.0));
    let age = value(r#"drift_scan_age_seconds{account="prod"}"#).unwrap();
    assert!((90.0..100.0).contains(&age), "{age}");
}

#[test]
fn repairs_start_at_zero() {
    let found = samples(&Metrics::new().encode());
    assert_eq!(found.get(r#"auroralogexport_drift_repaired_total{field="trust"}"#), Some(&0.0));
}

#[test]
fn a_forgotten_account_leaves_no_series() {
    let metrics = filled();
    metrics.forget_account("prod");
    let page = metrics.encode();
    assert!(!page.contains("prod"), "{page}");
    assert!(page.contains(r#"account="test""#), "{page}");
}

#[test]
fn a_source_of_resources_may_itself_record() {
    let metrics = Metrics::new();
    let inner = metrics.clone();
    metrics.set_resources(Arc::new(move || {
        inner.set_resources(Arc::new(Vec::new));
        inner.iam_request("a", "GetRole", "success");
        Vec::new()
    }));
    assert!(metrics.encode().ends_with("# EOF\n"));
}
