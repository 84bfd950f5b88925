//! The operator as one of its Pods would run it: what a Deployment in the cluster says, executed here.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aurora_test_support::moto::ACCESS_KEY;
use aurora_test_support::ports::free_port;
use aurora_test_support::supervisor::{self, Supervised};
use aurora_test_support::wait::wait_for;
use aurora_test_support::{http, supervisor::tail};
use serde_json::Value;

use super::super::delivery::RELEASE;
use super::super::{SHORT, say};
use super::{Site, admission, list};

/// A graceful end takes at most 10 s.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// A running operator, in the place of one Pod.
pub(super) struct Deployed {
    process: Supervised,
    pod: String,
}

impl Deployed {
    /// Starts what the Deployment in `namespace` describes: its arguments and environment to the letter, its
    /// ServiceAccount's token, the name of one of its Pods. Different are the address of the probes, whose port
    /// may be taken on this machine, and how to reach the API server and AWS.
    pub(super) async fn start(site: &Site, namespace: &str) -> Result<Self> {
        let deployments = list(&site.env, "deployments", namespace).await?;
        let deployment = deployments.iter().find(|it| it["metadata"]["name"] == RELEASE);
        let deployment = deployment.with_context(|| format!("namespace {namespace} has no Deployment {RELEASE}"))?;
        let pods = admission::pods_of(&site.env, namespace, deployment).await?;
        let pod = pods.first().context("the Deployment has no Pod")?;
        let name = pod["metadata"]["name"].as_str().context("a Pod without a name")?.to_owned();
        let account = pod["spec"]["serviceAccountName"].as_str().context("a Pod without a ServiceAccount")?;
        let container = &pod["spec"]["containers"][0];
        let arguments: Vec<&str> =
            container["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        ensure!(arguments.first() == Some(&"run"), "the Pod's arguments are {arguments:?}");
        let address = format!("127.0.0.1:{}", free_port()?);
        let mut command = supervisor::command(&site.operator);
        command.env_clear().env("KUBECONFIG", site.env.kubeconfig_for(namespace, account).await?);
        for argument in &arguments {
            let probes = argument.starts_with("--http-addr=");
            command.arg(if probes { format!("--http-addr={address}") } else { (*argument).to_owned() });
        }
        for variable in container["env"].as_array().into_iter().flatten() {
            let key = variable["name"].as_str().context("a variable without a name")?;
            command.env(key, value_of(variable, pod).with_context(|| format!("the Pod's variable {key}"))?);
        }
        command
            .env("AWS_ENDPOINT_URL", site.aws.url())
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", ACCESS_KEY);
        let log = site.env.dir().join(format!("{name}.log"));
        let mut process = Supervised::spawn("the operator", command, &log)?;
        wait_for("the operator to answer on /livez", SHORT, async || {
            process.check_alive()?;
            http::get(&address, "/livez").await?.ok()
        })
        .await?;
        say(&format!("runs as {name}: {}", arguments.join(" ")));
        Ok(Self { process, pod: name })
    }

    /// SIGTERM, and the exit code 0 that a Pod's end demands.
    pub(super) async fn stop(self) -> Result<()> {
        let log = self.process.log().to_owned();
        let status = self.process.stop(STOP_LIMIT).await?;
        ensure!(status.success(), "the operator of {} ended with {status}:\n{}", self.pod, tail(&log, 20));
        Ok(())
    }

    /// The end of its log, for errors.
    pub(super) fn log_end(&self) -> String {
        format!("the end of the operator's log, {}:\n{}", self.process.log().display(), tail(self.process.log(), 20))
    }
}

/// A variable's value as the kubelet would fill it in.
fn value_of(variable: &Value, pod: &Value) -> Result<String> {
    let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
        Some("metadata.name") => &pod["metadata"]["name"],
        Some("metadata.namespace") => &pod["metadata"]["namespace"],
        Some(path) => anyhow::bail!("refers to {path}, which this check does not know"),
        None => &variable["value"],
    };
    Ok(value.as_str().unwrap_or_default().to_owned())
}
