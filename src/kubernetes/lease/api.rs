//! The election's requests to the API server, and the meaning of the responses.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::core::Status;
use kube::{Api, Client};
use tokio::sync::watch;

use super::config::LeaseConfig;
use super::elector::{Answer, Claim, Observed, Request};
use crate::api::FIELD_MANAGER;
use crate::kubernetes::refusal::Refusal;
use crate::kubernetes::revisions::Revisions;

/// Why a request failed: one sentence with the next step, equal for equal causes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RequestError {
    #[error(
        "this ServiceAccount may not {verb} leases.coordination.k8s.io {lease}: bind a Role with get, create and update on leases in that namespace"
    )]
    Forbidden { verb: &'static str, lease: String },
    #[error("namespace of Lease {lease} does not exist: set POD_NAMESPACE to the operator's own namespace")]
    NoNamespace { lease: String },
    #[error("could not {verb} Lease {lease}: no response within {limit:?}; check that the API server can be reached")]
    Timeout { verb: &'static str, lease: String, limit: Duration },
    #[error("could not {verb} Lease {lease}: {cause}")]
    Other { verb: &'static str, lease: String, cause: String },
}

impl RequestError {
    /// The request's verb in RBAC.
    fn verb(&self) -> &'static str {
        match self {
            Self::NoNamespace { .. } => "create",
            Self::Forbidden { verb, .. } | Self::Timeout { verb, .. } | Self::Other { verb, .. } => verb,
        }
    }

    /// True if the success of this request shows that the error is resolved: a successful read does not resolve a
    /// failed write.
    pub(super) fn is_resolved_by(&self, request: &Request) -> bool {
        self.verb() == verb(request)
    }
}

/// One Lease.
pub(super) struct LeaseApi {
    api: Api<Lease>,
    name: String,
    namespace: String,
    timeout: Duration,
    /// As last read: labels and annotations of others are written back unchanged.
    last: Option<Lease>,
    /// One request follows the other, so that the versions in their answers must grow.
    revisions: Revisions,
    /// Changes each time they go back.
    pub(super) restored: watch::Receiver<()>,
}

impl LeaseApi {
    pub(super) fn new(client: Client, config: &LeaseConfig) -> Self {
        let (revisions, restored) = Revisions::new();
        Self {
            api: Api::namespaced(client, &config.namespace),
            name: config.name.clone(),
            namespace: config.namespace.clone(),
            timeout: config.request_timeout,
            last: None,
            revisions,
            restored,
        }
    }

    /// `namespace/name`, for messages.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Sends a request.
    pub(super) async fn perform(&mut self, request: &Request) -> Result<Answer, RequestError> {
        let (verb, params) =
            (verb(request), PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), dry_run: false });
        let sent = async {
            match request {
                Request::Read => self.api.get(&self.name).await,
                Request::Create(claim) => self.api.create(&params, &self.lease(None, claim)).await,
                Request::Replace { version, claim } => {
                    let lease = self.lease(Some(version), claim);
                    self.api.replace(&self.name, &params, &lease).await
                }
            }
        };
        let Ok(result) = tokio::time::timeout(self.timeout, sent).await else {
            return Err(RequestError::Timeout { verb, lease: self.path(), limit: self.timeout });
        };
        match result {
            Ok(lease) => {
                let observed = observed(&lease);
                self.revisions.seen(&observed.version);
                self.last = Some(lease);
                Ok(if *request == Request::Read { Answer::Found(observed) } else { Answer::Written(observed) })
            }
            Err(kube::Error::Api(status)) => match (status.code, request) {
                (404, Request::Create(_)) => Err(RequestError::NoNamespace { lease: self.path() }),
                (404, _) => Ok(Answer::Absent),
                (409, _) => Ok(Answer::Conflict),
                (403, Request::Read) => Err(RequestError::Forbidden { verb, lease: self.path() }),
                (403, _) => Err(self.refused(verb, &status)),
                _ => Err(RequestError::Other { verb, lease: self.path(), cause: status.message.clone() }),
            },
            Err(error) => Err(RequestError::Other { verb, lease: self.path(), cause: error.to_string() }),
        }
    }

    /// A write may be refused for other reasons than a missing right.
    fn refused(&self, verb: &'static str, status: &Status) -> RequestError {
        match Refusal::of(status) {
            None | Some(Refusal::MissingRight) => RequestError::Forbidden { verb, lease: self.path() },
            Some(other) => RequestError::Other {
                verb,
                lease: self.path(),
                cause: format!("{}; {}", other.message(status), other.next_step()),
            },
        }
    }

    fn lease(&self, version: Option<&String>, claim: &Claim) -> Lease {
        let of_that_version = |lease: &&Lease| version.is_some() && lease.metadata.resource_version.as_ref() == version;
        let mut lease = self.last.as_ref().filter(of_that_version).cloned().unwrap_or_default();
        lease.metadata = ObjectMeta {
            name: Some(self.name.clone()),
            namespace: Some(self.namespace.clone()),
            resource_version: version.cloned(),
            managed_fields: None,
            ..lease.metadata
        };
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(claim.holder.clone()),
            lease_duration_seconds: Some(whole_seconds(claim.duration)),
            acquire_time: claim.acquired.map(MicroTime),
            renew_time: claim.renewed.map(MicroTime),
            lease_transitions: Some(claim.transitions),
            ..lease.spec.unwrap_or_default()
        });
        lease
    }
}

/// The request's verb in RBAC.
fn verb(request: &Request) -> &'static str {
    match request {
        Request::Create(_) => "create",
        Request::Replace { .. } => "update",
        Request::Read => "get",
    }
}

/// Rounded up: followers must not wait for less time than the holder assumes.
fn whole_seconds(duration: Duration) -> i32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(i32::MAX).max(1)
}

pub(super) fn observed(lease: &Lease) -> Observed {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
    Observed {
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        claim: Claim {
            holder: spec.holder_identity.unwrap_or_default(),
            duration: Duration::from_secs(seconds),
            acquired: spec.acquire_time.map(|time| time.0),
            renewed: spec.renew_time.map(|time| time.0),
            transitions: spec.lease_transitions.unwrap_or_default(),
        },
    }
}
