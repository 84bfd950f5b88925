//! Documents of equal meaning give the same decision for every request, by an evaluator that shares no code with the
//! comparison.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::super::Meaning;

/// Who asks for what, with the values of each key of the request.
#[derive(Clone, Debug)]
struct Request {
    /// `AWS:<account>` or `Service:<name>`.
    principal: &'static str,
    action: &'static str,
    resource: &'static str,
    context: BTreeMap<&'static str, Vec<&'static str>>,
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|at| glob(rest, &text[at..])),
        Some((b'?', rest)) => !text.is_empty() && glob(rest, &text[1..]),
        Some((one, rest)) => text.first() == Some(one) && glob(rest, &text[1..]),
    }
}

/// By the whole text, or each part of an ARN by itself: AWS documents both.
fn arn_glob(pattern: &str, arn: &str, by_part: bool) -> bool {
    if !by_part || pattern == "*" {
        return glob(pattern.as_bytes(), arn.as_bytes());
    }
    let (pattern, arn): (Vec<_>, Vec<_>) = (pattern.splitn(6, ':').collect(), arn.splitn(6, ':').collect());
    pattern.len() == arn.len() && pattern.iter().zip(arn).all(|(one, other)| glob(one.as_bytes(), other.as_bytes()))
}

fn list(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

fn names(value: &Value, principal: &str) -> bool {
    let Some(kinds) = value.as_object() else { return value == "*" };
    kinds.iter().any(|(kind, names)| {
        list(names).iter().any(|name| {
            let account = name.strip_prefix("arn:aws:iam::").and_then(|rest| rest.strip_suffix(":root"));
            (kind == "AWS" && *name == "*") || format!("{kind}:{}", account.unwrap_or(name)) == principal
        })
    })
}

/// One value of the request against one of the policy, for an operator without `Not`.
fn compare(operator: &str, wanted: &str, found: &str, by_part: bool) -> bool {
    match operator {
        "StringEquals" | "Bool" => wanted == found,
        "StringEqualsIgnoreCase" => wanted.eq_ignore_ascii_case(found),
        "StringLike" => glob(wanted.as_bytes(), found.as_bytes()),
        "ArnEquals" | "ArnLike" => arn_glob(wanted, found, by_part),
        other => unreachable!("{other}"),
    }
}

fn holds(operator: &str, wanted: &[&str], found: Option<&Vec<&str>>, by_part: bool) -> bool {
    if operator == "Null" {
        return wanted.contains(&if found.is_none() { "true" } else { "false" });
    }
    let (set, core) = operator.split_once(':').map_or(("", operator), |(set, core)| (set, core));
    let (core, if_exists) = core.strip_suffix("IfExists").map_or((core, false), |core| (core, true));
    let positive = core.replace("Not", "");
    let negated = positive != core;
    let one = |found: &&str| wanted.iter().any(|wanted| compare(&positive, wanted, found, by_part)) != negated;
    match (found, set) {
        (None, "ForAllValues") => true,
        (None, "ForAnyValue") => if_exists,
        (None, _) => if_exists || negated,
        (Some(found), "ForAllValues") => found.iter().all(one),
        (Some(found), _) => found.iter().any(one),
    }
}

fn applies(statement: &Value, request: &Request, by_part: bool) -> bool {
    let action = |pattern: &&str| glob(pattern.to_lowercase().as_bytes(), request.action.to_lowercase().as_bytes());
    let resource = |pattern: &&str| arn_glob(pattern, request.resource, by_part);
    let element = |name: &str, any: &dyn Fn(&Value) -> bool| {
        statement.get(name).is_none_or(any) && statement.get(format!("Not{name}")).is_none_or(|value| !any(value))
    };
    element("Principal", &|value| names(value, request.principal))
        && element("Action", &|value| list(value).iter().any(action))
        && element("Resource", &|value| list(value).iter().any(resource))
        && statement["Condition"].as_object().into_iter().flatten().all(|(operator, keys)| {
            keys.as_object().into_iter().flatten().all(|(key, wanted)| {
                holds(operator, &list(wanted), request.context.get(key.to_lowercase().as_str()), by_part)
            })
        })
}

fn decision(document: &Value, request: &Request, by_part: bool) -> &'static str {
    let statements = document["Statement"].as_array().into_iter().flatten();
    let effects: Vec<_> =
        statements.filter(|it| applies(it, request, by_part)).filter_map(|it| it["Effect"].as_str()).collect();
    match effects {
        effects if effects.contains(&"Deny") => "denied",
        effects if effects.contains(&"Allow") => "allowed",
        _ => "not allowed",
    }
}

