//! x

pub mod iam_model;
pub mod proxy;
