//! The main path: a manifest applied to a real cluster becomes Aurora's policy and role in AWS, and is deleted again.

use anyhow::{Context, Result, ensure};
use aurora_test_support::apply::manifest;
use aurora_test_support::wait::wait_for;
use serde_json::json;

use crate::emulators::MotoBystanders;
use crate::fixture::{Fixture, LIMIT};

#[tokio::test]
async fn an_empty_spec_becomes_the_guides_policy_and_its_deletion_leaves_nothing() -> Result<()> {
    let mut fixture = Fixture::with(&[]).prepare().await?;
    let (env, name) = (fixture.env, fixture.name("orders"));
    let bystanders = MotoBystanders::before(env, &name).await?;
    fixture.start_operator_on_moto().await?;
    env.apply_yaml(&manifest(fixture.namespace(), "orders", "{}")).await?;
    let ready = ["wait", "--for=condition=Ready", "alep/orders", "--timeout=30s"];
    fixture.kubectl(&ready).await.with_context(|| fixture.log())?;
    let arn = format!("arn:aws:iam::123456789012:policy/aurora-log-export/{name}");
    let document = env.aws().policy_document(&arn).await?;
    assert_eq!(
        document["Statement"][2],
        json!({
            "Sid": "EnableCreationAndManagementOfRDSCloudwatchLogGroups",
            "Effect": "Allow", "Action": "logs:CreateLogGroup", "Resource": "*",
        })
    );
    println!("{}", fixture.kubectl(&["get", "alep", "-o", "wide"]).await?);
    println!("{}", fixture.kubectl(&["describe", "alep"]).await?);
    fixture.kubectl(&["delete", "alep/orders", "--timeout=20s"]).await.with_context(|| fixture.log())?;
    wait_for("the policy to be deleted", LIMIT, async || {
        ensure!(env.aws().policy_document(&arn).await.is_err(), "it is still there");
        Ok(())
    })
    .await?;
    let metrics = fixture.operator()?.metrics().await?;
    let requests = metrics.lines().filter(|line| line.contains("iam_requests_total{"));
    println!("{}", requests.collect::<Vec<_>>().join("\n"));
    fixture.finish().await?;
    bystanders.untouched().await
}
