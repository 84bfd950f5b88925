//! TLS in front of a server that speaks none.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::controlplane::ControlPlane;

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate, with that of its authority.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

impl Certificate {
    /// The one that the API server made for itself when it started. It is for 127.0.0.1, `localhost` and
    /// `kubernetes.default.svc`.
    pub fn of(control_plane: &ControlPlane) -> Self {
        let certs = control_plane.dir().join("certs");
        Self { certificate: certs.join("apiserver.crt"), key: certs.join("apiserver.key") }
    }

    fn config(&self) -> Result<ServerConfig> {
        let chain = pem::parse_many(read(&self.certificate)?)?.into_iter().map(|pem| pem.into_contents().into());
        let key = PrivateKeyDer::try_from(pem::parse(read(&self.key)?)?.into_contents());
        let key = key.map_err(|why| anyhow::anyhow!("{}: {why}", self.key.display()))?;
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
        Ok(builder.with_single_cert(chain.collect(), key)?)
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// A running front. Needs a tokio runtime that keeps running; dropping it closes every connection.
pub struct TlsFront {
    addr: SocketAddr,
    task: AbortHandle,
}

impl TlsFront {
    /// Forwards what arrives in TLS to `server`.
    pub async fn before(server: SocketAddr, certificate: &Certificate) -> Result<Self> {
        let acceptor = TlsAcceptor::from(Arc::new(certificate.config()?));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen on 127.0.0.1")?;
        let addr = listener.local_addr()?;
        let accept = async move {
            // Dropped with this task, and every connection with it.
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    let mut client = acceptor.accept(client).await?;
                    let mut server = TcpStream::connect(server).await?;
                    copy_bidirectional(&mut client, &mut server).await
                });
                while connections.try_join_next().is_some() {}
            }
        };
        Ok(Self { addr, task: tokio::spawn(accept).abort_handle() })
    }

    /// `127.0.0.1:PORT`.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}
