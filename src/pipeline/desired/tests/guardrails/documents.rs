//! What the two documents allow.

use serde_json::json;

use super::*;

#[test]
fn a_document_reaches_no_region_outside_the_allowed_regions() {
    let all = "arn:aws:logs:eu-west-1:*:log-group:/aws/rds/*";
    let both = |group: &str| json!({ "scope": { "regions": ["eu-west-1"], "groupCreation": group } });
    let arn = "arn:aws:rds:us-east-1:123456789012:cluster:a";
    check(
        "allowedRegions",
        json!({ "allowedRegions": ["eu-west-1"] }),
        [
            (regions(json!(["eu-west-1"])), Gives("/statement/0/Resource", json!(format!("{all}:log-stream:*")))),
            (regions(json!(["eu-west-1"])), Gives("/statement/1/Resource", json!(all))),
            (regions(json!(["eu-west-1"])), Gives("/statement/2/Resource", json!(all))),
            (both("LogGroups"), Gives("/statement/2/Resource", json!(all))),
            (both("Any"), Forbidden("spec.scope.groupCreation")),
            // The defaults, in every spelling of unset.
            (json!({}), Forbidden("spec.scope.regions")),
            (json!({ "scope": null }), Forbidden("spec.scope.regions")),
            (json!({ "scope": {} }), Forbidden("spec.scope.regions")),
            (regions(json!(null)), Forbidden("spec.scope.regions")),
            (groups(json!(["/aws/rds/a"])), Forbidden("spec.scope.regions")),
            (regions(json!(["*"])), Forbidden("spec.scope.regions")),
            (regions(json!(["us-east-1"])), Forbidden("spec.scope.regions")),
            (regions(json!(["eu-west-1", "us-east-1"])), Forbidden("spec.scope.regions")),
            (regions(json!(["eu-west-1", "*"])), Forbidden("spec.scope.regions")),
            (regions(json!(["EU-WEST-1"])), Forbidden("spec.scope.regions")),
            (regions(json!(["eu-west-*"])), Forbidden("spec.scope.regions")),
            (regions(json!(["eu-west-1 "])), Forbidden("spec.scope.regions")),
            (regions(json!(["eu-west-?"])), Forbidden("spec.scope.regions")),
            (regions(json!([""])), Forbidden("spec.scope.regions")),
            (regions(json!([])), Invalid("spec.scope.regions")),
            (regions(json!(["eu-west-1", "eu-west-1"])), Invalid("spec.scope.regions[1]")),
            (json!({ "access": "FullAccess" }), Forbidden("spec.access")),
            // A source ARN in another Region only narrows who may assume the role.
            (
                json!({ "scope": { "regions": ["eu-west-1"] }, "trust": { "sourceArns": [arn] } }),
                Gives("/trust/ArnLike/aws:SourceArn", json!(arn)),
            ),
        ],
    );
    for none in [json!({ "allowedRegions": [] }), json!({ "allowedRegions": ["EU-WEST-1"] })] {
        check("allowedRegions", none, [(regions(json!(["eu-west-1"])), Forbidden("spec.scope.regions"))]);
    }
    for any in [json!({ "allowedRegions": ["*"] }), json!({ "allowedRegions": null })] {
        check("allowedRegions", any, [(json!({}), Gives("/statement/2/Resource", json!("*")))]);
    }
}

