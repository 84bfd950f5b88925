//! The whole environment, and what tests, demo and benchmarks do with it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, DynamicObject, ObjectMeta, PostParams};
use kube::config::Kubeconfig;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::aws_query::QueryClient;
use crate::controlplane::{ControlPlane, ControlPlaneOptions, random_hex};
use crate::moto::Moto;
use crate::moto_proxy::MotoProxy;
use crate::paths::{RunDir, workspace};
use crate::rbac::{self, OperatorAccess};
use crate::{apply, calls, kubeconfig, tools};

/// Environment variable: a kubeconfig with every right in a cluster that may be thrown away, used instead of an own
/// control plane.
pub const KUBECONFIG_VARIABLE: &str = "AURORA_TEST_KUBECONFIG";

/// Field manager of what [`Environment::apply_yaml`] applies.
pub const FIELD_MANAGER: &str = "aurora-test";

const KUBECTL_LIMIT: Duration = Duration::from_mins(2);

/// A Kubernetes cluster and an emulator of AWS. Holds no connections (those belong to a tokio runtime), so that it can
/// be a static that tests with runtimes of their own share.
#[derive(Debug)]
pub struct Environment {
    run: RunDir,
    cluster: Cluster,
    admin_path: PathBuf,
    admin: Kubeconfig,
    kubectl: PathBuf,
    moto: Moto,
    moto_proxy: OnceLock<MotoProxy>,
    access: OnceCell<OperatorAccess>,
    namespaces: AtomicU32,
}

#[derive(Debug)]
enum Cluster {
    Own(Box<ControlPlane>),
    Given,
}

impl Environment {
    /// Starts everything, building it first where needed, and waits until it answers.
    pub async fn start(options: ControlPlaneOptions) -> Result<Self> {
        let run = RunDir::create()?;
        // Not at the same time: with a cold cache each of them keeps all cores busy with a build.
        let cluster = start_cluster(run.path(), options).await?;
        let moto = Moto::start(&run.path().join("moto")).await?;
        let (cluster, admin_path, kubectl) = cluster;
        let admin = kubeconfig::read(&admin_path)?;
        let (access, namespaces) = (OnceCell::new(), AtomicU32::new(0));
        let moto_proxy = OnceLock::new();
        Ok(Self { run, cluster, admin_path, admin, kubectl, moto, moto_proxy, access, namespaces })
    }

    /// The directory of this run, under `target/`.
    pub fn dir(&self) -> &Path {
        self.run.path()
    }

    /// A kubeconfig file with every right.
    pub fn kubeconfig(&self) -> &Path {
        &self.admin_path
    }

    /// The kubectl that [`Environment::kubectl`] runs.
    pub fn kubectl_path(&self) -> &Path {
        &self.kubectl
    }

    /// The emulator of AWS.
    pub fn moto(&self) -> &Moto {
        &self.moto
    }

    /// A client for the emulator of AWS.
    pub fn aws(&self) -> QueryClient {
        self.moto.client()
    }

    /// The default AWS endpoint of operators: moto, or a recording proxy in front of it while calls are recorded.
    pub(crate) fn aws_endpoint(&self) -> Result<String> {
        if !calls::is_on() {
            return Ok(self.moto.endpoint());
        }
        if self.moto_proxy.get().is_none() {
            let moto = self.moto.endpoint().trim_start_matches("http://").parse()?;
            // If two tests get here at the same time, one proxy is dropped unused.
            let _ = self.moto_proxy.set(MotoProxy::start(moto)?);
        }
        Ok(self.moto_proxy.get().map_or_else(|| self.moto.endpoint(), MotoProxy::url))
    }

    /// The control plane, to stop, freeze and restart it; an error if the cluster is not ours.
    pub fn control_plane(&self) -> Result<&ControlPlane> {
        match &self.cluster {
            Cluster::Own(control_plane) => Ok(control_plane),
            Cluster::Given => bail!("this test needs a control plane of its own: unset {KUBECONFIG_VARIABLE}"),
        }
    }

    /// A new client with every right; it belongs to the calling tokio runtime.
    pub async fn client(&self) -> Result<Client> {
        kubeconfig::client(self.admin.clone()).await
    }

    /// A new client for another kubeconfig file, such as the operator's.
    pub async fn client_for(&self, path: &Path) -> Result<Client> {
        kubeconfig::client(kubeconfig::read(path)?).await
    }

    /// Server-side apply of a stream of YAML documents; gives the objects as stored.
    pub async fn apply_yaml(&self, yaml: &str) -> Result<Vec<DynamicObject>> {
        apply::apply(&self.client().await?, FIELD_MANAGER, &apply::parse(yaml)?).await
    }

