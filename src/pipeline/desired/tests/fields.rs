//! Every field at and beyond its limits: all problems are reported at once, each with its field.

use serde_json::{Value, json};

use super::{account, settings, spec, wanted};
use crate::api::Reason;
use crate::model::names::Owner;
use crate::pipeline::desired::desired;

fn long(length: usize) -> String {
    "a".repeat(length)
}

fn items(count: usize, item: impl Fn(usize) -> String) -> Vec<String> {
    (0..count).map(item).collect()
}

fn tags(count: usize) -> Value {
    (0..count).map(|i| (format!("key-{i}"), json!("v"))).collect::<serde_json::Map<_, _>>().into()
}

#[test]
fn values_at_their_limits_are_accepted() {
    let boundary = |rest: &str| json!({ "permissionsBoundary": format!("arn:aws:iam::{rest}") });
    for good in [
        json!({}),
        json!({ "policyName": "p" }),
        json!({ "policyName": long(128) }),
        json!({ "policyName": "aZ0_+=,.@-" }),
        json!({ "roleName": long(64) }),
        json!({ "policyPath": "/", "rolePath": "/a/b.,+@=_-c/" }),
        json!({ "rolePath": format!("/{}/", long(510)) }),
        json!({ "description": "" }),
        json!({ "description": "é".repeat(1000) }),
        json!({ "description": "tab\tline\n¡ÿ~" }),
        json!({ "access": "FullAccess" }),
        json!({ "access": "Minimal", "scope": {} }),
        json!({ "scope": { "regions": items(40, |i| format!("xx-y-{i}")) } }),
        json!({ "scope": { "regions": ["us-gov-west-1"] } }),
        json!({ "scope": { "accountIds": items(20, |i| format!("{i:012}")) } }),
        json!({ "scope": { "logGroups": [long(512)] } }),
        json!({ "scope": { "logGroups": ["aZ0_./#*-"] } }),
        json!({ "scope": { "logStreams": [long(512), "a b [é] \\ ?*"] } }),
        json!({ "scope": { "logStreams": items(20, |i| i.to_string()), "groupCreation": "LogGroups" } }),
        json!({ "trust": { "protection": "None" } }),
        json!({ "trust": { "sourceArns": ["arn:aws:rds:*:123456789012:*"] } }),
        json!({ "trust": { "sourceArns": items(20, |i| format!("arn:aws:rds:eu-west-1:123456789012:cluster:c{i}-?")) } }),
        boundary("123456789012:policy/b"),
        boundary("123456789012:policy/x/y/b"),
        boundary("aws:policy/PowerUserAccess"),
        json!({ "tags": tags(47) }),
        json!({ "tags": { long(128): "é".repeat(256), "größe_.:/=+-@ 1": "a\u{a0}b\u{2003}c" } }),
        json!({ "driftCheckInterval": "30s" }),
        json!({ "driftCheckInterval": "1h30m" }),
        json!({ "accountRef": { "name": "a.b-c" } }),
        json!({ "outputs": { "configMapRef": { "name": "x" } } }),
        json!({ "outputs": {} }),
        json!({ "deletionPolicy": "Retain", "adoptionPolicy": "Always", "managementPolicy": "Observe" }),
        json!({ "attachmentPolicy": "Exclusive", "suspend": true }),
    ] {
        let result = wanted(good.clone());
        assert!(result.is_ok(), "{good}: {}", result.unwrap_err());
    }
}

