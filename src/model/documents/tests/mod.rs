//! Properties of meaning: it depends on what a document grants, not on how it is written.

mod evaluator;
mod meaning;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Meaning;
use super::meaning::Fingerprint;
use super::permissions::{PermissionScope, document};
use super::trust;
use crate::model::documents::encoding::decode_document;
use crate::model::names::{AccountId, Partition};

/// One statement as lists, before it is written in some style.
#[derive(Clone, Debug)]
struct Plain {
    effect: &'static str,
    actions: Vec<String>,
    resources: Vec<String>,
    condition: Option<Vec<String>>,
}

fn plain() -> impl Strategy<Value = Plain> {
    let few = |pattern: &'static str| prop::collection::btree_set(pattern, 1..4);
    (
        prop::sample::select(vec!["Allow", "Deny"]),
        few("(logs|rds):[A-Z][a-z]{1,4}"),
        few("arn:aws:logs:[a-c]:[1-3]:[a-z/]{1,6}"),
        prop::option::of(few("[0-9]{1,3}")),
    )
        .prop_map(|(effect, actions, resources, condition)| Plain {
            effect,
            actions: actions.into_iter().collect(),
            resources: resources.into_iter().collect(),
            condition: condition.map(|values| values.into_iter().collect()),
        })
}

/// How a document may be written without changing what it means.
#[allow(clippy::struct_excessive_bools)] // the flags are independent
#[derive(Clone, Debug)]
struct Style {
    scalars: bool,
    upper: bool,
    sids: bool,
    reversed: bool,
    split: bool,
    pretty: bool,
}

fn style() -> impl Strategy<Value = Style> {
    any::<[bool; 6]>().prop_map(|[scalars, upper, sids, reversed, split, pretty]| Style {
        scalars,
        upper,
        sids,
        reversed,
        split,
        pretty,
    })
}

fn list(items: &[String], style: &Style) -> Value {
    let mut items = items.to_vec();
    if style.reversed {
        items.reverse();
    }
    match items.as_slice() {
        [only] if style.scalars => json!(only),
        items => json!(items),
    }
}

fn written(statements: &[Plain], style: &Style) -> String {
    let mut parts: Vec<Plain> = Vec::new();
    for statement in statements {
        if style.split {
            parts.extend(
                statement.actions.iter().map(|action| Plain { actions: vec![action.clone()], ..statement.clone() }),
            );
        } else {
            parts.push(statement.clone());
        }
    }
    if style.reversed {
        parts.reverse();
    }
    let statement = |(index, part): (usize, &Plain)| {
        let actions: Vec<String> = part.actions.iter().map(|action| recased(action, style)).collect();
        let mut value = json!({
            "Effect": part.effect, "Action": list(&actions, style), "Resource": list(&part.resources, style),
        });
        if style.sids {
            value["Sid"] = format!("S{index}").into();
        }
        if let Some(values) = &part.condition {
            value["Condition"] =
                json!({ "StringEquals": { recased("aws:SourceAccount", style): list(values, style) } });
        }
        value
    };
    let statements: Vec<Value> = parts.iter().enumerate().map(statement).collect();
    let document = match statements.as_slice() {
        [only] if style.scalars => json!({ "Version": "2012-10-17", "Statement": only }),
        statements => json!({ "Version": "2012-10-17", "Statement": statements }),
    };
    if style.pretty { format!("{document:#}") } else { document.to_string() }
}

fn recased(text: &str, style: &Style) -> String {
    if style.upper { text.to_uppercase() } else { text.to_owned() }
}

/// Effect, action, resource and, where there is a condition, one value of it.
type Single = (String, String, String, Option<String>);

