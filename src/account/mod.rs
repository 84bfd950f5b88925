//! Everything that belongs to one AWS account.

pub mod budget;
