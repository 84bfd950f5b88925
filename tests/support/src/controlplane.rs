//! etcd and kube-apiserver (with RBAC), and kube-controller-manager where garbage collection or the deletion of
//! namespaces matters.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use kube::Client;
use kube::config::Kubeconfig;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING as ALGORITHM, EcdsaKeyPair, KeyPair};

use crate::ports::free_port;
use crate::supervisor::{self, Supervised};
use crate::tools::{self, ControlPlaneTools};
use crate::wait::wait_for;
use crate::{http, kubeconfig};

const START_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(75);

/// Namespaces have a ServiceAccount and go as in any cluster, owned objects too, Deployments have Pods (which no node runs),
/// so that admission of Pods can be seen at work, and the roles `view`, `edit` and `admin` have what is aggregated into them.
const CONTROLLERS: &str = "namespace-controller,garbage-collector-controller,serviceaccount-controller,\
                           deployment-controller,replicaset-controller,clusterrole-aggregation-controller";

/// What precedes the point of a P-256 public key in DER (RFC 5480: `SEQUENCE { SEQUENCE { id-ecPublicKey, secp256r1 },
/// BIT STRING }`). The API server takes an EC key to verify with in this form only.
const P256_PUBLIC_KEY: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// What can be chosen.
#[derive(Clone, Copy, Debug, Default)]
pub struct ControlPlaneOptions {
    /// Run kube-controller-manager: the namespace and garbage collectors, Deployments and `ReplicaSets`.
    pub controller_manager: bool,
    /// Log every request, at level `Metadata`, into [`ControlPlane::audit_log`].
    pub audit: bool,
}

/// A running control plane. Everything it writes is in one directory; dropping it kills it.
#[derive(Debug)]
pub struct ControlPlane {
    dir: PathBuf,
    tools: ControlPlaneTools,
    options: ControlPlaneOptions,
    etcd_url: String,
    etcd_peer_url: String,
    port: u16,
    admin: Kubeconfig,
    apiserver: Mutex<Option<Supervised>>,
    etcd: Mutex<Option<Supervised>>,
    /// Held to be killed with the rest.
    controller_manager: Option<Supervised>,
}

impl ControlPlane {
    /// Starts it in `dir` and waits until the API server is ready.
    pub async fn start(dir: &Path, options: ControlPlaneOptions) -> Result<Self> {
        let tools = tools::control_plane().await?;
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let [etcd_url, etcd_peer_url] = [free_port()?, free_port()?].map(|port| format!("http://127.0.0.1:{port}"));
        let port = free_port()?;
        let token = random_hex()?;
        write_credentials(dir, &token)?;
        let server = format!("https://127.0.0.1:{port}");
        let admin = kubeconfig::for_token(&server, &dir.join("certs/apiserver.crt"), &token)?;
        kubeconfig::write(&admin, &dir.join("admin.kubeconfig"))?;
        let mut control_plane = Self {
            dir: dir.to_owned(),
            tools,
            options,
            etcd_url,
            etcd_peer_url,
            port,
            admin,
            apiserver: Mutex::new(None),
            etcd: Mutex::new(None),
            controller_manager: None,
        };
        control_plane.start_etcd().await?;
        control_plane.start_apiserver().await?;
        if options.controller_manager {
            control_plane.controller_manager = Some(control_plane.start_controller_manager().await?);
        }
        Ok(control_plane)
    }

