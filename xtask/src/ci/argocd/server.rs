//! Argo CD itself: redis, repo-server, application-controller and API server, on 127.0.0.1, with the settings it ships
//! with and ours patched in as the documentation says.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aurora_test_support::environment::Environment;
use aurora_test_support::paths::workspace;
use aurora_test_support::ports::free_port;
use aurora_test_support::supervisor::{self, Supervised};
use aurora_test_support::wait::wait_for;
use tokio::net::TcpStream;

use super::programs::Programs;

/// Argo CD's namespace.
pub(super) const NAMESPACE: &str = "argocd";
const START_LIMIT: Duration = Duration::from_mins(2);
const COMMAND_LIMIT: Duration = Duration::from_mins(1);
/// The interval in seconds of polling git, and so of comparisons; production uses minutes or webhooks.
const POLL: &str = "3";

const PROJECT: &str = "
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: default, namespace: argocd}
spec:
  sourceRepos: ['*']
  destinations: [{server: '*', namespace: '*'}]
  clusterResourceWhitelist: [{group: '*', kind: '*'}]
";

/// A running Argo CD. Dropping it kills all of it.
#[derive(Debug)]
pub(super) struct ArgoCd {
    program: PathBuf,
    dir: PathBuf,
    kubeconfig: PathBuf,
    address: String,
    servers: Vec<Supervised>,
}

impl ArgoCd {
    /// Installs and starts it, and waits until its API answers.
    pub(super) async fn start(env: &Environment, programs: &Programs, dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        install(env, &programs.manifests).await?;
        let port = free_port()?;
        let mut argocd = Self {
            program: programs.argocd.clone(),
            dir: dir.to_owned(),
            kubeconfig: env.kubeconfig().to_owned(),
            address: format!("127.0.0.1:{port}"),
            servers: Vec::new(),
        };
        let redis = argocd.start_redis(&programs.redis).await?;
        let repo_port = free_port()?;
        let repo_server = format!("127.0.0.1:{repo_port}");
        argocd.start_server(
            "argocd-repo-server",
            &redis,
            &[
                "--disable-tls",
                "--address=127.0.0.1",
                &format!("--port={repo_port}"),
                "--metrics-address=127.0.0.1",
                &format!("--metrics-port={}", free_port()?),
                &format!("--revision-cache-expiration={POLL}s"),
            ],
        )?;
        argocd.answers("Argo CD's repo-server", &repo_server).await?;
        let common = ["--namespace", NAMESPACE, "--repo-server", &repo_server, "--repo-server-plaintext"];
        // First, since it makes the key that all of them find in the Secret.
        let mut server = common.to_vec();
        let metrics = format!("--metrics-port={}", free_port()?);
        let port = format!("--port={port}");
        server.extend([
            "--disable-auth",
            "--insecure",
            "--address=127.0.0.1",
            &port,
            "--metrics-address=127.0.0.1",
            &metrics,
        ]);
        argocd.start_server("argocd-server", &redis, &server)?;
        let address = argocd.address.clone();
        argocd.answers("Argo CD's API", &address).await?;
        let mut controller = common.to_vec();
        let metrics = format!("--metrics-port={}", free_port()?);
        controller.extend(["--app-resync", POLL, "--app-resync-jitter=0", "--otlp-address=", &metrics]);
        argocd.start_server("argocd-application-controller", &redis, &controller)?;
        Ok(argocd)
    }

    /// Runs the command line against the running API server; gives what it prints.
    pub(super) async fn run(&self, arguments: &[&str]) -> Result<String> {
        let server = ["--server", &self.address, "--plaintext", "--auth-token=none"];
        let (success, out, error) = self.execute(&[&server, arguments].concat()).await?;
        if !success {
            bail!("argocd {}: {}{}", arguments.join(" "), error.trim(), out.trim());
        }
        Ok(out)
    }

    /// Runs the command line without any server; gives what it prints.
    pub(super) async fn run_offline(&self, arguments: &[&str]) -> Result<String> {
        let (success, out, error) = self.execute(arguments).await?;
        if !success {
            bail!("argocd {}: {}", arguments.join(" "), error.trim());
        }
        Ok(out)
    }

    async fn execute(&self, arguments: &[&str]) -> Result<(bool, String, String)> {
        let mut command = tokio::process::Command::from(self.with_environment(Command::new(&self.program), "argocd"));
        // Differences are shown as both files, whole.
        command.env("KUBECTL_EXTERNAL_DIFF", "tail -n +1");
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(COMMAND_LIMIT, command.output())
            .await
            .with_context(|| format!("argocd {} is still running after {COMMAND_LIMIT:?}", arguments.join(" ")))??;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.success(), text(&output.stdout), text(&output.stderr)))
    }

    /// An error with the end of its log, if one of the servers has ended.
    pub(super) fn check_alive(&mut self) -> Result<()> {
        self.servers.iter_mut().try_for_each(Supervised::check_alive)
    }

    async fn start_redis(&mut self, program: &Path) -> Result<String> {
        let port = free_port()?.to_string();
        let mut command = supervisor::command(program);
        command.env_clear().args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no", "--dir"]);
        command.arg(&self.dir);
        self.servers.push(Supervised::spawn("redis", command, &self.dir.join("redis.log"))?);
        let address = format!("127.0.0.1:{port}");
        self.answers("redis", &address).await?;
        Ok(address)
    }

    fn start_server(&mut self, role: &str, redis: &str, arguments: &[&str]) -> Result<()> {
        let mut command = self.with_environment(supervisor::command(&self.program), role);
        command.args(["--redis", redis]).args(arguments);
        self.servers.push(Supervised::spawn(role, command, &self.dir.join(format!("{role}.log")))?);
        Ok(())
    }

    fn with_environment(&self, mut command: Command, role: &str) -> Command {
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("ARGOCD_BINARY_NAME", role).env("KUBECONFIG", &self.kubeconfig);
        // What it takes for its own file system in a container.
        command.env("HOME", &self.dir).env("TMPDIR", &self.dir);
        command.env("ARGOCD_TLS_DATA_PATH", self.dir.join("tls")).env("ARGOCD_SSH_DATA_PATH", self.dir.join("ssh"));
        command.env("ARGOCD_FAKE_IN_CLUSTER", "true").env("ARGOCD_GPG_ENABLED", "false");
        command
    }

    async fn answers(&mut self, what: &str, address: &str) -> Result<()> {
        wait_for(what, START_LIMIT, async || {
            self.check_alive()?;
            TcpStream::connect(address).await?;
            Ok(())
        })
        .await
    }
}

/// CRDs and settings as shipped, then our patch, by the command that stands at its head.
async fn install(env: &Environment, manifests: &Path) -> Result<()> {
    let path = |path: PathBuf| path.display().to_string();
    env.kubectl(&["create", "namespace", NAMESPACE]).await?;
    env.kubectl(&["apply", "--server-side", "-k", &path(manifests.join("crds"))]).await?;
    wait_for("Argo CD's kinds", START_LIMIT, async || {
        env.kubectl(&["get", "applications,applicationsets,appprojects", "-A"]).await
    })
    .await?;
    env.kubectl(&["-n", NAMESPACE, "apply", "-k", &path(manifests.join("base/config"))]).await?;
    let ours = path(workspace().join("deploy/argocd/argocd-cm.yaml"));
    env.kubectl(&["-n", NAMESPACE, "patch", "configmap", "argocd-cm", "--patch-file", &ours]).await?;
    env.apply_yaml(PROJECT).await?;
    Ok(())
}
