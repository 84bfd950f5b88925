//! The meaning of a policy document. Documents are compared by meaning, not by text.
//!
//! A document is parsed and expanded into the set of (effect, principal, action, resource, condition). Sids, order,
//! grouping into statements, scalar or one-element list, and the case of action names and condition keys do not
//! matter. Unknown elements of a statement are kept verbatim, so that they count as a difference.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::model::names::hex;

/// The service that assumes the role.
pub const PRINCIPAL: &str = "rds.amazonaws.com";
/// The most grants that a document is expanded into: a document of 6,144 characters can contain half a million. The
/// operator's own documents, which have long resource names, stay below a thousand.
const MAX_GRANTS: usize = 20_000;

/// The language version that IAM assumes for a document without one.
const UNDECLARED_VERSION: &str = "2008-10-17";

/// The meaning of a document. Documents with equal meanings have equal values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A policy document, expanded into its grants.
    Grants {
        /// Version of the policy language.
        version: String,
        /// Every single grant.
        grants: BTreeSet<Grant>,
    },
    /// Not a policy document, or too large to expand. Equal only to the same text.
    Opaque(String),
}

/// One effect on one action, for one principal, on one resource, under one condition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// `Allow` or `Deny`.
    pub effect: String,
    /// `Service:rds.amazonaws.com`, `AWS:*`, …; none in a permissions policy.
    pub principal: Option<String>,
    /// Lower case; `Not:` before a `NotAction`.
    pub action: Option<String>,
    /// `Not:` before a `NotResource`; none in a trust policy.
    pub resource: Option<String>,
    /// Canonical JSON of the condition and of any unknown element; empty when there is none.
    pub condition: String,
}

impl Meaning {
    /// The meaning of a decoded document. Never fails: text that is not a policy document is [`Meaning::Opaque`].
    pub fn of(text: &str) -> Self {
        Self::parse(text).unwrap_or_else(|| Self::Opaque(text.to_owned()))
    }

    fn parse(text: &str) -> Option<Self> {
        let Value::Object(root) = serde_json::from_str(text).ok()? else {
            return None;
        };
        if root.keys().any(|key| !matches!(key.as_str(), "Version" | "Statement" | "Id")) {
            return None;
        }
        let version = match root.get("Version") {
            None => UNDECLARED_VERSION,
            Some(version) => version.as_str()?,
        };
        let statements = match root.get("Statement")? {
            Value::Array(statements) => statements.iter().collect(),
            statement => vec![statement],
        };
        let parts = statements.into_iter().map(|statement| Parts::read(statement.as_object()?));
        Self::expanded(version, parts)
    }

    /// Expands statements into grants; `None` if a statement cannot be parsed, or if there are too many grants.
    pub(super) fn expanded(version: &str, statements: impl Iterator<Item = Option<Parts>>) -> Option<Self> {
        let mut grants = BTreeSet::new();
        for parts in statements {
            parts?.expand(&mut grants)?;
        }
        Some(Self::Grants { version: version.to_owned(), grants })
    }

    /// SHA-256 of the meaning. Equal meanings have equal fingerprints.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        let mut field = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        match self {
            Self::Opaque(text) => {
                field("opaque");
                field(text);
            }
            Self::Grants { version, grants } => {
                field(version);
                for Grant { effect, principal, action, resource, condition } in grants {
                    field(effect);
                    // A principal, action or resource is never empty, so "" stands for none.
                    for part in [principal, action, resource] {
                        field(part.as_deref().unwrap_or_default());
                    }
                    field(condition);
                }
            }
        }
        Fingerprint(hash.finalize().into())
    }

    /// True if a trust policy allows only the service `rds.amazonaws.com`.
    pub fn trusts_only_rds(&self) -> bool {
        let expected = format!("Service:{PRINCIPAL}");
        match self {
            Self::Opaque(_) => false,
            Self::Grants { grants, .. } => {
                !grants.is_empty()
                    && grants
                        .iter()
                        .filter(|grant| grant.effect != "Deny")
                        .all(|grant| grant.principal.as_deref() == Some(expected.as_str()))
            }
        }
    }
}