    /// Where it writes.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A kubeconfig file with every right.
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.dir.join("admin.kubeconfig")
    }

    /// The same, read.
    pub fn kubeconfig(&self) -> &Kubeconfig {
        &self.admin
    }

    /// The built kubectl.
    pub fn kubectl(&self) -> &Path {
        &self.tools.kubectl
    }

    /// The audit log, one JSON event a line, if [`ControlPlaneOptions::audit`] was asked for.
    pub fn audit_log(&self) -> Option<PathBuf> {
        self.options.audit.then(|| self.dir.join("audit.log"))
    }

    /// Makes etcd forget all history, as the API server does every few minutes. With the API server restarted, whoever
    /// wants to go on from before is told that it is gone (410).
    pub async fn compact_etcd(&self) -> Result<()> {
        let address = self.etcd_url.strip_prefix("http://").unwrap_or(&self.etcd_url);
        // Any key: the answer's header has the revision. Keys are in Base64.
        let answer = http::post(address, "/v3/kv/range", &[], r#"{"key":"AA=="}"#).await?.ok()?;
        let answer: serde_json::Value = serde_json::from_str(&answer)?;
        let revision = answer["header"]["revision"].as_str().context("etcd tells no revision")?;
        let request = serde_json::json!({ "revision": revision, "physical": true });
        http::post(address, "/v3/kv/compaction", &[], &request.to_string()).await?.ok()?;
        Ok(())
    }

    /// Keeps a copy of etcd's data; the API server and etcd restart.
    pub async fn back_up_etcd(&self) -> Result<()> {
        self.stop_apiserver().await?;
        self.stop_etcd().await?;
        self.copy("etcd", "etcd-backup")?;
        self.start_etcd().await?;
        self.start_apiserver().await
    }

    /// Replaces etcd's data by the copy: everything since then is lost, and revisions are given a second time.
    pub async fn restore_etcd(&self) -> Result<()> {
        self.kill_apiserver()?;
        self.stop_etcd().await?;
        fs::remove_dir_all(self.dir.join("etcd"))?;
        self.copy("etcd-backup", "etcd")?;
        self.start_etcd().await?;
        self.start_apiserver().await
    }

    fn copy(&self, from: &str, to: &str) -> Result<()> {
        let copied = Command::new("cp").arg("-a").arg(self.dir.join(from)).arg(self.dir.join(to)).status()?;
        ensure!(copied.success(), "cannot copy {from} to {to}");
        Ok(())
    }

    async fn stop_etcd(&self) -> Result<()> {
        let server = self.etcd.lock().map_err(poisoned)?.take();
        server.context("etcd is not running")?.stop(STOP_LIMIT).await.map(|_| ())
    }

    async fn start_etcd(&self) -> Result<()> {
        let (client, peer) = (&self.etcd_url, &self.etcd_peer_url);
        let mut command = supervisor::command(&self.tools.etcd);
        command.env_clear().arg("--data-dir").arg(self.dir.join("etcd")).args([
            "--unsafe-no-fsync",
            "--log-level=warn",
            "--listen-client-urls",
            client,
            "--advertise-client-urls",
            client,
            "--listen-peer-urls",
            peer,
            "--initial-advertise-peer-urls",
            peer,
            "--initial-cluster",
            &format!("default={peer}"),
        ]);
        *self.etcd.lock().map_err(poisoned)? = Some(Supervised::spawn("etcd", command, &self.dir.join("etcd.log"))?);
        let address = client.trim_start_matches("http://");
        wait_for("etcd", START_LIMIT, async || {
            self.etcd.lock().map_err(poisoned)?.as_mut().context("etcd is not running")?.check_alive()?;
            http::get(address, "/health").await?.ok()
        })
        .await?;
        Ok(())
    }

    /// Takes an object out of etcd as if the API server had decided to before whatever holds it was added: it removes an
    /// object that it has found without finalizers even if one is added in that very instant.
    pub async fn remove_from_etcd(&self, path: &str) -> Result<()> {
        let address = self.etcd_url.strip_prefix("http://").unwrap_or(&self.etcd_url);
        let key = k8s_openapi::ByteString(format!("/registry/{path}").into_bytes());
        let request = serde_json::json!({ "key": key });
        let answer = http::post(address, "/v3/kv/deleterange", &[], &request.to_string()).await?.ok()?;
        let answer: serde_json::Value = serde_json::from_str(&answer)?;
        ensure!(answer["deleted"] == "1", "etcd has no /registry/{path}: {answer}");
        Ok(())
    }

    /// Starts the API server (again), on the same port and the same data, and waits until it is ready.
    pub async fn start_apiserver(&self) -> Result<()> {
        let server =
            Supervised::spawn("kube-apiserver", self.apiserver_command(), &self.dir.join("kube-apiserver.log"))?;
        let previous = self.apiserver.lock().map_err(poisoned)?.replace(server);
        ensure!(previous.is_none(), "the API server was running already, and has been replaced");
        wait_for("the API server", START_LIMIT, async || {
            self.with_apiserver(Supervised::check_alive)?;
            // The server writes its certificate when it starts, so each attempt needs a new client.
            ready(&kubeconfig::client(self.admin.clone()).await?).await
        })
        .await
        .with_context(|| format!("the log of the API server is {}", self.dir.join("kube-apiserver.log").display()))
    }

    /// Stops the API server in order; etcd and its data stay.
    pub async fn stop_apiserver(&self) -> Result<()> {
        let server = self.apiserver.lock().map_err(poisoned)?.take();
        server.context("the API server is not running")?.stop(STOP_LIMIT).await.map(|_| ())
    }

    /// Kills the API server, as a crash would.
    pub fn kill_apiserver(&self) -> Result<()> {
        let server = self.apiserver.lock().map_err(poisoned)?.take();
        server.context("the API server is not running")?.kill()
    }

    /// Freezes the API server: connections stay open, nothing is answered.
    pub fn pause_apiserver(&self) -> Result<()> {
        self.with_apiserver(Supervised::pause)
    }

    /// Ends [`ControlPlane::pause_apiserver`].
    pub fn resume_apiserver(&self) -> Result<()> {
        self.with_apiserver(Supervised::resume)
    }

    fn with_apiserver<T>(&self, act: impl FnOnce(&mut Supervised) -> Result<T>) -> Result<T> {
        act(self.apiserver.lock().map_err(poisoned)?.as_mut().context("the API server is not running")?)
    }

    fn apiserver_command(&self) -> Command {
        let dir = self.dir.display();
        let mut command = supervisor::command(&self.tools.apiserver);
        command.env_clear().args([
            format!("--etcd-servers={}", self.etcd_url),
            format!("--secure-port={}", self.port),
            String::from("--bind-address=127.0.0.1"),
            format!("--cert-dir={dir}/certs"),
            String::from("--service-account-issuer=https://kubernetes.default.svc.cluster.local"),
            format!("--service-account-key-file={dir}/service-account.pub"),
            format!("--service-account-signing-key-file={dir}/service-account.key"),
            format!("--token-auth-file={dir}/tokens.csv"),
            String::from("--authorization-mode=RBAC"),
            String::from("--service-cluster-ip-range=10.0.0.0/24"),
            String::from("--endpoint-reconciler-type=none"),
            String::from("--profiling=false"),
            // A stop waits for open watches; tests that restart the server do not want to.
            String::from("--shutdown-delay-duration=0s"),
            String::from("--shutdown-send-retry-after=false"),
        ]);
        if let Some(log) = self.audit_log() {
            command.arg(format!("--audit-policy-file={dir}/audit-policy.yaml"));
            command.arg(format!("--audit-log-path={}", log.display()));
            // In megabytes: one file for a whole run.
            command.arg("--audit-log-maxsize=10000");
        }
        command
    }

    async fn start_controller_manager(&self) -> Result<Supervised> {
        let mut command = supervisor::command(tools::controller_manager().await?);
        command.env_clear().args([
            format!("--kubeconfig={}", self.kubeconfig_path().display()),
            format!("--controllers={CONTROLLERS}"),
            String::from("--leader-elect=false"),
            String::from("--secure-port=0"),
        ]);
        Supervised::spawn("kube-controller-manager", command, &self.dir.join("kube-controller-manager.log"))
    }
}

