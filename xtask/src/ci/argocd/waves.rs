//! Sync waves: the account first, its policies once the account is Healthy.

use anyhow::{Context, Result, ensure};
use aurora_test_support::iam_model::faults::{Effect, Rule};

use super::stage::{Stage, Variant, complete, iam_name};

const APP: &str = "waves";
const ACCOUNT: &str = "444455556666";
const MANIFESTS: &str = r#"apiVersion: auroralogexport.dev/v1alpha1
kind: AwsAccount
metadata:
  name: waves
  annotations:
    argocd.argoproj.io/sync-wave: "-1"
spec:
  accountId: "444455556666"
  assumeRole:
    roleArn: arn:aws:iam::444455556666:role/aurora-log-export-operator
  allowedNamespaces:
    names: [waves]
---
apiVersion: auroralogexport.dev/v1alpha1
kind: AuroraLogExportPolicy
metadata:
  name: audit
spec:
  accountRef:
    name: waves
"#;

pub(super) async fn account_before_policies(stage: &mut Stage) -> Result<()> {
    stage.refuse(vec![Rule::new(Effect::ServiceFailure, &["AssumeRole"])]);
    let commit = stage.git.push("An account and its policy", &[("waves/all.yaml", Some(MANIFESTS))])?;
    stage.create_app(APP, Variant::default()).await?;
    stage
        .until(APP, "waiting for its account", |seen| seen.revision == commit && seen.message.contains("AwsAccount"))
        .await?;
    stage.until_compared_again(APP, 2).await?;
    let policies = stage.env.kubectl(&["-n", APP, "get", "alep", "-o", "name"]).await?;
    ensure!(policies.trim().is_empty(), "applied before the account was Healthy: {policies}");
    stage.say("7. AwsAccount in wave -1 not yet Healthy: the policy of wave 0 is not applied");
    stage.aws.gate().clear_faults();
    stage.until_state(APP, &commit, "Synced Healthy").await?;
    let account = stage.aws.world().existing(ACCOUNT).context("the account was not used")?;
    ensure!(complete(&account.lock().snapshot(), &iam_name(APP, "audit")), "Healthy without IAM's being complete");
    stage.say("7. account reachable: both waves applied, Synced, Healthy");
    Ok(())
}
