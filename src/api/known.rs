//! What this version knows of a spec, for objects of a newer version: after a rollback of the operator, the API server
//! still stores fields and choices that only the newer version knows.
//!
//! A field that restricts access must not be ignored. New fields that do are added only to the objects in
//! [`RESTRICTING`], so every older version can tell.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

/// An unknown field in one of these objects is an error. Ignoring it could widen access, or select another account.
const RESTRICTING: &[&str] =
    &["spec.scope", "spec.trust", "spec.accountRef", "spec.allowedNamespaces", "spec.assumeRole", "spec.guardrails"];

/// For an unknown choice of these fields, the most careful known one is used. For every other field it is an error.
const CAREFUL: &[(&str, &str)] = &[
    ("spec.deletionPolicy", "Retain"),
    ("spec.adoptionPolicy", "Never"),
    ("spec.attachmentPolicy", "Additive"),
    ("spec.driftScan", "Auto"),
];

/// The schema of each kind, by the kind's name.
static SCHEMAS: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| {
    let schemas = super::crds().into_iter().map(|mut crd| {
        let version = (!crd.spec.versions.is_empty()).then(|| crd.spec.versions.remove(0));
        let schema = version.and_then(|version| version.schema?.open_api_v3_schema);
        (crd.spec.names.kind, serde_json::to_value(schema).unwrap_or_default())
    });
    schemas.collect()
});

/// The schema of a kind.
pub(crate) fn schema(kind: &str) -> &'static Value {
    SCHEMAS.get(kind).unwrap_or(&Value::Null)
}

/// A field that must not be ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Restricting(pub(crate) String);

/// Removes from a spec the fields that this version does not know, and replaces unknown choices. Returns what is ignored,
/// as in `spec.rotation` or `spec.deletionPolicy: Archive (Retain is used)`.
///
/// # Errors
/// The first unknown field that may restrict access.
pub(crate) fn ignore_unknown(kind: &str, spec: &mut Value) -> Result<Vec<String>, Restricting> {
    let mut ignored = Vec::new();
    let is_restricting = |path: &str| {
        let below = |parent: &str| path.strip_prefix(parent).is_some_and(|rest| rest.starts_with(['.', '[']));
        RESTRICTING.iter().any(|parent| below(parent))
    };
    let schema = &schema(kind)["properties"]["spec"];
    let unknown = remove_unknown(schema, spec, "spec");
    if let Some(restricting) = unknown.iter().find(|path| is_restricting(path)) {
        return Err(Restricting(restricting.clone()));
    }
    ignored.extend(unknown);
    for (path, careful) in CAREFUL {
        let name = path.trim_start_matches("spec.");
        let choices = schema["properties"][name]["enum"].as_array();
        if let (Some(choices), Some(value)) = (choices, spec.get_mut(name))
            && let Value::String(text) = value
            && !choices.contains(&Value::from(text.as_str()))
        {
            ignored.push(format!("{path}: {text} ({careful} is used)"));
            *value = Value::from(*careful);
        }
    }
    Ok(ignored)
}

