//! YAML as kubectl reads it: YAML 1.1 scalars (`yes` is true, `017` is 15), and the last of two equal keys counts.

use std::borrow::Cow;
use std::collections::HashMap;

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Number, Value};
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

/// More is no manifest: aliases that repeat aliases grow without limit.
const MAX_NODES: usize = 200_000;
const MAX_DEPTH: usize = 100;

/// One document of a stream.
#[derive(Debug)]
pub(super) struct Document {
    /// Its content; null if it is empty.
    pub(super) value: Value,
    /// What kubectl accepts and a person should correct.
    pub(super) warnings: Vec<String>,
}

/// The documents of a text.
///
/// # Errors
/// An error that says what is wrong and in which line.
pub(super) fn documents(text: &str) -> anyhow::Result<Vec<Document>> {
    let mut reader =
        Reader { events: Parser::new_from_str(text), anchors: HashMap::new(), warnings: Vec::new(), nodes: 0 };
    let mut documents = Vec::new();
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(documents),
            (Event::DocumentStart(..), _) => {
                reader.anchors.clear();
                let first = reader.next()?;
                let value = if first.0 == Event::DocumentEnd { Value::Null } else { reader.node(first, 0)? };
                documents.push(Document { value, warnings: std::mem::take(&mut reader.warnings) });
            }
            _ => {}
        }
    }
}

struct Reader<'text> {
    events: Parser<'text, StrInput<'text>>,
    /// The nodes that aliases refer to, with their number of nodes.
    anchors: HashMap<usize, (Value, usize)>,
    warnings: Vec<String>,
    nodes: usize,
}

impl<'text> Reader<'text> {
    fn next(&mut self) -> anyhow::Result<(Event<'text>, Span)> {
        loop {
            let next = self.events.next_event().context("the text ends in the middle of a document")?;
            let (event, span) = next.map_err(|error| {
                let (line, column) = (error.marker().line(), error.marker().col() + 1);
                anyhow::anyhow!("line {line}, column {column}: {}", error.info())
            })?;
            if !matches!(event, Event::Comment(..)) {
                return Ok((event, span));
            }
        }
    }

    fn node(&mut self, (event, span): (Event<'text>, Span), depth: usize) -> anyhow::Result<Value> {
        let line = span.start.line();
        ensure!(depth <= MAX_DEPTH, "line {line}: more than {MAX_DEPTH} levels");
        let before = self.nodes;
        self.count(1, line)?;
        let anchor = event.anchor_id();
        let value = match event {
            Event::Scalar(text, style, _, tag) => {
                scalar(&text, style, tag.as_deref()).with_context(|| format!("line {line}"))?
            }
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    let next = self.next()?;
                    if next.0 == Event::SequenceEnd {
                        break;
                    }
                    items.push(self.node(next, depth + 1)?);
                }
                Value::Array(items)
            }
            Event::MappingStart(..) => Value::Object(self.mapping(depth)?),
            Event::Alias(id) => {
                let (value, nodes) = self.anchors.get(&id).cloned().context("an alias to a node around it")?;
                self.count(nodes, line)?;
                value
            }
            other => bail!("line {line}: unexpected {other:?}"),
        };
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, (value.clone(), self.nodes - before));
        }
        Ok(value)
    }

    fn count(&mut self, nodes: usize, line: usize) -> anyhow::Result<()> {
        self.nodes += nodes;
        ensure!(self.nodes <= MAX_NODES, "line {line}: more than {MAX_NODES} values");
        Ok(())
    }

    fn mapping(&mut self, depth: usize) -> anyhow::Result<Map<String, Value>> {
        let (mut map, mut merged) = (Map::new(), Map::new());
        let mut lines: HashMap<String, usize> = HashMap::new();
        loop {
            let next = self.next()?;
            if next.0 == Event::MappingEnd {
                break;
            }
            let line = next.1.start.line();
            let is_merge = matches!(&next.0, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = key(self.node(next, depth + 1)?).with_context(|| format!("line {line}"))?;
            let next = self.next()?;
            let value = self.node(next, depth + 1)?;
            if is_merge {
                merge(&mut merged, value).with_context(|| format!("line {line}"))?;
                continue;
            }
            if let Some(first) = lines.insert(key.clone(), line) {
                self.warnings.push(format!(
                    "line {line}: the key {key:?} is also in line {first}; the last value is used, as by kubectl: remove one \
                     of them"
                ));
            }
            map.insert(key, value);
        }
        for (key, value) in merged {
            map.entry(key).or_insert(value);
        }
        Ok(map)
    }
}

