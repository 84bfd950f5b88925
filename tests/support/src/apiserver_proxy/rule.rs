//! What requests ask for, and what rules do to them.

use std::fmt;
use std::time::Duration;

use hyper::{Method, Uri};
use serde_json::{Value, json};

/// What is done, in the words of RBAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// One object.
    Get,
    /// All objects of a kind.
    List,
    /// All changes of a kind.
    Watch,
    /// A new object.
    Create,
    /// A whole object.
    Update,
    /// A part of one; server-side apply too.
    Patch,
    /// An object less.
    Delete,
}

/// A request, as RBAC sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What is done.
    pub verb: Verb,
    /// To which resource: `auroralogexportpolicies`, `auroralogexportpolicies/status`; empty for `/version` and the like.
    pub resource: String,
    /// To which object; none: to all, or to a new one.
    pub name: Option<String>,
}

impl Asked {
    pub(super) fn of(method: &Method, uri: &Uri) -> Self {
        let mut segments = uri.path().split('/').filter(|segment| !segment.is_empty());
        // `/api/v1/…`, `/apis/group/version/…`
        match segments.next() {
            Some("api") => drop(segments.next()),
            Some("apis") => drop((segments.next(), segments.next())),
            _ => {}
        }
        let mut rest: Vec<&str> = segments.collect();
        // `namespaces/a/things…`, but not `namespaces/a`
        if rest.first() == Some(&"namespaces") && rest.len() > 2 {
            rest.drain(..2);
        }
        let name = rest.get(1).map(|&name| name.to_owned());
        let resource = match rest[..] {
            [resource, _, subresource, ..] => format!("{resource}/{subresource}"),
            [resource, ..] => resource.to_owned(),
            [] => String::new(),
        };
        let watches = uri.query().unwrap_or_default().split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"));
        let verb = match *method {
            Method::POST => Verb::Create,
            Method::PUT => Verb::Update,
            Method::PATCH => Verb::Patch,
            Method::DELETE => Verb::Delete,
            _ if watches => Verb::Watch,
            _ if name.is_some() => Verb::Get,
            _ => Verb::List,
        };
        Self { verb, resource, name }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} of {}", self.verb, self.resource)?;
        self.name.iter().try_for_each(|name| write!(formatter, " {name}"))
    }
}

/// What happens instead.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// It is refused with this status, and perhaps with `Retry-After`, in seconds.
    Refuse {
        /// HTTP status.
        status: u16,
        /// Seconds.
        retry_after: Option<u32>,
    },
    /// It is done, and the connection closed without an answer.
    LoseAnswer,
    /// It is never answered.
    Hang,
    /// It is done, this much later.
    Delay(Duration),
    /// It is done, and the answer is dated by a clock that is ahead by so many seconds.
    ClockAhead(i64),
}

impl Fault {
    /// A refusal without `Retry-After`.
    pub fn refuse(status: u16) -> Self {
        Self::Refuse { status, retry_after: None }
    }
}

/// Which requests a fault strikes.
#[derive(Clone, Debug)]
pub struct Rule {
    verb: Verb,
    resource: String,
    name: Option<String>,
    left: Option<u32>,
    fault: Fault,
}

impl Rule {
    /// Every request of this verb to this resource.
    pub fn new(fault: Fault, verb: Verb, resource: &str) -> Self {
        Self { verb, resource: resource.to_owned(), name: None, left: None, fault }
    }

    /// Only about the object of this name.
    #[must_use]
    pub fn about(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Only so many of them.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.left = Some(times);
        self
    }

    pub(super) fn strike(&mut self, asked: &Asked) -> Option<Fault> {
        let fits = self.verb == asked.verb
            && self.resource == asked.resource
            && self.name.as_ref().is_none_or(|name| asked.name.as_ref() == Some(name));
        match &mut self.left {
            _ if !fits => None,
            Some(0) => None,
            Some(left) => {
                *left -= 1;
                Some(self.fault)
            }
            None => Some(self.fault),
        }
    }
}

/// A `Status`, as the API server writes it.
pub(super) fn status(code: u16, retry_after: Option<u32>, message: &str) -> Value {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "Unknown",
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason,
        "details": { "retryAfterSeconds": retry_after.unwrap_or_default() }, "code": code,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method, uri: &str) -> (Verb, String, Option<String>) {
        let Asked { verb, resource, name } = Asked::of(method, &uri.parse().expect("a URI"));
        (verb, resource, name)
    }

    #[test]
    fn requests_are_told_apart_as_rbac_does() {
        let group = "/apis/auroralogexport.dev/v1alpha1";
        for (method, uri, verb, resource, name) in [
            (Method::GET, "/api/v1/namespaces/kube-system", Verb::Get, "namespaces", Some("kube-system")),
            (Method::GET, "/api/v1/namespaces?watch=true&timeoutSeconds=9", Verb::Watch, "namespaces", None),
            (Method::GET, &format!("{group}/awsaccounts?limit=500"), Verb::List, "awsaccounts", None),
            (Method::GET, &format!("{group}/namespaces/a/things?&watch=true"), Verb::Watch, "things", None),
            (Method::PATCH, &format!("{group}/namespaces/a/things/b?x=y"), Verb::Patch, "things", Some("b")),
            (Method::PATCH, &format!("{group}/namespaces/a/things/b/status"), Verb::Patch, "things/status", Some("b")),
            (Method::POST, "/apis/events.k8s.io/v1/namespaces/a/events", Verb::Create, "events", None),
        ] {
            assert_eq!(asked(&method, uri), (verb, resource.to_owned(), name.map(str::to_owned)), "{uri}");
        }
    }

    #[test]
    fn a_rule_strikes_what_it_is_about_so_many_times() {
        let mut rule = Rule::new(Fault::refuse(409), Verb::Patch, "things/status").about("b").times(2);
        let patch = |resource: &str, name: &str| Asked {
            verb: Verb::Patch,
            resource: resource.to_owned(),
            name: Some(name.to_owned()),
        };
        assert!(rule.strike(&patch("things", "b")).is_none());
        assert!(rule.strike(&patch("things/status", "a")).is_none());
        assert!(rule.strike(&patch("things/status", "b")).is_some());
        assert!(rule.strike(&patch("things/status", "b")).is_some());
        assert!(rule.strike(&patch("things/status", "b")).is_none());
    }
}
