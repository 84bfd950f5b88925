//! The operator at work: watches feed the index and the workqueue, the workqueue feeds reconciles.

pub mod accounts;
pub mod controller;
pub mod index;
pub mod outputs;
pub mod reconcile;
pub mod sweep;
pub mod watches;
pub mod workqueue;
