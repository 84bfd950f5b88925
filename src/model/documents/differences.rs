//! The differences of two policy documents by statement. Documents are compared by meaning, as the operator does:
//! order, Sids and lists of one item do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Value, json};

use super::Meaning;
use super::meaning::Grant;

/// What happens to a statement, or to a line of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It is only in the wanted document.
    Add,
    /// It is in both, and differs.
    Change,
    /// It is only in the other document.
    Remove,
}

/// The differences of one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementDiff {
    /// The Sid, or `statement 2` where there is none.
    pub label: String,
    /// Whether the statement is new.
    pub sign: Sign,
    /// What is added and removed.
    pub lines: Vec<(Sign, String)>,
}

/// The differences in one sentence for each statement, as in an event.
pub fn in_words(wanted: &str, found: &str) -> String {
    let texts = |lines: &[(Sign, String)], wanted: Sign| {
        lines
            .iter()
            .filter(|(sign, _)| *sign == wanted)
            .map(|(_, line)| line.clone())
            .collect::<Vec<_>>()
            .join(", and ")
    };
    let sentences =
        by_statement(Some(wanted), Some(found)).into_iter().map(|StatementDiff { label, lines, .. }| {
            let (new, old) = (texts(&lines, Sign::Add), texts(&lines, Sign::Remove));
            match (new.is_empty(), old.is_empty()) {
                (false, true) => format!("{label}: {new} was missing"),
                (true, _) => format!("{label}: {old} was removed"),
                (false, false) => format!("{label}: is now {new}; was {old}"),
            }
        });
    sentences.collect::<Vec<_>>().join("; ")
}

struct Statement {
    label: String,
    grants: BTreeSet<Grant>,
}

/// Returns the statements that differ. A text that is not a policy document counts as one statement.
pub fn by_statement(expected: Option<&str>, actual: Option<&str>) -> Vec<StatementDiff> {
    let (wanted, found) = (statements(expected), statements(actual));
    let (Some(wanted), Some(found)) = (wanted, found) else {
        let line = |sign, text: Option<&str>| text.map(|text| (sign, text.to_owned()));
        return vec![StatementDiff {
            label: "document".into(),
            sign: sign_of(expected.is_some(), actual.is_some()),
            lines: line(Sign::Remove, actual).into_iter().chain(line(Sign::Add, expected)).collect(),
        }];
    };
    let spelling = spelling([expected, actual]);
    let all = |statements: &[Statement]| -> BTreeSet<Grant> {
        statements.iter().flat_map(|statement| statement.grants.iter().cloned()).collect()
    };
    let (all_wanted, all_found) = (all(&wanted), all(&found));
    let mut diffs: Vec<StatementDiff> = Vec::new();
    for (statements, others, sign) in [(&found, &all_wanted, Sign::Remove), (&wanted, &all_found, Sign::Add)] {
        for statement in statements {
            let differing: Vec<&Grant> = statement.grants.difference(others).collect();
            if differing.is_empty() {
                continue;
            }
            let lines = describe(&differing, &spelling).into_iter().map(|line| (sign, line));
            match diffs.iter_mut().find(|diff| diff.label == statement.label) {
                Some(diff) => diff.lines.extend(lines),
                None => diffs.push(StatementDiff {
                    label: statement.label.clone(),
                    sign: sign_of(
                        wanted.iter().any(|other| other.label == statement.label),
                        found.iter().any(|other| other.label == statement.label),
                    ),
                    lines: lines.collect(),
                }),
            }
        }
    }
    let versions = (version(expected), version(actual));
    if let ((Some(new), Some(old)), true) = (&versions, versions.0 != versions.1) {
        diffs.push(StatementDiff {
            label: "Version".into(),
            sign: Sign::Change,
            lines: vec![(Sign::Remove, old.clone()), (Sign::Add, new.clone())],
        });
    }
    diffs
}

fn sign_of(wanted: bool, found: bool) -> Sign {
    match (wanted, found) {
        (true, false) => Sign::Add,
        (false, true) => Sign::Remove,
        _ => Sign::Change,
    }
}

/// Returns the statements of a document; `None` if it is not a policy document.
fn statements(text: Option<&str>) -> Option<Vec<Statement>> {
    let Some(text) = text else { return Some(Vec::new()) };
    let document: Value = serde_json::from_str(text).ok()?;
    let list = match document.get("Statement")? {
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    };
    let mut statements = Vec::new();
    for (index, statement) in list.into_iter().enumerate() {
        let label = statement["Sid"].as_str().map_or_else(|| format!("statement {}", index + 1), str::to_owned);
        let alone = json!({ "Version": "2012-10-17", "Statement": [statement] });
        let Meaning::Grants { grants, .. } = Meaning::of(&alone.to_string()) else {
            return None;
        };
        statements.push(Statement { label, grants });
    }
    Some(statements)
}

fn version(text: Option<&str>) -> Option<String> {
    let document: Value = serde_json::from_str(text?).ok()?;
    Some(document["Version"].as_str().unwrap_or("(none)").to_owned())
}

