//! The operator behind `AuroraLogExportPolicy`: a Kubernetes object becomes Aurora's policy and role in AWS.
//!
//! Eight floors, in this order: `api`, `model`, `pipeline`, `telemetry`, `kubernetes`, `aws`, `operator`, `cli`. A module
//! imports only from its own floor and from floors before it; `kubernetes` and `aws` do not import each other.
//! `docs/architecture.md` has the picture, and `tests/it/architecture/` checks the rule.

pub mod api;
pub mod aws;
pub mod cli;
pub mod kubernetes;
pub mod model;
pub mod operator;
pub mod pipeline;
pub mod telemetry;
