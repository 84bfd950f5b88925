//! AWS's query protocol by hand, to read an emulator without the SDK that the operator uses.

use anyhow::{Context, Result, bail};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::http;

/// Calls one endpoint with one access key. Requests carry a signature's form only: emulators do not check it.
#[derive(Clone, Debug)]
pub struct QueryClient {
    address: String,
    access_key: String,
}

/// A service with its API version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Identity and Access Management.
    Iam,
    /// Security Token Service.
    Sts,
    /// Relational Database Service.
    Rds,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::Iam => "iam",
            Self::Sts => "sts",
            Self::Rds => "rds",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::Iam => "2010-05-08",
            Self::Sts => "2011-06-15",
            Self::Rds => "2014-10-31",
        }
    }
}

impl QueryClient {
    /// `endpoint` as in `http://127.0.0.1:5000`; emulators choose the account by the access key.
    pub fn new(endpoint: &str, access_key: &str) -> Self {
        let address = endpoint.trim_start_matches("http://").trim_end_matches('/');
        Self { address: address.to_owned(), access_key: access_key.to_owned() }
    }

    /// One call; gives the XML of the answer. An AWS error becomes `<code>: <message>`.
    pub async fn call(&self, service: Service, action: &str, parameters: &[(&str, &str)]) -> Result<String> {
        let mut body = format!("Action={action}&Version={}", service.version());
        for (name, value) in parameters {
            body.extend(["&", name, "="].into_iter().chain(utf8_percent_encode(value, NON_ALPHANUMERIC)));
        }
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/20200101/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0",
            self.access_key,
            service.name()
        );
        let headers =
            [("Authorization", authorization.as_str()), ("Content-Type", "application/x-www-form-urlencoded")];
        let answer = http::post(&self.address, "/", &headers, &body).await?;
        if answer.status >= 300 {
            let code = text(&answer.body, "Code").unwrap_or_else(|| answer.status.to_string());
            bail!("{action}: {code}: {}", text(&answer.body, "Message").unwrap_or(answer.body));
        }
        Ok(answer.body)
    }

    /// The document of a managed policy's default version.
    pub async fn policy_document(&self, policy_arn: &str) -> Result<serde_json::Value> {
        Ok(serde_json::from_str(&self.policy_document_text(policy_arn).await?)?)
    }

    /// The same as text, valid JSON in the order in which it was sent.
    pub async fn policy_document_text(&self, policy_arn: &str) -> Result<String> {
        let policy = self.call(Service::Iam, "GetPolicy", &[("PolicyArn", policy_arn)]).await?;
        let version = text(&policy, "DefaultVersionId").context("GetPolicy: no default version in the answer")?;
        let parameters = [("PolicyArn", policy_arn), ("VersionId", version.as_str())];
        document(&self.call(Service::Iam, "GetPolicyVersion", &parameters).await?, "Document")
    }

    /// The trust policy of a role.
    pub async fn trust_document(&self, role_name: &str) -> Result<serde_json::Value> {
        Ok(serde_json::from_str(&self.trust_document_text(role_name).await?)?)
    }

    /// The same as text, valid JSON in the order in which it was sent.
    pub async fn trust_document_text(&self, role_name: &str) -> Result<String> {
        let role = self.call(Service::Iam, "GetRole", &[("RoleName", role_name)]).await?;
        document(&role, "AssumeRolePolicyDocument")
    }

    /// The ARNs of the managed policies attached to a role.
    pub async fn attached_policies(&self, role_name: &str) -> Result<Vec<String>> {
        let answer = self.call(Service::Iam, "ListAttachedRolePolicies", &[("RoleName", role_name)]).await?;
        Ok(texts(&answer, "PolicyArn"))
    }
}

/// AWS sends documents percent-encoded, moto some of them not: both are understood.
fn document(xml: &str, element: &str) -> Result<String> {
    let text = text(xml, element).with_context(|| format!("no {element} in the answer"))?;
    let json = if text.trim_start().starts_with('{') { text } else { percent_decode_str(&text).decode_utf8()?.into() };
    serde_json::from_str::<serde::de::IgnoredAny>(&json).with_context(|| format!("{element} is not JSON: {json}"))?;
    Ok(json)
}

/// The content of the first element of that name. Enough of XML for answers whose shape is known.
pub fn text(xml: &str, element: &str) -> Option<String> {
    texts(xml, element).into_iter().next()
}

/// The contents of all elements of that name, in order.
pub fn texts(xml: &str, element: &str) -> Vec<String> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let contents = xml.split(open.as_str()).skip(1).filter_map(|rest| rest.split_once(close.as_str()));
    contents.map(|(content, _)| unescape(content)).collect()
}

fn unescape(text: &str) -> String {
    let named = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#34;", "\""), ("&#39;", "'"), ("&apos;", "'")];
    // The ampersand comes last: `&amp;lt;` stands for `&lt;`.
    named.into_iter().chain([("&amp;", "&")]).fold(text.to_owned(), |text, (entity, plain)| text.replace(entity, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_found_and_unescaped() {
        let xml = "<A><PolicyArn>one</PolicyArn><PolicyArn>t&amp;lt;wo &#34;&gt;</PolicyArn></A>";
        assert_eq!(texts(xml, "PolicyArn"), ["one", "t&lt;wo \">"]);
        assert_eq!(text(xml, "Arn"), None);
    }

    #[test]
    fn documents_are_read_encoded_or_not() {
        for xml in
            ["<Document>%7B%22a%22%3A%22b+c%22%7D</Document>", "<Document>{&quot;a&quot;:&quot;b+c&quot;}</Document>"]
        {
            assert_eq!(document(xml, "Document").expect("JSON"), r#"{"a":"b+c"}"#);
        }
    }
}