/// Every single grant that no grant without a condition contains, computed independently of the code under test.
fn grants(statements: &[Plain]) -> std::collections::BTreeSet<Single> {
    let mut grants = std::collections::BTreeSet::new();
    for Plain { effect, actions, resources, condition } in statements {
        for action in actions {
            for resource in resources {
                let values = condition.as_ref().map_or(vec![None], |values| values.iter().cloned().map(Some).collect());
                for value in values {
                    grants.insert(((*effect).to_owned(), action.to_lowercase(), resource.clone(), value));
                }
            }
        }
    }
    let always: Vec<Single> = grants.iter().filter(|(.., value)| value.is_none()).cloned().collect();
    for (effect, action, resource, _) in &always {
        grants.retain(|grant| (&grant.0, &grant.1, &grant.2) != (effect, action, resource) || grant.3.is_none());
    }
    grants
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn the_same_grants_in_two_styles_mean_the_same(
        statements in prop::collection::vec(plain(), 1..4),
        (one, other) in (style(), style()),
    ) {
        let (one, other) = (Meaning::of(&written(&statements, &one)), Meaning::of(&written(&statements, &other)));
        prop_assert!(matches!(one, Meaning::Grants { .. }), "opaque");
        prop_assert_eq!(one.fingerprint(), other.fingerprint());
        prop_assert_eq!(one, other);
    }

    #[test]
    fn documents_mean_the_same_only_if_they_grant_the_same(
        one in prop::collection::vec(plain(), 1..3),
        mut other in prop::collection::vec(plain(), 1..3),
        copied in any::<bool>(),
        style in style(),
    ) {
        if copied {
            // Almost equal documents are the hard case: they differ in one resource.
            other = one.clone();
            other[0].resources.pop();
            if other[0].resources.is_empty() {
                other[0].resources.push("arn:aws:logs:z:9:z".to_owned());
            }
        }
        let same = grants(&one) == grants(&other);
        let (one, other) = (Meaning::of(&written(&one, &style)), Meaning::of(&written(&other, &style)));
        prop_assert_eq!(one == other, same);
        prop_assert_eq!(one.fingerprint() == other.fingerprint(), same);
    }

    #[test]
    fn the_meaning_of_our_documents_equals_that_of_their_json(
        regions in prop::collection::vec("[a-z*]{1,6}", 1..4),
        log_groups in prop::collection::vec("[a-zA-Z/*]{1,9}", 1..4),
        log_streams in prop::collection::vec("[a-z \\\\é*]{1,9}", 1..4),
        creation_limited_to_groups in any::<bool>(),
        source_account in prop::option::of("[0-9]{12}"),
        source_arns in prop::collection::vec("arn:aws:rds:[a-z*]{1,4}:[A-Za-z:*]{1,9}", 0..4),
    ) {
        let scope = PermissionScope {
            regions, log_groups, log_streams, creation_limited_to_groups, ..PermissionScope::default()
        };
        let source_account = source_account.map(|id| AccountId::parse(id).unwrap());
        let partition = Partition::parse("aws").unwrap();
        for ours in [document(&scope, &partition), trust::document(source_account.as_ref(), &source_arns)] {
            let meaning = Meaning::of(&ours.to_json());
            prop_assert!(matches!(meaning, Meaning::Grants { .. }), "opaque");
            prop_assert_eq!(ours.meaning(), meaning);
        }
    }

    #[test]
    fn any_text_has_a_stable_meaning(text in ".{0,60}", key in "(Statement|Version|Effect|Principal|Condition|x)") {
        let inner = json!({ &key: &text }).to_string();
        for text in [text.clone(), inner.clone(), format!(r#"{{"Statement":[{inner}]}}"#)] {
            let meaning = Meaning::of(&text);
            prop_assert_eq!(meaning.fingerprint(), Meaning::of(&text).fingerprint());
            prop_assert!(!meaning.trusts_only_rds());
        }
    }
}

/// Parts of documents, in any arrangement.
fn any_json() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "Version",
        "Id",
        "Statement",
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
        "Service",
        "AWS",
        "StringEquals",
        "other",
    ]);
    let leaf = prop_oneof![
        prop::sample::select(vec!["Allow", "Deny", "*", "rds.amazonaws.com", "2012-10-17", "sts:AssumeRole", ""])
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        // No fractions: serde_json does not round-trip the last digit of some, and policies contain none.
        any::<i64>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..4)
                .prop_map(|fields| fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_decoded_and_has_a_meaning(
        text in prop_oneof![
            any::<String>(),
            "%[0-9A-F]{1,2}[{}%a-f+]{0,8}",
            any_json().prop_map(|value| value.to_string()),
            any_json().prop_map(|statement| json!({ "Statement": statement }).to_string()),
        ],
    ) {
        let decoded = decode_document(&text);
        let meaning = Meaning::of(&decoded);
        if let Meaning::Grants { .. } = meaning {
            let value: Value = serde_json::from_str(&decoded).unwrap();
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(Meaning::of(&pretty).fingerprint(), meaning.fingerprint());
        } else {
            prop_assert!(!meaning.trusts_only_rds(), "an opaque document is not trusted");
        }
    }
}

