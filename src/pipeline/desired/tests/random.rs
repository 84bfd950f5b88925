//! Ten thousand invalid specs and ten thousand objects of any shape: none causes a panic, and each refusal names the
//! path of a field.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{account, settings};
use crate::api::{AuroraLogExportPolicySpec, Reason};
use crate::model::names::Owner;
use crate::model::stored::PolicyObject;
use crate::pipeline::desired::desired;

/// A string that violates every rule on names, Regions, groups, streams, ARNs and tags: none allows these characters.
fn hostile() -> impl Strategy<Value = String> {
    (any::<String>(), prop::sample::select(vec!['"', '$', '{', '}', '\u{0}', '\u{1f600}'])).prop_map(
        |(mut text, bad)| {
            text.push(bad);
            text.push_str("\u{7f}{\u{0}");
            text
        },
    )
}

/// A spec with one invalid field, and the path of that field.
fn bad() -> impl Strategy<Value = (Value, String)> {
    let named = |field: &'static str| hostile().prop_map(move |text| (json!({ field: text }), format!("spec.{field}")));
    let listed = |outer: &'static str, list: &'static str, good: &'static str| {
        (hostile(), any::<bool>()).prop_map(move |(text, second)| {
            let items = if second { json!([good, text]) } else { json!([text]) };
            let index = usize::from(second);
            (json!({ outer: { list: items } }), format!("spec.{outer}.{list}[{index}]"))
        })
    };
    prop_oneof![
        named("policyName"),
        named("roleName"),
        named("policyPath"),
        named("rolePath"),
        named("description"),
        named("permissionsBoundary"),
        listed("scope", "regions", "eu-west-1"),
        listed("scope", "accountIds", "123456789012"),
        listed("scope", "logGroups", "/aws/rds/a"),
        listed("scope", "logStreams", "a"),
        listed("trust", "sourceArns", "arn:aws:rds:*:123456789012:*"),
        hostile().prop_map(|text| (json!({ "accountRef": { "name": text } }), "spec.accountRef.name".to_owned())),
        hostile().prop_map(|text| {
            (json!({ "outputs": { "configMapRef": { "name": text } } }), "spec.outputs.configMapRef.name".to_owned())
        }),
        hostile().prop_map(|text| (json!({ "tags": { "a": text } }), "spec.tags[\"a\"]".to_owned())),
        hostile().prop_map(|text| (json!({ "tags": { &text: "a" } }), format!("spec.tags[{text:?}]"))),
        (0_u64..30_000).prop_map(|ms| {
            (json!({ "driftCheckInterval": format!("{ms}ms") }), "spec.driftCheckInterval".to_owned())
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_invalid_value_anywhere_is_refused_with_its_path((value, field) in bad()) {
        let spec: AuroraLogExportPolicySpec = serde_json::from_value(value).unwrap();
        let refused = desired(&Owner::new("shop", "orders"), &spec, &settings(), &account()).unwrap_err();
        prop_assert_eq!(refused.reason(), Reason::InvalidSpec);
        prop_assert!(refused.0.iter().any(|problem| problem.field == field), "{} is not in {}", field, refused);
        prop_assert!(refused.to_string().contains(&field));
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_values_in_all_fields_do_not_panic(
        text in prop::collection::vec(prop_oneof![any::<String>(), Just("*".to_owned()), "[a-z]{0,3}"], 12),
        names in ("[a-z]{0,70}", "[a-z]{0,300}"),
    ) {
        let value = json!({
            "policyName": text[0], "roleName": text[1], "policyPath": text[2], "rolePath": text[3],
            "description": text[4], "permissionsBoundary": text[5],
            "scope": { "regions": [text[6]], "accountIds": [text[7], "*"], "logGroups": [], "logStreams": [text[8], text[8]] },
            "trust": { "sourceArns": [text[9]] },
            "tags": { &text[10]: text[11] },
        });
        let spec: AuroraLogExportPolicySpec = serde_json::from_value(value).unwrap();
        let refused = desired(&Owner::new(names.0, names.1), &spec, &settings(), &account()).unwrap_err();
        prop_assert!(!refused.0.is_empty() && refused.0.iter().all(|problem| problem.field.contains('.')));
    }
}

/// Names of fields, valid and invalid values, numbers: the parts of specs, in any arrangement.
fn anything() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "policyName",
        "roleName",
        "policyPath",
        "rolePath",
        "description",
        "access",
        "scope",
        "regions",
        "accountIds",
        "logGroups",
        "logStreams",
        "groupCreation",
        "trust",
        "protection",
        "sourceArns",
        "permissionsBoundary",
        "tags",
        "deletionPolicy",
        "adoptionPolicy",
        "managementPolicy",
        "attachmentPolicy",
        "suspend",
        "driftCheckInterval",
        "accountRef",
        "name",
        "outputs",
        "configMapRef",
        "conditions",
        "observedGeneration",
        "other",
    ]);
    let word = prop::sample::select(vec![
        "",
        "*",
        "a",
        "/",
        "/a/",
        "eu-west-1",
        "123456789012",
        "/aws/rds/*",
        "Minimal",
        "FullAccess",
        "Any",
        "LogGroups",
        "None",
        "Delete",
        "Retain",
        "Never",
        "Always",
        "Enforce",
        "Observe",
        "Exclusive",
        "1m",
        "-5s",
        "999999999999h",
        "arn:aws:rds:*:123456789012:*",
        "arn:aws:iam::123456789012:policy/b",
        "aws:x",
        "auroralogexport.dev/owner",
    ]);
    let leaf = prop_oneof![
        4 => word.prop_map(Value::from),
        1 => any::<String>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..4)
                .prop_map(|fields| fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

/// A spec that can usually be parsed.
fn almost() -> impl Strategy<Value = Value> {
    let words = |some: &'static [&'static str]| prop::sample::select(some).prop_map(Value::from);
    let list = |some: &'static [&'static str]| prop::collection::vec(words(some), 0..3).prop_map(Value::from);
    let field = prop_oneof![
        (prop::sample::select(vec!["policyName", "roleName"]), words(&["a", "", "a/b", "*"])),
        (prop::sample::select(vec!["policyPath", "rolePath"]), words(&["/", "/a/", "a", "/aws-reserved/x/"])),
        (Just("access"), words(&["Minimal", "FullAccess", "Other"])),
        (Just("scope"), list(&["*", "eu-west-1", "x"]).prop_map(|regions| json!({ "regions": regions }))),
        (Just("scope"), list(&["*", "/aws/rds/*", ":"]).prop_map(|groups| json!({ "logGroups": groups }))),
        (Just("trust"), list(&["*", "arn:aws:rds:*:1:*"]).prop_map(|arns| json!({ "sourceArns": arns }))),
        (Just("driftCheckInterval"), words(&["30s", "1s", "-1h", "9999999999h"])),
        (Just("tags"), (any::<String>(), any::<String>()).prop_map(|(key, value)| json!({ key: value }))),
        (Just("permissionsBoundary"), words(&["arn:aws:iam::123456789012:policy/b", "arn", ""])),
        (Just("outputs"), words(&["a", "A", ""]).prop_map(|name| json!({ "configMapRef": { "name": name } }))),
    ];
    prop::collection::vec(field, 0..4)
        .prop_map(|fields| fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_stored_object_is_parsed_and_refusals_name_a_field(
        spec in prop_oneof![anything(), almost()],
        status in prop_oneof![Just(Value::Null), anything()],
    ) {
        let stored = json!({ "metadata": { "namespace": "shop", "name": "orders" }, "spec": spec, "status": status });
        let object: PolicyObject = serde_json::from_value(stored).unwrap();
        match &object.spec {
            Err(unreadable) => {
                prop_assert!(unreadable.field == "spec" || unreadable.field.starts_with("spec."), "{}", unreadable);
                prop_assert!(!unreadable.message.is_empty());
            }
            Ok(spec) => {
                if let Err(refused) = desired(&object.key(), spec, &settings(), &account()) {
                    prop_assert!(!refused.0.is_empty());
                    for problem in &refused.0 {
                        prop_assert!(problem.field == "spec" || problem.field.starts_with("spec."), "{}", refused);
                    }
                }
            }
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(serde_json::from_slice::<PolicyObject>(&bytes).map_or(true, |object| object.spec.is_err()));
    }
}
