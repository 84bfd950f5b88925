//! Many AWS accounts, many teams: who may work where, and what happens to an account that fails.

mod admission;
mod aws_calls;
mod bench;
mod credentials;
mod escalation;
mod guardrails;
mod identity;
mod isolation;
mod lifecycle;
mod rbac;
mod roles;
mod selection;
mod sessions;
mod shared_looks;
