//! A Query request: the operation, its parameters and the access key.

use super::super::action::name_is_read;
use super::super::error::ApiError;
use super::super::types::Tags;
use percent_encoding::percent_decode;
use std::collections::BTreeMap;
use std::str::FromStr;

/// The parts of a request that the model uses.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// `Action`.
    pub action: String,
    /// The parameters, `Action` and `Version` included.
    pub params: Params,
    /// The access key id of the signed `Authorization` header; `None` for an unsigned request.
    pub access_key: Option<String>,
}

impl Query {
    /// Reads the form in the body and the `Authorization` header.
    pub fn parse(body: &[u8], authorization: Option<&str>) -> Self {
        let params = Params::parse(body);
        Self {
            action: params.get("Action").unwrap_or_default().to_owned(),
            access_key: authorization.and_then(access_key).map(str::to_owned),
            params,
        }
    }

    /// The resource of the request, for the log: the first parameter that names one.
    pub fn resource(&self) -> &str {
        const NAMING: [&str; 7] = [
            "RoleName",
            "PolicyArn",
            "PolicyName",
            "RoleArn",
            "InstanceProfileName",
            "UserName",
            "DBClusterIdentifier",
        ];
        NAMING.iter().find_map(|name| self.params.get(name)).unwrap_or_default()
    }

    /// The parameters that policy conditions can use; empty for reads other than `AssumeRole`.
    pub fn conditions(&self) -> BTreeMap<String, String> {
        if name_is_read(&self.action) && self.action != "AssumeRole" {
            return BTreeMap::new();
        }
        let relevant = |name: &str| !name.ends_with("Document") && !matches!(name, "Action" | "Version");
        let parameters = self.params.0.iter().filter(|(name, _)| relevant(name));
        parameters.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// `AKIA…` of `AWS4-HMAC-SHA256 Credential=AKIA…/20260101/us-east-1/iam/aws4_request, …`.
fn access_key(authorization: &str) -> Option<&str> {
    let (_, credential) = authorization.split_once("Credential=")?;
    credential.split('/').next().filter(|key| !key.is_empty())
}

/// A decoded form.
#[derive(Clone, Debug, Default)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// Decodes `application/x-www-form-urlencoded`; of duplicate names the last one counts.
    pub fn parse(form: &[u8]) -> Self {
        let pairs = form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| match pair.iter().position(|byte| *byte == b'=') {
                    Some(at) => (decode(&pair[..at]), decode(&pair[at + 1..])),
                    None => (decode(pair), String::new()),
                })
                .collect(),
        )
    }

    /// A parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    /// A required parameter.
    pub(super) fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name).ok_or_else(|| {
            let mut field = name.to_owned();
            field[..1].make_ascii_lowercase();
            ApiError::validation(format!(
                "1 validation error detected: Value null at '{field}' failed to satisfy constraint: Member must not \
                 be null"
            ))
        })
    }

    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let malformed = || ApiError::new("MalformedInput", 400, format!("{name} must be a number, not {text:?}"));
        text.parse().map(Some).map_err(|_| malformed())
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }

    /// `{name}.member.1`, `{name}.member.2`, …
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let members = (1..).map_while(|index| self.owned(&format!("{name}.member.{index}")));
        members.collect()
    }

    /// `{name}.member.1.{field}`, `{name}.member.2.{field}`, …
    pub(super) fn list_of(&self, name: &str, field: &str) -> Vec<String> {
        let members = (1..).map_while(|index| self.owned(&format!("{name}.member.{index}.{field}")));
        members.collect()
    }

    /// `Tags.member.N.Key` and `.Value`; duplicate keys are rejected, as in AWS.
    pub(super) fn tags(&self) -> Result<Tags, ApiError> {
        let mut tags = Tags::new();
        for index in 1.. {
            let Some(key) = self.owned(&format!("Tags.member.{index}.Key")) else {
                break;
            };
            let value = self.required(&format!("Tags.member.{index}.Value"))?.to_owned();
            if tags.insert(key, value).is_some() {
                return Err(ApiError::invalid_input(
                    "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
                ));
            }
        }
        Ok(tags)
    }
}

fn decode(text: &[u8]) -> String {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).decode_utf8_lossy().into_owned()
}
