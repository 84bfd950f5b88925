//! Which Lease, and its intervals.

use std::time::Duration;

/// Which Lease, for whom, how fast.
#[derive(Clone, Debug)]
pub struct LeaseConfig {
    /// Namespace of the Lease, the operator's own.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// The replica's own name, unique among live ones: the pod's. If empty, a random one is made up.
    pub identity: String,
    /// How long the lease is good for without renewal. A follower waits this long.
    pub duration: Duration,
    /// How often the holder renews it.
    pub renew_every: Duration,
    /// How often the others look at it, and how soon a failed request is repeated.
    pub poll_every: Duration,
    /// Limit for each request to the API server.
    pub request_timeout: Duration,
}

impl LeaseConfig {
    /// Three tries to renew fit into a lease of 10 s.
    pub fn new(namespace: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: "aurora-log-export-operator".to_owned(),
            identity: identity.into(),
            duration: Duration::from_secs(10),
            renew_every: Duration::from_secs(2),
            poll_every: Duration::from_secs(1),
            request_timeout: Duration::from_secs(2),
        }
    }
}
