//! The binary in the image's root and nothing else (chroot): it reaches AWS by names, one from `/etc/hosts`, one from
//! DNS, and trusts exactly the authorities of the root's own file.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use aurora_test_support::apply::manifest;
use aurora_test_support::controlplane::ControlPlaneOptions;
use aurora_test_support::environment::Environment;
use aurora_test_support::iam_model::http::{Server, ServerOptions};
use aurora_test_support::moto::ACCESS_KEY;
use aurora_test_support::ports::free_port;
use aurora_test_support::supervisor::{self, Supervised, tail};
use aurora_test_support::wait::wait_for;
use kube::api::DynamicObject;

use super::super::process::{read, write};
use super::super::{SHORT, say, tools};
use super::dns::{self, NameServer};
use super::tls::{Certificate, TlsFront};
use super::{BINARY, USER};
use crate::demo;

/// STS, known to `/etc/hosts` only, and IAM, known to DNS only.
const BY_HOSTS: &str = "sts.by-hosts.test";
const BY_DNS: &str = "iam.by-dns.test";
const ACCOUNT: &str = "123456789012";
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";
const KUBECONFIG: &str = "etc/kubeconfig";

pub(super) async fn check(root: &Path) -> Result<()> {
    tools::require("chroot", "coreutils")?;
    let names = NameServer::start(BY_DNS).await?;
    let env = Environment::start(ControlPlaneOptions::default()).await?;
    env.install_crds().await?;
    let aws = Server::start(ServerOptions::default())?;
    aws.world().add_key(ACCESS_KEY, ACCOUNT);
    let certificate = Certificate::create(env.dir(), &[BY_HOSTS, BY_DNS]).await?;
    let front = TlsFront::start(&certificate, aws.addr()).await?;
    let inside = Inside { root: root.to_owned(), port: front.port };
    inside.furnish(&env).await?;

    // The image's own authorities do not know ours.
    sample(&env, "stranger").await?;
    let operator = inside.start(&env, "stranger")?;
    let state = wait_for("the operator to turn away from an unknown authority", SHORT, async || {
        ensure!(!front.handshakes().refused.is_empty(), "no handshake has failed yet");
        let (ready, state) = demo::readiness(&get(&env, "stranger").await?);
        ensure!(!ready, "ready behind a certificate of an unknown authority");
        ensure!(state.contains("Ready=False"), "{state}");
        Ok(state)
    })
    .await
    .with_context(|| log_end(&operator))?;
    let seen = front.handshakes();
    ensure!(seen.accepted.is_empty(), "a certificate of an unknown authority was accepted for {:?}", seen.accepted);
    ensure!(aws.gate().last_seq() == 0, "a request was sent behind a certificate of an unknown authority");
    ensure!(operator.stop(SHORT).await?.success(), "the operator did not end with 0");
    let refused = seen.refused.first().map(String::as_str).unwrap_or_default();
    say(&format!("an authority that is not in the root: the handshake fails ({refused}), nothing is sent; {state}"));

    let own = root.join(CERTIFICATES);
    write(&own, read(&own)? + &read(&certificate.authority)?)?;
    let operator = inside.start(&env, "known")?;
    wait_for("an object to be ready through names and TLS", SHORT, async || {
        let (ready, state) = demo::readiness(&get(&env, "stranger").await?);
        ensure!(ready, "{state}");
        Ok(())
    })
    .await
    .with_context(|| log_end(&operator))?;
    let accepted = front.handshakes().accepted;
    for name in [BY_HOSTS, BY_DNS] {
        ensure!(accepted.iter().any(|accepted| accepted == name), "no handshake for {name}, only {accepted:?}");
    }
    ensure!(names.asked().contains(BY_DNS), "DNS was not asked for {BY_DNS}, only for {:?}", names.asked());
    let calls = aws.gate().counts();
    for action in ["GetCallerIdentity", "CreatePolicy", "CreateRole", "AttachRolePolicy"] {
        ensure!(calls.contains_key(action), "no {action} arrived, only {calls:?}");
    }
    ensure!(operator.stop(SHORT).await?.success(), "the operator did not end with 0");
    say(&format!("the authority in the root's file: {BY_HOSTS} by /etc/hosts, {BY_DNS} by DNS, TLS verified, ready"));
    Ok(())
}

/// The image's root with what a container runtime adds to it.
struct Inside {
    root: PathBuf,
    port: u16,
}

impl Inside {
    /// `/etc/hosts` and `/etc/resolv.conf`, as the kubelet writes them, and a kubeconfig in place of the mounted token.
    async fn furnish(&self, env: &Environment) -> Result<()> {
        write(&self.root.join("etc/hosts"), format!("127.0.0.1 localhost\n127.0.0.1 {BY_HOSTS}\n"))?;
        let resolver = format!("nameserver {}\nsearch default.svc.cluster.local\noptions ndots:5\n", dns::ADDRESS);
        write(&self.root.join("etc/resolv.conf"), resolver)?;
        let access = env.install_rbac().await?;
        let flat = env.kubectl_with(&access.kubeconfig, &["config", "view", "--flatten", "--raw"], None).await?;
        let kubeconfig = self.root.join(KUBECONFIG);
        write(&kubeconfig, flat)?;
        // A token: for the operator's user only.
        let user = USER.split(':').next().and_then(|user| user.parse().ok());
        chown(&kubeconfig, user, user).context("cannot give the kubeconfig to the operator's user: run as root")?;
        std::fs::set_permissions(&kubeconfig, std::fs::Permissions::from_mode(0o400))?;
        Ok(())
    }

    fn start(&self, env: &Environment, name: &str) -> Result<Supervised> {
        let mut command = supervisor::command(tools::require("chroot", "coreutils")?);
        command.env_clear();
        command.arg(format!("--userspec={USER}")).arg(&self.root).arg(BINARY);
        command.args(["run", "--leader-elect=false", "--cluster-name=image", "--drift-check-interval=1s"]);
        command.arg(format!("--http-addr=127.0.0.1:{}", free_port()?));
        command
            .env("SSL_CERT_FILE", format!("/{CERTIFICATES}"))
            .env("KUBECONFIG", format!("/{KUBECONFIG}"))
            .env("POD_NAME", name)
            .env("POD_NAMESPACE", "default")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", ACCESS_KEY)
            .env("AWS_ENDPOINT_URL_STS", format!("https://{BY_HOSTS}:{}", self.port))
            .env("AWS_ENDPOINT_URL_IAM", format!("https://{BY_DNS}:{}", self.port));
        Supervised::spawn("the operator in the image's root", command, &env.dir().join(format!("image-{name}.log")))
    }
}

async fn sample(env: &Environment, name: &str) -> Result<()> {
    env.apply_yaml(&manifest("default", name, "{}")).await.map(drop)
}

async fn get(env: &Environment, name: &str) -> Result<DynamicObject> {
    let text = env.kubectl(&["get", "alep", name, "--namespace=default", "--output=json"]).await?;
    Ok(serde_json::from_str(&text)?)
}

fn log_end(operator: &Supervised) -> String {
    format!("the end of the operator's log, {}:\n{}", operator.log().display(), tail(operator.log(), 20))
}
