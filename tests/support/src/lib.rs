//! x

pub mod iam_model;