const ACTIONS: &[&str] = &["s:Get", "s:get", "s:Put", "s:*", "s:?et", "S:G**", "*"];
const RESOURCES: &[&str] =
    &["arn:aws:s:r:1:a", "arn:aws:s:r:1:a/b", "arn:aws:s:*:1:a*", "arn:aws:s:r:1:*", "arn:aws:s:*", "*"];
const OPERATORS: &[&str] = &[
    "ArnEquals",
    "ArnLike",
    "ArnNotEquals",
    "ArnNotLike",
    "ArnLikeIfExists",
    "ForAnyValue:ArnEquals",
    "ForAllValues:ArnLike",
    "StringEquals",
    "StringLike",
    "StringNotEquals",
    "StringNotLike",
    "StringEqualsIfExists",
    "StringLikeIfExists",
    "StringEqualsIgnoreCase",
    "ForAnyValue:StringLike",
    "ForAllValues:StringEquals",
    "ForAnyValue:StringNotEquals",
    "Null",
    "Bool",
];
const VALUES: &[&str] =
    &["arn:aws:s:r:1:a", "arn:aws:s:r:1:A", "arn:aws:s:r:1:*", "arn:aws:s:*:1:a", "true", "false", "*"];

fn principals() -> impl Strategy<Value = Value> {
    select(vec![
        json!("*"),
        json!({ "AWS": "*" }),
        json!({ "AWS": ["111122223333"] }),
        json!({ "AWS": "arn:aws:iam::111122223333:root" }),
        json!({ "Service": ["rds.amazonaws.com"], "AWS": "444455556666" }),
        json!({ "Service": "rds.amazonaws.com" }),
    ])
}

fn condition() -> impl Strategy<Value = Value> {
    let key = select(vec!["k", "K", "l"]);
    let one = (select(OPERATORS), key, subsequence(VALUES, 1..=3));
    prop::collection::vec(one, 0..3).prop_map(|atoms| {
        let mut condition = json!({});
        for (operator, key, values) in atoms {
            condition[operator][key] = json!(values);
        }
        condition
    })
}

fn statement() -> impl Strategy<Value = Value> {
    let effect = prop::sample::select(vec!["Allow", "Allow", "Deny"]);
    let negated = prop::collection::vec(prop::bool::weighted(0.2), 3);
    (effect, negated, principals(), subsequence(ACTIONS, 1..=3), subsequence(RESOURCES, 1..=3), condition()).prop_map(
        |(effect, negated, principals, actions, resources, condition)| {
            let name = |index: usize, name: &str| if negated[index] { format!("Not{name}") } else { name.to_owned() };
            json!({
                "Effect": effect, name(0, "Principal"): principals, name(1, "Action"): actions,
                name(2, "Resource"): resources, "Condition": condition,
            })
        },
    )
}

/// Another way to write a statement, or nearly: it may mean more, or less.
fn rewritten(statement: &Value, how: u8, other: &Value) -> Vec<Value> {
    let split = |name: &str| -> Vec<Value> {
        let items = statement[name].as_array().cloned().unwrap_or_default();
        if items.is_empty() {
            return vec![statement.clone()];
        }
        let with = |item: Value| {
            let mut one = statement.clone();
            one[name] = item;
            one
        };
        items.into_iter().map(with).collect()
    };
    let edited = |edit: &dyn Fn(&str) -> String| vec![serde_json::from_str(&edit(&statement.to_string())).unwrap()];
    match how % 14 {
        0 => split("Action"),
        1 => split("NotAction"),
        2 => split("Resource"),
        3 => split("NotResource"),
        4 => edited(&|text| text.replace("ArnEquals", "ArnLike")),
        5 => edited(&|text| text.replace("ArnNotLike", "ArnNotEquals")),
        6 => edited(&|text| text.replace("StringLike", "StringEquals")),
        7 => edited(&|text| text.replace("\"K\"", "\"k\"").replace("s:Get", "S:GET")),
        8 => edited(&|text| {
            text.replace("arn:aws:iam::111122223333:root", "111122223333").replace(r#"{"AWS":"*"}"#, r#""*""#)
        }),
        9 => vec![statement.clone(), other.clone()],
        10 => vec![],
        11 => {
            // Each value of each condition in a statement of its own.
            let mut all = vec![statement.clone()];
            for (operator, keys) in statement["Condition"].as_object().cloned().unwrap_or_default() {
                for (key, values) in keys.as_object().cloned().unwrap_or_default() {
                    let values = values.as_array().cloned().unwrap_or_default();
                    let with = |one: &Value| {
                        values
                            .iter()
                            .map(|value| {
                                let mut one = one.clone();
                                one["Condition"][&operator][&key] = value.clone();
                                one
                            })
                            .collect::<Vec<_>>()
                    };
                    all = all.iter().flat_map(with).collect();
                }
            }
            all
        }
        12 => vec![with(statement, "s:Get", "s:*")],
        _ => vec![with(statement, "arn:aws:s:r:1:a", "arn:aws:s:r:1:a/b")],
    }
}

/// The value with one more item in every list that has `item`.
fn with(value: &Value, item: &str, more: &str) -> Value {
    match value {
        Value::Array(items) if items.iter().any(|it| it == item) => {
            items.iter().cloned().chain([json!(more)]).collect()
        }
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), with(value, item, more))).collect(),
        other => other.clone(),
    }
}

