//! Schemas that derive cannot express: limits of sets and maps, CEL rules, and the corrections in [`finish`].

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

/// Reads null as the default: the API server may send null for an object, a list or a map without entries.
pub(super) fn null_as_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A set of strings (`listType: set`) of 1 to `max_items` items.
fn string_set(max_items: u32, max_length: u32, pattern: &str) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": max_items,
        "x-kubernetes-list-type": "set",
        "items": { "type": "string", "minLength": 1, "maxLength": max_length, "pattern": pattern },
    })
}

/// A [`string_set`] in which `*` must be the only item.
fn starred_set(max_items: u32, max_length: u32, pattern: &str) -> Schema {
    let mut schema = string_set(max_items, max_length, pattern);
    schema.insert(
        "x-kubernetes-validations".into(),
        json!([{ "rule": "!('*' in self) || size(self) == 1", "message": "\"*\" already covers everything: it must stand alone" }]),
    );
    schema
}

/// The values of a closed enum. The field describes them; the type's own schema would replace the field's description.
pub(super) fn choice<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    fn collect(schema: &Value, into: &mut Vec<Value>) {
        into.extend(schema.get("const").cloned());
        let listed = |key| schema.get(key).and_then(Value::as_array).into_iter().flatten();
        into.extend(listed("enum").cloned());
        listed("oneOf").for_each(|variant| collect(variant, into));
    }
    let mut values = Vec::new();
    collect(T::json_schema(generator).as_value(), &mut values);
    json_schema!({ "type": "string", "enum": values })
}

pub(super) fn iam_path(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 512,
        "pattern": "^((/[A-Za-z0-9.,+@=_-]+)*)/$",
        "x-kubernetes-validations": [{
            "rule": "!self.startsWith('/aws-service-role/') && !self.startsWith('/aws-reserved/')",
            "message": "paths under /aws-service-role/ and /aws-reserved/ belong to AWS's own roles: choose another",
        }],
    })
}

pub(super) fn regions(_: &mut SchemaGenerator) -> Schema {
    starred_set(40, 32, r"^(\*|[a-z]{2,}(-[a-z]+)+-[0-9]+)$")
}

pub(super) fn account_ids(_: &mut SchemaGenerator) -> Schema {
    starred_set(50, 12, r"^(\*|[0-9]{12})$")
}

pub(super) fn log_groups(_: &mut SchemaGenerator) -> Schema {
    starred_set(50, 512, r"^[A-Za-z0-9_./#*-]+$")
}

pub(super) fn log_streams(_: &mut SchemaGenerator) -> Schema {
    // No control characters either: a policy document does not allow them.
    starred_set(20, 512, r#"^[^:"${}\x00-\x1f\x7f-\x9f]+$"#)
}

pub(super) fn source_arns(_: &mut SchemaGenerator) -> Schema {
    string_set(20, 512, r"^arn:aws[a-z-]*:rds:[a-z0-9*-]+:[0-9]{12}:[A-Za-z0-9*?:._/-]+$")
}

pub(super) fn policy_patterns(_: &mut SchemaGenerator) -> Schema {
    string_set(50, 512, r"^[A-Za-z0-9_+=,.@/:*-]+$")
}

pub(super) fn namespace_names(_: &mut SchemaGenerator) -> Schema {
    string_set(1000, 63, r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
}

/// `metav1.LabelSelector`, with the checks that Kubernetes applies to its own selectors.
pub(super) fn label_selector(_: &mut SchemaGenerator) -> Schema {
    const KEY: &str = "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$";
    const VALUE: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchLabels": {
                "type": "object",
                "description": "Labels that a namespace must have. All must match.",
                "maxProperties": 32,
                "additionalProperties": { "type": "string", "maxLength": 63, "pattern": VALUE },
                "x-kubernetes-validations": [{
                    "rule": format!("self.all(k, size(k) <= 317 && k.matches('{KEY}'))"),
                    "message": "a key must be a label key such as team or example.com/team",
                }],
            },
            "matchExpressions": {
                "type": "array",
                "description": "Requirements on the labels of a namespace. All must be met.",
                "maxItems": 32,
                "x-kubernetes-list-type": "atomic",
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": { "type": "string", "description": "Key of the label.", "maxLength": 317, "pattern": KEY },
                        "operator": {
                            "type": "string",
                            "description": "How the label's value is compared with values.",
                            "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                        },
                        "values": {
                            "type": "array",
                            "description": "The values for In and NotIn.",
                            "maxItems": 100,
                            "x-kubernetes-list-type": "atomic",
                            "items": { "type": "string", "maxLength": 63, "pattern": VALUE },
                        },
                    },
                    "x-kubernetes-validations": [{
                        "rule": "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
                        "message": "In and NotIn require values, Exists and DoesNotExist do not allow them",
                        "fieldPath": ".values",
                    }],
                },
            },
        },
    })
}

