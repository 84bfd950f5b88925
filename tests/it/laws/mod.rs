//! The laws that the pure core is held to, over a model of IAM with AWS's rules, for random specs, edits, faults and
//! changes by others.

mod convergence;
mod deletion;
mod denied;
mod drift;
mod faults;
mod foreign;
mod model_iam;
mod strategies;
mod world;

use proptest::test_runner::Config;

/// So many cases, and not long over making a failing one small; the tree stays as it is.
fn cases(cases: u32) -> Config {
    Config { cases, max_shrink_iters: 200, failure_persistence: None, ..Config::default() }
}
