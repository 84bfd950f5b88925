//! The operator behind `AuroraLogExportPolicy`: a Kubernetes object becomes Aurora's policy and role in AWS.
//!
//! One direction, one step a module, effects at the two ends only; `docs/architecture.md` has the picture.

pub mod account;
pub mod api;
pub mod apply;
pub mod desired;
pub mod documents;
pub mod iam;
pub mod metrics;
pub mod names;
pub mod observe;
pub mod ownership;
pub mod plan;
pub mod settings;
pub mod status;
