//! A wire between a program and a server, to be cut and mended: a network partition of that one program, or the loss of
//! the server behind a load balancer.

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
    /// Says something when connections die.
    deaths: watch::Sender<()>,
    task: AbortHandle,
}

impl Link {
    /// A whole link to that server.
    pub async fn to(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot listen on 127.0.0.1")?;
        let addr = listener.local_addr()?;
        let (whole, is_whole) = watch::channel(true);
        let deaths = watch::Sender::new(());
        let task = tokio::spawn(accept(listener, server, is_whole, deaths.clone())).abort_handle();
        Ok(Self { addr, whole, deaths, task })
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

    /// What is open now stays open and silent for ever, as if the server behind a load balancer had died; new connections
    /// go through.
    pub fn kill_connections(&self) {
        self.deaths.send_replace(());
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, whole: watch::Receiver<bool>, deaths: watch::Sender<()>) {
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (whole, deaths) = (whole.clone(), deaths.subscribe());
        connections.spawn(async move {
            // An end of either side ends both; there is nobody to tell about an error.
            let _ = forward(client, server, whole, deaths).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(
    client: TcpStream,
    server: SocketAddr,
    mut whole: watch::Receiver<bool>,
    mut deaths: watch::Receiver<()>,
) -> Result<()> {
    whole.wait_for(|whole| *whole).await?;
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::select! {
        ended = copy(&mut from_client, &mut to_server, whole.clone()) => ended,
        ended = copy(&mut from_server, &mut to_client, whole) => ended,
        died = deaths.changed() => match died {
            // The sockets are kept.
            Ok(()) => std::future::pending().await,
            Err(_) => Ok(()),
        },
    }
}

async fn copy(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, mut whole: watch::Receiver<bool>) -> Result<()> {
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

    /// A new connection through which an answer has come.
    async fn answered(link: &Link) -> TcpStream {
        let mut stream = TcpStream::connect(link.addr()).await.expect("it listens");
        stream.write_all(b"a").await.expect("it is open");
        assert_eq!(said(&mut stream).await, b'a');
        stream
    }

    #[tokio::test]
    async fn what_was_sent_while_it_was_cut_arrives_once_it_is_mended() {
        let link = Link::to(echo().await).await.expect("a port");
        let mut stream = answered(&link).await;
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
    async fn connections_that_died_stay_silent_and_new_ones_go_through() {
        let link = Link::to(echo().await).await.expect("a port");
        let mut stream = answered(&link).await;
        link.kill_connections();
        stream.write_all(b"b").await.expect("nothing is closed");
        answered(&link).await;
        let silent = tokio::time::timeout(SOON, said(&mut stream)).await;
        assert!(silent.is_err(), "an answer came through");
    }

    #[tokio::test]
    async fn the_end_of_the_link_ends_its_connections() {
        let link = Link::to(echo().await).await.expect("a port");
        let mut stream = answered(&link).await;
        drop(link);
        assert!(!matches!(stream.read(&mut [0]).await, Ok(count) if count > 0));
    }
}