/// Returns the names of actions as written in the documents. A `Meaning` has them in lower case.
fn spelling(texts: [Option<&str>; 2]) -> BTreeMap<String, String> {
    fn collect(value: &Value, names: &mut BTreeMap<String, String>) {
        match value {
            Value::String(text) => {
                names.insert(text.to_lowercase(), text.clone());
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
            Value::Object(fields) => fields.values().for_each(|field| collect(field, names)),
            _ => {}
        }
    }
    let mut names = BTreeMap::new();
    // The wanted document comes last, so that its spelling wins.
    for text in texts.into_iter().rev().flatten() {
        if let Ok(value) = serde_json::from_str(text) {
            collect(&value, &mut names);
        }
    }
    names
}

/// Returns one line for all grants with the same effect, principal, condition and resources.
fn describe(grants: &[&Grant], spelling: &BTreeMap<String, String>) -> Vec<String> {
    type Who<'a> = (&'a str, Option<&'a str>, &'a str);
    let mut actions: BTreeMap<(Who<'_>, Option<&str>), BTreeSet<String>> = BTreeMap::new();
    for Grant { effect, principal, action, resource, condition } in grants {
        let action = action.as_deref().unwrap_or("everything");
        let action = spelling.get(action).cloned().unwrap_or_else(|| action.to_owned());
        let who = (effect.as_str(), principal.as_deref(), condition.as_str());
        actions.entry((who, resource.as_deref())).or_default().insert(action);
    }
    let mut resources: BTreeMap<(Who<'_>, BTreeSet<String>), Vec<&str>> = BTreeMap::new();
    for ((who, resource), actions) in actions {
        resources.entry((who, actions)).or_default().extend(resource);
    }
    resources
        .into_iter()
        .map(|(((effect, principal, condition), actions), resources)| {
            let mut line = format!("{effect} {}", actions.into_iter().collect::<Vec<_>>().join(", "));
            if let Some(principal) = principal {
                let _ = write!(line, " for {principal}");
            }
            if !resources.is_empty() {
                let _ = write!(line, " on {}", resources.join(", "));
            }
            if !condition.is_empty() {
                let _ = write!(line, " if {}", read_condition(condition));
            }
            line
        })
        .collect()
}

/// `{"Condition":{"StringEquals":{"aws:sourceaccount":["1"]}}}` → `StringEquals aws:sourceaccount 1`.
fn read_condition(text: &str) -> String {
    let parsed: Value = serde_json::from_str(text).unwrap_or_default();
    let Some(operators) = parsed["Condition"]
        .as_object()
        .filter(|_| parsed.as_object().is_some_and(|fields| fields.keys().all(|key| key == "Condition")))
    else {
        return text.to_owned();
    };
    let mut parts = Vec::new();
    for (operator, keys) in operators {
        for (key, values) in keys.as_object().into_iter().flatten() {
            let values: Vec<_> = values.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            parts.push(format!("{operator} {key} {}", values.join(" or ")));
        }
    }
    parts.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NARROW: &str = r#"{"Version":"2012-10-17","Statement":[
        {"Sid":"Events","Effect":"Allow","Action":["logs:GetLogEvents","logs:PutLogEvents"],"Resource":"arn:a"},
        {"Sid":"Groups","Effect":"Allow","Action":"logs:CreateLogGroup","Resource":"*"}]}"#;

    #[test]
    fn a_reordered_document_shows_no_difference() {
        let reordered = r#"{"Statement":{"Effect":"Allow","Action":["logs:CreateLogGroup"],"Resource":["*"]},"Version":"2012-10-17"}"#;
        let same = r#"{"Version":"2012-10-17","Statement":[{"Sid":"X","Effect":"Allow","Action":"logs:CreateLogGroup","Resource":"*"}]}"#;
        assert_eq!(by_statement(Some(reordered), Some(same)), []);
    }

    #[test]
    fn differences_are_listed_under_their_statement() {
        let wide = NARROW.replace("\"arn:a\"", "\"*\"");
        let diffs = by_statement(Some(NARROW), Some(&wide));
        assert_eq!(
            diffs,
            [StatementDiff {
                label: "Events".into(),
                sign: Sign::Change,
                lines: vec![
                    (Sign::Remove, "Allow logs:GetLogEvents, logs:PutLogEvents on *".into()),
                    (Sign::Add, "Allow logs:GetLogEvents, logs:PutLogEvents on arn:a".into()),
                ],
            }]
        );
    }

    #[test]
    fn differences_are_told_in_words() {
        let wide = NARROW.replace("\"arn:a\"", "\"*\"");
        let gone = r#"{"Version":"2012-10-17","Statement":[
            {"Effect":"Allow","Action":["logs:GetLogEvents","logs:PutLogEvents"],"Resource":"arn:a"},
            {"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
        for (found, expected) in [
            (
                wide.as_str(),
                "Events: is now Allow logs:GetLogEvents, logs:PutLogEvents on arn:a; was Allow logs:GetLogEvents, \
                 logs:PutLogEvents on *",
            ),
            (gone, "statement 2: Allow s3:* on * was removed; Groups: Allow logs:CreateLogGroup on * was missing"),
            (NARROW, ""),
        ] {
            assert_eq!(in_words(NARROW, found), expected);
        }
    }

    #[test]
    fn a_new_document_adds_every_statement() {
        let diffs = by_statement(Some(NARROW), None);
        assert_eq!(
            diffs.iter().map(|diff| (diff.label.as_str(), diff.sign)).collect::<Vec<_>>(),
            [("Events", Sign::Add), ("Groups", Sign::Add)]
        );
    }

    #[test]
    fn conditions_and_principals_are_shown() {
        let trust = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"rds.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"aws:SourceAccount":"111122223333"}}}}"#;
        let diffs = by_statement(Some(trust), None);
        assert_eq!(
            diffs[0].lines,
            [(
                Sign::Add,
                "Allow sts:AssumeRole for Service:rds.amazonaws.com if StringEquals aws:sourceaccount 111122223333"
                    .into()
            )]
        );
    }

    #[test]
    fn a_text_that_is_no_document_is_shown_unchanged() {
        let diffs = by_statement(Some(NARROW), Some("not json"));
        assert_eq!(diffs[0].lines[0], (Sign::Remove, "not json".into()));
    }
}
