//! Why the API server refuses a call with 403: a missing right is one cause of several.

use kube::core::Status;

use crate::api::Reason;

/// The cause of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The caller lacks a right.
    MissingRight,
    /// A `ResourceQuota` is used up, or does not allow the object.
    Quota,
    /// The namespace is being deleted.
    NamespaceTerminating,
    /// An admission webhook, an admission policy or another admission plugin.
    Admission,
}

/// Cause of a `Status` in a namespace that is being deleted (`NamespaceTerminatingCause` of the Kubernetes API).
const TERMINATING: &str = "NamespaceTerminating";

impl Refusal {
    /// The cause of this answer; `None`: it is no refusal.
    pub fn of(status: &Status) -> Option<Self> {
        if status.code != 403 {
            return None;
        }
        let message = &status.message;
        let causes = status.details.iter().flat_map(|details| &details.causes);
        Some(if causes.into_iter().any(|cause| cause.reason == TERMINATING) {
            Self::NamespaceTerminating
        } else if message.contains("exceeded quota: ") || message.contains("failed quota: ") {
            Self::Quota
        } else if is_denied_by_an_authorizer(message) {
            Self::MissingRight
        } else {
            Self::Admission
        })
    }

    /// The API server's message, without what varies from try to try.
    pub fn message(self, status: &Status) -> &str {
        let message = status.message.as_str();
        match self {
            // How much of the quota is used changes all the time.
            Self::Quota => message.split(", requested: ").next().unwrap_or(message),
            Self::MissingRight | Self::NamespaceTerminating | Self::Admission => message,
        }
    }

    /// What to do, after the API server's message.
    pub fn next_step(self) -> &'static str {
        match self {
            Self::MissingRight => "grant it in the operator's ClusterRole (deploy/kustomize/base)",
            Self::Quota => "raise the ResourceQuota of the namespace, or delete what is not needed",
            Self::NamespaceTerminating => "the namespace is being deleted",
            Self::Admission => "change what the admission policy or webhook refuses, or allow it for the operator",
        }
    }

    /// The reason of the condition that shows it.
    pub fn reason(self) -> Reason {
        match self {
            Self::Quota => Reason::LimitExceeded,
            Self::MissingRight | Self::NamespaceTerminating | Self::Admission => Reason::NotPermitted,
        }
    }
}

/// The API server's own sentence where no authorizer allows a request (apiserver, `responsewriters/errors.go`):
/// `User "u" cannot patch resource "configmaps" in API group "" in the namespace "n"`, with a reason of the authorizer at
/// the end.
fn is_denied_by_an_authorizer(message: &str) -> bool {
    message.split_once("User \"").is_some_and(|(_, rest)| rest.contains("\" cannot "))
        // The admission plugin OwnerReferencesPermissionEnforcement asks the authorizer as well.
        || message.contains("cannot set blockOwnerDeletion")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(message: &str, causes: &serde_json::Value) -> Option<Refusal> {
        let status = json!({ "status": "Failure", "message": message, "reason": "Forbidden", "code": 403,
                             "details": { "causes": causes } });
        Refusal::of(&serde_json::from_value(status).unwrap())
    }

    #[test]
    fn each_refusal_of_the_api_server_is_told_by_its_cause() {
        let denied = "configmaps \"x\" is forbidden: User \"system:serviceaccount:a:b\" cannot patch resource \"configmaps\" in \
                      API group \"\" in the namespace \"shop\"";
        for (message, expected) in [
            (denied, Refusal::MissingRight),
            (
                "configmaps \"x\" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource you \
                 can't set finalizers on: , <nil>",
                Refusal::MissingRight,
            ),
            (
                "configmaps \"x\" is forbidden: exceeded quota: few, requested: count/configmaps=1, used: \
                 count/configmaps=1, limited: count/configmaps=1",
                Refusal::Quota,
            ),
            ("pods \"x\" is forbidden: failed quota: cpu: must specify limits.cpu", Refusal::Quota),
            (
                "configmaps \"x\" is forbidden: ValidatingAdmissionPolicy \'p\' with binding \'b\' denied request: no",
                Refusal::Admission,
            ),
            ("admission webhook \"v.example.com\" denied the request: no", Refusal::Admission),
        ] {
            assert_eq!(refusal(message, &json!([])), Some(expected), "{message}");
        }
        let terminating =
            json!([{ "reason": "NamespaceTerminating", "message": "namespace shop is being terminated" }]);
        let message = "configmaps \"x\" is forbidden: unable to create new content in namespace shop because it is being \
                       terminated";
        assert_eq!(refusal(message, &terminating), Some(Refusal::NamespaceTerminating));
        let other = serde_json::from_value(json!({ "code": 422, "message": denied })).unwrap();
        assert_eq!(Refusal::of(&other), None);
    }
}
