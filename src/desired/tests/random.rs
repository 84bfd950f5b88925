//! Ten thousand bad specs: none makes it panic, each is refused with its field's path.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{account, settings};
use crate::api::{AuroraLogExportPolicySpec, Reason};
use crate::desired::desired;
use crate::names::Owner;

/// A string that breaks any rule on names, Regions, groups, streams, ARNs and tags: none allows these characters.
fn hostile() -> impl Strategy<Value = String> {
    (any::<String>(), prop::sample::select(vec!['"', '$', '{', '}', '\u{0}', '\u{1f600}'])).prop_map(
        |(mut text, bad)| {
            text.push(bad);
            text.push_str("\u{7f}{\u{0}");
            text
        },
    )
}

/// A spec with one field that is wrong, and the path of that field.
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
    fn a_bad_value_anywhere_is_refused_by_its_path((value, field) in bad()) {
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
    fn nothing_panics_whatever_is_in_all_fields_at_once(
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
