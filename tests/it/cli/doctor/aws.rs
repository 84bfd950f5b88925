//! What may be wrong in the account: rights, credentials, quotas, what was left behind.

use anyhow::{Result, ensure};
use aurora_test_support::iam_model::faults::{Effect, FaultPlan, Rule};
use aurora_test_support::iam_model::http::KeyState;
use aurora_test_support::iam_model::{CreatePolicy, CreateRole, Quotas, Simulation, Tags};
use aurora_test_support::moto::ACCESS_KEY;
use aurora_test_support::ports::free_port;

use super::super::ACCOUNT;
use super::Stage;

#[tokio::test]
async fn every_right_that_is_missing_in_aws_is_named() -> Result<()> {
    let stage = Stage::set().await?;
    let fix = "deploy/aws/operator-policy.json";
    for action in [
        "ListAttachedRolePolicies",
        "ListRolePolicies",
        "ListInstanceProfilesForRole",
        "GetPolicy",
        "GetPolicyVersion",
        "ListPolicyVersions",
        "ListEntitiesForPolicy",
    ] {
        let rule = Rule::new(Effect::AccessDenied, &[action]);
        stage.server.gate().set_faults(FaultPlan::of(1, vec![rule]));
        let message = format!("iam:{action} on arn:aws:iam::{ACCOUNT}:");
        stage.finds(&stage.cli, "permissions", &message, fix).await?;
    }
    let about_ours = Rule::new(Effect::AccessDenied, &["GetRole"]).about("probe");
    stage.server.gate().set_faults(FaultPlan::of(1, vec![about_ours]));
    stage.finds(&stage.cli, "permissions", "iam:GetRole on", fix).await?;
    let slow = Rule::new(Effect::Throttle, &["GetPolicy"]);
    stage.server.gate().set_faults(FaultPlan::of(1, vec![slow]));
    stage.finds(&stage.cli, "permissions", "throttles", "--iam-reads-per-second").await?;
    stage.server.gate().clear_faults();
    stage.healthy().await
}

/// Where IAM lets us simulate, the rights to write are checked as well, under the conditions that the policy has.
#[tokio::test]
async fn rights_to_write_are_checked_where_iam_simulates_them() -> Result<()> {
    let stage = Stage::set().await?;
    let simulate = |denied: &[&str], needs: &[(&str, &str)]| {
        let owned = |text: &&str| (*text).to_owned();
        let simulation = Simulation {
            denied: denied.iter().map(owned).collect(),
            needs: needs.iter().map(|(action, key)| (owned(action), owned(key))).collect(),
        };
        stage.server.world().configure(ACCOUNT, |settings, _| settings.simulation = Some(simulation));
    };
    simulate(&[], &[]);
    let report = stage.cli.json(&["doctor", "-o", "json"]).await?;
    let passed = report["passed"].to_string();
    ensure!(passed.contains("user/operator may make all 24 calls"), "{report:#}");
    stage.healthy().await?;

    let fix = "deploy/aws/operator-policy.json";
    for action in ["iam:CreateRole", "iam:DeletePolicyVersion", "iam:TagRole"] {
        simulate(&[action], &[]);
        stage.finds(&stage.cli, "permissions", &format!("{action} on arn:aws:iam::{ACCOUNT}:"), fix).await?;
    }
    // The policy's conditions are met by what an operator sends: its tags, and the policy it attaches.
    simulate(
        &[],
        &[
            ("iam:CreateRole", "aws:RequestTag/auroralogexport.dev/managed-by"),
            ("iam:DeleteRole", "aws:ResourceTag/auroralogexport.dev/managed-by"),
            ("iam:AttachRolePolicy", "iam:PolicyARN"),
        ],
    );
    stage.healthy().await?;

    // A boundary is not known to the doctor unless it is told.
    simulate(&[], &[("iam:CreateRole", "iam:PermissionsBoundary")]);
    let report = stage.cli.json(&["doctor", "-o", "json"]).await?;
    ensure!(
        report["healthy"] == true && report["skipped"].to_string().contains("--permissions-boundary"),
        "{report:#}"
    );
    let boundary = format!("arn:aws:iam::{ACCOUNT}:policy/boundary");
    let told = stage.cli.json(&["doctor", "-o", "json", "--permissions-boundary", &boundary]).await?;
    ensure!(told["passed"].to_string().contains("may make all 24 calls"), "{told:#}");
    Ok(())
}

