//! Documents for the simulator of IAM, which `cargo xtask ci --only simulator` runs: what the operator writes for random
//! scopes, with what each of the six actions must be allowed on, and pairs of documents that the operator takes for equal.

use aurora_log_export_operator::model::documents::Meaning;
use aurora_log_export_operator::model::documents::permissions::{PermissionScope, document};
use aurora_log_export_operator::model::names::Partition;
use aurora_test_support::paths::target_dir;
use fastrand::Rng;
use serde_json::{Value, json};

const REGIONS: &[&str] = &["eu-west-1", "us-east-1"];
const ACCOUNTS: &[&str] = &["111111111111", "222222222222"];
const GROUPS: &[&str] = &[
    "/aws/rds/cluster/a/audit",
    "/aws/rds/cluster/a/error",
    "/aws/rds/cluster/ab/audit",
    "/aws/lambda/x",
    "/aws/rds/c",
];
const STREAMS: &[&str] = &["instance-1", "instance-2", "x"];

/// Some of the items, or the pattern for all, or one item up to a `*`.
fn some(rng: &mut Rng, items: &[&str], prefixes: bool) -> Vec<String> {
    if !prefixes && rng.u8(..4) == 0 {
        return vec!["*".to_owned()];
    }
    let mut chosen: Vec<String> = Vec::new();
    for item in items {
        if rng.bool() {
            continue;
        }
        let cut = rng.usize(1..=item.len());
        chosen.push(if prefixes && rng.u8(..3) == 0 { format!("{}*", &item[..cut]) } else { (*item).to_owned() });
    }
    if chosen.is_empty() { vec![items[0].to_owned()] } else { chosen }
}

fn is_in(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    })
}

/// The document of a scope, and every action on what AWS evaluates it on.
fn scope(rng: &mut Rng) -> Value {
    let scope = PermissionScope {
        regions: some(rng, REGIONS, false),
        account_ids: some(rng, ACCOUNTS, false),
        log_groups: some(rng, GROUPS, true),
        log_streams: some(rng, STREAMS, true),
        creation_limited_to_groups: rng.bool(),
    };
    let mut requests = Vec::new();
    for region in REGIONS {
        for account in ACCOUNTS {
            for group in GROUPS {
                let arn = format!("arn:aws:logs:{region}:{account}:log-group:{group}");
                let in_group = is_in(&scope.regions, region)
                    && is_in(&scope.account_ids, account)
                    && is_in(&scope.log_groups, group);
                let may_create = in_group || !scope.creation_limited_to_groups;
                let mut ask = |action: &str, resource: String, allowed: bool| {
                    requests.push(json!({ "action": action, "resource": resource, "allowed": allowed }));
                };
                ask("logs:CreateLogGroup", format!("{arn}:*"), may_create);
                ask("logs:DescribeLogStreams", format!("{arn}:*"), in_group);
                ask("logs:PutRetentionPolicy", format!("{arn}:*"), in_group);
                for stream in STREAMS {
                    let (on, in_stream) = (format!("{arn}:log-stream:{stream}"), is_in(&scope.log_streams, stream));
                    ask("logs:CreateLogStream", on.clone(), in_group);
                    ask("logs:PutLogEvents", on.clone(), in_group && in_stream);
                    ask("logs:GetLogEvents", on, in_group && in_stream);
                }
            }
        }
    }
    rng.shuffle(&mut requests);
    requests.truncate(40);
    let partition = Partition::parse("aws").unwrap_or_else(|error| unreachable!("{error}"));
    let policy: Value = serde_json::from_str(&document(&scope, &partition).to_json()).unwrap_or_default();
    json!({ "policy": policy, "requests": requests })
}

const ACTIONS: &[&str] = &["logs:PutLogEvents", "logs:GetLogEvents", "logs:Put*", "logs:*", "logs:?etLogEvents"];
const RESOURCES: &[&str] = &[
    "arn:aws:logs:eu-west-1:111111111111:log-group:/aws/rds/a:log-stream:s",
    "arn:aws:logs:*:111111111111:log-group:/aws/rds/*",
    "arn:aws:logs:eu-west-1:111111111111:*",
    "*",
];
const CONDITIONS: &[(&str, &str, &[&str])] = &[
    ("ArnEquals", "aws:SourceArn", &["arn:aws:rds:*:111111111111:cluster:a", "arn:aws:rds:eu-west-1:111111111111:*"]),
    ("ArnLike", "aws:SourceArn", &["arn:aws:rds:*:111111111111:cluster:a", "arn:aws:rds:*:111111111111:*"]),
    ("ArnNotLike", "aws:SourceArn", &["arn:aws:rds:*:111111111111:cluster:a", "arn:aws:rds:*:111111111111:cluster:b"]),
    ("StringEquals", "aws:SourceAccount", &["111111111111", "222222222222"]),
    ("StringLike", "aws:SourceAccount", &["111111111111", "2*"]),
    ("StringNotEquals", "aws:SourceAccount", &["111111111111", "222222222222"]),
    ("StringLikeIfExists", "aws:SourceAccount", &["111111111111", "222222222222"]),
];

