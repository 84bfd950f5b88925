//! An independent check of what a document reaches.

use serde_json::{Value, json};

/// True if IAM's pattern matches the text. `?` counts as a character, since no log group has one.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

/// Log groups that the pattern may reach, and log streams by which it may reach them.
fn probes(group: &str) -> (Vec<String>, Vec<String>) {
    let stars = group.match_indices('*').map(|(at, _)| at);
    let plain = |text: &str| text.replace('*', "");
    let mut names = vec![plain(group), group.replace('*', "z"), format!("{group}z"), "/aws/lambda/z".to_owned()];
    let mut streams = vec![String::new(), "z".to_owned()];
    for at in stars {
        names.push(format!("{}z", plain(&group[..at])));
        streams.push(plain(&group[at..]));
    }
    names.retain(|name| !name.contains('*'));
    (names, streams)
}

/// What the resources of a document cover beyond these Regions and log groups: the ARNs on which AWS evaluates the actions,
/// of a log group with `:*` and of a log stream.
pub(super) fn outside(document: &Value, regions: Option<&[String]>, groups: Option<&[String]>) -> Vec<String> {
    let unlimited = |limit: Option<&[String]>| limit.is_none_or(|items| items.iter().any(|item| item == "*"));
    let in_region = |region: &str| unlimited(regions) || regions.iter().copied().flatten().any(|item| item == region);
    let in_group = |name: &str| unlimited(groups) || groups.iter().copied().flatten().any(|limit| matches(limit, name));
    let mut found = Vec::new();
    for statement in document["Statement"].as_array().into_iter().flatten() {
        let resources = match &statement["Resource"] {
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect::<Vec<_>>(),
        };
        assert!(!resources.is_empty(), "{statement}");
        for resource in resources {
            let group = resource.split(':').nth(6).unwrap_or("*");
            let (names, streams) = probes(group);
            for region in ["eu-west-1", "us-east-1", "ap-south-1"] {
                for name in &names {
                    let arn = format!("arn:aws:logs:{region}:111122223333:log-group:{name}");
                    let of_streams = streams.iter().map(|stream| format!("{arn}:log-stream:{stream}"));
                    let covered = of_streams.chain([arn.clone(), format!("{arn}:*")]).find(|it| matches(resource, it));
                    found.extend(
                        covered
                            .filter(|_| !in_region(region) || !in_group(name))
                            .map(|covered| format!("{} on {resource} covers {covered}", statement["Action"])),
                    );
                }
            }
        }
    }
    found
}

#[test]
fn the_check_of_documents_finds_what_is_outside() {
    let limits = |items: &[&str]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (regions, groups) = (limits(&["eu-west-1"]), limits(&["/a/*"]));
    for (resource, is_within) in [
        ("arn:aws:logs:eu-west-1:*:log-group:/a/*", true),
        ("arn:aws:logs:eu-west-1:*:log-group:/a/b:log-stream:*", true),
        ("arn:aws:logs:eu-west-1:*:log-group:/a/b:*", true),
        ("*", false),
        ("arn:aws:logs:*:*:log-group:/a/*", false),
        ("arn:aws:logs:us-east-1:*:log-group:/a/*", false),
        ("arn:aws:logs:eu-west-1:*:log-group:/a*", false),
        ("arn:aws:logs:eu-west-1:*:log-group:*", false),
        ("arn:aws:logs:eu-west-1:*:log-group:/b:*", false),
    ] {
        let document = json!({ "Statement": [{ "Action": "logs:CreateLogGroup", "Resource": resource }] });
        let found = outside(&document, Some(&regions), Some(&groups));
        assert_eq!(found.is_empty(), is_within, "{resource}: {found:?}");
    }
    let crossing = json!({ "Statement": [{ "Action": "x", "Resource": ["arn:aws:logs:*:*:log-group:/a/*/b*"] }] });
    assert_ne!(
        outside(&crossing, None, Some(&limits(&["/a/*/b*"]))),
        [""; 0],
        "the stream /b of every group under /a/"
    );
}
