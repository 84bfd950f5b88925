//! Traces by OTLP: what a collector is sent, and that nothing depends on it.

mod collector;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aurora_test_support::environment::Environment;
use aurora_test_support::iam_model::faults::{Effect, FaultPlan, Rule};
use aurora_test_support::iam_model::http::{Defaults, Server};
use aurora_test_support::operator::{Operator, OperatorOptions};
use aurora_test_support::wait::wait_for;

use crate::emulators::aws_with;
use crate::environment;
use collector::{Collector, Span};

const LIMIT: Duration = Duration::from_mins(1);
const ACCOUNT: &str = "111122223333";
/// The exporter's thread, as the kernel shows it: cut at 15 characters.
const EXPORTER: &str = "OpenTelemetry.T";

struct Setting {
    env: &'static Environment,
    namespace: String,
    server: Server,
}

impl Setting {
    async fn new() -> Result<Self> {
        let env = environment().await?;
        Ok(Self {
            env,
            namespace: env.namespace().await?,
            server: aws_with(Defaults { account_of_unknown_keys: Some(ACCOUNT.to_owned()), ..Defaults::default() })?,
        })
    }

    async fn operator(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Operator> {
        let own = [
            format!("--watch-namespace={}", self.namespace),
            format!("--cluster-name={}", self.namespace),
            "--log-filter=info,aurora_log_export_operator=trace".to_owned(),
        ];
        let mut options = OperatorOptions::new(env!("CARGO_BIN_EXE_aurora-log-export-operator"))
            .arguments(own.iter().map(String::as_str))
            .arguments(arguments.iter().copied())
            .aws_endpoint(&self.server.url());
        for (name, value) in variables {
            options = options.env(name, value);
        }
        Operator::start(self.env, options).await
    }

    async fn apply(&self, name: &str) -> Result<()> {
        let namespace = &self.namespace;
        self.env
            .apply_yaml(&format!(
                "apiVersion: auroralogexport.dev/v1alpha1\nkind: AuroraLogExportPolicy\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{}}\n"
            ))
            .await?;
        let object = format!("alep/{name}");
        let arguments = ["wait", "--for=condition=Ready", &object, "-n", namespace, "--timeout=60s"];
        self.env.kubectl(&arguments).await?;
        Ok(())
    }
}

/// Names of its threads.
fn threads(operator: &Operator) -> Result<Vec<String>> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", operator.id()))?;
    // A thread may end between the two looks.
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
    let (setting, collector) = (Setting::new().await?, Collector::start().await?);
    let endpoint = format!("--otlp-endpoint={}", collector.url);
    let operator = setting.operator(&[&endpoint], &[]).await?;
    assert!(threads(&operator)?.iter().any(|name| name == EXPORTER));
    setting.apply("orders").await?;
    let log = operator.log_text()?;
    let pod = operator.pod_name().to_owned();
    // What is held back is sent at the end: well before the exporter's own pace, 5 s, on any machine but a stuck one.
    operator.stop().await?;

    let (root, calls) = creation(&collector.spans())?;
    let object = format!("{}/orders", setting.namespace);
    assert_eq!(root.name, "reconcile");
    for (key, value) in [("object", object.as_str()), ("priority", "change"), ("result", "success")] {
        assert_eq!(root.attributes.get(key).map(String::as_str), Some(value), "{root:?}");
    }
    assert_eq!(root.error, None);
    let resource = |key: &str| root.resource.get(key).map(String::as_str);
    assert_eq!(resource("service.name"), Some("aurora-log-export-operator"));
    assert_eq!(resource("service.instance.id"), Some(pod.as_str()));