/// SHA-256 of a [`Meaning`]; displayed in hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Parses a fingerprint in hex.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// The parts of a statement, each in the form that a [`Grant`] has.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) effect: String,
    pub(super) principals: Vec<String>,
    pub(super) actions: Vec<String>,
    pub(super) resources: Vec<String>,
    /// The condition and the unknown elements.
    pub(super) rest: BTreeMap<String, Value>,
}

impl Parts {
    fn read(statement: &Map<String, Value>) -> Option<Self> {
        let mut parts = Self::default();
        let mut effect = None;
        for (key, value) in statement {
            match key.as_str() {
                "Sid" => {}
                "Effect" => effect = Some(value.as_str()?.to_owned()),
                "Principal" => parts.principals.extend(principals_of(value, "")?),
                "NotPrincipal" => parts.principals.extend(principals_of(value, "Not:")?),
                "Action" => parts.actions.extend(strings(value)?.iter().map(|action| action.to_lowercase())),
                "NotAction" => {
                    let not = |action: &String| format!("Not:{}", action.to_lowercase());
                    parts.actions.extend(strings(value)?.iter().map(not));
                }
                "Resource" => parts.resources.extend(strings(value)?),
                "NotResource" => {
                    parts.resources.extend(strings(value)?.iter().map(|resource| format!("Not:{resource}")));
                }
                "Condition" => parts.condition(value)?,
                _ => {
                    parts.rest.insert(key.clone(), value.clone());
                }
            }
        }
        Some(Self { effect: effect?, ..parts })
    }

    /// Adds a condition; `None` if the value is not a condition.
    pub(super) fn condition(&mut self, value: &Value) -> Option<()> {
        self.rest.insert("Condition".to_owned(), condition(value)?);
        Some(())
    }

    fn expand(self, grants: &mut BTreeSet<Grant>) -> Option<()> {
        let Self { effect, principals, actions, resources, rest } = self;
        let condition = if rest.is_empty() { String::new() } else { serde_json::to_string(&rest).ok()? };
        let count = principals.len().max(1).checked_mul(actions.len().max(1))?.checked_mul(resources.len().max(1))?;
        if grants.len().checked_add(count)? > MAX_GRANTS {
            return None;
        }
        for principal in optional(&principals) {
            for action in optional(&actions) {
                for resource in optional(&resources) {
                    grants.insert(Grant {
                        effect: effect.clone(),
                        principal: principal.cloned(),
                        action: action.cloned(),
                        resource: resource.cloned(),
                        condition: condition.clone(),
                    });
                }
            }
        }
        Some(())
    }
}

/// The items, or one `None` if there are none, so that the product is never empty.
fn optional(items: &[String]) -> Vec<Option<&String>> {
    if items.is_empty() { vec![None] } else { items.iter().map(Some).collect() }
}

