//! Placeholder until the election lands.
use std::time::Duration;
/// May this replica write?
#[derive(Clone, Debug)]
pub struct Fence;
impl Fence {
    /// Always open.
    pub fn always() -> Self {
        Self
    }
    /// Is it held long enough?
    pub fn may_write(&self, _whole_timeout: Duration) -> bool {
        true
    }
}
#[allow(missing_docs)]
pub struct Election;
#[allow(missing_docs)]
pub struct LeaseConfig;
#[allow(missing_docs)]
impl LeaseConfig {
    pub fn new(_: &str, _: &str) -> Self {
        Self
    }
}
#[allow(missing_docs)]
impl Election {
    pub fn start(_: kube::Client, _: LeaseConfig) -> (Self, tokio::sync::watch::Receiver<bool>) {
        (Self, tokio::sync::watch::channel(true).1)
    }
    pub fn fence(&self) -> Fence {
        Fence
    }
    pub async fn release(self) {}
}