    /// Installs the CustomResourceDefinitions of `crds/` and waits until they are served.
    pub async fn install_crds(&self) -> Result<()> {
        apply::apply_crds(&self.client().await?, FIELD_MANAGER, &apply::shipped_crds()?).await
    }

    /// Installs the operator's shipped access rights, once, and gives it a token of its own.
    pub async fn install_rbac(&self) -> Result<&OperatorAccess> {
        self.access
            .get_or_try_init(async || {
                let rendered = self.kubectl(&["kustomize", &path(&workspace().join("deploy/kustomize/base"))]).await?;
                let objects = rbac::access_objects(&rendered)?;
                let (namespace, service_account) = rbac::service_account(&objects)?;
                let client = self.client().await?;
                apply::apply(&client, FIELD_MANAGER, &objects).await?;
                let file = self.dir().join("operator.kubeconfig");
                let account = (namespace.as_str(), service_account.as_str());
                let kubeconfig = rbac::token_kubeconfig(&client, &self.admin, account, file).await?;
                Ok(OperatorAccess { kubeconfig, namespace, service_account })
            })
            .await
    }

    /// A kubeconfig with a token of any ServiceAccount.
    pub async fn kubeconfig_for(&self, namespace: &str, service_account: &str) -> Result<PathBuf> {
        let file = self.dir().join(format!("{namespace}.{service_account}.kubeconfig"));
        rbac::token_kubeconfig(&self.client().await?, &self.admin, (namespace, service_account), file).await
    }

    /// Makes a namespace of its own for the calling test, named after it.
    pub async fn namespace(&self) -> Result<String> {
        let thread = std::thread::current();
        let test = thread.name().and_then(|name| name.rsplit("::").next()).unwrap_or_default().replace('_', "-");
        let test: String = test.chars().filter(|it| it.is_ascii_alphanumeric() || *it == '-').take(40).collect();
        let number = self.namespaces.fetch_add(1, Ordering::Relaxed);
        // Unique among runs as well: a cluster that is not ours keeps what earlier runs left.
        let unique: String = random_hex()?.chars().take(6).collect();
        let name = format!("t-{}-{number}-{unique}", test.trim_matches('-').to_lowercase()).replace("--", "-");
        let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        Api::all(self.client().await?).create(&PostParams::default(), &namespace).await?;
        Ok(name)
    }

    /// Runs kubectl as administrator; gives what it prints, or an error with what it complains about.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl_with(self.kubeconfig(), arguments, None).await
    }

    /// The same with another kubeconfig, and with text for `-f -`.
    pub async fn kubectl_with(&self, kubeconfig: &Path, arguments: &[&str], stdin: Option<&str>) -> Result<String> {
        let mut command = tokio::process::Command::new(&self.kubectl);
        command.env_clear().env("HOME", self.dir()).env("KUBECONFIG", kubeconfig).args(arguments).kill_on_drop(true);
        command.stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot run kubectl")?;
        if let (Some(mut pipe), Some(text)) = (child.stdin.take(), stdin) {
            tokio::io::AsyncWriteExt::write_all(&mut pipe, text.as_bytes()).await?;
        }
        let shown = arguments.join(" ");
        let output = tokio::time::timeout(KUBECTL_LIMIT, child.wait_with_output())
            .await
            .with_context(|| format!("kubectl {shown} is still running after {KUBECTL_LIMIT:?}"))??;
        if !output.status.success() {
            bail!("kubectl {shown}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The API server's audit events so far, if [`ControlPlaneOptions::audit`] was asked for.
    pub fn audit_events(&self) -> Result<Vec<Value>> {
        let log = self.control_plane()?.audit_log().context("the environment was started without the audit log")?;
        let text = std::fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
        // The last line may be half written.
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }
}

/// Gives the cluster, its administrator's kubeconfig and a kubectl.
async fn start_cluster(run: &Path, options: ControlPlaneOptions) -> Result<(Cluster, PathBuf, PathBuf)> {
    if let Some(given) = std::env::var_os(KUBECONFIG_VARIABLE) {
        return Ok((Cluster::Given, PathBuf::from(given), tools::kubectl().await?));
    }
    let control_plane = ControlPlane::start(&run.join("controlplane"), options).await?;
    let (admin, kubectl) = (control_plane.kubeconfig_path(), control_plane.kubectl().to_owned());
    Ok((Cluster::Own(Box::new(control_plane)), admin, kubectl))
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