fn strings(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(many) => many.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

fn principals_of(value: &Value, prefix: &str) -> Option<Vec<String>> {
    match value {
        Value::String(anyone) if anyone == "*" => Some(vec![format!("{prefix}AWS:*")]),
        Value::Object(kinds) => {
            let mut principals = Vec::new();
            for (kind, names) in kinds {
                principals.extend(strings(names)?.iter().map(|name| format!("{prefix}{kind}:{name}")));
            }
            Some(principals)
        }
        _ => None,
    }
}

/// Operators → keys (without case) → sorted values, numbers and booleans as IAM compares them: as strings.
fn condition(value: &Value) -> Option<Value> {
    let mut canonical: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (operator, keys) in value.as_object()? {
        let operator = canonical.entry(operator.clone()).or_default();
        for (key, values) in keys.as_object()? {
            let values = match values {
                Value::Array(values) => values.iter().map(scalar).collect::<Option<BTreeSet<_>>>()?,
                value => BTreeSet::from([scalar(value)?]),
            };
            operator.entry(key.to_lowercase()).or_default().extend(values);
        }
    }
    serde_json::to_value(canonical).ok()
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::permissions::{PermissionScope, document};
    use super::*;
    use crate::model::names::Partition;

    fn ours(creation_limited_to_groups: bool) -> Meaning {
        let scope = PermissionScope { creation_limited_to_groups, ..Default::default() };
        document(&scope, &Partition::parse("aws").unwrap()).meaning()
    }

    const NEWER_EDITION: &str = r#"{"Version":"2012-10-17","Statement":[
        {"Sid":"A","Effect":"Allow","Action":["logs:CreateLogGroup","logs:PutRetentionPolicy","logs:CreateLogStream","logs:DescribeLogStreams"],
         "Resource":["arn:aws:logs:*:*:log-group:/aws/rds/*"]},
        {"Sid":"B","Effect":"Allow","Action":["logs:PutLogEvents","LOGS:GetLogEvents"],
         "Resource":["arn:aws:logs:*:*:log-group:/aws/rds/*:log-stream:*"]}]}"#;

    #[test]
    fn the_newer_guide_equals_ours_with_creation_limited_to_log_groups() {
        assert_eq!(Meaning::of(NEWER_EDITION), ours(true));
        assert_eq!(Meaning::of(NEWER_EDITION).fingerprint(), ours(true).fingerprint());
        assert_ne!(Meaning::of(NEWER_EDITION), ours(false));
        assert_ne!(Meaning::of(NEWER_EDITION).fingerprint(), ours(false).fingerprint());
    }

    #[test]
    fn a_condition_a_deny_or_an_unknown_element_makes_a_difference() {
        let base = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"a:b","Resource":"*"}}"#;
        for other in [
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"a:b","Resource":"*"}}"#,
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","NotAction":"a:b","Resource":"*"}}"#,
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"a:b","NotResource":"*"}}"#,
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"a:b","Resource":"*","Condition":{"Bool":{"aws:x":true}}}}"#,
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"a:b","Resource":"*","New":1}}"#,
            r#"{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"a:b","Resource":"*"}}"#,
            r#"{"Statement":{"Effect":"Allow","Action":"a:b","Resource":"*"}}"#,
            r#"{"Version":"2012-10-17","Statement":[]}"#,
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"a:b","Resource":"*"},"Extra":1}"#,
            "not json",
        ] {
            assert_ne!(Meaning::of(base), Meaning::of(other), "{other}");
            assert_ne!(Meaning::of(base).fingerprint(), Meaning::of(other).fingerprint(), "{other}");
        }
    }

    #[test]
    fn conditions_compare_without_order_and_case_of_keys() {
        let one = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Condition":{"Bool":{"aws:X":"true"},"StringEquals":{"aws:S":["b","a"]}}}}"#;
        let two = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":["STS:assumerole"],"Condition":{"StringEquals":{"aws:s":["a","b"]},"Bool":{"aws:x":true}}}]}"#;
        assert_eq!(Meaning::of(one), Meaning::of(two));
    }

    #[test]
    fn a_document_with_too_many_grants_is_opaque() {
        let list = |prefix: &str| (0..700).map(|i| format!("\"{prefix}{i}\"")).collect::<Vec<_>>().join(",");
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":[{}],"Resource":[{}]}}}}"#,
            list("a"),
            list("r")
        );
        assert_eq!(Meaning::of(&text), Meaning::Opaque(text));
    }

    #[test]
    fn trusts_only_rds_is_false_for_any_other_principal() {
        let trust = |principal: &str| {
            Meaning::of(&format!(
                r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole"}}}}"#
            ))
        };
        assert!(trust(r#"{"Service":"rds.amazonaws.com"}"#).trusts_only_rds());
        assert!(!trust(r#"{"Service":["rds.amazonaws.com","ec2.amazonaws.com"]}"#).trusts_only_rds());
        assert!(!trust(r#""*""#).trusts_only_rds());
        assert!(!Meaning::of("{}").trusts_only_rds());
    }
}
