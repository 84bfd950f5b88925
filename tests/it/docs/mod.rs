//! The docs, held to what they say: manifests are applied, commands run, links followed.
//!
//! Every fenced block of README.md, docs/ and the READMEs below deploy/ is either checked by the rule of its language or
//! marked `<!-- docs-test: not run, REASON -->` right above it; the list of those is printed. What a rule does not know
//! is an error: nothing is skipped in silence.

mod commands;
mod links;
mod manifests;
mod markdown;
mod security;
mod session;
mod tools;

const BINARY: &str = env!("CARGO_BIN_EXE_aurora-log-export-operator");