#[test]
fn a_document_reaches_no_log_group_outside_the_allowed_log_groups() {
    let arn = |group: &str| json!(format!("arn:aws:logs:*:*:log-group:/aws/rds/cluster/{group}"));
    let both = |creation: &str| json!({ "scope": { "logGroups": ["/aws/rds/cluster/a*"], "groupCreation": creation } });
    let streams = json!({ "scope": { "logGroups": ["/aws/rds/cluster/a"], "logStreams": ["*/b?"] } });
    check(
        "allowedLogGroups",
        json!({ "allowedLogGroups": ["/aws/rds/cluster/a*"] }),
        [
            (groups(json!(["/aws/rds/cluster/a*"])), Gives("/statement/0/Resource", arn("a*:log-stream:*"))),
            (groups(json!(["/aws/rds/cluster/a*"])), Gives("/statement/1/Resource", arn("a*"))),
            (groups(json!(["/aws/rds/cluster/a*"])), Gives("/statement/2/Resource", arn("a*"))),
            (groups(json!(["/aws/rds/cluster/a"])), Gives("/statement/0/Resource", arn("a:log-stream:*"))),
            (groups(json!(["/aws/rds/cluster/a"])), Gives("/statement/1/Resource", arn("a:*"))),
            (groups(json!(["/aws/rds/cluster/a"])), Gives("/statement/2/Resource", arn("a:*"))),
            (both("LogGroups"), Gives("/statement/2/Resource", arn("a*"))),
            (both("Any"), Forbidden("spec.scope.groupCreation")),
            (json!({ "scope": { "groupCreation": "Any" } }), Forbidden("spec.scope.groupCreation")),
            // The defaults, in every spelling of unset.
            (json!({}), Forbidden("spec.scope.logGroups")),
            (json!({ "scope": null }), Forbidden("spec.scope.logGroups")),
            (json!({ "scope": {} }), Forbidden("spec.scope.logGroups")),
            (groups(json!(null)), Forbidden("spec.scope.logGroups")),
            (regions(json!(["eu-west-1"])), Forbidden("spec.scope.logGroups")),
            (groups(json!(["*"])), Forbidden("spec.scope.logGroups")),
            (groups(json!(["/*"])), Forbidden("spec.scope.logGroups")),
            (groups(json!(["/aws/rds/*"])), Forbidden("spec.scope.logGroups")),
            (groups(json!(["/aws/rds/cluster/*"])), Forbidden("spec.scope.logGroups")),
            (groups(json!(["/aws/rds/*a"])), Forbidden("spec.scope.logGroups")),
            (groups(json!(["/aws/rds/cluster/*a*"])), Forbidden("spec.scope.logGroups")),
            (groups(json!(["*/aws/rds/cluster/a"])), Forbidden("spec.scope.logGroups")),
            (groups(json!(["*/a"])), Forbidden("spec.scope.logGroups")),
            (groups(json!(["/aws/rds/cluster/A"])), Forbidden("spec.scope.logGroups")),
            (groups(json!(["/AWS/rds/cluster/a"])), Forbidden("spec.scope.logGroups")),
            (groups(json!(["aws/rds/cluster/a"])), Forbidden("spec.scope.logGroups")),
            (groups(json!(["/aws/rds/cluster/?"])), Forbidden("spec.scope.logGroups")),
            (groups(json!(["/aws/rds/cluster/a", "/aws/lambda/a"])), Forbidden("spec.scope.logGroups")),
            (groups(json!(["/aws/rds/cluster/a?"])), Invalid("spec.scope.logGroups[0]")),
            (groups(json!(["/aws/rds/cluster/a:log-stream:b"])), Invalid("spec.scope.logGroups[0]")),
            (groups(json!(["/aws/rds/cluster/a${*}"])), Invalid("spec.scope.logGroups[0]")),
            (groups(json!([])), Invalid("spec.scope.logGroups")),
            (groups(json!([""])), Forbidden("spec.scope.logGroups")),
            // IAM does not resolve `..`: it is part of the name.
            (groups(json!(["/aws/rds/cluster/a/../b"])), Gives("/statement/2/Resource", arn("a/../b:*"))),
            (groups(json!(["/aws/rds/cluster/a*/b"])), Gives("/statement/2/Resource", arn("a*/b:*"))),
            (streams, Gives("/statement/0/Resource", arn("a:log-stream:*/b?"))),
            (json!({ "access": "FullAccess" }), Forbidden("spec.access")),
        ],
    );
    let none = (groups(json!(["/a"])), Forbidden("spec.scope.logGroups"));
    check("allowedLogGroups", json!({ "allowedLogGroups": [] }), [none]);
    for any in [json!({ "allowedLogGroups": ["*"] }), json!({ "allowedLogGroups": null })] {
        check("allowedLogGroups", any, [(json!({}), Gives("/statement/2/Resource", json!("*")))]);
    }
}

