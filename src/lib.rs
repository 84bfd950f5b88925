//! The operator behind `AuroraLogExportPolicy`: a Kubernetes object becomes Aurora's policy and role in AWS.
//!
//! Eight floors, listed from the top. A module imports only from floors above its own; `kubernetes` and `aws` are
//! siblings and do not import each other. `docs/architecture.md` has the picture, `tests/it/architecture/` holds the rule.

pub mod api;
pub mod aws;
pub mod cli;
pub mod kubernetes;
pub mod model;
pub mod operator;
pub mod pipeline;
pub mod telemetry;
