//! Configuration of the election: the Lease and its intervals.

use std::time::Duration;

/// The Lease, the candidate's identity and the intervals.
#[derive(Clone, Debug)]
pub struct LeaseConfig {
    /// Namespace of the Lease, the operator's own.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// The replica's identity, unique among running replicas: the Pod's name. If empty, a random one is generated.
    pub identity: String,
    /// How long the lease is valid without renewal. A follower waits this long.
    pub duration: Duration,
    /// How often the holder renews it.
    pub renew_every: Duration,
    /// How often followers read it, and how soon a failed request is repeated.
    pub poll_every: Duration,
    /// Timeout of each request to the API server.
    pub request_timeout: Duration,
}

impl LeaseConfig {
    /// The defaults: three attempts to renew fit into a lease of 10 s.
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
