//! The operator keeps what it owns as specified and does not touch anything else: the life of an object from creation to
//! deletion, against the real API server and the IAM model, which has AWS's rules.

mod adoption;
mod attachments;
mod bystanders;
mod controls;
mod costs;
mod deletion;
mod drift;
mod effective;
mod emulator;
mod orphans;
mod outputs;
mod ownership;
mod partitions;
mod peers;
mod random;
mod removed;

use anyhow::Result;

use crate::fixture::{Builder, Fixture};

/// A fixture with a contested object. Objects are read one by one, so that resyncs can be counted; sweeps have tests of
/// their own.
fn contested(flags: &[&str]) -> Builder<'static> {
    Fixture::with(flags).default_flag("--drift-scan=per-resource").contested()
}

/// The same with an operator that checks for drift every second.
async fn start() -> Result<Fixture<'static>> {
    contested(&[]).start().await
}

/// The same with an operator that reconciles on request only, so that calls can be counted.
async fn still() -> Result<Fixture<'static>> {
    contested(&["--drift-check-interval=1h"]).start().await
}
