//! Judges an object of a manifest by its schema, as the API server does for `kubectl apply`.
//!
//! The rules that the schema has in CEL are not judged here: [`super::account`] has those of an `AwsAccount`,
//! [`crate::pipeline::desired`] those of an `AuroraLogExportPolicy`.

use std::collections::HashSet;

use regex_lite::Regex;
use serde_json::{Map, Value};

use crate::api::known::{remove_unknown, schema};

const METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];
const SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
const LABEL_KEY: &str = "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";
const LABEL_VALUE: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";

/// What is wrong with the object, as `field: problem; next step`. Nulls that mean nothing are removed.
pub(super) fn problems(kind: &str, object: &mut Value) -> Vec<String> {
    let mut problems = Vec::new();
    let schema = schema(kind);
    unknown_fields(schema, object, &mut problems);
    metadata(&mut object["metadata"], &mut problems);
    match object.get_mut("spec") {
        Some(spec) => check(&schema["properties"]["spec"], spec, "spec", &mut problems),
        None => problems.push("spec: is required; write spec: {}".into()),
    }
    problems
}

fn unknown_fields(schema: &Value, object: &mut Value, problems: &mut Vec<String>) {
    let mut unknown = Vec::new();
    if let Some(map) = object.as_object_mut() {
        for (name, value) in map {
            match name.as_str() {
                "apiVersion" | "kind" => {}
                "metadata" => {
                    let fields = value.as_object().into_iter().flat_map(Map::keys);
                    let others = fields.filter(|field| !METADATA.contains(&field.as_str()));
                    unknown.extend(others.map(|field| format!("metadata.{field}")));
                }
                "spec" | "status" => unknown.extend(remove_unknown(&schema["properties"][name], value, name)),
                _ => unknown.push(name.clone()),
            }
        }
    }
    let known = "correct its name, or remove it";
    problems.extend(unknown.iter().map(|path| format!("unknown field {path:?}; {known}")));
}

fn metadata(metadata: &mut Value, problems: &mut Vec<String>) {
    if !matches!(metadata, Value::Object(_) | Value::Null) {
        problems.push("metadata: must be an object with a name".into());
        return;
    }
    for name in ["name", "namespace"] {
        let value = metadata.get(name).filter(|value| !value.is_null());
        match value.map(Value::as_str) {
            Some(None) => problems.push(format!("metadata.{name}: must be text; quote it")),
            Some(Some(text)) if text.len() > 253 || !matches(SUBDOMAIN, text) => problems.push(format!(
                "metadata.{name}: {text:?} must consist of lower-case letters, digits, - and ., and begin and end with a \
                 letter or a digit"
            )),
            _ => {}
        }
    }
    for (name, pattern, longest) in [("labels", LABEL_VALUE, 63), ("annotations", "", usize::MAX)] {
        let map = match metadata.get_mut(name) {
            None | Some(Value::Null) => continue,
            Some(Value::Object(map)) => map,
            Some(_) => {
                problems.push(format!("metadata.{name}: must be a map"));
                continue;
            }
        };
        map.retain(|_, value| !value.is_null());
        for (key, value) in map {
            let path = format!("metadata.{name}.{key}");
            if !is_label_key(key) {
                problems.push(format!("{path}: a key must be a name such as team or example.com/team"));
            }
            match value.as_str() {
                None => problems.push(format!("{path}: must be text; quote it")),
                Some(text) if text.len() > longest || !matches(pattern, text) => {
                    problems.push(format!("{path}: {text:?} is not a label value; use letters, digits, -, _ and ."));
                }
                Some(_) => {}
            }
        }
    }
}

/// True for a label key such as `team` or `example.com/team`.
pub(super) fn is_label_key(key: &str) -> bool {
    key.len() <= 317 && matches(LABEL_KEY, key)
}

fn matches(pattern: &str, text: &str) -> bool {
    // Without Unicode classes: a pattern that has one is checked with the spec's rules.
    Regex::new(pattern).map_or(true, |pattern| pattern.is_match(text))
}

/// Checks a value, and removes the nulls that the API server drops when it creates an object.
fn check(schema: &Value, value: &mut Value, path: &str, problems: &mut Vec<String>) {
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    let wanted = schema["type"].as_str().unwrap_or_default();
    let is_right = match &*value {
        Value::Object(_) => wanted == "object",
        Value::Array(_) => wanted == "array",
        Value::String(_) => wanted == "string",
        Value::Bool(_) => wanted == "boolean",
        Value::Number(number) => wanted == "number" || wanted == "integer" && !number.is_f64(),
        Value::Null => false,
    };
    if !is_right {
        let quote = if wanted == "string" && !value.is_null() { "; quote it" } else { "" };
        problems.push(format!("{path}: must be of type {wanted}, and is {}{quote}", type_of(value)));
        return;
    }
    match value {
        Value::Object(map) => check_object(schema, map, path, problems),
        Value::Array(items) => {
            limits(schema, "Items", items.len(), path, "items", problems);
            let mut seen = HashSet::new();
            for (index, item) in items.iter_mut().enumerate() {
                let path = format!("{path}[{index}]");
                check(&schema["items"], item, &path, problems);
                if schema["x-kubernetes-list-type"] == "set" && !seen.insert(item.to_string()) {
                    problems.push(format!("{path}: {item} is in the list twice; remove one"));
                }
            }
        }
        Value::String(text) => {
            limits(schema, "Length", text.chars().count(), path, "characters", problems);
            if let Some(choices) = schema["enum"].as_array()
                && !choices.iter().any(|choice| *choice == text.as_str())
            {
                let choices: Vec<_> = choices.iter().filter_map(Value::as_str).collect();
                problems.push(format!("{path}: {text:?} is no choice; use {}", choices.join(" or ")));
            }
            if let Some(pattern) = schema["pattern"].as_str()
                && !matches(pattern, text)
            {
                problems.push(format!("{path}: {text:?} must match {pattern}"));
            }
        }
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or_default();
            for (key, is_beyond) in [("minimum", (|a, b| a < b) as fn(f64, f64) -> bool), ("maximum", |a, b| a > b)] {
                if let Some(limit) = schema[key].as_f64()
                    && is_beyond(number, limit)
                {
                    problems.push(format!("{path}: {number} is beyond the {key} of {limit}"));
                }
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn check_object(schema: &Value, map: &mut Map<String, Value>, path: &str, problems: &mut Vec<String>) {
    let of = |name: &str| schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
    map.retain(|name, value| !value.is_null() || of(name)["nullable"] == true);
    limits(schema, "Properties", map.len(), path, "entries", problems);
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !map.contains_key(name) {
            problems.push(format!("{path}.{name}: is required; add it"));
        }
    }
    for (name, value) in map {
        check(of(name), value, &format!("{path}.{name}"), problems);
    }
}

fn limits(schema: &Value, what: &str, size: usize, path: &str, unit: &str, problems: &mut Vec<String>) {
    let limit = |side: &str| schema[format!("{side}{what}")].as_u64().and_then(|limit| usize::try_from(limit).ok());
    if let Some(least) = limit("min").filter(|least| size < *least) {
        problems.push(format!("{path}: has {size} {unit}; at least {least} are required"));
    }
    if let Some(most) = limit("max").filter(|most| size > *most) {
        problems.push(format!("{path}: has {size} {unit}; at most {most} are allowed"));
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
