//! The operator as a child process, as it would run in a pod: a clean environment, its own token, its own log.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;

use crate::environment::Environment;
use crate::moto::ACCESS_KEY;
use crate::ports::free_port;
use crate::supervisor::{self, Supervised};
use crate::wait::wait_for;
use crate::{calls, http, rbac, recording};

const START_LIMIT: Duration = Duration::from_secs(30);
/// A graceful shutdown takes at most 10 s; what comes on top is the machine's.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// What an operator is started with.
#[derive(Clone, Debug)]
pub struct OperatorOptions {
    /// The executable: `env!("CARGO_BIN_EXE_aurora-log-export-operator")` in tests.
    pub binary: PathBuf,
    /// Flags of `run` that hold unless [`arguments`](Self::arguments) sets them.
    pub defaults: Vec<String>,
    /// Flags of `run`.
    pub arguments: Vec<String>,
    /// More environment variables, over the ones set here.
    pub environment: Vec<(String, String)>,
    /// For `AWS_ENDPOINT_URL`; none: moto.
    pub aws_endpoint: Option<String>,
    /// Another kubeconfig than the shipped ServiceAccount's.
    pub kubeconfig: Option<PathBuf>,
    /// For `POD_NAME`; none: a new one.
    pub pod_name: Option<String>,
}

impl OperatorOptions {
    /// The defaults: no leader election, as one replica needs none and each test has its own.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            defaults: vec![String::from("--leader-elect=false")],
            arguments: Vec::new(),
            environment: Vec::new(),
            aws_endpoint: None,
            kubeconfig: None,
            pod_name: None,
        }
    }

    /// Adds flags, such as `--drift-check-interval=1s`; each replaces the same flag of the defaults.
    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds flags to the defaults.
    #[must_use]
    pub fn default_arguments(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.defaults.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Talks to this endpoint instead of moto.
    #[must_use]
    pub fn aws_endpoint(mut self, endpoint: &str) -> Self {
        self.aws_endpoint = Some(endpoint.to_owned());
        self
    }

    /// The flags of `run`: the defaults that the caller did not set, then the caller's.
    fn flags(&self, http_address: &str) -> Vec<String> {
        let address = format!("--http-addr={http_address}");
        let unset = |default: &&String| !self.arguments.iter().any(|given| flag_name(given) == flag_name(default));
        let defaults = [&address].into_iter().chain(&self.defaults).filter(unset);
        defaults.chain(&self.arguments).cloned().collect()
    }
}

fn flag_name(argument: &str) -> &str {
    argument.split('=').next().unwrap_or(argument)
}

/// A running operator. Dropping it kills it.
#[derive(Debug)]
pub struct Operator {
    process: Supervised,
    http_address: String,
    pod_name: String,
}

impl Operator {
    /// Installs the shipped access rights if that has not been done, starts the operator, and waits until it answers
    /// on `/livez`.
    pub async fn start(environment: &Environment, options: OperatorOptions) -> Result<Self> {
        let access = environment.install_rbac().await?;
        let application = if calls::is_on() { Some(announce(environment, &options).await?) } else { None };
        let mut operator = Self::spawn(environment, access, &options, application)?;
        wait_for("the operator to answer on /livez", START_LIMIT, async || {
            operator.process.check_alive()?;
            http::get(&operator.http_address, "/livez").await?.ok()
        })
        .await
        .with_context(|| format!("the log of the operator is {}", operator.log().display()))?;
        Ok(operator)
    }

    fn spawn(
        environment: &Environment,
        access: &rbac::OperatorAccess,
        options: &OperatorOptions,
        application: Option<String>,
    ) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let default_name = format!("operator-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let pod_name = options.pod_name.clone().unwrap_or(default_name);
        let http_address = format!("127.0.0.1:{}", free_port()?);
        let mut command = supervisor::command(&options.binary);
        command.env_clear();
        for name in ["PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "RUST_BACKTRACE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("HOME", environment.dir())
            // Logs are read by tests and in editors.
            .env("NO_COLOR", "1")
            .env("KUBECONFIG", options.kubeconfig.as_ref().unwrap_or(&access.kubeconfig))
            .env("AWS_ENDPOINT_URL", options.aws_endpoint.clone().map_or_else(|| environment.aws_endpoint(), Ok)?)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", ACCESS_KEY)
            .env("AWS_REGION", "us-east-1")
            .env("POD_NAME", &pod_name)
            .env("POD_NAMESPACE", &access.namespace)
            .envs(application.map(|id| (calls::APPLICATION_ID, id)))
            .envs(options.environment.iter().map(|(name, value)| (name, value)))
            .arg("run")
            .args(options.flags(&http_address));
        // One log for all lives of a pod's name: a restart appends.
        let log = environment.dir().join(format!("{pod_name}.log"));
        let process = Supervised::spawn("the operator", command, &log)?;
        Ok(Self { process, http_address, pod_name })
    }

    /// Its log, under `target/`.
    pub fn log(&self) -> &Path {
        self.process.log()
    }

    /// What it has logged so far.
    pub fn log_text(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.log())?)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its `POD_NAME`.
    pub fn pod_name(&self) -> &str {
        &self.pod_name
    }