/// The meaning of one statement with these elements.
fn statement(elements: Value) -> Meaning {
    let mut statement = json!({ "Effect": "Allow" });
    for (key, value) in elements.as_object().unwrap() {
        statement[key] = value.clone();
    }
    Meaning::of(&json!({ "Version": "2012-10-17", "Statement": statement }).to_string())
}

#[test]
fn negated_elements_are_compared_like_plain_ones() {
    for (one, other) in [
        (json!({ "NotAction": "IAM:Get*" }), json!({ "NotAction": ["iam:get*"] })),
        (json!({ "NotResource": "x" }), json!({ "NotResource": ["x"] })),
        (json!({ "NotPrincipal": "*" }), json!({ "NotPrincipal": { "AWS": ["*"] } })),
    ] {
        assert_eq!(statement(one.clone()), statement(other), "{one}");
    }
    for (one, other) in [
        (json!({ "NotAction": "a:b" }), json!({ "Action": "a:b" })),
        (json!({ "NotAction": "a:b" }), json!({ "NotAction": "a:c" })),
        (json!({ "NotResource": "x" }), json!({ "Resource": "x" })),
        (json!({ "NotPrincipal": "*" }), json!({ "Principal": "*" })),
    ] {
        assert_ne!(statement(one.clone()), statement(other.clone()), "{one} {other}");
    }
}

#[test]
fn conditions_differ_by_operator_key_and_value() {
    let of = |condition: Value| statement(json!({ "Action": "a:b", "Condition": condition }));
    let base = of(json!({ "NumericLessThan": { "s3:max-keys": 10 } }));
    assert_eq!(base, of(json!({ "NumericLessThan": { "S3:Max-Keys": ["10"] } })));
    for other in [
        json!({ "NumericLessThan": { "s3:max-keys": 11 } }),
        json!({ "NumericLessThan": { "s3:max-keys": [10, 11] } }),
        json!({ "NumericLessThan": { "s3:min-keys": 10 } }),
        json!({ "NumericGreaterThan": { "s3:max-keys": 10 } }),
        json!({}),
    ] {
        assert_ne!(base, of(other.clone()), "{other}");
    }
    for unknown in
        [json!("x"), json!({ "Bool": "x" }), json!({ "Bool": { "x": null } }), json!({ "Bool": { "x": [{}] } })]
    {
        assert!(matches!(of(unknown.clone()), Meaning::Opaque(_)), "{unknown}");
    }
}

#[test]
fn a_principal_of_another_form_is_opaque() {
    for principal in [json!("rds.amazonaws.com"), json!(["*"]), json!(1), json!({ "AWS": 1 })] {
        let meaning = statement(json!({ "Principal": principal, "Action": "sts:AssumeRole" }));
        assert!(matches!(meaning, Meaning::Opaque(_)), "{principal}");
    }
}

#[test]
fn at_most_twenty_thousand_grants_are_expanded() {
    let list = |count: usize| (0..count).map(|i| i.to_string()).collect::<Vec<_>>();
    let of = |more: Value| {
        let product = json!({ "Effect": "Allow", "Action": list(200), "Resource": list(100) });
        Meaning::of(&json!({ "Version": "2012-10-17", "Statement": [product, more] }).to_string())
    };
    let one = json!({ "Effect": "Deny", "Action": "x" });
    assert!(matches!(of(one), Meaning::Opaque(_)));
    let Meaning::Grants { grants, .. } = statement(json!({ "Action": list(200), "Resource": list(100) })) else {
        panic!("20,000 grants are expanded");
    };
    assert_eq!(grants.len(), 20_000);
}

#[test]
fn only_the_text_of_a_fingerprint_is_parsed() {
    let print = statement(json!({ "Action": "a:b" })).fingerprint();
    let text = print.to_string();
    assert_eq!(Fingerprint::from_hex(&text), Some(print));
    assert_eq!(Fingerprint::from_hex(&text.to_uppercase()), Some(print));
    for bad in ["", &text[1..], &format!("{text}0"), &format!("{}x", &text[1..]), &format!("{}é", &text[2..])] {
        assert_eq!(Fingerprint::from_hex(bad), None, "{bad}");
    }
}

#[test]
fn a_pretty_document_has_the_same_json_on_several_lines() {
    let document = document(&PermissionScope::default(), &Partition::parse("aws").unwrap());
    let (compact, pretty) = (document.to_json(), document.to_json_pretty());
    assert_eq!(serde_json::from_str::<Value>(&pretty).unwrap(), serde_json::from_str::<Value>(&compact).unwrap());
    assert!(pretty.lines().count() > 20 && compact.lines().count() == 1, "{pretty}");
}