#[tokio::test]
async fn wrong_credentials_are_told_apart() -> Result<()> {
    let stage = Stage::set().await?;
    let none = stage.cli.clone().without("AWS_ACCESS_KEY_ID");
    stage.finds(&none, "credentials", "NoCredentials", "check the operator's AWS credentials").await?;
    let other = stage.cli.clone().env("ALEP_ACCOUNT_ID", "999999999999");
    stage.finds(&other, "credentials", "expected is 999999999999", "--account-id").await?;
    let port = free_port()?;
    let nowhere = stage.cli.clone().env("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{port}"));
    stage.finds(&nowhere, "credentials", "could not be reached", "AWS_ENDPOINT_URL").await?;
    for (state, code) in [(KeyState::Revoked, "InvalidClientTokenId"), (KeyState::Expired, "ExpiredToken")] {
        stage.server.world().set_key_state(ACCESS_KEY, state);
        stage.finds(&stage.cli, "credentials", code, "check the operator's AWS credentials").await?;
    }
    stage.server.world().set_key_state(ACCESS_KEY, KeyState::Active);
    stage.healthy().await
}

#[tokio::test]
async fn what_is_wrong_in_the_account_is_found() -> Result<()> {
    let stage = Stage::set().await?;
    let uid = stage.env.kubectl(&["get", "ns", "kube-system", "-o", "jsonpath={.metadata.uid}"]).await?;
    let account = stage.server.world().account(ACCOUNT);
    let report = stage.cli.json(&["doctor", "-o", "json"]).await?;
    ensure!(report["passed"].to_string().contains("has no AWSServiceRoleForRDS: log exports need it"), "{report:#}");
    account.lock().plant_service_linked_role("AWSServiceRoleForRDS", "rds.amazonaws.com");
    let report = stage.cli.json(&["doctor", "-o", "json"]).await?;
    ensure!(report["passed"].to_string().contains("has AWSServiceRoleForRDS: log exports use it"), "{report:#}");
    account.lock().remove_service_linked_role("AWSServiceRoleForRDS");

    let trust = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"rds.amazonaws.com"},"Action":"sts:AssumeRole"}}"#;
    let role = |tags: Tags| CreateRole {
        name: "left-behind".into(),
        path: Some("/aurora-log-export/".into()),
        trust: trust.into(),
        tags,
        ..CreateRole::default()
    };
    account.lock().create_role(&role(stage.ownership("gone", &uid)))?;
    let message = format!(
        "role arn:aws:iam::{ACCOUNT}:role/aurora-log-export/left-behind has the owner tag {}/gone",
        stage.namespace
    );
    stage.finds(&stage.cli, "orphans", &message, "delete the role").await?;

    stage.server.world().configure(ACCOUNT, |_, quotas| quotas.roles = 4);
    let both = stage.cli.json(&["doctor", "-o", "json", "--ignore", "orphans"]).await?;
    assert_eq!(both["findings"][0]["message"], "4 of 4 roles of the account are used", "{both}");
    stage.server.world().configure(ACCOUNT, |_, quotas| *quotas = Quotas::default());
    account.lock().delete_role("left-behind")?;

    let made = account.lock().create_policy(&CreatePolicy {
        name: "left".into(),
        path: Some("/aurora-log-export/".into()),
        document:
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"logs:PutLogEvents","Resource":"*"}}"#
                .into(),
        tags: stage.ownership("gone", &uid),
        ..CreatePolicy::default()
    })?;
    stage.finds(&stage.cli, "orphans", "policy/aurora-log-export/left", "delete the policy").await?;
    stage.server.world().configure(ACCOUNT, |_, quotas| quotas.policies = 1);
    let both = stage.cli.json(&["doctor", "-o", "json", "--ignore", "orphans"]).await?;
    assert_eq!(both["findings"][0]["check"], "quotas", "{both}");
    stage.server.world().configure(ACCOUNT, |_, quotas| *quotas = Quotas::default());
    account.lock().delete_policy(&made.arn)?;
    // Another cluster's are none of our business.
    account.lock().create_role(&role(stage.ownership("gone", "another-uid")))?;
    stage.healthy().await
}
