//! What may be wrong in the cluster: leader, API server, objects, rights, CRDs.

use anyhow::{Result, ensure};
use aurora_test_support::controlplane::{ControlPlane, ControlPlaneOptions};
use aurora_test_support::paths::RunDir;
use serde_json::json;

use super::super::{directory, kubeconfig_of_closed_port};
use super::Stage;

#[tokio::test]
async fn what_is_wrong_in_the_cluster_is_found() -> Result<()> {
    let stage = Stage::set().await?;
    let (env, namespace) = (stage.env, stage.namespace.as_str());

    stage.lease(3600).await?;
    stage.finds(&stage.cli, "leader", "pod-1 has not renewed", "kubectl get pods").await?;
    env.kubectl(&["delete", "lease", "aurora-log-export-operator", "-n", namespace]).await?;
    stage.finds(&stage.cli, "leader", "no operator has been the leader here", "--operator-namespace").await?;
    stage.lease(0).await?;

    let lost = stage.cli.clone().env("ALEP_CONTEXT", "lost");
    let report = lost.json(&["doctor", "-o", "json"]).await?;
    assert_eq!(report["findings"][0]["check"], "api-server", "{report}");

    let closed = kubeconfig_of_closed_port(env, &directory(env, namespace)?)?;
    let unreachable = stage.cli.clone().env("KUBECONFIG", &closed);
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
    stage.finds(&stage.cli, "accounts", "AwsAccount nowhere-at-all", "create it").await?;
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
        let message = format!("ServiceAccount {namespace}/weak cannot {right}");
        let fix = if right.ends_with("in the whole cluster") { "ClusterRole" } else { "clusterrole.yaml" };
        stage.finds(&weak, "rbac", &message, fix).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_operators_own_rights_and_token_are_enough_for_doctor() -> Result<()> {
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
    assert!(message.contains("from another version: the schema differs"), "{report:#}");
    Ok(())
}
