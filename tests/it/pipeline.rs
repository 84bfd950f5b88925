//! The main path: a manifest applied to a real cluster becomes Aurora's policy and role in AWS, and goes again.

use std::time::Duration;

use anyhow::{Result, ensure};
use aurora_test_support::operator::{Operator, OperatorOptions};
use aurora_test_support::wait::wait_for;
use serde_json::{Value, json};

use crate::emulators::MotoBystanders;
use crate::environment;

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn an_empty_spec_becomes_the_guides_policy_and_its_deletion_leaves_nothing() -> Result<()> {
    let env = environment().await?;
    let namespace = env.namespace().await?;
    let bystanders = MotoBystanders::before(env, &format!("{namespace}.orders")).await?;
    let watch = format!("--watch-namespace={namespace}");
    let operator = Operator::start(
        env,
        OperatorOptions::new(env!("CARGO_BIN_EXE_aurora-log-export-operator")).arguments([
            watch.as_str(),
            "--cluster-name=pipeline",
            "--log-filter=info,aurora_log_export_operator=debug",
        ]),
    )
    .await?;
    env.apply_yaml(&format!(
        "apiVersion: auroralogexport.dev/v1alpha1\nkind: AuroraLogExportPolicy\nmetadata: {{name: orders, namespace: {namespace}}}\nspec: {{}}\n"
    ))
    .await?;
    let ready = env.kubectl(&["wait", "--for=condition=Ready", "alep/orders", "-n", &namespace, "--timeout=30s"]).await;
    ensure!(
        ready.is_ok(),
        "{ready:?}\n{}\n{}",
        operator.log_text()?,
        env.kubectl(&["get", "alep", "-n", &namespace, "-o", "yaml"]).await?
    );
    let name = format!("{namespace}.orders");
    let arn = format!("arn:aws:iam::123456789012:policy/aurora-log-export/{name}");
    let document = env.aws().policy_document(&arn).await?;
    assert_eq!(
        document["Statement"][2],
        json!({
            "Sid": "EnableCreationAndManagementOfRDSCloudwatchLogGroups",
            "Effect": "Allow", "Action": "logs:CreateLogGroup", "Resource": "*",
        })
    );
    println!("{}", env.kubectl(&["get", "alep", "-n", &namespace, "-o", "wide"]).await?);
    println!("{}", env.kubectl(&["describe", "alep", "-n", &namespace]).await?);
    println!("{}", operator.log_text()?);
    env.kubectl(&["delete", "alep/orders", "-n", &namespace, "--timeout=20s"])
        .await
        .inspect_err(|_| println!("{}", operator.log_text().unwrap_or_default()))?;
    let gone: Value = wait_for("the policy to go", LIMIT, async || {
        ensure!(env.aws().policy_document(&arn).await.is_err(), "it is still there");
        Ok(Value::Null)
    })
    .await?;
    let _ = gone;
    println!(
        "{}",
        operator
            .metrics()
            .await?
            .lines()
            .filter(|line| line.contains("iam_requests_total{"))
            .collect::<Vec<_>>()
            .join("\n")
    );
    operator.stop().await?;
    bystanders.untouched().await
}