fn requests() -> Vec<Request> {
    let mut requests = Vec::new();
    let values: Vec<Option<Vec<&'static str>>> = vec![
        None,
        Some(vec!["arn:aws:s:r:1:a"]),
        Some(vec!["arn:aws:s:r:1:A"]),
        Some(vec!["arn:aws:s:q:1:a", "arn:aws:s:r:1:b"]),
        Some(vec!["true"]),
    ];
    for principal in ["AWS:111122223333", "AWS:999999999999", "Service:rds.amazonaws.com"] {
        for action in ["s:Get", "s:Put", "s:Set", "t:Get"] {
            for resource in ["arn:aws:s:r:1:a", "arn:aws:s:r:1:a/b", "arn:aws:s:q:1:a", "arn:aws:s:r:2:c"] {
                for (k, l) in values.iter().flat_map(|k| values.iter().map(move |l| (k, l))) {
                    let context = [("k", k), ("l", l)];
                    let context = context.into_iter().filter_map(|(key, it)| Some((key, it.clone()?))).collect();
                    requests.push(Request { principal, action, resource, context });
                }
            }
        }
    }
    requests
}

fn document(statements: &[Value]) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn documents_of_equal_meaning_give_the_same_decisions(
        statements in prop::collection::vec(statement(), 1..3),
        rewrites in prop::collection::vec((any::<u8>(), statement()), 1..5),
    ) {
        let one = document(&statements);
        let mut rewriting = statements.clone();
        for (index, (how, other)) in rewrites.iter().enumerate() {
            if rewriting.is_empty() {
                break;
            }
            let at = index % rewriting.len();
            let new = rewritten(&rewriting[at], *how, other);
            rewriting.splice(at..=at, new);
        }
        let other = document(&rewriting);
        if Meaning::of(&one.to_string()) == Meaning::of(&other.to_string()) {
            for request in requests() {
                for by_part in [false, true] {
                    prop_assert_eq!(
                        decision(&one, &request, by_part), decision(&other, &request, by_part),
                        "{:?}\n{:#}\n{:#}", request, one, other
                    );
                }
            }
        }
    }
}

