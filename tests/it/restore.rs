//! Backup and restore as `docs/upgrading.md` describes them: the objects of a lost cluster, read back into a new one.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aurora_test_support::apply;
use aurora_test_support::controlplane::{ControlPlane, ControlPlaneOptions};
use aurora_test_support::environment::Environment;
use aurora_test_support::iam_model::http::Server;
use aurora_test_support::moto;
use aurora_test_support::operator::{Operator, OperatorOptions};
use aurora_test_support::paths::{RunDir, workspace};
use aurora_test_support::wait::wait_for;
use serde_json::Value;

use crate::emulators::aws;
use crate::environment;

const LIMIT: Duration = Duration::from_mins(1);
const HUB: &str = "100000000000";
const OBJECTS: &str = "
apiVersion: auroralogexport.dev/v1alpha1
kind: AwsAccount
metadata: {name: own}
spec: {accountId: \"100000000000\", allowedNamespaces: {names: [default]}}
---
apiVersion: auroralogexport.dev/v1alpha1
kind: AuroraLogExportPolicy
metadata: {name: orders, namespace: default}
spec: {accountRef: {name: own}, tags: {team: shop}}
";

/// A cluster with the CRDs, and what is done in it.
struct Cluster<'a> {
    env: &'a Environment,
    server: &'a Server,
    control_plane: ControlPlane,
}

impl<'a> Cluster<'a> {
    async fn start(env: &'a Environment, server: &'a Server, dir: &Path) -> Result<Self> {
        let control_plane = ControlPlane::start(dir, ControlPlaneOptions::default()).await?;
        let cluster = Self { env, server, control_plane };
        let crds = workspace().join("crds").display().to_string();
        cluster.kubectl(&["apply", "--server-side", "-k", &crds], None).await?;
        let names = ["crd/auroralogexportpolicies.auroralogexport.dev", "crd/awsaccounts.auroralogexport.dev"];
        cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", names[0], names[1]], None).await?;
        Ok(cluster)
    }

    async fn kubectl(&self, arguments: &[&str], stdin: Option<&str>) -> Result<String> {
        self.env.kubectl_with(&self.control_plane.kubeconfig_path(), arguments, stdin).await
    }

    async fn operator(&self, arguments: &[&str]) -> Result<Operator> {
        let mut options = OperatorOptions::new(env!("CARGO_BIN_EXE_aurora-log-export-operator"))
            .arguments(["--cluster-name=prod", "--drift-check-interval=1s"])
            .arguments(arguments.iter().copied())
            .aws_endpoint(&self.server.url());
        options.kubeconfig = Some(self.control_plane.kubeconfig_path());
        Operator::start(self.env, options).await
    }

    async fn until(&self, operator: &Operator, reason: &str) -> Result<String> {
        wait_for(&format!("orders to be {reason}"), LIMIT, async || {
            let object: Value =
                serde_json::from_str(&self.kubectl(&["get", "alep", "orders", "-o", "json"], None).await?)?;
            let conditions = object["status"]["conditions"].as_array();
            let ready = conditions.into_iter().flatten().find(|it| it["type"] == "Ready").context("no Ready yet")?;
            ensure!(ready["reason"] == reason, "{ready}");
            Ok(ready["message"].as_str().unwrap_or_default().to_owned())
        })
        .await
        .with_context(|| operator.log_text().unwrap_or_default())
    }
}

#[tokio::test]
async fn objects_restored_into_a_new_cluster_take_up_their_roles_once_the_old_cluster_is_named() -> Result<()> {
    let env = environment().await?;
    let run = RunDir::create()?;
    let server = aws()?;
    server.world().add_key(moto::ACCESS_KEY, HUB);
    let role = || server.world().account(HUB).lock().snapshot()["roles"]["default.orders"].clone();

    let old = Cluster::start(env, &server, &run.path().join("old")).await?;
    let client = aurora_test_support::kubeconfig::client(old.control_plane.kubeconfig().clone()).await?;
    apply::apply(&client, "team", &apply::parse(OBJECTS)?).await?;
    let operator = old.operator(&[]).await?;
    old.until(&operator, "InSync").await?;
    operator.stop().await?;
    let made = role();
    ensure!(made["id"].is_string(), "the old cluster made {made}");
    let backup = old.kubectl(&["get", "awsaccounts,alep", "--all-namespaces", "--output=yaml"], None).await?;
    let uid = old.kubectl(&["get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}"], None).await?;
    drop(old);

    let new = Cluster::start(env, &server, &run.path().join("new")).await?;
    new.kubectl(&["create", "--filename=-"], Some(&backup)).await?;
    let mark = server.gate().last_seq();
    let operator = new.operator(&[]).await?;
    let said = new.until(&operator, "Conflict").await?;
    ensure!(said.contains(&format!("--previous-cluster-uid={uid}")), "{said}");
    ensure!(role() == made, "a role of the old cluster was changed: {} instead of {made}", role());
    let writes = server.gate().calls_since(mark).into_iter().filter(|call| !call.action.starts_with(['G', 'L']));
    let writes: Vec<_> = writes.map(|call| call.action).collect();
    ensure!(writes.is_empty(), "wrote to what the old cluster owns: {writes:?}");
    operator.stop().await?;

    let operator = new.operator(&[&format!("--previous-cluster-uid={uid}")]).await?;
    new.until(&operator, "InSync").await?;
    let taken = role();
    ensure!(taken["id"] == made["id"], "another role was made: {taken}");
    let owner = &taken["tags"]["auroralogexport.dev/cluster-uid"];
    ensure!(*owner != uid.as_str(), "the role still carries the old cluster's UID");
    operator.stop().await?;
    // The flag is needed once: from now on the role is this cluster's.
    let operator = new.operator(&[]).await?;
    new.kubectl(&["annotate", "alep", "orders", "auroralogexport.dev/reconcile-at=now"], None).await?;
    new.until(&operator, "InSync").await?;
    new.kubectl(&["delete", "alep", "orders", "--timeout=60s"], None).await?;
    ensure!(role().is_null(), "deleted in the new cluster, the role is still there: {}", role());
    operator.stop().await?;
    Ok(())
}
