//! The operator at work: watches feed the index and the workqueue, and the workqueue feeds reconciles. Sweeps check whole
//! accounts. `reconcile`, `sweep` and `accounts` do not import each other; what they share stands beside them.

pub mod accounts;
pub mod admission;
pub mod backoff;
pub mod context;
pub mod controller;
pub mod index;
mod lists;
pub mod modes;
pub mod outputs;
pub mod reconcile;
pub mod reconcile_state;
pub mod removed;
pub mod resync;
pub mod sweep;
pub mod watches;
pub mod workqueue;