    for (name, wanted, outcome) in [
        ("iam.GetRole", format!("role {}.orders", setting.namespace), "not_found"),
        ("iam.CreateRole", format!("role {}.orders", setting.namespace), "success"),
        ("iam.AttachRolePolicy", format!("role {}.orders", setting.namespace), "success"),
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
    // The log keeps its key, and does not show what is for traces, even at its loudest.
    assert!(log.contains(&format!("object={object}")), "{log}");
    assert!(!log.contains("iam.CreateRole") && !log.contains("otel."), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_call_that_aws_refuses_is_marked_in_its_trace() -> Result<()> {
    let (setting, collector) = (Setting::new().await?, Collector::start().await?);
    // Once: the next try goes through.
    let refuse = Rule::new(Effect::AccessDenied, &["AttachRolePolicy"]).times(1);
    setting.server.gate().set_faults(FaultPlan::of(1, vec![refuse]));
    let endpoint = format!("--otlp-endpoint={}", collector.url);
    let operator = setting.operator(&[&endpoint], &[]).await?;
    setting.apply("orders").await?;
    operator.stop().await?;

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
    let (setting, collector) = (Setting::new().await?, Collector::start().await?);
    let operator = setting.operator(&[], &[]).await?;
    setting.apply("unasked").await?;
    let running = threads(&operator)?;
    operator.stop().await?;
    assert!(!running.is_empty() && !running.iter().any(|name| name == EXPORTER), "{running:?}");

    // An empty flag says no to a variable that was injected.
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str())];
    let operator = setting.operator(&["--otlp-endpoint="], &variables).await?;
    setting.apply("refused").await?;
    let running = threads(&operator)?;
    operator.stop().await?;
    assert!(!running.iter().any(|name| name == EXPORTER), "{running:?}");
    assert_eq!(collector.connections(), 0);
    Ok(())
}

#[tokio::test]
async fn the_standard_variables_are_honoured() -> Result<()> {
    let (setting, collector) = (Setting::new().await?, Collector::start().await?);
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=shop"),
        ("OTEL_SERVICE_NAME", "renamed"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test"),
    ];
    let operator = setting.operator(&[], &variables).await?;
    setting.apply("orders").await?;
    operator.stop().await?;
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
    let (setting, collector) = (Setting::new().await?, Collector::start().await?);
    collector.answers(503);
    let endpoint = format!("--otlp-endpoint={}", collector.url);
    let arguments = [endpoint.as_str(), "--drift-check-interval=1s"];
    let operator = setting.operator(&arguments, &[("OTEL_BSP_SCHEDULE_DELAY", "100")]).await?;
    setting.apply("orders").await?;
    let failures = |text: &str| text.matches("traces cannot be exported").count();
    wait_for("several refused exports", LIMIT, async || {
        ensure!(collector.requests() > 3, "{} requests", collector.requests());
        Ok(())
    })
    .await?;
    let log = operator.log_text()?;
    assert_eq!(failures(&log), 1, "{log}");
    assert!(log.contains("503") && log.contains(&collector.url), "{log}");

    collector.answers(200);
    wait_for("traces to arrive again", LIMIT, async || {
        ensure!(operator.log_text()?.contains("traces are exported again"), "not said yet");
        ensure!(!collector.spans().is_empty(), "no span");
        Ok(())
    })
    .await?;
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_collector_that_hangs_delays_the_end_by_two_seconds_at_most() -> Result<()> {
    let (setting, collector) = (Setting::new().await?, Collector::start().await?);
    collector.answers(0);
    let endpoint = format!("--otlp-endpoint={}", collector.url);
    let operator = setting.operator(&[&endpoint], &[("OTEL_BSP_SCHEDULE_DELAY", "100")]).await?;
    setting.apply("orders").await?;
    wait_for("an export", LIMIT, async || {
        ensure!(collector.requests() > 0, "no request");
        Ok(())
    })
    .await?;
    let told = Instant::now();
    operator.stop().await?;
    // Without the limit it would be the 5 s of an export; what comes on top of 2 s is the machine's.
    assert!(told.elapsed() < Duration::from_millis(4500), "{:?}", told.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_collector_with_tls_is_verified() -> Result<()> {
    let setting = Setting::new().await?;
    // The API server has a certificate of its own authority, and knows nothing of traces.
    let kubeconfig = setting.env.control_plane()?.kubeconfig();
    let cluster = kubeconfig.clusters.first().and_then(|cluster| cluster.cluster.as_ref());
    let cluster = cluster.context("no cluster")?;
    let server = cluster.server.as_deref().context("no server")?;
    let authority = cluster.certificate_authority.as_deref().context("no authority")?;
    let endpoint = format!("--otlp-endpoint={server}");
    for (roots, cause) in [(None, "certificate"), (Some(authority), "it answers 40")] {
        let mut variables = vec![("OTEL_BSP_SCHEDULE_DELAY", "100")];
        variables.extend(roots.map(|roots| ("SSL_CERT_FILE", roots)));
        let operator = setting.operator(&[&endpoint], &variables).await?;
        setting.apply(if roots.is_some() { "trusted" } else { "untrusted" }).await?;
        wait_for("the failure to be told", LIMIT, async || {
            let log = operator.log_text()?;
            let line = log.lines().find(|line| line.contains("traces cannot be exported"));
            let line = line.context("not told yet")?;
            ensure!(line.contains(cause), "another cause than {cause:?}: {line}");
            Ok(())
        })
        .await?;
        operator.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_url_is_said_at_the_start() -> Result<()> {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_aurora-log-export-operator"))
        .args(["run", "--otlp-endpoint=collector:4317"])
        .env_clear()
        .output()
        .await?;
    let text = String::from_utf8(output.stderr)?;
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("--otlp-endpoint") && text.contains("http://HOST:4318"), "{text}");
    Ok(())
}
