//! Rules that hold for both CRDs, whatever their fields.

use super::crds;
use serde_json::{Value, json};

/// The schema of each kind, by the kind's name.
fn schemas() -> Vec<(String, Value)> {
    crds()
        .into_iter()
        .map(|crd| {
            let value = serde_json::to_value(&crd).unwrap();
            let schema = &value["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            (crd.spec.names.kind, schema.clone())
        })
        .collect()
}

/// Calls `visit` with the path and the schema of every property, at any depth.
fn each_property(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        visit(&path, property);
        each_property(&path, property, visit);
        each_property(&format!("{path}[]"), &property["items"], visit);
    }
}

/// Limits that the schema sets for a property.
fn limits(property: &Value) -> impl Iterator<Item = String> {
    const KEYWORDS: [&str; 7] =
        ["maxItems", "maxLength", "maxProperties", "minItems", "minLength", "pattern", "x-kubernetes-validations"];
    KEYWORDS.into_iter().filter_map(|keyword| Some(format!("{keyword}={}", property.get(keyword)?)))
}

/// The API server rejects a status that exceeds a limit, and the object would keep its last one. So each limit is listed
/// here, with what keeps it.
#[test]
fn every_limit_of_a_status_is_kept_by_the_code() {
    let mut found = Vec::new();
    for (kind, schema) in schemas() {
        each_property(&kind, &schema["properties"]["status"], &mut |path, property| {
            found.extend(limits(property).map(|limit| format!("{path} {limit}")));
            found.extend(limits(&property["items"]).map(|limit| format!("{path}[] {limit}")));
        });
    }
    let expected = [
        // `pipeline::status` writes one condition of each type.
        "AuroraLogExportPolicy.conditions maxItems=16",
        // `pipeline::status::drift`.
        "AuroraLogExportPolicy.drift maxItems=32",
        "AuroraLogExportPolicy.drift[].actual maxLength=256",
        "AuroraLogExportPolicy.drift[].expected maxLength=256",
        // `pipeline::status::tag_keys_on_record`; keys of the spec are checked before anything is written.
        "AuroraLogExportPolicy.tagKeys maxItems=500",
        "AuroraLogExportPolicy.tagKeys[] maxLength=128",
        "AwsAccount.conditions maxItems=16",
    ];
    assert_eq!(found, expected);
    assert!(super::ConditionType::ALL.len() <= 16);
}

#[test]
fn every_field_is_documented() {
    for (kind, schema) in schemas() {
        let mut count = 0;
        each_property(&kind, &schema, &mut |path, property| {
            count += 1;
            let text = property["description"].as_str().unwrap_or_default();
            assert!(text.len() > 10 && text.ends_with(['.', '…', ')']), "{path}: {text:?}");
        });
        assert!(count > 30, "{kind}: {count} fields");
    }
}

#[test]
fn an_enum_is_described_by_its_field_and_not_by_its_type() {
    let (_, schema) = &schemas()[0];
    let access = &schema["properties"]["spec"]["properties"]["access"];
    assert_eq!(access["enum"], json!(["Minimal", "FullAccess"]));
    assert!(access["description"].as_str().unwrap().contains("A switch attaches the new policy before"), "{access}");
}

#[test]
fn the_schema_sets_no_default_in_spec_and_one_in_status() {
    for (kind, schema) in schemas() {
        assert_eq!(schema["properties"]["status"]["default"], json!({ "observedGeneration": -1 }), "{kind}");
        each_property("spec", &schema["properties"]["spec"], &mut |path, property| {
            assert_eq!(property.get("default"), None, "{kind}: {path}");
        });
    }
}

#[test]
fn the_schema_has_no_harmful_or_useless_keywords() {
    for (kind, schema) in schemas() {
        assert_eq!(schema.get("title"), None, "{kind}");
        each_property("", &schema, &mut |path, property| {
            assert_ne!(property["format"], "uint32", "{kind}: {path}");
            assert_ne!(property["x-kubernetes-validations"], json!([]), "{kind}: {path}");
        });
    }
}

#[test]
fn every_object_list_and_map_of_a_spec_may_be_null_and_nothing_else() {
    for (kind, schema) in schemas() {
        // An account without its id is none.
        let spec = &schema["properties"]["spec"];
        assert_eq!(spec["nullable"] == true, kind == "AuroraLogExportPolicy", "{kind}");
        each_property("spec", spec, &mut |path, property| {
            let container = property["type"] == "object" || property["type"] == "array";
            assert_eq!(property["nullable"] == true, container, "{kind}: {path}");
        });
        each_property("status", &schema["properties"]["status"], &mut |path, property| {
            assert_eq!(property.get("nullable"), None, "{kind}: {path}");
        });
    }
}

#[test]
fn every_list_of_a_spec_has_a_list_type_and_a_maximum_length() {
    for (kind, schema) in schemas() {
        each_property("spec", &schema["properties"]["spec"], &mut |path, property| {
            if property["type"] == "array" {
                assert!(property["x-kubernetes-list-type"].is_string(), "{kind}: {path}");
                assert!(property["maxItems"].is_u64(), "{kind}: {path}");
            }
        });
    }
}