async fn ready(client: &Client) -> Result<()> {
    let request = hyper::Request::get("/readyz").body(Vec::new())?;
    let answer = client.request_text(request).await?;
    ensure!(answer == "ok", "/readyz: {answer}");
    Ok(())
}

/// The administrator's token, the key that signs service account tokens, the audit policy: made anew for each run.
fn write_credentials(dir: &Path, token: &str) -> Result<()> {
    kubeconfig::private_file(&dir.join("tokens.csv"), format!("{token},admin,admin,system:masters\n").as_bytes())?;
    let random = SystemRandom::new();
    let private = EcdsaKeyPair::generate_pkcs8(&ALGORITHM, &random).map_err(|_| anyhow!("cannot generate a key"))?;
    let pair = EcdsaKeyPair::from_pkcs8(&ALGORITHM, private.as_ref(), &random);
    let pair = pair.map_err(|error| anyhow!("cannot read the generated key: {error}"))?;
    let public = [P256_PUBLIC_KEY, pair.public_key().as_ref()].concat();
    let private = pem::encode(&pem::Pem::new("PRIVATE KEY", private.as_ref()));
    kubeconfig::private_file(&dir.join("service-account.key"), private.as_bytes())?;
    fs::write(dir.join("service-account.pub"), pem::encode(&pem::Pem::new("PUBLIC KEY", public)))?;
    let audit =
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n";
    fs::write(dir.join("audit-policy.yaml"), audit).context("cannot write the audit policy")
}

/// 128 random bits.
pub(crate) fn random_hex() -> Result<String> {
    let mut bytes = [0_u8; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("the system gives no random numbers"))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

fn poisoned<T>(_: T) -> anyhow::Error {
    anyhow!("another test panicked while it started or stopped the API server")
}
