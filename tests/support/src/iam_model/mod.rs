//! A model of IAM and STS with AWS's rules, for tests that an emulator cannot carry.
//!
//! [`Iam`] is one account as a pure state machine: no I/O, no clock of its own, every rule of AWS that the operator
//! can meet (names unique without regard to case or path, quotas, five versions, `DeleteConflict`, documents that are
//! refused, paging, entities that stay invisible for a while). [`handle::Shared`] puts it behind a lock with faults for
//! property tests in one process; [`http`] serves one or many accounts over the AWS Query protocol.
//!
//! Sources for the rules: the IAM API reference and botocore's service model. Where AWS leaves something open (lookup
//! of a role by a name in another case, say), the stricter reading is the default and a [`Settings`] field has the other.

mod account;
mod action;
mod bystanders;
mod document;
mod error;
mod grammar;
mod holders;
mod managed;
mod paging;
mod policies;
mod report;
mod rng;
mod role_policies;
mod roles;
mod snapshot;
mod time;
mod types;
mod validate;
mod versions;

pub mod call_log;
pub mod faults;
pub mod handle;
pub mod http;

pub use account::{Iam, Quotas, Settings, Simulated, Simulation};
pub use action::Action;
pub use bystanders::Bystander;
pub use document::Document;
pub use error::ApiError;
pub use paging::{Page, PageRequest};
pub use report::{AuthorizationDetails, DetailFilter};
pub use rng::Rng;
pub use types::{
    AttachedPolicy, CreatePolicy, CreateRole, Entities, InlinePolicy, InstanceProfile, Named, Policy, PolicyDetail,
    PolicyScope, PolicyVersion, Role, RoleDetail, Tags, UpdateRole, UsageFilter, User,
};

#[cfg(test)]
mod tests;
