//! Free ports of 127.0.0.1.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result};

/// Below the range from which systems number outgoing connections: a port stays free between this look and the
/// server's bind, and while a server is being restarted.
const FIRST: u16 = 17_000;
const COUNT: u16 = 14_000;

/// A port that nobody listens on and that this process has not given out before.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Several processes at once begin at different places.
    let start = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(COUNT)).unwrap_or(0);
    (0..COUNT)
        .map(|_| FIRST + (start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed))) % COUNT)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .context("no free port on 127.0.0.1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_can_be_bound() {
        let first = free_port().expect("a port");
        let second = free_port().expect("a port");
        assert_ne!(first, second);
        TcpListener::bind((Ipv4Addr::LOCALHOST, second)).expect("free");
    }
}
