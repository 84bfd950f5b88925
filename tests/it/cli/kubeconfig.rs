//! Kubeconfigs that kubectl accepts, each tried with kubectl and with a command of ours.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use aurora_test_support::environment::Environment;
use aurora_test_support::kubeconfig;
use serde_json::{Value, json};

use super::{Cli, Outcome, directory, iam};
use crate::environment;
use crate::fixture::Fixture;

/// A directory with kubeconfigs of the administrator.
struct Files {
    env: &'static Environment,
    dir: PathBuf,
    cluster: Value,
    token: String,
    cli: Cli,
}

impl Files {
    async fn new() -> Result<Self> {
        let env = environment().await?;
        let namespace = env.namespace().await?;
        let mut admin = serde_json::to_value(kubeconfig::read(env.kubeconfig())?)?;
        let token = admin["users"][0]["user"]["token"].as_str().context("no token")?.to_owned();
        let cluster = admin["clusters"][0]["cluster"].take();
        let dir = directory(env, &namespace)?;
        // A copy, so that a path can be relative.
        std::fs::copy(cluster["certificate-authority"].as_str().context("no CA")?, dir.join("ca.crt"))?;
        let cli = Cli::new(env, &iam()?.url()).env("ALEP_CLUSTER_NAME", "x").env("ALEP_NAMESPACE", &namespace);
        Ok(Self { env, dir, cluster, token, cli })
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<String> {
        std::fs::write(self.dir.join(name), content)?;
        Ok(self.path(name))
    }

    /// Writes a kubeconfig with this cluster, user and current context; returns its path.
    fn config(&self, name: &str, cluster: &Value, user: &Value, current: &str) -> Result<String> {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": current,
            "clusters": [{ "name": "c", "cluster": cluster }],
            "users": [{ "name": "u", "user": user }],
            "contexts": [{ "name": "x", "context": { "cluster": "c", "user": "u", "namespace": "" } }],
        });
        self.write(name, config.to_string())
    }

    /// Lists objects with kubectl and with a command of ours.
    async fn both(&self, kubeconfig: &str) -> Result<(Result<String>, Outcome)> {
        let kubectl = self.env.kubectl_with(Path::new(kubeconfig), &["get", "alep", "-A"], None).await;
        Ok((kubectl, self.cli.clone().env("KUBECONFIG", kubeconfig).run(&["plan", "--all"]).await?))
    }

    async fn accepted(&self, what: &str, kubeconfig: &str) -> Result<()> {
        let (kubectl, ours) = self.both(kubeconfig).await?;
        kubectl.with_context(|| format!("{what}: kubectl refuses it"))?;
        ensure!(ours.code == 0, "{what}: {ours:?}");
        Ok(())
    }

    async fn refused(&self, what: &str, kubeconfig: &str, parts: &[&str]) -> Result<()> {
        let (kubectl, ours) = self.both(kubeconfig).await?;
        ensure!(kubectl.is_err(), "{what}: kubectl accepts it");
        ensure!(ours.code == 1, "{what}: {ours:?}");
        for part in parts {
            ensure!(ours.stderr.contains(part), "{what}: no {part:?} in {ours:?}");
        }
        Ok(())
    }

    fn cluster_with(&self, fields: Value) -> Value {
        let mut cluster = json!({ "server": self.cluster["server"], "certificate-authority": "ca.crt" });
        for (name, value) in fields.as_object().into_iter().flatten() {
            cluster[name] = value.clone();
        }
        cluster
    }
}

