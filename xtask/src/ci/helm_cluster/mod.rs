//! The chart and the kustomizations on a real API server: installed as users do it, into namespaces that enforce the
//! restricted pod security standard, upgraded, rolled back, uninstalled; and the operator run with exactly the
//! arguments, environment and access rights that each of them gives its Pods.

mod admission;
mod deployed;
mod kustomize;
mod previous;
mod release;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use aurora_test_support::apply;
use aurora_test_support::controlplane::ControlPlaneOptions;
use aurora_test_support::environment::Environment;
use aurora_test_support::iam_model::http::{Server, ServerOptions};
use aurora_test_support::moto::ACCESS_KEY;
use aurora_test_support::wait::wait_for;
use kube::api::DynamicObject;
use serde_json::Value;

use super::SHORT;
use super::tools::{self, DeliveryTools};
use crate::{demo, operator_binary};

const ACCOUNT: &str = "123456789012";

/// What every part of this step works with.
struct Site {
    env: Environment,
    aws: Server,
    operator: PathBuf,
    tools: DeliveryTools,
}

pub(super) async fn check() -> Result<()> {
    let tools = tools::delivery().await?;
    let operator = operator_binary::build().await?;
    let env = Environment::start(ControlPlaneOptions { controller_manager: true, audit: false }).await?;
    let aws = Server::start(ServerOptions::default())?;
    aws.world().add_key(ACCESS_KEY, ACCOUNT);
    let site = Site { env, aws, operator, tools };
    release::check(&site).await?;
    kustomize::check(&site).await
}

/// One object of the simplest kind, which is as an application team would make it.
struct Sample {
    namespace: String,
    name: String,
}

impl Sample {
    async fn create(site: &Site, namespace: &str, name: &str) -> Result<Self> {
        let sample = Self { namespace: namespace.to_owned(), name: name.to_owned() };
        sample.apply(site, "{}").await?;
        Ok(sample)
    }

    async fn apply(&self, site: &Site, spec: &str) -> Result<()> {
        site.env.apply_yaml(&apply::manifest(&self.namespace, &self.name, spec)).await.map(drop)
    }

    async fn get(&self, site: &Site) -> Result<DynamicObject> {
        let text =
            site.env.kubectl(&["get", "alep", &self.name, "--namespace", &self.namespace, "--output=json"]).await?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Waits until it is ready for its present generation.
    async fn until_ready(&self, site: &Site) -> Result<()> {
        wait_for(&format!("{}/{} to become ready", self.namespace, self.name), SHORT, async || {
            let (ready, state) = demo::readiness(&self.get(site).await?);
            ensure!(ready, "{state}");
            Ok(())
        })
        .await
    }

    /// Changes the spec, and waits until the operator has carried it to IAM: that something was ready before proves
    /// nothing about an operator that has just been started.
    async fn edit(&self, site: &Site, team: &str) -> Result<()> {
        self.apply(site, &format!("{{tags: {{team: {team}}}}}")).await?;
        self.until_ready(site).await?;
        let role = self.role(site);
        ensure!(role["tags"]["team"] == team, "it says Ready, and its role in IAM is {role}");
        Ok(())
    }

    /// What IAM has of its role; null if nothing.
    fn role(&self, site: &Site) -> Value {
        let snapshot = site.aws.world().account(ACCOUNT).lock().snapshot();
        snapshot["roles"][format!("{}.{}", self.namespace, self.name)].clone()
    }

    /// Deletes it, and sees to it that its role goes with it.
    async fn delete(&self, site: &Site) -> Result<()> {
        ensure!(!self.role(site).is_null(), "{}/{} has no role to delete", self.namespace, self.name);
        site.env.kubectl(&["delete", "alep", &self.name, "--namespace", &self.namespace, "--timeout=60s"]).await?;
        let role = self.role(site);
        ensure!(role.is_null(), "the object is gone, and its role is still in IAM: {role}");
        Ok(())
    }
}

/// Objects of a kind in a namespace.
async fn list(env: &Environment, kind: &str, namespace: &str) -> Result<Vec<Value>> {
    let text = env.kubectl(&["get", kind, "--namespace", namespace, "--output=json"]).await?;
    let list: Value = serde_json::from_str(&text).with_context(|| format!("kubectl get {kind} printed no JSON"))?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// A namespace whose Pods the API server holds to the restricted standard.
async fn restricted_namespace(env: &Environment, name: &str) -> Result<()> {
    let yaml = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  labels: {{pod-security.kubernetes.io/enforce: restricted}}\n"
    );
    apply::apply(&env.client().await?, "aurora-ci", &apply::parse(&yaml)?).await.map(|_| ())
}
