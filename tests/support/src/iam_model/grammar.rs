//! The rules by which AWS rejects a policy or trust document.
//!
//! Not the whole grammar of IAM, but every rule that a document of the operator, or a manual edit of one, can violate.

use super::error::ApiError;
use super::validate;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The two grammars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Identity-based: a resource, no principal.
    Permissions,
    /// A role's trust policy: a principal, no resource.
    Trust,
}

fn malformed(message: impl Into<String>) -> ApiError {
    ApiError::malformed_policy_document(message)
}

fn syntax() -> ApiError {
    malformed("Syntax errors in policy.")
}

/// Checks a document; `exists` returns whether a principal of the same account exists.
pub(super) fn check(text: &str, kind: Kind, partition: &str, exists: &dyn Fn(&str) -> bool) -> Result<(), ApiError> {
    validate::document(text)?;
    let value: Value = serde_json::from_str(text).map_err(|_| malformed("This policy contains invalid Json"))?;
    let Value::Object(document) = value else {
        return Err(syntax());
    };
    only_keys(&document, &["Version", "Id", "Statement"])?;
    if let Some(version) = document.get("Version")
        && !matches!(version.as_str(), Some("2012-10-17" | "2008-10-17"))
    {
        return Err(syntax());
    }
    let statements = match document.get("Statement") {
        Some(Value::Array(list)) if !list.is_empty() => list.as_slice(),
        Some(single @ Value::Object(_)) => std::slice::from_ref(single),
        _ => return Err(syntax()),
    };
    let mut sids = BTreeSet::new();
    for statement in statements {
        let Value::Object(statement) = statement else {
            return Err(syntax());
        };
        check_statement(statement, kind, partition, exists)?;
        if let Some(sid) = statement.get("Sid").and_then(Value::as_str)
            && !sid.is_empty()
            && !sids.insert(sid)
        {
            return Err(malformed(format!("Statement IDs (SID) in a single policy must be unique: {sid}")));
        }
    }
    Ok(())
}

fn check_statement(
    statement: &Map<String, Value>,
    kind: Kind,
    partition: &str,
    exists: &dyn Fn(&str) -> bool,
) -> Result<(), ApiError> {
    let keys =
        ["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "NotPrincipal", "Condition"];
    only_keys(statement, &keys)?;
    check_sid(statement.get("Sid"))?;
    if !matches!(statement.get("Effect").and_then(Value::as_str), Some("Allow" | "Deny")) {
        return Err(syntax());
    }
    for action in exactly_one(statement, "Action", "NotAction", "actions")? {
        check_action(action, kind)?;
    }
    match kind {
        Kind::Permissions => {
            prohibited(statement, "Principal")?;
            prohibited(statement, "NotPrincipal")?;
            for resource in exactly_one(statement, "Resource", "NotResource", "resources")? {
                check_resource(resource, partition)?;
            }
        }
        Kind::Trust => {
            prohibited(statement, "Resource")?;
            prohibited(statement, "NotResource")?;
            check_principal(statement, partition, exists)?;
        }
    }
    statement.get("Condition").map_or(Ok(()), check_condition)
}

fn only_keys(object: &Map<String, Value>, known: &[&str]) -> Result<(), ApiError> {
    if object.keys().all(|key| known.contains(&key.as_str())) { Ok(()) } else { Err(syntax()) }
}

fn prohibited(statement: &Map<String, Value>, field: &str) -> Result<(), ApiError> {
    if statement.contains_key(field) {
        return Err(malformed(format!("Has prohibited field {field}")));
    }
    Ok(())
}

fn check_sid(sid: Option<&Value>) -> Result<(), ApiError> {
    match sid {
        None => Ok(()),
        Some(Value::String(sid)) if sid.chars().all(|c| c.is_ascii_alphanumeric()) => Ok(()),
        Some(Value::String(sid)) => Err(malformed(format!(
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the \
                                   regular expression [0-9A-Za-z]*: {sid}"
        ))),
        Some(_) => Err(syntax()),
    }
}

/// The strings of the field that is present; exactly one of the two must be.
fn exactly_one<'a>(
    statement: &'a Map<String, Value>,
    field: &str,
    negated: &str,
    what: &str,
) -> Result<Vec<&'a str>, ApiError> {
    match (statement.get(field), statement.get(negated)) {
        (Some(value), None) | (None, Some(value)) => strings(value).ok_or_else(syntax),
        (None, None) => Err(malformed(format!("Policy statement must contain {what}."))),
        (Some(_), Some(_)) => Err(syntax()),
    }
}

