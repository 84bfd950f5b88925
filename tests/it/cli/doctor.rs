//! `doctor` finds what is planted, with its fix, and has one line for a healthy system.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aurora_test_support::controlplane::{ControlPlane, ControlPlaneOptions};
use aurora_test_support::environment::Environment;
use aurora_test_support::iam_model::faults::{Effect, FaultPlan, Rule};
use aurora_test_support::iam_model::http::{KeyState, Server};
use aurora_test_support::iam_model::{CreatePolicy, CreateRole, Quotas, Simulation, Tags};
use aurora_test_support::moto::ACCESS_KEY;
use aurora_test_support::paths::RunDir;
use aurora_test_support::ports::free_port;
use serde_json::{Value, json};

use super::{ACCOUNT, Cli, directory, iam};
use crate::environment;

const CLUSTER: &str = "doctored";

/// A system of the test's own: a namespace with a leader, an account, and a healthy doctor.
struct Stage {
    env: &'static Environment,
    namespace: String,
    server: Server,
    cli: Cli,
}

impl Stage {
    async fn set() -> Result<Self> {
        let env = environment().await?;
        let namespace = env.namespace().await?;
        let server = iam()?;
        let cli = Cli::new(env, &server.url())
            .env("ALEP_CLUSTER_NAME", CLUSTER)
            .env("ALEP_NAMESPACE", &namespace)
            .env("ALEP_OPERATOR_NAMESPACE", &namespace);
        let stage = Self { env, namespace, server, cli };
        stage.lease(0).await?;
        Ok(stage)
    }

    /// The Lease, renewed so many seconds ago.
    async fn lease(&self, seconds: i64) -> Result<()> {
        let renewed = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds);
        let yaml = format!(
            "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {{name: aurora-log-export-operator, namespace: {}}}\nspec: {{holderIdentity: pod-1, leaseDurationSeconds: 60, renewTime: \"{renewed:.6}\"}}\n",
            self.namespace
        );
        self.env.apply_yaml(&yaml).await.map(drop)
    }

    async fn object(&self, name: &str, spec: &str) -> Result<()> {
        let yaml = format!(
            "apiVersion: auroralogexport.dev/v1alpha1\nkind: AuroraLogExportPolicy\nmetadata: {{name: {name}, namespace: {}}}\nspec: {spec}\n",
            self.namespace
        );
        self.env.apply_yaml(&yaml).await.map(drop)
    }

    /// The one finding that there must be: check, and parts of message and fix.
    async fn finds(&self, cli: &Cli, check: &str, message: &str, fix: &str) -> Result<()> {
        let report = cli.json(&["doctor", "-o", "json"]).await?;
        let found = report["findings"].as_array().context("no findings")?;
        let has = |value: &Value, part: &str| value.as_str().is_some_and(|text| text.contains(part));
        ensure!(
            found.iter().any(|it| it["check"] == check && has(&it["message"], message) && has(&it["fix"], fix)),
            "{check}: {message} / {fix}: {report:#}"
        );
        ensure!(report["healthy"] == false);
        ensure!(found.iter().all(|it| it["check"] == check), "{check} alone was planted: {report:#}");
        Ok(())
    }

    async fn healthy(&self) -> Result<()> {
        let outcome = self.cli.run(&["doctor"]).await?;
        ensure!(
            outcome.code == 0 && outcome.stdout.starts_with("healthy: ") && outcome.stdout.lines().count() == 1,
            "{outcome:?}"
        );
        ensure!(outcome.stderr.is_empty(), "{outcome:?}");
        Ok(())
    }

    fn ownership(&self, owner: &str, uid: &str) -> Tags {
        [
            ("auroralogexport.dev/managed-by", CLUSTER.to_owned()),
            ("auroralogexport.dev/cluster-uid", uid.to_owned()),
            ("auroralogexport.dev/owner", format!("{}/{owner}", self.namespace)),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }
}

#[tokio::test]
async fn a_healthy_system_gets_one_line_within_five_seconds() -> Result<()> {
    let stage = Stage::set().await?;
    let began = Instant::now();
    stage.healthy().await?;
    let took = began.elapsed();
    ensure!(took < Duration::from_secs(5), "it took {took:?}");
    Ok(())
}

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
    account.lock().plant_service_linked_role("AWSServiceRoleForRDS", "rds.amazonaws.com");
    // RDS made it and logs may well flow: to know, not to fail on.
    let warned = stage.cli.ok(&["doctor"]).await?;
    let lines: Vec<&str> = warned.lines().collect();
    assert!(lines[0].starts_with("! service-linked-role: ") && lines[0].contains("overrides"), "{warned}");
    assert!(lines[1].contains("--ignore service-linked-role"), "{warned}");
    assert!(lines[2].starts_with("healthy: ") && lines[2].contains("1 warning") && lines.len() == 3, "{warned}");
    let report = stage.cli.json(&["doctor", "-o", "json"]).await?;
    assert_eq!(
        (&report["healthy"], &report["findings"][0]["severity"]),
        (&json!(true), &json!("warning")),
        "{report:#}"
    );
    let hidden = stage.cli.ok(&["doctor", "--ignore", "service-linked-role"]).await?;
    assert!(hidden.starts_with("healthy: ") && !hidden.contains("warning"), "{hidden}");
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
        "role arn:aws:iam::{ACCOUNT}:role/aurora-log-export/left-behind is tagged as {}/gone's",
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

