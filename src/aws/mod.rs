//! The adapter behind the port: credentials, accounts, the rate limit, and the gate that every call passes through.

pub mod account;
mod convert;
pub mod credentials;
pub mod details;
pub mod gate;
pub mod http;
pub mod iam;
pub mod inventory;
pub mod rate_limit;
pub mod registry;
pub mod sdk;
mod service_linked;
mod token_files;