#[test]
#[allow(clippy::too_many_lines)] // one table
fn an_invalid_value_is_refused_with_its_field() {
    let scope = |list: &str, items: Value| json!({ "scope": { list: items } });
    let arns = |items: Value| json!({ "trust": { "sourceArns": items } });
    let boundary = |arn: &str| json!({ "permissionsBoundary": arn });
    for (bad, field) in [
        (json!({ "policyName": "" }), "spec.policyName"),
        (json!({ "policyName": long(129) }), "spec.policyName"),
        (json!({ "policyName": "a b" }), "spec.policyName"),
        (json!({ "policyName": "ä" }), "spec.policyName"),
        (json!({ "roleName": "" }), "spec.roleName"),
        (json!({ "roleName": long(65) }), "spec.roleName"),
        (json!({ "roleName": "a/b" }), "spec.roleName"),
        (json!({ "policyPath": "" }), "spec.policyPath"),
        (json!({ "policyPath": "/a" }), "spec.policyPath"),
        (json!({ "policyPath": "/a//b/" }), "spec.policyPath"),
        (json!({ "rolePath": "a/" }), "spec.rolePath"),
        (json!({ "rolePath": format!("/{}/", long(511)) }), "spec.rolePath"),
        (json!({ "rolePath": "/aws-service-role/rds.amazonaws.com/" }), "spec.rolePath"),
        (json!({ "rolePath": "/aws-reserved/sso/" }), "spec.rolePath"),
        (json!({ "description": long(1001) }), "spec.description"),
        (json!({ "description": "10 €" }), "spec.description"),
        (json!({ "description": "\u{7}" }), "spec.description"),
        (json!({ "access": "FullAccess", "scope": {} }), "spec.scope"),
        (scope("regions", json!([])), "spec.scope.regions"),
        (scope("regions", json!(items(41, |i| format!("xx-y-{i}")))), "spec.scope.regions"),
        (scope("regions", json!(["eu-west-1", "mars"])), "spec.scope.regions[1]"),
        (scope("regions", json!(["eu-west-*"])), "spec.scope.regions[0]"),
        (scope("regions", json!(["EU-WEST-1"])), "spec.scope.regions[0]"),
        (scope("regions", json!(["x-west-1"])), "spec.scope.regions[0]"),
        (scope("regions", json!(["eu-1"])), "spec.scope.regions[0]"),
        (scope("regions", json!(["eu-west-1", "eu-west-1"])), "spec.scope.regions[1]"),
        (scope("regions", json!(["*", "eu-west-1"])), "spec.scope.regions"),
        (scope("accountIds", json!([])), "spec.scope.accountIds"),
        (scope("accountIds", json!(["12345678901"])), "spec.scope.accountIds[0]"),
        (scope("accountIds", json!(["12345678901x"])), "spec.scope.accountIds[0]"),
        (scope("accountIds", json!(["*", "123456789012"])), "spec.scope.accountIds"),
        (scope("accountIds", json!(items(51, |i| format!("{i:012}")))), "spec.scope.accountIds"),
        (scope("logGroups", json!([])), "spec.scope.logGroups"),
        (scope("logGroups", json!([""])), "spec.scope.logGroups[0]"),
        (scope("logGroups", json!([long(513)])), "spec.scope.logGroups[0]"),
        (scope("logGroups", json!(["/a", "/b:c"])), "spec.scope.logGroups[1]"),
        (scope("logGroups", json!(["/a b"])), "spec.scope.logGroups[0]"),
        (scope("logGroups", json!(["${aws:username}"])), "spec.scope.logGroups[0]"),
        (scope("logGroups", json!(["*", "/a"])), "spec.scope.logGroups"),
        (scope("logGroups", json!(items(51, |i| i.to_string()))), "spec.scope.logGroups"),
        (scope("logStreams", json!([])), "spec.scope.logStreams"),
        (scope("logStreams", json!(["a:b"])), "spec.scope.logStreams[0]"),
        (scope("logStreams", json!(["a\"b"])), "spec.scope.logStreams[0]"),
        (scope("logStreams", json!(["a", "${x}"])), "spec.scope.logStreams[1]"),
        (scope("logStreams", json!(["*", "a"])), "spec.scope.logStreams"),
        (scope("logStreams", json!(items(21, |i| i.to_string()))), "spec.scope.logStreams"),
        (arns(json!([])), "spec.trust.sourceArns"),
        (arns(json!(["arn:aws:rds:*:123456789012"])), "spec.trust.sourceArns[0]"),
        (arns(json!(["arn:aws:rds:*:210987654321:*"])), "spec.trust.sourceArns[0]"),
        (arns(json!(["arn:aws-cn:rds:*:123456789012:*"])), "spec.trust.sourceArns[0]"),
        (arns(json!(["arn:aws:s3:*:123456789012:*"])), "spec.trust.sourceArns[0]"),
        (arns(json!(["arn:aws:rds:*:123456789012:a\"b"])), "spec.trust.sourceArns[0]"),
        (arns(json!(["arn:aws:rds::123456789012:*"])), "spec.trust.sourceArns[0]"),
        (boundary("arn:aws:iam::210987654321:policy/b"), "spec.permissionsBoundary"),
        (boundary("arn:aws-cn:iam::aws:policy/b"), "spec.permissionsBoundary"),
        (boundary("arn:aws:iam::123456789012:role/b"), "spec.permissionsBoundary"),
        (boundary("arn:aws:iam::123456789012:policy/"), "spec.permissionsBoundary"),
        (boundary("arn:aws:iam::123456789012:policy/a b"), "spec.permissionsBoundary"),
        (boundary("arn:aws:iam::123456789012:policy/x/a b"), "spec.permissionsBoundary"),
        (boundary("arn:aws:iam::123456789012:policy/a b/x"), "spec.permissionsBoundary"),
        (boundary(""), "spec.permissionsBoundary"),
        (json!({ "tags": { "": "x" } }), "spec.tags[\"\"]"),
        (json!({ "tags": { long(129): "x" } }), "spec.tags[\"aaa"),
        (json!({ "tags": { "a": long(257) } }), "spec.tags[\"a\"]"),
        (json!({ "tags": { "a": "(x)" } }), "spec.tags[\"a\"]"),
        (json!({ "tags": { "a": "x\ty" } }), "spec.tags[\"a\"]"),
        (json!({ "tags": { "a*": "x" } }), "spec.tags[\"a*\"]"),
        (json!({ "tags": { "AWS:x": "x" } }), "spec.tags[\"AWS:x\"]"),
        (json!({ "tags": { "AuroraLogExport.dev/owner": "x" } }), "spec.tags[\"AuroraLogExport.dev/owner\"]"),
        (json!({ "tags": { "Team": "x", "team": "x" } }), "spec.tags[\"team\"]"),
        (json!({ "tags": { "É": "x", "é": "x" } }), "spec.tags[\"é\"]"),
        (json!({ "tags": tags(48) }), "spec.tags"),
        (json!({ "driftCheckInterval": "29s" }), "spec.driftCheckInterval"),
        (json!({ "driftCheckInterval": "0s" }), "spec.driftCheckInterval"),
        (json!({ "accountRef": { "name": "" } }), "spec.accountRef.name"),
        (json!({ "accountRef": { "name": "A" } }), "spec.accountRef.name"),
        (json!({ "outputs": { "configMapRef": { "name": "../x" } } }), "spec.outputs.configMapRef.name"),
        (json!({ "outputs": { "configMapRef": { "name": long(254) } } }), "spec.outputs.configMapRef.name"),
    ] {
        let refused = wanted(bad.clone()).expect_err(&bad.to_string());
        assert_eq!(refused.reason(), Reason::InvalidSpec, "{bad}");
        assert!(refused.0.iter().all(|problem| problem.field.starts_with(field)), "{bad}: {refused}");
        assert!(refused.to_string().starts_with(field), "{bad}: {refused}");
        assert!(refused.0.iter().all(|problem| !problem.message.is_empty()), "{bad}");
    }
}