/// Removes what is not in the schema, and returns the paths.
pub(crate) fn remove_unknown(schema: &Value, value: &mut Value, path: &str) -> Vec<String> {
    let mut unknown = Vec::new();
    match (value, schema["properties"].as_object()) {
        (Value::Object(map), Some(properties)) => map.retain(|name, value| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let known = properties.get(name);
            match known {
                Some(schema) => unknown.extend(remove_unknown(schema, value, &path)),
                None => unknown.push(path),
            }
            known.is_some()
        }),
        (Value::Array(items), _) => {
            for (index, item) in items.iter_mut().enumerate() {
                unknown.extend(remove_unknown(&schema["items"], item, &format!("{path}[{index}]")));
            }
        }
        _ => {}
    }
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_unknown_field_is_ignored_unless_it_may_restrict_access() {
        for (kind, mut spec, ignored, left) in [
            ("AuroraLogExportPolicy", json!({ "tags": { "a": "b" } }), vec![], json!({ "tags": { "a": "b" } })),
            (
                "AuroraLogExportPolicy",
                json!({ "rotation": { "days": 3 }, "suspend": true }),
                vec!["spec.rotation"],
                json!({ "suspend": true }),
            ),
            (
                "AuroraLogExportPolicy",
                json!({ "outputs": { "secretRef": {} } }),
                vec!["spec.outputs.secretRef"],
                json!({ "outputs": {} }),
            ),
            ("AwsAccount", json!({ "limits": { "burst": 3 } }), vec!["spec.limits.burst"], json!({ "limits": {} })),
            (
                "AuroraLogExportPolicy",
                json!({ "deletionPolicy": "Archive" }),
                vec!["spec.deletionPolicy: Archive (Retain is used)"],
                json!({ "deletionPolicy": "Retain" }),
            ),
            (
                "AuroraLogExportPolicy",
                json!({ "adoptionPolicy": "Ask" }),
                vec!["spec.adoptionPolicy: Ask (Never is used)"],
                json!({ "adoptionPolicy": "Never" }),
            ),
            (
                "AwsAccount",
                json!({ "driftScan": "Events" }),
                vec!["spec.driftScan: Events (Auto is used)"],
                json!({ "driftScan": "Auto" }),
            ),
            // Left to the parser, which refuses them.
            ("AuroraLogExportPolicy", json!({ "access": "Less" }), vec![], json!({ "access": "Less" })),
            (
                "AuroraLogExportPolicy",
                json!({ "deletionPolicy": 7, "scope": 8 }),
                vec![],
                json!({ "deletionPolicy": 7, "scope": 8 }),
            ),
        ] {
            assert_eq!(ignore_unknown(kind, &mut spec), Ok(ignored.into_iter().map(str::to_owned).collect()));
            assert_eq!(spec, left);
        }
        for (kind, mut spec, path) in [
            ("AuroraLogExportPolicy", json!({ "scope": { "databases": [] } }), "spec.scope.databases"),
            ("AuroraLogExportPolicy", json!({ "trust": { "x": null } }), "spec.trust.x"),
            ("AuroraLogExportPolicy", json!({ "accountRef": { "name": "a", "kind": "b" } }), "spec.accountRef.kind"),
            ("AwsAccount", json!({ "guardrails": { "allowed": [] } }), "spec.guardrails.allowed"),
            (
                "AwsAccount",
                json!({ "assumeRole": { "roleArn": "a", "sessionPolicy": "" } }),
                "spec.assumeRole.sessionPolicy",
            ),
            (
                "AwsAccount",
                json!({ "allowedNamespaces": { "selector": { "matchFields": [] } } }),
                "spec.allowedNamespaces.selector.matchFields",
            ),
            (
                "AwsAccount",
                json!({ "allowedNamespaces": { "selector": { "matchExpressions": [{ "key": "a", "operator": "Exists", "negate": true }] } } }),
                "spec.allowedNamespaces.selector.matchExpressions[0].negate",
            ),
        ] {
            assert_eq!(ignore_unknown(kind, &mut spec), Err(Restricting(path.to_owned())));
        }
    }

    #[test]
    fn the_objects_and_choices_named_here_exist() {
        let exists = |path: &str| {
            let name = path.trim_start_matches("spec.");
            ["AuroraLogExportPolicy", "AwsAccount"]
                .map(|kind| schema(kind)["properties"]["spec"]["properties"][name].clone())
        };
        for path in RESTRICTING {
            assert!(exists(path).iter().any(|schema| schema["type"] == "object"), "{path}");
        }
        for (path, choice) in CAREFUL {
            let choices = exists(path).map(|schema| schema["enum"].clone());
            assert!(
                choices.iter().any(|choices| choices.as_array().is_some_and(|it| it.contains(&json!(choice)))),
                "{path}"
            );
        }
    }
}
