//! Several AWS accounts and teams: permissions, isolation, and accounts that fail.

mod admission;
mod aws_calls;
mod credentials;
mod escalation;
mod guardrails;
mod identity;
mod isolation;
mod lifecycle;
mod objects;
mod rbac;
mod roles;
mod selection;
mod sessions;
mod sweeps;