    /// `127.0.0.1:port` of its metrics and probes.
    pub fn http_address(&self) -> &str {
        &self.http_address
    }

    /// Waits until `/readyz` says so.
    pub async fn wait_ready(&mut self, limit: Duration) -> Result<()> {
        wait_for("the operator's /readyz", limit, async || {
            self.process.check_alive()?;
            http::get(&self.http_address, "/readyz").await?.ok().map(|_| ())
        })
        .await
    }

    /// An error with the end of its log, if it has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        self.process.check_alive()
    }

    /// The text of `/metrics`.
    pub async fn metrics(&self) -> Result<String> {
        http::get(&self.http_address, "/metrics").await?.ok()
    }

    /// The sum over all series of one metric whose labels are among those given, 0 where there is none.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        Ok(sum(&self.metrics().await?, name, labels))
    }

    /// SIGTERM; waits for a graceful end, and demands exit code 0.
    pub async fn stop(self) -> Result<ExitStatus> {
        let log = self.log().to_owned();
        let status = self.process.stop(STOP_LIMIT).await?;
        ensure!(status.success(), "the operator ended with {status} after SIGTERM; its log: {}", log.display());
        Ok(status)
    }

    /// SIGKILL, as a node failure.
    pub fn kill(self) -> Result<()> {
        self.process.kill()
    }

    /// SIGSTOP.
    pub fn pause(&mut self) -> Result<()> {
        self.process.pause()
    }

    /// SIGCONT.
    pub fn resume(&mut self) -> Result<()> {
        self.process.resume()
    }
}

/// Tells the recording of calls which operator is about to start, and on what cluster; gives its application id.
async fn announce(environment: &Environment, options: &OperatorOptions) -> Result<String> {
    recording::objects(environment)?;
    let namespaces: Api<Namespace> = Api::all(environment.client().await?);
    let uid = namespaces.get("kube-system").await?.metadata.uid.unwrap_or_default();
    Ok(calls::run(&options.flags("unused"), &uid))
}

/// Adds up the series of a metric in Prometheus' text format that have all of `labels`.
fn sum(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let series = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (series, value) = if let Some(rest) = rest.strip_prefix('{') {
            rest.rsplit_once("} ")?
        } else {
            ("", rest.strip_prefix(' ')?)
        };
        let has = |(key, value): &(&str, &str)| format!(",{series},").contains(&format!(",{key}=\"{value}\","));
        labels.iter().all(has).then(|| value.split(' ').next()?.parse::<f64>().ok())?
    });
    series.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_flags_replace_the_defaults() {
        let options = OperatorOptions::new("x").arguments(["--leader-elect=true", "--iam-path=/a/"]);
        assert_eq!(options.flags("1:2"), ["--http-addr=1:2", "--leader-elect=true", "--iam-path=/a/"]);
    }

    #[test]
    fn series_are_added_up_by_label() {
        let text =
            "# TYPE a counter\na_total{x=\"1\",y=\"2\"} 3\na_total{y=\"2\",x=\"4\"} 5\na_total_more 7\nb 1.5 99\n";
        for (name, labels, expected) in [
            ("a_total", &[][..], 8.0),
            ("a_total", &[("y", "2")], 8.0),
            ("a_total", &[("x", "4"), ("y", "2")], 5.0),
            ("a_total", &[("x", "5")], 0.0),
            ("b", &[], 1.5),
            ("c", &[], 0.0),
        ] {
            let found = sum(text, name, labels);
            assert!((found - expected).abs() < 1e-9, "{name} {labels:?}: {found}");
        }
    }
}
