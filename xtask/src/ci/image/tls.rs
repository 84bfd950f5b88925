//! TLS in front of the model of IAM, with a certificate that only one authority, made for this run, vouches for.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

use super::super::{process, tools};

/// What became of the connections so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Handshakes {
    /// The names that clients asked for and then accepted the certificate of.
    pub(super) accepted: Vec<String>,
    /// Why the others failed.
    pub(super) refused: Vec<String>,
}

/// A running TLS server; it ends when this is dropped.
pub(super) struct TlsFront {
    pub(super) port: u16,
    handshakes: Arc<Mutex<Handshakes>>,
    task: JoinHandle<()>,
}

/// Key, certificate, and the authority that signed it, as PEM files.
pub(super) struct Certificate {
    key: PathBuf,
    chain: PathBuf,
    pub(super) authority: PathBuf,
}

impl Certificate {
    /// Makes an authority and a certificate for `names`, good for a day.
    pub(super) async fn create(dir: &Path, names: &[&str]) -> Result<Self> {
        let openssl = tools::require("openssl", "openssl")?;
        let (ca, ca_key) = (dir.join("ca.crt"), dir.join("ca.key"));
        let (certificate, key) = (dir.join("server.crt"), dir.join("server.key"));
        let make = async |certificate: &Path, key: &Path, more: &[&str]| {
            process::output(&openssl, |command| {
                command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
                command.args(["-days", "1"]).arg("-keyout").arg(key).arg("-out").arg(certificate).args(more);
            })
            .await
        };
        make(&ca, &ca_key, &["-subj", "/CN=Aurora CI authority", "-addext", "keyUsage=critical,keyCertSign"]).await?;
        let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
        let (ca_text, ca_key_text) = (ca.display().to_string(), ca_key.display().to_string());
        let subject = format!("subjectAltName={}", names.join(","));
        let signed = ["-CA", &ca_text, "-CAkey", &ca_key_text, "-subj", "/CN=IAM", "-addext", &subject];
        let leaf = ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth"];
        make(&certificate, &key, &[&signed[..], &leaf[..]].concat()).await?;
        Ok(Self { key, chain: certificate, authority: ca })
    }
}

impl TlsFront {
    /// Listens on a free port of 127.0.0.1 and passes what it decrypts to `backend`.
    pub(super) async fn start(certificate: &Certificate, backend: SocketAddr) -> Result<Self> {
        let chain = CertificateDer::pem_file_iter(&certificate.chain)?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&certificate.key).context("the generated key cannot be read")?;
        let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let handshakes = Arc::new(Mutex::new(Handshakes::default()));
        let seen = Arc::clone(&handshakes);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(acceptor.clone(), stream, backend, Arc::clone(&seen)));
            }
        });
        Ok(Self { port, handshakes, task })
    }

    pub(super) fn handshakes(&self) -> Handshakes {
        self.handshakes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(acceptor: TlsAcceptor, stream: TcpStream, backend: SocketAddr, seen: Arc<Mutex<Handshakes>>) {
    let note = |note: &dyn Fn(&mut Handshakes)| note(&mut seen.lock().unwrap_or_else(PoisonError::into_inner));
    let mut client = match acceptor.accept(stream).await {
        Ok(client) => client,
        Err(error) => return note(&|seen| seen.refused.push(error.to_string())),
    };
    let name = client.get_ref().1.server_name().unwrap_or("no name").to_owned();
    note(&|seen| seen.accepted.push(name.clone()));
    if let Ok(mut server) = TcpStream::connect(backend).await {
        // Either side may hang up at any time.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}
