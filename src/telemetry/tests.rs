use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tracing::{debug, error, field, info, info_span, warn};

use super::buffer::Buffer;
use super::*;

fn logged(format: LogFormat, filter: &str, run: impl FnOnce()) -> String {
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let subscriber = subscriber(format, filter, false, move || writer.clone(), Vec::new()).unwrap();
    tracing::subscriber::with_default(subscriber, run);
    buffer.text()
}

fn json_lines(run: impl FnOnce()) -> Vec<Value> {
    logged(LogFormat::Json, "debug", run).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_log_of_an_object_is_found_by_one_key() {
    let lines = json_lines(|| {
        let reconcile = info_span!("reconcile", object = "shop/orders", role = field::Empty);
        let _entered = reconcile.enter();
        info!("starts");
        reconcile.record("role", "shop.orders");
        let _call = info_span!("call", operation = "GetRole").entered();
        warn!(attempt = 2, throttled = true, "slow");
    });
    let followed: Vec<_> = lines.iter().filter(|line| line["object"] == "shop/orders").collect();
    assert_eq!(followed.len(), 2);
    assert_eq!((&followed[0]["message"], &followed[0]["span"]), (&json!("starts"), &json!("reconcile")));
    assert_eq!(followed[0].get("role"), None);
    let Value::Object(mut slow) = followed[1].clone() else { unreachable!() };
    let timestamp = slow.remove("timestamp").unwrap();
    assert!(timestamp.as_str().unwrap().parse::<k8s_openapi::jiff::Timestamp>().is_ok(), "{timestamp}");
    let expected = json!({
        "level": "WARN", "target": module_path!(), "message": "slow", "span": "call",
        "object": "shop/orders", "role": "shop.orders", "operation": "GetRole", "attempt": 2, "throttled": true,
    });
    assert_eq!(Value::Object(slow), expected);
}

#[test]
fn the_field_closest_to_the_event_wins() {
    let lines = json_lines(|| {
        let _outer = info_span!("outer", object = "a/outer", message = "not this").entered();
        let _inner = info_span!("inner", object = "a/inner").entered();
        info!("one");
        info!(object = "a/event", "two");
    });
    let seen: Vec<_> = lines.iter().map(|line| (&line["object"], &line["message"])).collect();
    assert_eq!(seen, [(&json!("a/inner"), &json!("one")), (&json!("a/event"), &json!("two"))]);
}

#[test]
fn every_line_is_one_json_object_for_any_content() {
    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);
    let lines = json_lines(|| {
        let hostile = "first\nsecond \"quoted\" \u{1b}[31m {}";
        error!(hostile, level = "fake", timestamp = 1, ratio = f64::NAN, half = 0.5, %hostile, "{hostile}");
        let error = Outer(io::Error::other("inner"));
        error!(error = &error as &(dyn std::error::Error + 'static), debug = ?Some(1), "failed");
        debug!(r#type = "raw");
    });
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[0]["level"], &lines[0]["field.level"]), (&json!("ERROR"), &json!("fake")));
    assert_eq!((&lines[0]["ratio"], &lines[0]["half"]), (&json!("NaN"), &json!(0.5)));
    assert!(lines[0]["message"].as_str().unwrap().starts_with("first\nsecond"));
    assert_eq!((&lines[1]["error"], &lines[1]["debug"]), (&json!("outer: inner"), &json!("Some(1)")));
    assert_eq!((&lines[2]["type"], lines[2].get("message")), (&json!("raw"), None));
}

#[test]
fn text_lines_show_the_object() {
    let text = logged(LogFormat::Text, "info", || {
        let _span = info_span!("reconcile", object = "shop/orders").entered();
        info!("starts");
        debug!("not shown");
    });
    assert!(text.contains("object=\"shop/orders\"") && text.contains("starts"), "{text}");
    assert!(!text.contains("not shown") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn the_filter_applies_to_targets() {
    for format in [LogFormat::Text, LogFormat::Json] {
        let text = logged(format, "info,noisy=warn", || {
            info!(target: "noisy", "hidden");
            warn!(target: "noisy", "loud");
            info!(target: "other", "shown");
        });
        assert!(!text.contains("hidden") && text.contains("loud") && text.contains("shown"), "{text}");
    }
}

#[test]
fn a_bad_filter_is_named() {
    let error = subscriber(LogFormat::Text, "info,kube=loudly", false, io::sink, Vec::new()).err().unwrap();
    let text = error.to_string();
    assert!(text.contains("\"info,kube=loudly\"") && text.contains("info,kube=warn"), "{text}");
    assert!(!text.contains('\n'), "one sentence: {text}");
}

/// An exporter receives spans that the log's filter hides, and is flushed at the end.
#[test]
fn an_exporter_has_its_own_filter() {
    struct Counts(Arc<AtomicUsize>);
    impl<S: Subscriber> Layer<S> for Counts {
        fn on_new_span(
            &self,
            _: &tracing::span::Attributes<'_>,
            _: &tracing::span::Id,
            _: tracing_subscriber::layer::Context<'_, S>,
        ) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let spans = Arc::new(AtomicUsize::new(0));
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let exporters: Vec<Box<dyn Layer<Registry> + Send + Sync>> = vec![Box::new(Counts(spans.clone()))];
    let subscriber = subscriber(LogFormat::Json, "warn", false, move || writer.clone(), exporters).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        let _span = info_span!("call").entered();
        info!("hidden");
    });
    assert_eq!(spans.load(Ordering::SeqCst), 1);
    assert!(buffer.text().is_empty());

    let flushed = Arc::new(AtomicUsize::new(0));
    let count = flushed.clone();
    drop(Guard(vec![Box::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
    })]));
    assert_eq!(flushed.load(Ordering::SeqCst), 1);
}

#[test]
fn a_refused_watch_is_not_logged_by_kube_as_well() {
    for (filter, shown) in [("info", false), ("", false), ("info,kube_runtime=warn", true)] {
        let lines = logged(LogFormat::Text, filter, || {
            tracing::warn!(target: "kube_runtime::watcher", "watch list error with 403");
        });
        assert_eq!(lines.contains("403"), shown, "{filter}: {lines}");
    }
}

#[test]
fn a_failed_request_is_not_logged_by_kube_as_well() {
    let kube = "kube_client::client::builder";
    let lines = |filter: &str| {
        logged(LogFormat::Text, filter, || {
            error!(target: "kube_client::client::builder", "failed with status 503");
            error!("from the caller");
        })
    };
    for (filter, shown) in [
        ("info", false),
        ("trace,aurora_log_export_operator=debug", false),
        ("info,kube=debug", false),
        ("", false),
        (&format!("info,{kube}=error"), true),
        ("info,kube_client=debug", true),
        ("kube_client=off,info", false),
    ] {
        let lines = lines(filter);
        assert_eq!(lines.contains("failed with status 503"), shown, "{filter}: {lines}");
        assert!(lines.contains("from the caller"), "{filter}: {lines}");
    }
}
