//! Traces by OTLP: what a collector receives, and that the operator works without one.

mod collector;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aurora_test_support::connect_proxy::ConnectProxy;
use aurora_test_support::iam_model::faults::{Effect, Rule};
use aurora_test_support::operator::Operator;
use aurora_test_support::wait::wait_for;
use serde_json::json;

use crate::fixture::{BINARY, Fixture, LIMIT};
use collector::{Collector, Span};

/// The exporter's thread, as the kernel shows it: cut at 15 characters.
const EXPORTER: &str = "OpenTelemetry.T";

/// A fixture whose operator logs as much as it can.
async fn prepare() -> Result<Fixture<'static>> {
    Fixture::with(&["--log-filter=info,aurora_log_export_operator=trace"]).prepare().await
}

/// Starts an operator with more flags and with these variables.
async fn start(fixture: &mut Fixture<'_>, flags: &[&str], variables: &[(&str, &str)]) -> Result<()> {
    let mut options = fixture.own_options().arguments(flags.iter().copied());
    for (name, value) in variables {
        options = options.env(name, value);
    }
    fixture.start_operator_with(options).await
}

/// Names of its threads.
fn threads(operator: &Operator) -> Result<Vec<String>> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", operator.id()))?;
    // A thread may end meanwhile.
    Ok(tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect())
}

/// The reconcile that wrote to AWS, and the calls in it.
fn creation(spans: &[Span]) -> Result<(Span, Vec<Span>)> {
    let create = spans.iter().find(|span| span.name == "iam.CreateRole");
    let trace = &create.context("no iam.CreateRole")?.trace;
    let (roots, calls): (Vec<Span>, Vec<Span>) =
        spans.iter().filter(|span| span.trace == *trace).cloned().partition(|span| span.parent.is_empty());
    ensure!(roots.len() == 1, "one root a trace: {roots:?}");
    Ok((roots[0].clone(), calls))
}

