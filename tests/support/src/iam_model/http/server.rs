//! The listening server, on threads of its own.

use super::gate::Gate;
use super::service;
use super::world::World;
use anyhow::Context;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// How to serve.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Records kept in the call log; 0 keeps counts only, which is what a benchmark wants.
    pub log_capacity: usize,
    /// The partition of accounts that are created without one.
    pub partition: &'static str,
    /// Whether every account has policies and roles of others, which must be unchanged when the server ends.
    pub bystanders: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self { log_capacity: 100_000, partition: "aws", bystanders: false }
    }
}

/// A running server. Dropping it ends the server, with a panic if a bystander was changed.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    world: World,
    gate: Gate,
    runtime: Option<Runtime>,
}

impl Server {
    /// Listens on 127.0.0.1.
    pub fn start(options: ServerOptions) -> anyhow::Result<Self> {
        let world = World::new(options.partition, options.bystanders);
        let gate = Gate::new(options.log_capacity);
        let (addr, runtime) = listen(2, {
            let (world, gate) = (world.clone(), gate.clone());
            move |request| service::serve(world.clone(), gate.clone(), request)
        })?;
        Ok(Self { addr, world, gate, runtime: Some(runtime) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:{port}`, for `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Accounts and keys.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Faults and call log.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        // Checked at the end of every test.
        if !std::thread::panicking() {
            let untouched = self.world.bystanders_untouched();
            assert!(untouched.is_ok(), "{}", untouched.err().unwrap_or_default());
        }
    }
}

/// Serves HTTP/1.1 on 127.0.0.1 with a runtime of its own; requests end when the runtime is shut down.
pub(crate) fn listen<S, F>(threads: usize, serve: S) -> anyhow::Result<(SocketAddr, Runtime)>
where
    S: Fn(hyper::Request<hyper::body::Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = super::reply::Reply> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on 127.0.0.1")?;
    listener.set_nonblocking(true)?;
    let addr = listener.local_addr()?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("iam-model")
        .enable_all()
        .build()
        .context("cannot start the server's threads")?;
    let listener = {
        let _entered = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    runtime.spawn(async move {
        loop {
            // Probably out of file descriptors: try again.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            let serve = serve.clone();
            tokio::spawn(async move {
                #[allow(clippy::redundant_closure)] // passing `serve` itself makes the future not `Send`
                let service = service_fn(move |request| serve(request));
                // An error means that the caller disconnected, or that a fault closes the connection.
                let _ = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Ok((addr, runtime))
}
