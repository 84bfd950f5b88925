//! Backup and restore as `docs/upgrading.md` describes them: the objects of a lost cluster, read back into a new one.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use aurora_log_export_operator::api::AuroraLogExportPolicy;
use aurora_test_support::controlplane::{ControlPlane, ControlPlaneOptions};
use aurora_test_support::environment::Environment;
use aurora_test_support::iam_model::http::Server;
use aurora_test_support::operator::Operator;
use aurora_test_support::paths::RunDir;
use aurora_test_support::{apply, kubeconfig};
use kube::api::{Api, ApiResource, DynamicObject};
use serde_json::Value;

use crate::emulators::aws;
use crate::environment;
use crate::fixture::{ACCOUNT, message, operator_in, until};

const OBJECTS: &str = "
apiVersion: auroralogexport.dev/v1alpha1
kind: AwsAccount
metadata: {name: own}
spec: {accountId: \"111122223333\", allowedNamespaces: {names: [default]}}
---
apiVersion: auroralogexport.dev/v1alpha1
kind: AuroraLogExportPolicy
metadata: {name: orders, namespace: default}
spec: {accountRef: {name: own}, tags: {team: shop}}
";

/// A cluster with the CRDs, and its operator.
struct Cluster<'a> {
    env: &'a Environment,
    server: &'a Server,
    control_plane: ControlPlane,
    orders: Api<DynamicObject>,
}

impl<'a> Cluster<'a> {
    async fn start(env: &'a Environment, server: &'a Server, dir: &Path) -> Result<Self> {
        let control_plane = ControlPlane::start(dir, ControlPlaneOptions::default()).await?;
        let client = kubeconfig::client(control_plane.kubeconfig().clone()).await?;
        apply::apply_crds(&client, "installer", &apply::shipped_crds()?).await?;
        let orders = Api::default_namespaced_with(client, &ApiResource::erase::<AuroraLogExportPolicy>(&()));
        Ok(Self { env, server, control_plane, orders })
    }

    async fn kubectl(&self, arguments: &[&str], stdin: Option<&str>) -> Result<String> {
        self.env.kubectl_with(&self.control_plane.kubeconfig_path(), arguments, stdin).await
    }

    async fn operator(&self, flags: &[&str]) -> Result<Operator> {
        operator_in(&self.control_plane, self.server, &[&["--cluster-name=prod"], flags].concat()).await
    }

    async fn until(&self, operator: &Operator, status: &str, reason: &str) -> Result<Value> {
        let seen = until(&self.orders, "orders", "Ready", status, reason).await;
        seen.with_context(|| operator.log_text().unwrap_or_default())
    }
}

#[tokio::test]
async fn objects_restored_into_a_new_cluster_take_up_their_roles_once_the_old_cluster_is_named() -> Result<()> {
    let env = environment().await?;
    let run = RunDir::create()?;
    let server = aws(ACCOUNT)?;
    let role = || server.world().account(ACCOUNT).lock().snapshot()["roles"]["default.orders"].clone();

    let old = Cluster::start(env, &server, &run.path().join("old")).await?;
    old.kubectl(&["create", "--filename=-"], Some(OBJECTS)).await?;
    let operator = old.operator(&[]).await?;
    old.until(&operator, "True", "InSync").await?;
    operator.stop().await?;
    let made = role();
    ensure!(made["id"].is_string(), "the role in the old cluster is {made}");
    let backup = old.kubectl(&["get", "awsaccounts,alep", "--all-namespaces", "--output=yaml"], None).await?;
    let uid = old.kubectl(&["get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}"], None).await?;
    drop(old);

    let new = Cluster::start(env, &server, &run.path().join("new")).await?;
    new.kubectl(&["create", "--filename=-"], Some(&backup)).await?;
    let mark = server.gate().last_seq();
    let operator = new.operator(&[]).await?;
    let said = message(&new.until(&operator, "False", "Conflict").await?);
    ensure!(said.contains(&format!("--previous-cluster-uid={uid}")), "{said}");
    ensure!(role() == made, "a role of the old cluster was changed: {} instead of {made}", role());
    let writes = server.gate().calls_since(mark).into_iter().filter(|call| !call.action.starts_with(['G', 'L']));
    ensure!(writes.count() == 0, "a write to resources of the old cluster");
    operator.stop().await?;

    let operator = new.operator(&[&format!("--previous-cluster-uid={uid}")]).await?;
    new.until(&operator, "True", "InSync").await?;
    let taken = role();
    ensure!(taken["id"] == made["id"], "another role was made: {taken}");
    let owner = &taken["tags"]["auroralogexport.dev/cluster-uid"];
    ensure!(*owner != uid.as_str(), "the role still carries the old cluster's UID");
    operator.stop().await?;
    // The flag is needed once: the role now belongs to this cluster.
    let operator = new.operator(&[]).await?;
    new.kubectl(&["annotate", "alep", "orders", "auroralogexport.dev/reconcile-at=now"], None).await?;
    new.until(&operator, "True", "InSync").await?;
    new.kubectl(&["delete", "alep", "orders", "--timeout=60s"], None).await?;
    ensure!(role().is_null(), "deleted in the new cluster, the role is still there: {}", role());
    operator.stop().await?;
    Ok(())
}