#[tokio::test]
async fn a_reconcile_is_one_trace_with_its_calls_to_aws_and_kubernetes() -> Result<()> {
    let (mut fixture, collector) = (prepare().await?, Collector::start().await?);
    let endpoint = format!("--otlp-endpoint={}", collector.url);
    start(&mut fixture, &[&endpoint], &[]).await?;
    assert!(threads(fixture.operator()?)?.iter().any(|name| name == EXPORTER));
    fixture.applied("orders", json!({})).await?;
    let log = fixture.operator()?.log_text()?;
    let pod = fixture.operator()?.pod_name().to_owned();
    // Buffered spans are exported when the operator stops, before the exporter's interval of 5 s is over.
    fixture.stop_operator().await?;

    let (root, calls) = creation(&collector.spans())?;
    let object = format!("{}/orders", fixture.namespace());
    assert_eq!(root.name, "reconcile");
    for (key, value) in [("object", object.as_str()), ("priority", "change"), ("result", "success")] {
        assert_eq!(root.attributes.get(key).map(String::as_str), Some(value), "{root:?}");
    }
    assert_eq!(root.error, None);
    let resource = |key: &str| root.resource.get(key).map(String::as_str);
    assert_eq!(resource("service.name"), Some("aurora-log-export-operator"));
    assert_eq!(resource("service.instance.id"), Some(pod.as_str()));

    for (name, wanted, outcome) in [
        ("iam.GetRole", format!("role {}.orders", fixture.namespace()), "not_found"),
        ("iam.CreateRole", format!("role {}.orders", fixture.namespace()), "success"),
        ("iam.AttachRolePolicy", format!("role {}.orders", fixture.namespace()), "success"),
        ("kubernetes.patch", format!("auroralogexportpolicy {object}"), "success"),
        ("kubernetes.patch", format!("status of auroralogexportpolicy {object}"), "success"),
    ] {
        let call = calls.iter().find(|call| call.name == name && call.attributes.get("resource") == Some(&wanted));
        let call = call.with_context(|| format!("no {name} of {wanted}: {calls:#?}"))?;
        assert_eq!(call.parent, root.id, "{call:?}");
        assert_eq!(call.attributes.get("outcome").map(String::as_str), Some(outcome), "{call:?}");
        assert_eq!(call.error, None, "what is not there is no failure: {call:?}");
        assert!(root.times.0 <= call.times.0 && call.times.1 <= root.times.1, "{call:?} in {root:?}");
    }
    for export in collector.exports() {
        assert_eq!(export.path, "/v1/traces");
        assert_eq!(export.headers.get("content-type").map(String::as_str), Some("application/x-protobuf"));
    }
    // The log has its key, and does not show the spans, even at level trace.
    assert!(log.contains(&format!("object={object}")), "{log}");
    assert!(!log.contains("iam.CreateRole") && !log.contains("otel."), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_call_that_aws_refuses_is_marked_in_its_trace() -> Result<()> {
    let (mut fixture, collector) = (prepare().await?, Collector::start().await?);
    // Once: the next attempt succeeds.
    fixture.set_faults([Rule::new(Effect::AccessDenied, &["AttachRolePolicy"]).times(1)]);
    let endpoint = format!("--otlp-endpoint={}", collector.url);
    start(&mut fixture, &[&endpoint], &[]).await?;
    fixture.applied("orders", json!({})).await?;
    fixture.stop_operator().await?;

    let spans = collector.spans();
    let refused = spans.iter().find(|span| span.name == "iam.AttachRolePolicy" && span.error.is_some());
    let refused = refused.with_context(|| format!("no refused call: {spans:#?}"))?;
    assert_eq!(refused.attributes.get("outcome").map(String::as_str), Some("access_denied"));
    let root = spans.iter().find(|span| span.id == refused.parent).context("no root")?;
    assert_eq!(root.attributes.get("result").map(String::as_str), Some("AccessDenied"));
    assert_eq!(root.error.as_deref(), Some("AccessDenied"));
    Ok(())
}

#[tokio::test]
async fn nothing_is_exported_unless_asked_for() -> Result<()> {
    let (mut fixture, collector) = (prepare().await?, Collector::start().await?);
    start(&mut fixture, &[], &[]).await?;
    fixture.applied("unasked", json!({})).await?;
    let running = threads(fixture.operator()?)?;
    fixture.stop_operator().await?;
    assert!(!running.is_empty() && !running.iter().any(|name| name == EXPORTER), "{running:?}");

    // An empty flag overrides an injected variable.
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str())];
    start(&mut fixture, &["--otlp-endpoint="], &variables).await?;
    fixture.applied("refused", json!({})).await?;
    let running = threads(fixture.operator()?)?;
    fixture.stop_operator().await?;
    assert!(!running.iter().any(|name| name == EXPORTER), "{running:?}");
    assert_eq!(collector.connections(), 0);
    Ok(())
}

#[tokio::test]
async fn the_standard_variables_are_honoured() -> Result<()> {
    let (mut fixture, collector) = (prepare().await?, Collector::start().await?);
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=shop"),
        ("OTEL_SERVICE_NAME", "renamed"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test"),
    ];
    start(&mut fixture, &[], &variables).await?;
    fixture.applied("orders", json!({})).await?;
    fixture.stop_operator().await?;
    let exports = collector.exports();
    let export = exports.first().context("nothing was exported")?;
    assert_eq!(export.headers.get("x-tenant").map(String::as_str), Some("shop"));
    let span = export.spans.first().context("no span")?;
    assert_eq!(span.resource.get("service.name").map(String::as_str), Some("renamed"));
    assert_eq!(span.resource.get("deployment.environment").map(String::as_str), Some("test"));
    Ok(())
}

#[tokio::test]
async fn a_collector_that_fails_costs_one_line_and_no_work() -> Result<()> {
    let (mut fixture, collector) = (prepare().await?, Collector::start().await?);
    collector.answers(503);
    let endpoint = format!("--otlp-endpoint={}", collector.url);
    start(&mut fixture, &[&endpoint], &[("OTEL_BSP_SCHEDULE_DELAY", "100")]).await?;
    fixture.applied("orders", json!({})).await?;
    let failures = |text: &str| text.matches("traces cannot be exported").count();
    wait_for("several refused exports", LIMIT, async || {
        ensure!(collector.requests() > 3, "{} requests", collector.requests());
        Ok(())
    })
    .await?;
    let log = fixture.operator()?.log_text()?;
    assert_eq!(failures(&log), 1, "{log}");
    assert!(log.contains("503") && log.contains(&collector.url), "{log}");

    collector.answers(200);
    wait_for("traces to arrive again", LIMIT, async || {
        ensure!(fixture.operator()?.log_text()?.contains("traces are exported again"), "not said yet");
        ensure!(!collector.spans().is_empty(), "no span");
        Ok(())
    })
    .await?;
    fixture.stop_operator().await?;
    Ok(())
}

