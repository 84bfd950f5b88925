//! Schemas that derive cannot express: limits of sets and maps, CEL rules, and the repairs of [`finish`].

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// A set of strings (`listType: set`) of 1 to `max_items` items; `*` stands alone.
fn string_set(max_items: u32, max_length: u32, pattern: &str) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": max_items,
        "x-kubernetes-list-type": "set",
        "items": { "type": "string", "minLength": 1, "maxLength": max_length, "pattern": pattern },
    })
}

fn starred_set(max_items: u32, max_length: u32, pattern: &str) -> Schema {
    let mut schema = string_set(max_items, max_length, pattern);
    schema.insert(
        "x-kubernetes-validations".into(),
        json!([{ "rule": "!('*' in self) || size(self) == 1", "message": "\"*\" already covers everything: it must stand alone" }]),
    );
    schema
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
    starred_set(20, 512, r#"^[^:"${}]+$"#)
}

pub(super) fn source_arns(_: &mut SchemaGenerator) -> Schema {
    string_set(
        20,
        512,
        r"^arn:aws[a-z-]*:rds:[a-z0-9*-]+:[0-9]{12}:[A-Za-z0-9*?:._/-]+$",
    )
}

pub(super) fn namespace_names(_: &mut SchemaGenerator) -> Schema {
    string_set(1000, 63, r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
}

pub(super) fn tag_keys(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 50,
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
                "message": "a tag key has 1 to 128 characters",
            },
            {
                "rule": "self.all(k, k.matches('^[\\\\p{L}\\\\p{Z}\\\\p{N}_.:/=+\\\\-@]*$'))",
                "message": "a tag key consists of letters, digits, spaces and _.:/=+-@",
            },
            {
                "rule": "self.all(k, !k.lowerAscii().startsWith('aws:') && !k.lowerAscii().startsWith('auroralogexport.dev/'))",
                "message": "tag keys under aws: and auroralogexport.dev/ are reserved",
            },
            {
                "rule": "self.all(k, self.exists_one(other, other.lowerAscii() == k.lowerAscii()))",
                "message": "tag keys that differ only in case are one key to IAM",
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

/// What derive gets wrong for a CRD, put right on the finished one.
///
/// `nullable` goes, because a null that server-side apply stores would count as "set" for the rules on
/// immutability; `status` gets its default; `rules` become CEL rules of the root object.
pub(super) fn finish(
    mut crd: CustomResourceDefinition,
    status_default: &Value,
    rules: &Value,
    spec_rules: &Value,
) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let Some(schema) = version
            .schema
            .as_mut()
            .and_then(|validation| validation.open_api_v3_schema.as_mut())
        else {
            continue;
        };
        let Ok(mut value) = serde_json::to_value(&*schema) else {
            continue;
        };
        strip_nullable(&mut value);
        value["x-kubernetes-validations"] = rules.clone();
        value["properties"]["spec"]["x-kubernetes-validations"] = spec_rules.clone();
        value["properties"]["status"]["default"] = status_default.clone();
        if let Ok(finished) = serde_json::from_value(value) {
            *schema = finished;
        }
    }
    crd
}

fn strip_nullable(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("nullable");
            map.values_mut().for_each(strip_nullable);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_nullable),
        _ => {}
    }
}