fn list<'a>(rng: &mut Rng, items: &[&'a str]) -> Vec<&'a str> {
    let mut chosen = items.to_vec();
    chosen.retain(|_| rng.bool());
    if chosen.is_empty() { vec![items[rng.usize(..items.len())]] } else { chosen }
}

fn statement(rng: &mut Rng) -> Value {
    let mut name = |name: &str| if rng.u8(..6) == 0 { format!("Not{name}") } else { name.to_owned() };
    let (action, resource) = (name("Action"), name("Resource"));
    let effect = if rng.u8(..4) == 0 { "Deny" } else { "Allow" };
    let mut statement =
        json!({ "Effect": effect, action: list(rng, ACTIONS), resource: list(rng, RESOURCES), "Condition": {} });
    if rng.bool() {
        let (operator, key, values) = CONDITIONS[rng.usize(..CONDITIONS.len())];
        statement["Condition"][operator][key] = json!(list(rng, values));
    }
    statement
}

/// The statement in one for each item of a list, or with a list that says the same or nearly the same.
fn rewritten(rng: &mut Rng, statement: &Value) -> Vec<Value> {
    let edited = |from: &str, to: &str| -> Vec<Value> {
        vec![serde_json::from_str(&statement.to_string().replace(from, to)).unwrap_or_default()]
    };
    let each = |path: &str| -> Vec<Value> {
        let items = statement.pointer(path).and_then(Value::as_array).cloned().unwrap_or_default();
        let with = |item: Value| {
            let mut one = statement.clone();
            if let Some(place) = one.pointer_mut(path) {
                *place = item;
            }
            one
        };
        if items.is_empty() { vec![statement.clone()] } else { items.into_iter().map(with).collect() }
    };
    match rng.u8(..10) {
        0 => each("/Action"),
        1 => each("/Resource"),
        2 => each("/NotAction"),
        3 => edited("ArnEquals", "ArnLike"),
        4 => edited("\"StringLike\"", "\"StringEquals\""),
        5 => edited("aws:SourceA", "AWS:sourcea"),
        6 => edited("\"logs:Put*\"", "\"logs:put*\",\"logs:PutLogEvents\""),
        7 => edited("\"logs:*\"", "\"LOGS:**\",\"logs:GetLogEvents\""),
        _ => {
            let (operator, key, _) = CONDITIONS[rng.usize(..CONDITIONS.len())];
            each(&format!("/Condition/{operator}/{key}"))
        }
    }
}

/// Two different documents that the operator takes for equal.
fn pair(rng: &mut Rng) -> Value {
    loop {
        let statements: Vec<Value> = (0..rng.usize(1..3)).map(|_| statement(rng)).collect();
        let mut other = statements.clone();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..other.len());
            let new = rewritten(rng, &other[at]);
            other.splice(at..=at, new);
        }
        rng.shuffle(&mut other);
        let document = |statements: &[Value]| json!({ "Version": "2012-10-17", "Statement": statements });
        let (one, other) = (document(&statements), document(&other));
        if one != other && Meaning::of(&one.to_string()) == Meaning::of(&other.to_string()) {
            return json!({ "one": one, "other": other });
        }
    }
}

#[test]
fn the_documents_for_the_simulator_are_written() -> anyhow::Result<()> {
    let mut rng = Rng::with_seed(23);
    let scopes: Vec<Value> = (0..60).map(|_| scope(&mut rng)).collect();
    let pairs: Vec<Value> = (0..60).map(|_| pair(&mut rng)).collect();
    std::fs::create_dir_all(target_dir())?;
    std::fs::write(target_dir().join("iam-documents.json"), json!({ "scopes": scopes, "pairs": pairs }).to_string())?;
    Ok(())
}
