//! Many AWS accounts, many teams: who may work where, and what happens to an account that fails.

mod bench;
mod credentials;
mod escalation;
mod guardrails;
mod isolation;
mod lifecycle;
mod selection;
