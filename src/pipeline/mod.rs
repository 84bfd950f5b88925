//! Decisions: from a spec to what must be in AWS, from what is there to a plan, from an outcome to a status.
//!
//! Nothing here has a clock or a client. Reads and writes go through the port ([`port::Iam`]), which `aws` implements.

pub mod apply;
pub mod desired;
pub mod leftovers;
pub mod observe;
pub mod orphans;
pub mod plan;
pub mod port;
pub mod status;
pub mod verdict;