#[tokio::test]
async fn a_collector_that_hangs_delays_the_end_by_two_seconds_at_most() -> Result<()> {
    let (mut fixture, collector) = (prepare().await?, Collector::start().await?);
    collector.answers(0);
    let endpoint = format!("--otlp-endpoint={}", collector.url);
    start(&mut fixture, &[&endpoint], &[("OTEL_BSP_SCHEDULE_DELAY", "100")]).await?;
    fixture.applied("orders", json!({})).await?;
    wait_for("an export", LIMIT, async || {
        ensure!(collector.requests() > 0, "no request");
        Ok(())
    })
    .await?;
    let told = Instant::now();
    fixture.stop_operator().await?;
    // Without the limit it would be the 5 s of an export; 2.5 s are for a busy machine.
    assert!(told.elapsed() < Duration::from_millis(4500), "{:?}", told.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_collector_with_tls_is_verified() -> Result<()> {
    let mut fixture = prepare().await?;
    // The API server has a certificate of its own authority, and knows nothing of traces.
    let kubeconfig = fixture.env.control_plane()?.kubeconfig();
    let cluster = kubeconfig.clusters.first().and_then(|cluster| cluster.cluster.as_ref());
    let cluster = cluster.context("no cluster")?;
    let server = cluster.server.as_deref().context("no server")?;
    let authority = cluster.certificate_authority.as_deref().context("no authority")?;
    let endpoint = format!("--otlp-endpoint={server}");
    for (roots, cause) in [(None, "certificate"), (Some(authority), "it answers 40")] {
        let mut variables = vec![("OTEL_BSP_SCHEDULE_DELAY", "100")];
        variables.extend(roots.map(|roots| ("SSL_CERT_FILE", roots)));
        start(&mut fixture, &[&endpoint], &variables).await?;
        fixture.applied(if roots.is_some() { "trusted" } else { "untrusted" }, json!({})).await?;
        wait_for("the failure to be told", LIMIT, async || {
            let log = fixture.operator()?.log_text()?;
            let line = log.lines().find(|line| line.contains("traces cannot be exported"));
            let line = line.context("not told yet")?;
            ensure!(line.contains(cause), "another cause than {cause:?}: {line}");
            Ok(())
        })
        .await?;
        fixture.stop_operator().await?;
    }
    Ok(())
}

#[tokio::test]
async fn traces_go_through_the_proxy() -> Result<()> {
    let (mut fixture, collector) = (prepare().await?, Collector::start().await?);
    let address = collector.url.trim_start_matches("http://").parse()?;
    let proxy = ConnectProxy::start(&[("collector.test", address)], Some("Basic bWU6czNjckB0")).await?;
    let url = format!("http://me:s3cr%40t@{}", proxy.addr());
    let variables = [("HTTP_PROXY", url.as_str()), ("NO_PROXY", "127.0.0.1")];
    start(&mut fixture, &["--otlp-endpoint=http://collector.test:4318"], &variables).await?;
    fixture.applied("orders", json!({})).await?;
    let log = fixture.operator()?.log().to_owned();
    fixture.stop_operator().await?;
    creation(&collector.spans())?;
    assert_eq!(proxy.forwarded(), ["POST collector.test:4318"]);
    let log = std::fs::read_to_string(log)?;
    assert!(!log.contains("s3cr") && !log.contains("bWU6"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_wrong_url_is_said_at_the_start() -> Result<()> {
    let output = tokio::process::Command::new(BINARY)
        .args(["run", "--otlp-endpoint=collector:4317"])
        .env_clear()
        .output()
        .await?;
    let text = String::from_utf8(output.stderr)?;
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("--otlp-endpoint") && text.contains("http://HOST:4318"), "{text}");
    Ok(())
}
