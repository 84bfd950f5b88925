//! A panic stays local: the object or the sweep that panics is retried, everything else goes on.

use std::time::Duration;

use anyhow::{Result, ensure};
use aurora_test_support::operator::{Operator, OperatorOptions};
use aurora_test_support::wait::wait_for;

use crate::emulators::aws;
use crate::environment;

const ACCOUNT: &str = "222233334444";
const LIMIT: Duration = Duration::from_mins(1);
const OBJECTS: usize = 50;

/// The debug build panics where this variable says (`telemetry::panics::inject`).
const INJECT: &str = "ALEP_TEST_PANIC";

#[tokio::test]
async fn a_panic_in_one_of_fifty_objects_leaves_the_others_and_the_process_alone() -> Result<()> {
    let env = environment().await?;
    let (aws, namespace) = (aws()?, env.namespace().await?);
    aws.world().add_key("test", ACCOUNT);
    let options = OperatorOptions::new(env!("CARGO_BIN_EXE_aurora-log-export-operator"))
        .arguments([format!("--watch-namespace={namespace}").as_str()])
        .aws_endpoint(&aws.url())
        .env(INJECT, &format!("{namespace}/o7"));
    let mut operator = Operator::start(env, options).await?;
    let manifest = |number| {
        format!(
            "apiVersion: auroralogexport.dev/v1alpha1\nkind: AuroraLogExportPolicy\n\
             metadata: {{name: o{number}, namespace: {namespace}}}\nspec: {{}}\n"
        )
    };
    env.apply_yaml(&(0..OBJECTS).map(manifest).collect::<Vec<_>>().join("---\n")).await?;
    let ready = async || {
        let jsonpath = r#"-o=jsonpath={.items[?(@.status.conditions[0].status=="True")].metadata.name}"#;
        let names = env.kubectl(&["get", "alep", "-n", &namespace, jsonpath]).await?;
        anyhow::Ok(names.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    };
    wait_for("49 of 50 objects to be ready", LIMIT, async || {
        let ready = ready().await?;
        ensure!(ready.len() == OBJECTS - 1, "{} are ready", ready.len());
        ensure!(!ready.contains(&"o7".to_owned()), "the object that panics cannot be ready");
        Ok(())
    })
    .await?;
    wait_for("the panic to be retried with backoff, and counted", LIMIT, async || {
        let panics = operator.metric("auroralogexport_reconcile_total", &[("result", "panic")]).await?;
        ensure!(panics >= 2.0, "{panics} panics were counted");
        Ok(())
    })
    .await?;
    operator.check_alive()?;
    let log = operator.log_text()?;
    let line = log.lines().find(|line| line.contains("panic: injected")).unwrap_or_default();
    ensure!(line.contains(&format!("object={namespace}/o7")) && line.contains("src/telemetry/panics.rs"), "{line}");
    operator.stop().await.map(drop)
}

#[tokio::test]
async fn a_panic_in_a_sweep_is_counted_and_reconciles_go_on() -> Result<()> {
    let env = environment().await?;
    let (aws, namespace) = (aws()?, env.namespace().await?);
    aws.world().add_key("test", ACCOUNT);
    let options = OperatorOptions::new(env!("CARGO_BIN_EXE_aurora-log-export-operator"))
        .arguments([
            format!("--watch-namespace={namespace}").as_str(),
            "--drift-scan=bulk",
            "--drift-check-interval=1s",
        ])
        .aws_endpoint(&aws.url())
        .env(INJECT, "sweep own");
    let mut operator = Operator::start(env, options).await?;
    env.apply_yaml(&format!(
        "apiVersion: auroralogexport.dev/v1alpha1\nkind: AuroraLogExportPolicy\n\
         metadata: {{name: orders, namespace: {namespace}}}\nspec: {{}}\n"
    ))
    .await?;
    env.kubectl(&["wait", "--for=condition=Ready", "alep/orders", "-n", &namespace, "--timeout=60s"]).await?;
    wait_for("sweeps that panic to be counted", LIMIT, async || {
        let panics = operator.metric("auroralogexport_reconcile_total", &[("result", "panic")]).await?;
        ensure!(panics >= 2.0, "{panics} panics were counted");
        Ok(())
    })
    .await?;
    operator.check_alive()?;
    operator.stop().await.map(drop)
}

#[tokio::test]
async fn a_panic_anywhere_else_ends_the_process_with_a_message() -> Result<()> {
    let env = environment().await?;
    let (aws, namespace) = (aws()?, env.namespace().await?);
    aws.world().add_key("test", ACCOUNT);
    let options = OperatorOptions::new(env!("CARGO_BIN_EXE_aurora-log-export-operator"))
        .arguments([format!("--watch-namespace={namespace}").as_str()])
        .aws_endpoint(&aws.url())
        .env(INJECT, "controller");
    let mut operator = Operator::start(env, options).await?;
    wait_for("the process to end", LIMIT, async || {
        ensure!(operator.check_alive().is_err(), "it is still there");
        Ok(())
    })
    .await?;
    let log = operator.log_text()?;
    ensure!(log.contains("panic: injected at controller") && log.contains("the process exits"), "{log}");
    Ok(())
}
