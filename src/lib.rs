//! The operator behind `AuroraLogExportPolicy`: a Kubernetes object becomes Aurora's policy and role in AWS.
//!
//! One direction, one step a module, effects at the two ends only; `docs/architecture.md` has the picture.

pub mod account;
pub mod api;
pub mod http;
pub mod lease;
pub mod metrics;
pub mod telemetry;
