//! Decisions: from a spec to the desired state, from the observed state to a plan, from an outcome to a status.
//!
//! No clock and no client. Reads and writes go through the port ([`port::Iam`]), which `aws` implements.

pub mod apply;
pub mod desired;
pub mod leftovers;
pub mod observe;
pub mod orphans;
pub mod plan;
pub mod port;
pub mod status;
pub mod verdict;
