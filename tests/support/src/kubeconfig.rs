//! Kubeconfig files, and clients made from them.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;

/// A kubeconfig with one cluster and one user that shows `token`.
pub fn for_token(server: &str, certificate_authority: &Path, token: &str) -> Result<Kubeconfig> {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "aurora",
        "clusters": [{"name": "aurora", "cluster": {"server": server, "certificate-authority": certificate_authority}}],
        "users": [{"name": "aurora", "user": {"token": token}}],
        "contexts": [{"name": "aurora", "context": {"cluster": "aurora", "user": "aurora"}}],
    });
    Ok(serde_json::from_value(config)?)
}

/// The current cluster of `base`, as the user that `token` stands for.
pub fn with_token(base: &Kubeconfig, token: &str) -> Result<Kubeconfig> {
    let context = base.current_context.as_deref().context("the kubeconfig has no current context")?;
    let context = base.contexts.iter().find(|entry| entry.name == context).and_then(|entry| entry.context.as_ref());
    let name = &context.context("the kubeconfig's current context does not exist")?.cluster;
    let cluster = base.clusters.iter().find(|entry| entry.name == *name);
    let cluster = cluster.with_context(|| format!("the kubeconfig's cluster {name} does not exist"))?;
    let mut config = for_token("https://unused.invalid", Path::new("unused"), token)?;
    for entry in &mut config.clusters {
        entry.cluster.clone_from(&cluster.cluster);
    }
    Ok(config)
}

/// Writes `config` for its owner's eyes only.
pub fn write(config: &Kubeconfig, path: &Path) -> Result<()> {
    let text = serde_saphyr::to_string(&serde_json::to_value(config)?)?;
    private_file(path, text.as_bytes())
}

/// Reads a kubeconfig; relative paths in it become absolute.
pub fn read(path: &Path) -> Result<Kubeconfig> {
    Kubeconfig::read_from(path).with_context(|| format!("cannot read the kubeconfig {}", path.display()))
}

/// Writes a copy of the kubeconfig `from` that names another server; returns its path.
pub fn redirect(from: &Path, server: &str, to: PathBuf) -> Result<PathBuf> {
    let mut config = read(from)?;
    for cluster in config.clusters.iter_mut().filter_map(|entry| entry.cluster.as_mut()) {
        cluster.server = Some(server.to_owned());
    }
    write(&config, &to)?;
    Ok(to)
}

/// The address of the API server that a kubeconfig names.
pub fn server_address(path: &Path) -> Result<SocketAddr> {
    let config = read(path)?;
    let cluster = config.clusters.first().and_then(|entry| entry.cluster.as_ref());
    let server = cluster.and_then(|cluster| cluster.server.as_deref()).context("the kubeconfig names no server")?;
    let address = server.strip_prefix("https://").unwrap_or(server);
    address.parse().with_context(|| format!("not an address: {server}"))
}

/// A new client; it belongs to the tokio runtime that makes it.
pub async fn client(config: Kubeconfig) -> Result<Client> {
    let mut config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    // The test cluster is on this machine, whatever proxy the environment names.
    config.proxy_url = None;
    Ok(Client::try_from(config)?)
}

/// Writes a file that only its owner may read.
pub(crate) fn private_file(path: &Path, content: &[u8]) -> Result<()> {
    let file = File::options().create(true).truncate(true).write(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(content));
    written.with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_user_of_the_same_cluster() {
        let admin = for_token("https://127.0.0.1:1234", Path::new("/ca.crt"), "admin").expect("valid");
        let other = with_token(&admin, "other").expect("valid");
        let text = serde_json::to_string(&other).expect("it serializes");
        assert!(text.contains("https://127.0.0.1:1234") && text.contains("/ca.crt"), "{text}");
        assert!(text.contains(r#""token":"other""#) && !text.contains("admin"), "{text}");
    }
}