/// Pairs that mean the same to IAM.
#[test]
fn what_is_the_same_in_effect_has_one_meaning() {
    let base =
        json!({ "Effect": "Allow", "Principal": { "Service": "rds.amazonaws.com" }, "Action": "sts:AssumeRole" });
    let with = |changes: Value| {
        let mut statement = base.clone();
        for (key, value) in changes.as_object().unwrap() {
            statement[key] = value.clone();
        }
        statement
    };
    let arns = |operator: &str, arns: Value| with(json!({ "Condition": { operator: { "aws:SourceArn": arns } } }));
    let (a, b, all) = ("arn:aws:rds:*:1:cluster:a", "arn:aws:rds:*:1:cluster:b", "arn:aws:rds:*:1:*");
    for (one, other) in [
        (vec![arns("ArnEquals", json!(a))], vec![arns("ArnLike", json!([a]))]),
        (vec![arns("ArnLike", json!(a)), arns("ArnEquals", json!(b))], vec![arns("ArnLike", json!([a, b]))]),
        (vec![arns("ArnLike", json!([all, a]))], vec![arns("ArnLike", json!(all))]),
        (vec![arns("ArnLike", json!(a)), base.clone()], vec![base.clone()]),
        (vec![arns("StringLike", json!("x"))], vec![arns("StringEquals", json!("x"))]),
        (vec![arns("StringEqualsIgnoreCase", json!("X"))], vec![arns("StringEqualsIgnoreCase", json!("x"))]),
        (
            vec![with(json!({ "Principal": { "AWS": "arn:aws:iam::111122223333:root" } }))],
            vec![with(json!({ "Principal": { "AWS": ["111122223333"] } }))],
        ),
        (vec![with(json!({ "Principal": "*" }))], vec![with(json!({ "Principal": { "AWS": "*" } }))]),
        (
            vec![with(json!({ "Action": ["logs:*", "logs:PutLogEvents"] }))],
            vec![with(json!({ "Action": "LOGS:**" })), with(json!({ "Action": "logs:PutLogEvents" }))],
        ),
        (
            vec![with(json!({ "Resource": ["arn:aws:s:::a/*", "arn:aws:s:::a/b"] }))],
            vec![with(json!({ "Resource": "arn:aws:s:::a/*" }))],
        ),
    ] {
        let (one, other) = (document(&one).to_string(), document(&other).to_string());
        assert_eq!(Meaning::of(&one), Meaning::of(&other), "{one}\n{other}");
        assert_eq!(Meaning::of(&one).fingerprint(), Meaning::of(&other).fingerprint());
    }
    let old = document(std::slice::from_ref(&base)).to_string().replace("2012", "2008");
    assert_eq!(Meaning::of(&old), Meaning::of(&document(&[base]).to_string()), "the versions differ in variables only");
}

/// Pairs of which one means more.
#[test]
fn what_differs_in_effect_has_two_meanings() {
    let with = |changes: Value| {
        let mut statement = json!({ "Effect": "Allow", "Action": "s:Get", "Resource": "*" });
        for (key, value) in changes.as_object().unwrap() {
            statement[key] = value.clone();
        }
        statement
    };
    let if_k = |operator: &str, values: Value| with(json!({ "Condition": { operator: { "k": values } } }));
    let without_action = |actions: Value| json!({ "Effect": "Allow", "NotAction": actions, "Resource": "*" });
    for (one, other) in [
        // Two statements with NotAction allow what each of them alone forbids.
        (vec![without_action(json!("a:b")), without_action(json!("a:c"))], vec![without_action(json!(["a:b", "a:c"]))]),
        (
            vec![if_k("StringNotEquals", json!("a")), if_k("StringNotEquals", json!("b"))],
            vec![if_k("StringNotEquals", json!(["a", "b"]))],
        ),
        (
            vec![if_k("ForAllValues:StringEquals", json!("a")), if_k("ForAllValues:StringEquals", json!("b"))],
            vec![if_k("ForAllValues:StringEquals", json!(["a", "b"]))],
        ),
        (vec![if_k("ArnLike", json!("arn:aws:s:*:1:a"))], vec![if_k("ArnLikeIfExists", json!("arn:aws:s:*:1:a"))]),
        (vec![if_k("StringLike", json!("a*"))], vec![if_k("StringEquals", json!("a*"))]),
        (vec![if_k("StringEquals", json!("a"))], vec![if_k("StringEquals", json!("A"))]),
        (vec![with(json!({ "Action": "s:*" }))], vec![with(json!({}))]),
        (vec![with(json!({})), with(json!({ "Effect": "Deny", "Resource": "arn:aws:s:::a" }))], vec![with(json!({}))]),
        (
            vec![with(
                json!({ "Condition": { "ArnEquals": { "k": "arn:aws:s:::a" }, "ArnLike": { "k": "arn:aws:s:::b" } } }),
            )],
            vec![if_k("ArnLike", json!(["arn:aws:s:::a", "arn:aws:s:::b"]))],
        ),
    ] {
        let (one, other) = (document(&one).to_string(), document(&other).to_string());
        assert_ne!(Meaning::of(&one), Meaning::of(&other), "{one}\n{other}");
    }
    let variable = document(&[with(json!({ "Resource": "arn:aws:s:::$\u{7b}aws:username}" }))]).to_string();
    for escaped in [variable.clone(), variable.replace("${", "$\\u007b")] {
        assert_ne!(Meaning::of(&escaped), Meaning::of(&escaped.replace("2012", "2008")), "{escaped}");
    }
    let twice = document(&[with(json!({ "Condition": { "StringEquals": { "k": "a", "K": "b" } } }))]).to_string();
    assert!(matches!(Meaning::of(&twice), Meaning::Opaque(_)), "one key twice");
}