#[tokio::test]
async fn what_kubectl_accepts_is_accepted() -> Result<()> {
    let files = Files::new().await?;
    files.write("token", format!("{}\n", files.token))?;
    files.write("login", format!(
        "#!/bin/sh\necho '{{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\", \"status\": {{\"token\": \"{}\"}}}}'\n",
        files.token
    ))?;
    std::fs::set_permissions(files.dir.join("login"), std::fs::Permissions::from_mode(0o755))?;
    let (ca, token) = (files.cluster_with(json!({})), json!({ "token": files.token }));
    let by_file = json!({ "tokenFile": "token" });
    let exec = |command: &str| {
        let exec =
            json!({ "apiVersion": "client.authentication.k8s.io/v1", "command": command, "interactiveMode": "Never" });
        json!({ "exec": exec })
    };
    let mut lines = String::new();
    for (index, character) in base64(&std::fs::read(files.dir.join("ca.crt"))?).chars().enumerate() {
        lines.push(character);
        lines.push_str(if index % 64 == 63 { "\n" } else { "" });
    }
    for (what, cluster, user) in [
        ("a token", ca.clone(), token.clone()),
        ("a token file with a line break", ca.clone(), by_file.clone()),
        ("a token and a token file", ca.clone(), json!({ "token": "wrong", "tokenFile": "token" })),
        ("a token file that is missing", ca.clone(), json!({ "token": files.token, "tokenFile": "missing" })),
        (
            "empty values",
            files.cluster_with(json!({ "proxy-url": "", "tls-server-name": "", "certificate-authority-data": "" })),
            json!({ "token": "", "tokenFile": "token", "client-certificate": "", "client-key": "", "client-key-data": "" }),
        ),
        (
            "no verification",
            json!({ "server": files.cluster["server"], "insecure-skip-tls-verify": true }),
            token.clone(),
        ),
        (
            "base64 with line breaks",
            json!({ "server": files.cluster["server"], "certificate-authority-data": lines }),
            token.clone(),
        ),
        (
            "another name in the certificate",
            files.cluster_with(json!({ "tls-server-name": "kubernetes" })),
            token.clone(),
        ),
        ("a plugin beside the file", ca.clone(), exec("./login")),
    ] {
        let path = files.config("config", &cluster, &user, "x")?;
        files.accepted(what, &path).await?;
    }
    let good = files.config("good", &ca, &token, "x")?;
    let other = files.config("other", &json!({ "server": "https://127.0.0.1:1" }), &json!({}), "")?;
    let (missing, empty) = (files.path("missing"), files.write("empty", "")?);
    files.accepted("missing, empty and unnamed files", &format!("{missing}::{empty}:{good}")).await?;
    files.accepted("the first of two", &format!("{good}:{other}")).await?;

    files.refused("the first of two, which is wrong", &format!("{other}:{good}"), &["127.0.0.1:1"]).await?;
    files.refused("missing files only", &format!("{missing}:{missing}2"), &[&format!("{missing}, {missing}2")]).await?;
    let broken = files.write("broken", "clusters: {")?;
    files.refused("no YAML", &format!("{good}:{broken}"), &[&broken]).await?;
    let nowhere = files.config("nowhere", &ca, &token, "other")?;
    files.refused("a context that does not exist", &nowhere, &[&nowhere, "other"]).await?;
    let plugin = files.config("plugin", &ca, &exec("./nothing"), "x")?;
    files.refused("a plugin that does not exist", &plugin, &[&files.path("./nothing")]).await?;
    let lost = files.config("lost", &ca, &json!({ "tokenFile": "lost-token" }), "x")?;
    files.refused("a token file that does not exist", &lost, &[&files.path("lost-token")]).await?;
    let uncertain =
        files.config("uncertain", &files.cluster_with(json!({ "certificate-authority": "gone.crt" })), &token, "x")?;
    files.refused("a CA that does not exist", &uncertain, &[&files.path("gone.crt")]).await?;

    // Without a current context, one is chosen.
    let none = files.config("none", &ca, &token, "")?;
    files.refused("no current context", &none, &["current-context", "--context"]).await?;
    let cli = files.cli.clone().env("KUBECONFIG", &none);
    cli.ok(&["plan", "--all", "--context=x"]).await?;
    let wrong = cli.run(&["plan", "--all", "--context=y"]).await?;
    ensure!(wrong.code == 1 && wrong.stderr.contains('y'), "{wrong:?}");
    // An empty variable means the default file.
    let home = files.dir.join("home/.kube");
    std::fs::create_dir_all(&home)?;
    std::fs::copy(&good, home.join("config"))?;
    std::fs::copy(files.dir.join("ca.crt"), home.join("ca.crt"))?;
    let cli = cli.env("KUBECONFIG", "").env("HOME", &files.path("home"));
    cli.ok(&["plan", "--all"]).await?;
    Ok(())
}

#[tokio::test]
async fn the_operator_reads_a_list_of_files_and_a_token_with_a_line_break() -> Result<()> {
    let mut fixture = Fixture::with(&[]).prepare().await?;
    let access = fixture.env.install_rbac().await?;
    let mut config = serde_json::to_value(kubeconfig::read(&access.kubeconfig)?)?;
    let dir = directory(fixture.env, fixture.namespace())?;
    let token = config["users"][0]["user"]["token"].take();
    std::fs::write(dir.join("token"), format!("{}\n", token.as_str().context("no token")?))?;
    config["users"][0]["user"]["tokenFile"] = json!("token");
    std::fs::write(dir.join("config"), config.to_string())?;
    let list = format!("{}:{}", dir.join("missing").display(), dir.join("config").display());
    let options = fixture.own_options().env("KUBECONFIG", &list);
    fixture.start_operator_with(options).await?;
    fixture.applied("orders", json!({})).await?;
    fixture.finish().await
}

fn base64(bytes: &[u8]) -> String {
    let text = serde_json::to_value(k8s_openapi::ByteString(bytes.to_vec())).unwrap_or_default();
    text.as_str().unwrap_or_default().to_owned()
}
