//! Conditions: operators, keys and values as IAM compares them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::pattern;

/// Operators → keys in lower case → values. All of them must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub(super) struct Condition(BTreeMap<String, BTreeMap<String, BTreeSet<String>>>);

/// What an operator compares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exact,
    Pattern,
    Arn,
}

/// An operator without its set prefix and `IfExists`; `None` for one that is not known.
fn kind(operator: &str) -> Option<Kind> {
    Some(match core(operator) {
        "StringLike" | "StringNotLike" => Kind::Pattern,
        "ArnLike" | "ArnNotLike" => Kind::Arn,
        "StringEquals"
        | "StringNotEquals"
        | "StringEqualsIgnoreCase"
        | "StringNotEqualsIgnoreCase"
        | "Bool"
        | "IpAddress"
        | "NotIpAddress"
        | "NumericEquals"
        | "NumericNotEquals"
        | "DateEquals"
        | "DateNotEquals"
        | "BinaryEquals"
        | "Null" => Kind::Exact,
        _ => return None,
    })
}

fn core(operator: &str) -> &str {
    let core = operator.rsplit(':').next().unwrap_or(operator);
    core.strip_suffix("IfExists").unwrap_or(core)
}

/// True if one of the values has to match, so that a statement with two values is two statements with one.
fn is_any_of(operator: &str) -> bool {
    kind(operator).is_some() && !core(operator).contains("Not") && !operator.starts_with("ForAllValues:")
}

impl Condition {
    /// `None` if the value is not a condition, if an operator has no keys, or if one key occurs twice below it.
    pub(super) fn of(value: &Value) -> Option<Self> {
        let mut condition = Self::default();
        for (operator, keys) in value.as_object()? {
            let keys = keys.as_object().filter(|keys| !keys.is_empty())?;
            for (key, values) in keys {
                let values = match values {
                    Value::Array(values) => values.iter().map(scalar).collect::<Option<BTreeSet<_>>>()?,
                    value => BTreeSet::from([scalar(value)?]),
                };
                let key = key.to_lowercase();
                let (same, values) = normal(operator, values);
                // ArnEquals and ArnLike on one key must both hold: they are not merged.
                let taken = condition.0.get(&same).is_some_and(|keys| keys.contains_key(&key));
                let operator = if taken { operator.clone() } else { same };
                if condition.0.entry(operator).or_default().insert(key, values).is_some() {
                    return None;
                }
            }
        }
        Some(condition)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.values().all(BTreeMap::is_empty)
    }

    /// The conditions of which one must hold, each with single values; `None` if they are more than the limit.
    pub(super) fn split(&self, limit: usize) -> Option<Vec<Self>> {
        let mut parts = vec![Self::default()];
        for (operator, keys) in &self.0 {
            for (key, values) in keys {
                let any_of = is_any_of(operator) && !values.is_empty();
                let choices: Vec<BTreeSet<String>> = if any_of {
                    values.iter().map(|value| BTreeSet::from([value.clone()])).collect()
                } else {
                    vec![values.clone()]
                };
                if parts.len().checked_mul(choices.len())? > limit {
                    return None;
                }
                parts = parts
                    .iter()
                    .flat_map(|part| choices.iter().map(move |choice| part.with(operator, key, choice)))
                    .collect();
            }
        }
        Some(parts)
    }

    fn with(&self, operator: &str, key: &str, values: &BTreeSet<String>) -> Self {
        let mut condition = self.clone();
        condition.0.entry(operator.to_owned()).or_default().insert(key.to_owned(), values.clone());
        condition
    }

    /// True if this condition holds wherever the other one does.
    pub(super) fn contains(&self, other: &Self) -> bool {
        self.0.iter().all(|(operator, keys)| {
            keys.iter().all(|(key, values)| {
                other.0.get(operator).and_then(|keys| keys.get(key)).is_some_and(|narrower| {
                    values == narrower || is_any_of(operator) && contains_values(operator, values, narrower)
                })
            })
        })
    }
}

fn contains_values(operator: &str, values: &BTreeSet<String>, narrower: &BTreeSet<String>) -> bool {
    let contains = match kind(operator) {
        Some(Kind::Pattern) => pattern::contains,
        Some(Kind::Arn) => pattern::contains_arn,
        _ => |one: &str, other: &str| one == other,
    };
    !narrower.is_empty() && narrower.iter().all(|one| values.iter().any(|value| contains(value, one)))
}

/// Operator and values in the form that stands for all forms of the same effect: `ArnEquals` is `ArnLike`, `StringLike`
/// without a wildcard is `StringEquals`, and `…IgnoreCase` compares lower case.
fn normal(operator: &str, values: BTreeSet<String>) -> (String, BTreeSet<String>) {
    let is_exact = |values: &BTreeSet<String>| {
        !values.iter().any(|value| pattern::has_wildcard(value) || pattern::has_variable(value))
    };
    let (from, to) = match core(operator) {
        "ArnEquals" => ("ArnEquals", "ArnLike"),
        "ArnNotEquals" => ("ArnNotEquals", "ArnNotLike"),
        "StringLike" if is_exact(&values) => ("StringLike", "StringEquals"),
        "StringNotLike" if is_exact(&values) => ("StringNotLike", "StringNotEquals"),
        "StringEqualsIgnoreCase" | "StringNotEqualsIgnoreCase" => {
            let folded = values
                .iter()
                .map(|value| if pattern::has_variable(value) { value.clone() } else { value.to_ascii_lowercase() });
            return (operator.to_owned(), folded.collect());
        }
        _ => ("", ""),
    };
    let operator = if from.is_empty() { operator.to_owned() } else { operator.replacen(from, to, 1) };
    let values = match kind(&operator) {
        Some(Kind::Pattern | Kind::Arn) => values.iter().map(|value| pattern::normal(value)).collect(),
        _ => values,
    };
    (operator, values)
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
