//! A wire between a program and a server, to be cut and mended: a network partition of that one program.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// Forwards TCP from a port of its own to a server while it is whole. Cut, it loses nothing and closes nothing, as a
/// network that swallows packets: what was sent waits, new connections open and stay silent, and once mended all of it
/// goes on. Needs a tokio runtime that keeps running; dropping it closes every connection.
#[derive(Debug)]
pub struct Link {
    addr: SocketAddr,
    whole: watch::Sender<bool>,
    task: AbortHandle,
}

impl Link {
    /// A whole link to that server.
    pub async fn to(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen on 127.0.0.1")?;
        let addr = listener.local_addr()?;
        let (whole, is_whole) = watch::channel(true);
        let task = tokio::spawn(accept(listener, server, is_whole)).abort_handle();
        Ok(Self { addr, whole, task })
    }

    /// Where to connect instead of to the server.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on nothing gets through, in either direction.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Everything gets through again.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, whole: watch::Receiver<bool>) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let whole = whole.clone();
        connections.spawn(async move {
            // An end of either side ends both; there is nobody to tell about an error.
            let _ = forward(client, server, whole).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(client: TcpStream, server: SocketAddr, mut whole: watch::Receiver<bool>) -> Result<()> {
    whole.wait_for(|whole| *whole).await?;
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        ended = copy(from_client, to_server, whole.clone()) => ended,
        ended = copy(from_server, to_client, whole) => ended,
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut whole: watch::Receiver<bool>) -> Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        whole.wait_for(|whole| *whole).await?;
        if count == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..count]).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SOON: Duration = Duration::from_millis(200);

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let addr = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.into_split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        addr
    }

    async fn said(stream: &mut TcpStream) -> u8 {
        let mut byte = [0];
        stream.read_exact(&mut byte).await.expect("an answer");
        byte[0]
    }

    #[tokio::test]
    async fn what_was_sent_while_it_was_cut_arrives_once_it_is_mended() {
        let link = Link::to(echo().await).await.expect("a port");
        let mut stream = TcpStream::connect(link.addr()).await.expect("it listens");
        stream.write_all(b"a").await.expect("it is open");
        assert_eq!(said(&mut stream).await, b'a');
        link.cut();
        stream.write_all(b"b").await.expect("nothing is closed");
        let mut late = TcpStream::connect(link.addr()).await.expect("a new connection opens");
        late.write_all(b"c").await.expect("nothing is closed");
        let silent = tokio::time::timeout(SOON, said(&mut stream)).await;
        assert!(silent.is_err(), "an answer came through");
        link.mend();
        assert_eq!(said(&mut stream).await, b'b');
        assert_eq!(said(&mut late).await, b'c');
    }

    #[tokio::test]
    async fn the_end_of_the_link_ends_its_connections() {
        let link = Link::to(echo().await).await.expect("a port");
        let mut stream = TcpStream::connect(link.addr()).await.expect("it listens");
        stream.write_all(b"a").await.expect("it is open");
        assert_eq!(said(&mut stream).await, b'a');
        drop(link);
        assert!(!matches!(stream.read(&mut [0]).await, Ok(count) if count > 0));
    }
}