#[tokio::test]
async fn what_is_wrong_in_the_cluster_is_found() -> Result<()> {
    let stage = Stage::set().await?;
    let (env, namespace) = (stage.env, stage.namespace.as_str());

    stage.lease(3600).await?;
    stage.finds(&stage.cli, "leader", "pod-1 has not renewed", "kubectl get pods").await?;
    env.kubectl(&["delete", "lease", "aurora-log-export-operator", "-n", namespace]).await?;
    stage.finds(&stage.cli, "leader", "no operator has led here", "--operator-namespace").await?;
    stage.lease(0).await?;

    let lost = stage.cli.clone().env("ALEP_CONTEXT", "lost");
    let report = lost.json(&["doctor", "-o", "json"]).await?;
    assert_eq!(report["findings"][0]["check"], "api-server", "{report}");

    let text = std::fs::read_to_string(env.kubeconfig())?;
    let server = text.lines().find_map(|line| line.trim().strip_prefix("server: ")).context("no server")?;
    let closed = format!("https://127.0.0.1:{}", free_port()?);
    let file = directory(env, namespace)?.join("closed.kubeconfig");
    std::fs::write(&file, text.replace(server.trim_matches('"'), &closed))?;
    let unreachable = stage.cli.clone().env("KUBECONFIG", &file.display().to_string());
    stage.finds(&unreachable, "api-server", "cannot be reached", "--context").await?;

    stage.object("stuck", "{}").await?;
    let conflict = json!({ "status": { "observedGeneration": 1, "conditions": [{
        "type": "Ready", "status": "False", "reason": "Conflict", "message": "role x belongs to web/x",
        "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1 }] } });
    let patch = ["patch", "alep/stuck", "-n", namespace, "--subresource=status", "--type=merge", "-p"];
    env.kubectl(&[&patch[..], &[conflict.to_string().as_str()]].concat()).await?;
    stage
        .finds(&stage.cli, "objects", "stuck is not ready: Conflict: role x belongs to web/x", "kubectl alep explain")
        .await?;
    env.kubectl(&["delete", "alep/stuck", "-n", namespace]).await?;

    stage.object("homeless", "{accountRef: {name: nowhere-at-all}}").await?;
    stage.finds(&stage.cli, "accounts", "AwsAccount nowhere-at-all", "make it").await?;
    env.kubectl(&["delete", "alep/homeless", "-n", namespace]).await?;
    stage.healthy().await?;

    env.kubectl(&["create", "serviceaccount", "weak", "-n", namespace]).await?;
    let weak = stage.cli.clone().env("ALEP_OPERATOR_SERVICE_ACCOUNT", &format!("{namespace}/weak"));
    for right in [
        "list auroralogexportpolicies in namespace",
        "patch auroralogexportpolicies/status in namespace",
        "watch awsaccounts in the whole cluster",
        "get namespaces in the whole cluster",
        "create events in namespace",
        "update leases in namespace",
    ] {
        let message = format!("ServiceAccount {namespace}/weak may not {right}");
        stage.finds(&weak, "rbac", &message, "clusterrole.yaml").await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_operators_own_rights_and_token_are_enough_for_a_look() -> Result<()> {
    let stage = Stage::set().await?;
    let access = stage.env.install_rbac().await?;
    let shipped = format!("{}/{}", access.namespace, access.service_account);
    let as_admin = stage
        .cli
        .clone()
        .env("ALEP_OPERATOR_SERVICE_ACCOUNT", &shipped)
        .env("ALEP_OPERATOR_NAMESPACE", &access.namespace);
    as_admin.ok(&["doctor", "--ignore", "leader"]).await?;
    let as_operator = stage
        .cli
        .clone()
        .env("KUBECONFIG", &access.kubeconfig.display().to_string())
        .env("ALEP_OPERATOR_NAMESPACE", &access.namespace);
    as_operator.ok(&["doctor", "--ignore", "leader"]).await?;
    Ok(())
}

/// A control plane of its own, since CRDs are everybody's.
#[tokio::test]
async fn crds_that_are_missing_or_of_another_version_are_found() -> Result<()> {
    let stage = Stage::set().await?;
    let run = RunDir::create()?;
    let control_plane = ControlPlane::start(run.path(), ControlPlaneOptions::default()).await?;
    let cli = stage
        .cli
        .clone()
        .env("KUBECONFIG", &control_plane.kubeconfig_path().display().to_string())
        .env("ALEP_OPERATOR_NAMESPACE", "default");
    let fix = "kubectl apply --server-side";
    let report = cli.json(&["doctor", "-o", "json", "--ignore", "leader"]).await?;
    for (index, name) in ["auroralogexportpolicies", "awsaccounts"].into_iter().enumerate() {
        let finding = &report["findings"][index];
        assert_eq!(
            finding["message"],
            json!(format!("the CRD {name}.auroralogexport.dev is not installed")),
            "{report:#}"
        );
        assert!(finding["fix"].as_str().is_some_and(|text| text.contains(fix)), "{report:#}");
    }
    let config = control_plane.kubeconfig_path();
    let crds = cli.ok(&["crd"]).await?;
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    stage.env.kubectl_with(&config, &apply, Some(&crds)).await?;
    let waited = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"];
    stage.env.kubectl_with(&config, &waited, None).await?;
    cli.ok(&["doctor", "--ignore", "leader"]).await?;

    let older = crds.replace("maxLength: 1000", "maxLength: 999");
    ensure!(older != crds, "nothing was replaced");
    stage.env.kubectl_with(&config, &apply, Some(&older)).await?;
    let report = cli.json(&["doctor", "-o", "json", "--ignore", "leader"]).await?;
    let message = report["findings"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains("of another version: the schema differs"), "{report:#}");
    Ok(())
}
