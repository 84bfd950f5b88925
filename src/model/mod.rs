//! Values: names, documents, ownership, settings, proxies, and objects as the operator keeps them. No clock and no I/O,
//! except that `proxies` reads environment variables.

pub mod account_key;
pub mod documents;
pub mod names;
pub mod ownership;
pub mod proxies;
pub mod settings;
pub mod stored;
