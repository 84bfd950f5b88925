//! The operator behind `AuroraLogExportPolicy`: a Kubernetes object becomes Aurora's policy and role in AWS.
//!
//! One direction, one step a module, effects at the two ends only; `docs/architecture.md` has the picture.

pub mod account;
pub mod api;
pub mod apply;
pub mod aws_account;
pub mod cli;
pub mod controller;
pub mod desired;
pub mod documents;
pub mod http;
pub mod iam;
pub mod index;
pub mod kubernetes;
pub mod lease;
pub mod metrics;
pub mod names;
pub mod object;
pub mod observe;
pub mod orphans;
pub mod outputs;
pub mod ownership;
pub mod plan;
pub mod queue;
pub mod reconcile;
pub mod runtime;
pub mod scan;
#[cfg(target_os = "linux")]
pub mod scheduling;
pub mod settings;
pub mod status;
pub mod telemetry;
pub mod watches;
