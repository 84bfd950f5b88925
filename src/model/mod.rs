//! Values: names, documents, tags, and objects as the operator keeps them. No I/O and no clock.

pub mod account_key;
pub mod documents;
pub mod names;
pub mod ownership;
pub mod proxies;
pub mod settings;
pub mod stored;