/// One string, or a list with at least one.
fn strings(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(one) => Some(vec![one]),
        Value::Array(list) if !list.is_empty() => list.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

fn check_action(action: &str, kind: Kind) -> Result<(), ApiError> {
    if kind == Kind::Permissions && action == "*" {
        return Ok(());
    }
    let Some((vendor, name)) = action.split_once(':') else {
        return Err(malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."));
    };
    if kind == Kind::Trust && !vendor.eq_ignore_ascii_case("sts") {
        return Err(malformed("AssumeRole policy may only specify STS AssumeRole actions."));
    }
    let vendor_ok = !vendor.is_empty() && vendor.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let name_ok = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "*?-_".contains(c));
    if !vendor_ok {
        return Err(malformed(format!("Vendor {vendor} is not valid")));
    }
    if !name_ok {
        return Err(malformed(format!("The policy failed legacy parsing: action {action}")));
    }
    Ok(())
}

fn check_resource(resource: &str, partition: &str) -> Result<(), ApiError> {
    if resource == "*" {
        return Ok(());
    }
    let parts: Vec<&str> = resource.splitn(6, ':').collect();
    if parts.first() != Some(&"arn") {
        return Err(malformed(format!("Resource {resource} must be in ARN format or \"*\".")));
    }
    if parts.len() < 6 {
        return Err(malformed(format!("The policy failed legacy parsing: resource {resource}")));
    }
    if parts[1] != partition && parts[1] != "*" {
        return Err(malformed(format!("Partition \"{}\" is not valid for resource \"{resource}\".", parts[1])));
    }
    if parts[2].is_empty() {
        return Err(malformed(format!("Vendor is not valid for resource \"{resource}\".")));
    }
    Ok(())
}

fn check_principal(
    statement: &Map<String, Value>,
    partition: &str,
    exists: &dyn Fn(&str) -> bool,
) -> Result<(), ApiError> {
    let principal = match (statement.get("Principal"), statement.get("NotPrincipal")) {
        (Some(principal), None) | (None, Some(principal)) => principal,
        (None, None) => return Err(malformed("Missing required field Principal")),
        (Some(_), Some(_)) => return Err(syntax()),
    };
    let principals = match principal {
        Value::String(any) if any == "*" => return Ok(()),
        Value::Object(map) if !map.is_empty() => map,
        _ => return Err(syntax()),
    };
    for (kind, values) in principals {
        for value in strings(values).ok_or_else(syntax)? {
            let valid = match kind.as_str() {
                "Service" => is_service(value),
                "AWS" => value == "*" || is_aws_principal(value, partition) && exists(value),
                "Federated" => !value.is_empty(),
                "CanonicalUser" => value.len() == 64,
                _ => return Err(syntax()),
            };
            if !valid {
                let kind = kind.to_uppercase();
                return Err(malformed(format!("Invalid principal in policy: \"{kind}\":\"{value}\"")));
            }
        }
    }
    Ok(())
}

fn is_service(value: &str) -> bool {
    let host = value.strip_suffix(".cn").unwrap_or(value);
    host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".aws.internal")).is_some_and(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c))
    })
}

fn is_aws_principal(value: &str, partition: &str) -> bool {
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = value.splitn(6, ':').collect();
    match parts.as_slice() {
        [account] => is_account(account) || account.starts_with("AROA") || account.starts_with("AIDA"),
        ["arn", of, "iam" | "sts", "", account, resource] => {
            *of == partition && is_account(account) && !resource.is_empty()
        }
        _ => false,
    }
}

fn check_condition(condition: &Value) -> Result<(), ApiError> {
    let Value::Object(operators) = condition else {
        return Err(syntax());
    };
    for (operator, keys) in operators {
        if !is_operator(operator) {
            return Err(malformed(format!("Invalid Condition type : {operator}")));
        }
        let Value::Object(keys) = keys else {
            return Err(syntax());
        };
        for (key, values) in keys {
            if !key.contains(':') {
                return Err(malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."));
            }
            let scalar = |value: &Value| value.is_string() || value.is_boolean() || value.is_number();
            let valid = scalar(values) || values.as_array().is_some_and(|list| list.iter().all(scalar));
            if !valid {
                return Err(syntax());
            }
        }
    }
    Ok(())
}

fn is_operator(operator: &str) -> bool {
    const BASE: [&str; 27] = [
        "StringEquals",
        "StringNotEquals",
        "StringEqualsIgnoreCase",
        "StringNotEqualsIgnoreCase",
        "StringLike",
        "StringNotLike",
        "NumericEquals",
        "NumericNotEquals",
        "NumericLessThan",
        "NumericLessThanEquals",
        "NumericGreaterThan",
        "NumericGreaterThanEquals",
        "DateEquals",
        "DateNotEquals",
        "DateLessThan",
        "DateLessThanEquals",
        "DateGreaterThan",
        "DateGreaterThanEquals",
        "Bool",
        "BinaryEquals",
        "IpAddress",
        "NotIpAddress",
        "ArnEquals",
        "ArnLike",
        "ArnNotEquals",
        "ArnNotLike",
        "Null",
    ];
    let of_set = operator.strip_prefix("ForAllValues:").or_else(|| operator.strip_prefix("ForAnyValue:"));
    let name = of_set.unwrap_or(operator);
    BASE.contains(&name.strip_suffix("IfExists").unwrap_or(name))
}
