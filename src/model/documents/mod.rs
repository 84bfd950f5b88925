//! Policy documents: the two that the operator writes, and the meaning of any document that AWS returns.

mod condition;
pub mod differences;
pub mod encoding;
pub mod meaning;
pub mod pattern;
pub mod permissions;
#[cfg(test)]
mod tests;
pub mod trust;

use serde::Serialize;
use std::collections::BTreeMap;

use condition::Condition;
use meaning::Parts;
pub use meaning::{LANGUAGE_VERSION, Meaning};

/// A policy document that the operator writes. Serializes in the order and form of the AWS guide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Document {
    version: &'static str,
    statement: Vec<Statement>,
}

/// One `Allow` statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'static str>,
    effect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<BTreeMap<&'static str, &'static str>>,
    action: OneOrMany,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<OneOrMany>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    condition: BTreeMap<&'static str, BTreeMap<&'static str, OneOrMany>>,
}

/// A scalar for a single value, a list otherwise, as in the AWS guide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn new<T: Into<String>>(values: impl IntoIterator<Item = T>) -> Self {
        let mut values: Vec<String> = values.into_iter().map(Into::into).collect();
        match (values.len(), values.pop()) {
            (1, Some(only)) => Self::One(only),
            (_, last) => {
                values.extend(last);
                Self::Many(values)
            }
        }
    }

    fn values(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

impl Statement {
    fn parts(&self) -> Option<Parts> {
        let Self { sid: _, effect, principal, action, resource, condition } = self;
        let mut parts = Parts {
            effect: (*effect).to_owned(),
            principals: principal.iter().flatten().map(|(kind, name)| format!("{kind}:{name}")).collect(),
            actions: action.values().iter().map(|action| action.to_lowercase()).collect(),
            resources: resource.iter().flat_map(OneOrMany::values).map(|it| pattern::normal(it)).collect(),
            ..Parts::default()
        };
        if !condition.is_empty() {
            parts.condition = Condition::of(&serde_json::to_value(condition).ok()?)?;
        }
        Some(parts)
    }
}

impl Document {
    fn new(statement: Vec<Statement>) -> Self {
        Self { version: LANGUAGE_VERSION, statement }
    }

    /// Compact JSON, as sent to IAM.
    pub fn to_json(&self) -> String {
        // Strings, lists and maps with string keys: serialization cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Indented JSON, for display.
    pub fn to_json_pretty(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The meaning of the document, computed without parsing its JSON.
    pub fn meaning(&self) -> Meaning {
        let statements = self.statement.iter().map(Statement::parts);
        Meaning::expanded(self.version, statements).unwrap_or_else(|| Meaning::of(&self.to_json()))
    }

    /// Characters that count against IAM's quotas: all except whitespace.
    ///
    /// Source: IAM user guide, "IAM and AWS STS quotas": white space is not counted.
    pub fn counted_size(&self) -> usize {
        self.to_json().chars().filter(|c| !c.is_whitespace()).count()
    }
}
