//! An HTTP proxy: `CONNECT` tunnels and plain requests, to names that only it resolves.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// The longest head of a request that it reads.
const MAX_HEAD: usize = 64 * 1024;

/// The first request of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// `CONNECT` for a tunnel.
    pub method: String,
    /// `HOST:PORT`.
    pub target: String,
    /// The status of a refusal: 407 without the right credentials, 502 for a name that it does not know.
    pub refused: Option<u16>,
}

struct Shared {
    hosts: HashMap<String, SocketAddr>,
    /// What `Proxy-Authorization` must say.
    authorization: Option<String>,
    seen: Mutex<Vec<Forwarded>>,
}

/// A running proxy. Needs a tokio runtime that keeps running; dropping it closes every connection.
pub struct ConnectProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl ConnectProxy {
    /// Forwards to these hosts only, whatever the port. With `authorization`, such as `Basic dTpw`, it refuses every
    /// request without that header.
    pub async fn start(hosts: &[(&str, SocketAddr)], authorization: Option<&str>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen on 127.0.0.1")?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            hosts: hosts.iter().map(|(name, addr)| ((*name).to_owned(), *addr)).collect(),
            authorization: authorization.map(str::to_owned),
            seen: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, shared.clone())).abort_handle();
        Ok(Self { addr, shared, task })
    }

    /// `127.0.0.1:PORT`.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The first request of each connection so far.
    pub fn seen(&self) -> Vec<Forwarded> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The connections that it forwarded, as `METHOD HOST:PORT`, each kind once.
    pub fn forwarded(&self) -> Vec<String> {
        let seen = self.seen().into_iter().filter(|it| it.refused.is_none());
        let mut kinds: Vec<String> = seen.map(|it| format!("{} {}", it.method, it.target)).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let shared = shared.clone();
        connections.spawn(async move {
            // An end of either side ends both.
            let _ = forward(client, &shared).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(mut client: TcpStream, shared: &Shared) -> Result<()> {
    let head = head(&mut client).await?;
    let text = String::from_utf8_lossy(&head);
    let mut lines = text.split("\r\n").take_while(|line| !line.is_empty());
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, url) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let target = match url.strip_prefix("http://") {
        Some(rest) => {
            let authority = rest.split('/').next().unwrap_or_default();
            if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") }
        }
        None if method == "CONNECT" => url.to_owned(),
        None => bail!("not a request to a proxy: {method} {url}"),
    };
    let name = target.rsplit_once(':').map_or(target.as_str(), |(name, _)| name);
    let shown = lines
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization"));
    let refused = match (shared.hosts.get(name), &shared.authorization) {
        (_, Some(demanded)) if shown.is_none_or(|(_, shown)| shown != demanded) => Err(407),
        (None, _) => Err(502),
        (Some(addr), _) => Ok(*addr),
    };
    let record = Forwarded { method: method.to_owned(), target: target.clone(), refused: refused.err() };
    shared.seen.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    let server = match refused {
        Ok(server) => server,
        Err(status) => {
            let answer = format!("HTTP/1.1 {status} Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            client.write_all(answer.as_bytes()).await?;
            return Ok(());
        }
    };
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    if method == "CONNECT" {
        client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await?;
    } else {
        // A server takes the absolute form as well.
        server.write_all(&head).await?;
    }
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// Everything up to the empty line, and what came in the same packet.
async fn head(client: &mut TcpStream) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        ensure!(head.len() < MAX_HEAD, "the head is too long");
        ensure!(client.read_buf(&mut head).await? > 0, "the connection ended in the head");
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first line of the answer.
    async fn ask(proxy: &ConnectProxy, request: &str) -> String {
        let mut stream = TcpStream::connect(proxy.addr()).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("it is open");
        let mut answer = vec![0; 256];
        let count = stream.read(&mut answer).await.expect("an answer");
        String::from_utf8_lossy(&answer[..count]).lines().next().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn it_forwards_to_known_names_with_the_right_credentials() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let addr = server.local_addr().expect("it is bound");
        tokio::spawn(async move {
            let (mut stream, _) = server.accept().await.expect("a connection");
            let head = head(&mut stream).await.expect("a request");
            assert!(head.starts_with(b"GET http://known.test/ HTTP/1.1\r\n"));
            stream.write_all(b"HTTP/1.1 204 Here\r\n\r\n").await.expect("it is open");
        });
        let proxy = ConnectProxy::start(&[("known.test", addr)], Some("Basic dTpw")).await.expect("a port");
        let request = |line: &str, header: &str| format!("{line} HTTP/1.1\r\n{header}\r\n");
        let right = "proxy-authorization: Basic dTpw\r\n";
        for (line, header, answer) in [
            ("CONNECT known.test:443", "", "HTTP/1.1 407 Refused"),
            ("CONNECT known.test:443", "Proxy-Authorization: Basic bad\r\n", "HTTP/1.1 407 Refused"),
            ("CONNECT other.test:443", right, "HTTP/1.1 502 Refused"),
            ("CONNECT known.test:443", right, "HTTP/1.1 200 Connected"),
        ] {
            assert_eq!(ask(&proxy, &request(line, header)).await, answer, "{line} {header}");
        }
        assert_eq!(proxy.forwarded(), ["CONNECT known.test:443"]);
        assert_eq!(proxy.seen().len(), 4);
    }
}
