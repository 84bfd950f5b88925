//! What makes a difference in a document, and what does not.

use crate::model::documents::Meaning;
use crate::model::documents::permissions::{PermissionScope, document};
use crate::model::names::Partition;

fn ours(creation_limited_to_groups: bool) -> Meaning {
    let scope = PermissionScope { creation_limited_to_groups, ..Default::default() };
    document(&scope, &Partition::parse("aws").unwrap()).meaning()
}

const NEWER_EDITION: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Sid":"A","Effect":"Allow","Action":["logs:CreateLogGroup","logs:PutRetentionPolicy","logs:CreateLogStream","logs:DescribeLogStreams"],
     "Resource":["arn:aws:logs:*:*:log-group:/aws/rds/*"]},
    {"Sid":"B","Effect":"Allow","Action":["logs:PutLogEvents","LOGS:GetLogEvents"],
     "Resource":["arn:aws:logs:*:*:log-group:/aws/rds/*:log-stream:*"]}]}"#;

#[test]
fn the_newer_guide_equals_ours_with_creation_limited_to_log_groups() {
    assert_eq!(Meaning::of(NEWER_EDITION), ours(true));
    assert_eq!(Meaning::of(NEWER_EDITION).fingerprint(), ours(true).fingerprint());
    assert_ne!(Meaning::of(NEWER_EDITION), ours(false));
    assert_ne!(Meaning::of(NEWER_EDITION).fingerprint(), ours(false).fingerprint());
}

#[test]
fn a_condition_a_deny_or_an_unknown_element_makes_a_difference() {
    let base = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"a:b","Resource":"*"}}"#;
    for other in [
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"a:b","Resource":"*"}}"#,
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","NotAction":"a:b","Resource":"*"}}"#,
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"a:b","NotResource":"*"}}"#,
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"a:b","Resource":"*","Condition":{"Bool":{"aws:x":true}}}}"#,
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"a:b","Resource":"*","New":1}}"#,
        r#"{"Version":"2030-10-17","Statement":{"Effect":"Allow","Action":"a:b","Resource":"*"}}"#,
        r#"{"Version":"2012-10-17","Statement":[]}"#,
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"a:b","Resource":"*"},"Extra":1}"#,
        "not json",
    ] {
        assert_ne!(Meaning::of(base), Meaning::of(other), "{other}");
        assert_ne!(Meaning::of(base).fingerprint(), Meaning::of(other).fingerprint(), "{other}");
    }
}

#[test]
fn conditions_compare_without_order_and_case_of_keys() {
    let one = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole","Condition":{"Bool":{"aws:X":"true"},"StringEquals":{"aws:S":["b","a"]}}}}"#;
    let two = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":["STS:assumerole"],"Condition":{"StringEquals":{"aws:s":["a","b"]},"Bool":{"aws:x":true}}}]}"#;
    assert_eq!(Meaning::of(one), Meaning::of(two));
}

#[test]
fn a_document_with_too_many_grants_is_opaque() {
    let list = |prefix: &str| (0..700).map(|i| format!("\"{prefix}{i}\"")).collect::<Vec<_>>().join(",");
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":[{}],"Resource":[{}]}}}}"#,
        list("a"),
        list("r")
    );
    assert_eq!(Meaning::of(&text), Meaning::Opaque(text));
}

#[test]
fn trusts_only_rds_is_false_for_any_other_principal() {
    let trust = |principal: &str| {
        Meaning::of(&format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{principal},"Action":"sts:AssumeRole"}}}}"#
        ))
    };
    assert!(trust(r#"{"Service":"rds.amazonaws.com"}"#).trusts_only_rds());
    assert!(!trust(r#"{"Service":["rds.amazonaws.com","ec2.amazonaws.com"]}"#).trusts_only_rds());
    assert!(!trust(r#""*""#).trusts_only_rds());
    assert!(!Meaning::of("{}").trusts_only_rds());
}