#[test]
fn a_star_within_a_name_reaches_no_other_log_group_through_its_streams() {
    let arn = |group: &str| json!(format!("arn:aws:logs:*:*:log-group:/aws/rds/{group}"));
    check(
        "allowedLogGroups",
        json!({ "allowedLogGroups": ["/aws/rds/*/a*", "/aws/rds/*/audit", "/aws/rds/*-stream", "/aws/rds/*log*"] }),
        [
            // IAM's `*` matches colons too: these cover `/aws/rds/x:log-stream:y/a` and `/aws/rds/x:log-stream:`.
            (groups(json!(["/aws/rds/*/a*"])), Forbidden("spec.scope.logGroups")),
            (groups(json!(["/aws/rds/*-stream"])), Forbidden("spec.scope.logGroups")),
            (groups(json!(["/aws/rds/*log*"])), Forbidden("spec.scope.logGroups")),
            // These cover log groups of the name alone.
            (groups(json!(["/aws/rds/*/audit"])), Gives("/statement/1/Resource", arn("*/audit:*"))),
            (groups(json!(["/aws/rds/cluster/a*"])), Gives("/statement/1/Resource", arn("cluster/a*"))),
            (groups(json!(["/aws/rds/cluster/a**"])), Gives("/statement/1/Resource", arn("cluster/a**"))),
            (groups(json!(["/aws/rds/cluster/a*/b*"])), Gives("/statement/1/Resource", arn("cluster/a*/b*"))),
            (groups(json!(["/aws/rds/my-stream"])), Gives("/statement/1/Resource", arn("my-stream:*"))),
        ],
    );
}

#[test]
fn the_trust_policy_keeps_its_account_where_protection_is_required() {
    let kept = || Gives("/trust/StringEquals/aws:SourceAccount", json!("123456789012"));
    let arn = "arn:aws:rds:*:123456789012:*";
    check(
        "requireTrustProtection",
        json!({ "requireTrustProtection": true }),
        [
            (json!({}), kept()),
            (json!({ "trust": null }), kept()),
            (json!({ "trust": {} }), kept()),
            (json!({ "trust": { "protection": null } }), kept()),
            (json!({ "trust": { "protection": "SourceAccount" } }), kept()),
            (json!({ "access": "FullAccess" }), kept()),
            // Both conditions must hold: a source ARN replaces nothing.
            (json!({ "trust": { "sourceArns": [arn] } }), kept()),
            (json!({ "trust": { "sourceArns": [arn] } }), Gives("/trust/ArnLike/aws:SourceArn", json!(arn))),
            (json!({ "trust": { "protection": "None" } }), Forbidden("spec.trust.protection")),
            (json!({ "trust": { "protection": "None", "sourceArns": [arn] } }), Forbidden("spec.trust.protection")),
            (json!({ "trust": { "sourceArns": null } }), kept()),
            (json!({ "trust": { "sourceArns": [] } }), Invalid("spec.trust.sourceArns")),
            (json!({ "trust": { "sourceArns": ["*"] } }), Invalid("spec.trust.sourceArns[0]")),
            (json!({ "trust": { "sourceArns": ["arn:aws:rds:*:*:*"] } }), Invalid("spec.trust.sourceArns[0]")),
            (json!({ "trust": { "sourceArns": ["arn:*:*:*:123456789012:*"] } }), Invalid("spec.trust.sourceArns[0]")),
        ],
    );
    for lax in [json!({ "requireTrustProtection": false }), json!({ "requireTrustProtection": null })] {
        let cell = (json!({ "trust": { "protection": "None" } }), Gives("/trust", Value::Null));
        check("requireTrustProtection", lax, [cell]);
    }
}