#[test]
fn all_problems_are_reported_at_once() {
    let refused = wanted(json!({
        "description": "€",
        "scope": { "regions": ["x"], "logStreams": ["a:b", "c"] },
        "trust": { "sourceArns": ["x"] },
        "permissionsBoundary": "x",
        "tags": { "aws:x": "y" },
        "driftCheckInterval": "1s",
    }))
    .unwrap_err();
    let fields: Vec<_> = refused.0.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "spec.scope.regions[0]",
            "spec.scope.logStreams[0]",
            "spec.trust.sourceArns[0]",
            "spec.description",
            "spec.permissionsBoundary",
            "spec.tags[\"aws:x\"]",
            "spec.driftCheckInterval",
        ]
    );
    let names = wanted(json!({ "policyName": "", "roleName": "", "policyPath": "", "rolePath": "" })).unwrap_err();
    assert_eq!(names.0.len(), 4, "{names}");
}

#[test]
fn a_policy_too_large_for_iam_is_refused_with_its_size_and_never_built() {
    // 2,000,000 ARNs of more than a kilobyte: building them takes gigabytes, computing their size takes nothing.
    let refused = wanted(json!({ "scope": {
        "regions": items(40, |i| format!("xx-y-{i}")),
        "accountIds": items(50, |i| format!("{i:012}")),
        "logGroups": items(50, |i| format!("{i:03}{}", long(509))),
        "logStreams": items(20, |i| format!("{i:03}{}", long(509))),
    } }))
    .unwrap_err();
    assert_eq!(refused.0.len(), 1, "{refused}");
    let message = &refused.0[0].message;
    assert_eq!(refused.0[0].field, "spec.scope");
    let size: usize = message.split(' ').find_map(|word| word.parse().ok()).unwrap();
    assert!(size > 2_000_000_000, "{message}");
    assert!(message.contains("6144"), "{message}");
}

#[test]
fn the_size_limit_is_exact() {
    let wanted = |length: usize| {
        let mut streams = items(11, |i| format!("{i:02}{}", long(418)));
        streams.push(long(length));
        wanted(json!({ "scope": { "logStreams": streams } }))
    };
    let size = |length: usize| wanted(length).unwrap().policy.unwrap().document.counted_size();
    let longest = 1 + 6144 - size(1);
    assert_eq!(size(longest), 6144);
    let refused = wanted(longest + 1).unwrap_err().to_string();
    assert!(refused.contains("6145"), "{refused}");
}

#[test]
fn a_name_whose_owner_tag_would_not_fit_is_refused() {
    let of = |length: usize| {
        let owner = Owner::new("n".repeat(63), "m".repeat(length));
        desired(&owner, &spec(json!({})), &settings(), &account())
    };
    assert!(of(128).is_ok());
    assert_eq!(of(129).unwrap_err().0[0].field, "metadata.name");
}
