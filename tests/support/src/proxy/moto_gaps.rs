//! AWS's rules that moto lacks and that a look at moto's own state can mend.
//!
//! - `SetDefaultPolicyVersion` to the present default would clear the mark: it is answered without forwarding.
//! - `DeletePolicy` of a policy that is attached or has several versions: `DeleteConflict`.
//! - `AttachRolePolicy` twice would count two: the second is answered without forwarding.
//! - `UpdateRole` without a description would reset it: the present one is added.
//! - Documents that come back without percent-encoding are encoded.
//!
//! Between look and call another caller may act; tests that race on these rules need the model.

use super::forward::Upstream;
use crate::iam_model::ApiError;
use crate::iam_model::http::Query;
use hyper::body::Bytes;
use hyper::http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What to do with a call.
#[derive(Debug)]
pub(super) enum Mended {
    /// Forward this body.
    Forward(Bytes),
    /// Answer with success and an empty result.
    Done,
    /// Answer with this error.
    Refused(ApiError),
}

/// Looks at what moto has and decides.
pub(super) async fn before(upstream: Upstream, head: &Parts, query: &Query, body: Bytes) -> anyhow::Result<Mended> {
    let param = |name| query.params.get(name).unwrap_or_default();
    let arn = param("PolicyArn");
    match query.action.as_str() {
        "SetDefaultPolicyVersion" => {
            let policy = upstream.query(head, "GetPolicy", &[("PolicyArn", arn)]).await?.text();
            if element(&policy, "DefaultVersionId").is_some_and(|current| current == param("VersionId")) {
                return Ok(Mended::Done);
            }
        }
        "DeletePolicy" => {
            let policy = upstream.query(head, "GetPolicy", &[("PolicyArn", arn)]).await?.text();
            let in_use = ["AttachmentCount", "PermissionsBoundaryUsageCount"]
                .iter()
                .any(|count| element(&policy, count).is_some_and(|count| count != "0"));
            if in_use {
                return Ok(refused("Cannot delete a policy attached to entities."));
            }
            let versions = upstream.query(head, "ListPolicyVersions", &[("PolicyArn", arn)]).await?.text();
            if versions.matches("<VersionId>").count() > 1 {
                return Ok(refused(
                    "This policy has more than one version. Before you delete a policy, you must delete the policy's \
                     versions. The default version is deleted with the policy.",
                ));
            }
        }
        "AttachRolePolicy" => {
            let role = [("RoleName", param("RoleName"))];
            let attached = upstream.query(head, "ListAttachedRolePolicies", &role).await?.text();
            if !arn.is_empty() && attached.contains(&format!("<PolicyArn>{arn}</PolicyArn>")) {
                return Ok(Mended::Done);
            }
        }
        "UpdateRole" if query.params.get("Description").is_none() => {
            let role = upstream.query(head, "GetRole", &[("RoleName", param("RoleName"))]).await?.text();
            if let Some(description) = element(&role, "Description") {
                let description = unescaped(description);
                let addition = format!("&Description={}", utf8_percent_encode(&description, NON_ALPHANUMERIC));
                return Ok(Mended::Forward([body, Bytes::from(addition)].concat().into()));
            }
        }
        _ => (),
    }
    Ok(Mended::Forward(body))
}

fn refused(message: &str) -> Mended {
    Mended::Refused(ApiError::delete_conflict(message))
}

/// Encodes the documents in an answer that moto left plain.
pub(super) fn after(action: &str, body: String) -> String {
    if !matches!(action, "GetPolicyVersion" | "GetRolePolicy" | "GetAccountAuthorizationDetails") {
        return body;
    }
    ["Document", "PolicyDocument", "AssumeRolePolicyDocument"].iter().fold(body, |body, tag| encoded(&body, tag))
}

/// RFC 3986: everything but the unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn encoded(xml: &str, tag: &str) -> String {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let mut pieces = xml.split(open.as_str());
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        out.push_str(&open);
        match piece.split_once(close.as_str()) {
            Some((text, rest)) if text.trim_start().starts_with('{') => {
                out.extend(utf8_percent_encode(&unescaped(text), RESERVED));
                out.push_str(&close);
                out.push_str(rest);
            }
            _ => out.push_str(piece),
        }
    }
    out
}

/// The text of the first element of that name.
pub(super) fn element<'a>(xml: &'a str, tag: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{tag}>"))?;
    rest.split_once(&format!("</{tag}>")).map(|(text, _)| text)
}

fn unescaped(text: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#34;", "\""), ("&#39;", "'"), ("&apos;", "'")];
    let text = entities.iter().fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain));
    // Last, or `&amp;lt;` would become `<`.
    text.replace("&amp;", "&")
}