fn merge(into: &mut Map<String, Value>, value: Value) -> anyhow::Result<()> {
    match value {
        Value::Object(map) => map.into_iter().for_each(|(key, value)| {
            into.entry(key).or_insert(value);
        }),
        Value::Array(items) => items.into_iter().try_for_each(|item| merge(into, item))?,
        _ => bail!("<< merges maps only"),
    }
    Ok(())
}

/// Keys become text, as in JSON.
fn key(value: Value) -> anyhow::Result<String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Null => bail!("a key is empty; write a name before the colon"),
        _ => bail!("a key is a list or a map; write a name before the colon"),
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> anyhow::Result<Value> {
    match tag.map(|tag| (tag.handle(), tag.suffix())) {
        None if style == ScalarStyle::Plain => plain(text),
        Some(("tag:yaml.org,2002:", "null" | "bool" | "int" | "float")) => plain(text),
        _ => Ok(text.into()),
    }
}

/// The value of a scalar without quotes.
fn plain(text: &str) -> anyhow::Result<Value> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => true.into(),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => false.into(),
        _ if text.starts_with(|first: char| first.is_ascii_digit() || ['+', '-', '.'].contains(&first)) => {
            number(text)?
        }
        _ => text.into(),
    })
}

fn number(text: &str) -> anyhow::Result<Value> {
    let digits: Cow<'_, str> = if text.contains('_') { text.replace('_', "").into() } else { text.into() };
    if let Some(integer) = integer(&digits) {
        return Ok(integer.into());
    }
    let unsigned = digits.trim_start_matches(['+', '-']);
    if matches!(unsigned.to_ascii_lowercase().as_str(), ".inf" | ".nan") {
        bail!("{text} is no number of JSON; write another value");
    }
    let is_decimal = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && unsigned.chars().any(|it| it.is_ascii_digit())
        && digits.len() - unsigned.len() <= 1;
    let decimal = is_decimal.then(|| digits.parse::<f64>().ok()).flatten();
    // JSON writes a decimal number without a fraction as a whole number.
    let whole = decimal.filter(|decimal| decimal.fract() == 0.0).and_then(|decimal| integer(&decimal.to_string()));
    let number = whole.or_else(|| decimal.and_then(Number::from_f64));
    Ok(number.map_or_else(|| text.into(), Value::Number))
}

