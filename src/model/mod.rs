//! Values: names, documents, tags, and objects as the operator holds them. No I/O and no clock.

pub mod account_object;
pub mod documents;
pub mod names;
pub mod object;
pub mod ownership;
pub mod settings;
