//! A reverse proxy in front of an emulator such as moto: the faults and the call log of the model's server, and some
//! of AWS's rules that moto lacks.
//!
//! Point the program under test at [`Proxy::url`] instead of the emulator; `/control/` works as with the model's
//! server (log, counts, faults). Requests that are no Query calls (`/moto-api/reset`) pass untouched and unlogged.

mod forward;
mod moto_gaps;
mod service;

pub use forward::Upstream;

use crate::iam_model::http::{Gate, listen};
use service::Service;
use std::net::SocketAddr;
use tokio::runtime::Runtime;

/// How to proxy.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// 0 takes a free port.
    pub port: u16,
    /// The emulator, plain HTTP.
    pub upstream: SocketAddr,
    /// Records kept in the call log; 0 keeps counts only.
    pub log_capacity: usize,
    /// The account of keys that no `AssumeRole` gave out; moto's own default if not set otherwise.
    pub default_account: String,
    /// Whether to answer in AWS's way where moto does not (see `moto_gaps`).
    pub mend_moto: bool,
}

impl ProxyOptions {
    /// In front of moto, with its gaps mended.
    pub fn before_moto(upstream: SocketAddr) -> Self {
        Self { port: 0, upstream, log_capacity: 100_000, default_account: "123456789012".to_owned(), mend_moto: true }
    }
}

/// A running proxy; it ends when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    gate: Gate,
    runtime: Option<Runtime>,
}

impl Proxy {
    /// Listens on 127.0.0.1. The emulator need not be up yet.
    pub fn start(options: ProxyOptions) -> anyhow::Result<Self> {
        let gate = Gate::new(options.log_capacity);
        let port = options.port;
        let service = Service::new(gate.clone(), options);
        let (addr, runtime) = listen(port, 2, move |request| service.clone().serve(request))?;
        Ok(Self { addr, gate, runtime: Some(runtime) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:{port}`, for `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Faults and call log.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests;