/// The most items of `status.tagKeys`. A resource has at most 50 tags, but keys of earlier specs stay on record until they
/// are removed from AWS.
pub(crate) const MAX_TAG_KEYS: usize = 500;

pub(super) fn tag_keys(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": MAX_TAG_KEYS,
        "x-kubernetes-list-type": "set",
        "items": { "type": "string", "maxLength": 128 },
    })
}

pub(super) fn tags(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 47,
        "additionalProperties": {
            "type": "string",
            "maxLength": 256,
            "pattern": r"^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$",
        },
        "x-kubernetes-validations": [
            {
                "rule": "self.all(k, size(k) >= 1 && size(k) <= 128)",
                "message": "a tag key must have 1 to 128 characters",
            },
            {
                "rule": "self.all(k, k.matches('^[\\\\p{L}\\\\p{Z}\\\\p{N}_.:/=+\\\\-@]*$'))",
                "message": "a tag key must consist of letters, digits, spaces and _.:/=+-@",
            },
            {
                "rule": "self.all(k, !k.lowerAscii().startsWith('aws:') && !k.lowerAscii().startsWith('auroralogexport.dev/'))",
                "message": "tag keys under aws: and auroralogexport.dev/ are reserved",
            },
            {
                "rule": "self.all(k, self.exists_one(other, other.lowerAscii() == k.lowerAscii()))",
                "message": "tag keys must not differ only in case: IAM treats them as one key",
            },
        ],
    })
}

pub(super) fn drift_check_interval(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 32,
        "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$",
        "x-kubernetes-validations": [
            { "rule": "duration(self) >= duration('30s')", "message": "must be at least 30s" },
        ],
    })
}

pub(super) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let item = generator.subschema_for::<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>();
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": item,
    })
}

/// Completes a derived CRD: corrects what derive gets wrong, sets the default of `status`, and adds the CEL rules of
/// the root object (`rules`) and of its spec (`spec_rules`).
pub(super) fn finish(
    mut crd: CustomResourceDefinition,
    status_default: &Value,
    rules: &[Value],
    spec_rules: &[Value],
) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let Some(schema) = version.schema.as_mut().and_then(|validation| validation.open_api_v3_schema.as_mut()) else {
            continue;
        };
        let Ok(mut value) = serde_json::to_value(&*schema) else {
            continue;
        };
        tidy(&mut value);
        let spec = &mut value["properties"]["spec"];
        allow_null(spec);
        // A null says that nothing is set. It cannot stand for a field that must be set.
        if spec.get("required").is_none() {
            spec["nullable"] = true.into();
        }
        if !rules.is_empty() {
            value["x-kubernetes-validations"] = rules.into();
        }
        value["properties"]["spec"]["x-kubernetes-validations"] = spec_rules.into();
        value["properties"]["status"]["default"] = status_default.clone();
        if let Ok(finished) = serde_json::from_value(value) {
            *schema = finished;
        }
    }
    crd
}

/// Allows null for every object, list and map in an object: a server-side apply that removes the last entry stores
/// null. Null means unset, and CEL's `has` is false for it.
fn allow_null(schema: &mut Value) {
    for field in schema["properties"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        if field["type"] == "object" || field["type"] == "array" {
            field["nullable"] = true.into();
        }
        allow_null(field);
        if let Some(items) = field.get_mut("items") {
            allow_null(items);
        }
    }
}

/// Removes harmful or useless keywords: the `nullable` of derive, which is also on fields that no tool sets to null (see
/// [`allow_null`]); formats that Kubernetes does not know and warns about; titles.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            // Under `properties` the same keys would be names of fields, and their values schemas.
            map.retain(|key, value| match key.as_str() {
                "nullable" => !value.is_boolean(),
                "title" => !value.is_string(),
                "format" => value != "uint32",
                _ => true,
            });
            map.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}
