//! The integration tests: one binary, so that the environment starts once a run.
//!
//! Every test has a tokio runtime of its own and connections belong to a runtime: take a new client from
//! [`environment`] in each test. What tests share is the cluster and the account; names keep them apart.

// Scenarios read from top to bottom: what they need stands where they need it, and a table is as long as its cases.
#![allow(
    clippy::assigning_clones,
    clippy::cloned_ref_to_slice_refs,
    clippy::default_trait_access,
    clippy::format_push_string,
    clippy::items_after_statements,
    clippy::too_many_lines,
    clippy::unnecessary_wraps,
    clippy::unused_self
)]

mod accounts;
mod addresses;
mod admission;
mod architecture;
mod cli;
mod compatibility;
mod docs;
mod emulators;
mod faults;
mod fixture;
mod kubectl;
mod laws;
mod lifecycle;
mod panics;
mod pipeline;
mod proxies;
mod restore;
mod simulated;
mod smoke;
mod status_limits;
mod sweep;
mod tenants;
mod tracing;

use anyhow::{Result, anyhow};
use aurora_test_support::controlplane::ControlPlaneOptions;
use aurora_test_support::environment::Environment;
use aurora_test_support::{recording, supervisor};
use tokio::sync::OnceCell;

/// The shared environment, with the CRDs and the operator's access rights installed. A failed start is remembered:
/// every test then fails at once, with the same sentence.
async fn environment() -> Result<&'static Environment> {
    static ENVIRONMENT: OnceCell<Result<Environment, String>> = OnceCell::const_new();
    let start = async || {
        supervisor::end_with_parent();
        let environment = Environment::start(ControlPlaneOptions { controller_manager: true, audit: true }).await?;
        environment.install_crds().await?;
        environment.install_rbac().await?;
        recording::start(&environment)?;
        anyhow::Ok(environment)
    };
    let started = ENVIRONMENT.get_or_init(async || start().await.map_err(|error| format!("{error:#}"))).await;
    started.as_ref().map_err(|error| anyhow!("the test environment did not start: {error}"))
}