/// A whole number in the notations of Go: decimal, `0x`, `0b`, `0o`, and octal after a zero.
fn integer(digits: &str) -> Option<Number> {
    let (negative, unsigned) = match digits.as_bytes().first()? {
        b'-' => (true, &digits[1..]),
        b'+' => (false, &digits[1..]),
        _ => (false, digits),
    };
    let radix =
        |prefix: &str| unsigned.get(..2).filter(|start| start.eq_ignore_ascii_case(prefix)).map(|_| &unsigned[2..]);
    let (rest, base) = if let Some(rest) = radix("0x") {
        (rest, 16)
    } else if let Some(rest) = radix("0b") {
        (rest, 2)
    } else if let Some(rest) = radix("0o") {
        (rest, 8)
    } else if unsigned.len() > 1 && unsigned.starts_with('0') {
        (unsigned, 8)
    } else {
        (unsigned, 10)
    };
    if rest.starts_with(['+', '-']) {
        return None;
    }
    let value = u64::from_str_radix(rest, base).ok()?;
    if negative { Some(Number::from(0_i64.checked_sub_unsigned(value)?)) } else { Some(value.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Value {
        let mut documents = documents(text).unwrap();
        assert_eq!(documents.len(), 1);
        documents.remove(0).value
    }

    #[test]
    fn scalars_are_read_as_kubectl_reads_them() {
        for (text, value) in [
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("oN", json!("oN")),
            ("~", json!(null)),
            ("", json!(null)),
            ("0o17", json!(15)),
            ("017", json!(15)),
            ("08", json!(8)),
            ("0o8", json!("0o8")),
            ("1_000", json!(1000)),
            ("-0x1F", json!(-31)),
            ("1e3", json!(1000)),
            ("+.5", json!(0.5)),
            ("1:30", json!("1:30")),
            ("2026-01-01", json!("2026-01-01")),
            ("012345678901", json!(12_345_678_901_u64)),
            ("'yes'", json!("yes")),
            ("\"1\"", json!("1")),
            ("!!str 5", json!("5")),
            ("!!int \"5\"", json!(5)),
            ("!own 5", json!("5")),
            ("|\n  yes", json!("yes\n")),
            ("+", json!("+")),
            (".", json!(".")),
            ("1.2.3", json!("1.2.3")),
        ] {
            assert_eq!(read(&format!("--- {text}\n")), value, "{text}");
        }
        for text in [".inf", "-.Inf", ".nan", "{~: a}", "{? [a] : b}", "{<<: a}", "[a", "*nowhere"] {
            documents(text).expect_err(text);
        }
    }

    #[test]
    fn keys_become_text_and_anchors_are_copied() {
        assert_eq!(read("{1: a, y: b, 'n': c}"), json!({ "1": "a", "true": "b", "n": "c" }));
        let text = "a: &a {x: 1, y1: 2}\nb: {<<: *a, x: 3}\nc: *a\nd: {<<: [*a, {z: 1}]}";
        let a = json!({ "x": 1, "y1": 2 });
        let all = json!({ "a": a, "b": { "x": 3, "y1": 2 }, "c": a, "d": { "x": 1, "y1": 2, "z": 1 } });
        assert_eq!(read(text), all);
    }

    #[test]
    fn the_last_of_equal_keys_counts_and_the_warning_names_key_and_lines() {
        let document = documents("spec:\n  tags: {a: b}\n  suspend: true\n  tags: {c: d}\n").unwrap().remove(0);
        assert_eq!(document.value, json!({ "spec": { "tags": { "c": "d" }, "suspend": true } }));
        let [warning] = document.warnings.as_slice() else { panic!("{:?}", document.warnings) };
        assert!(warning.starts_with("line 4: the key \"tags\" is also in line 2; the last value is used"), "{warning}");
    }

    #[test]
    fn a_stream_has_documents_and_an_error_has_a_line() {
        let all = documents("---\na: 1\n---\n# nothing\n---\nb: 2\n...\n").unwrap();
        let all: Vec<_> = all.into_iter().map(|document| document.value).collect();
        assert_eq!(all, [json!({ "a": 1 }), Value::Null, json!({ "b": 2 })]);
        assert!(documents("").unwrap().is_empty());
        let error = documents("a:\n  b: 1\n c: 2\n").unwrap_err().to_string();
        assert!(error.starts_with("line 3"), "{error}");
    }

    #[test]
    fn aliases_of_aliases_and_deep_nesting_end_in_an_error() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let alias = vec![format!("*a{}", level - 1); 10].join(", ");
            text = format!("{text}a{level}: &a{level} [{alias}]\n");
        }
        assert!(documents(&text).unwrap_err().to_string().contains("more than"));
        assert!(documents(&"[".repeat(100_000)).is_err());
        assert!(documents(&format!("{}{}", "[".repeat(200), "]".repeat(200))).is_err());
    }
}
