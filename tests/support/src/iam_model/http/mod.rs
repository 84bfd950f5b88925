//! The model over HTTP: the AWS Query protocol of IAM (2010-05-08) and STS (2011-06-15), several accounts at once.
//!
//! [`Server`] runs on threads of its own, so it outlives the runtime of the test that started it. Point an AWS SDK at
//! it with `AWS_ENDPOINT_URL=http://{addr}`. The account of a call is that of its access key id; signatures are not
//! verified. [`Server::world`] registers accounts and keys, [`Server::gate`] sets faults and reads the call log.

mod dispatch;
mod gate;
mod request;
mod roles;
mod server;
mod service;
mod shapes;
mod sts;
mod world;

pub(crate) mod judged;
pub(crate) mod reply;
pub(crate) mod xml;

pub use gate::Gate;
pub use request::{Params, Query};
pub(crate) use server::listen;
pub use server::{Server, ServerOptions};
pub use world::{Credential, KeyState, World};

#[cfg(test)]
mod tests;
