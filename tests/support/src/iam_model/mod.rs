//! A model of IAM and STS with AWS's rules, for tests that need more than an emulator offers.
//!
//! [`Iam`] is one account as a pure state machine without I/O and clock. It has every rule of AWS that can affect the
//! operator: names that are unique in any case and path, quotas, five versions, `DeleteConflict`, rejected documents,
//! paging, new entities that are not visible at once. [`handle::Shared`] adds a lock and faults, for property tests in
//! one process; [`http`] serves one or more accounts over the AWS Query protocol.
//!
//! Sources for the rules: the IAM API reference and botocore's service model. If AWS does not document a rule (such as
//! the lookup of a role by a name in another case), the stricter behavior is the default, and a field of [`Settings`]
//! selects the other one.

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
