//! Specs of policies that the API server must refuse, and what it must say.

use super::{Case, case, items};

fn names_and_paths() -> Vec<Case> {
    vec![
        case("policyName: ''", &["spec.policyName", "at least 1"]),
        case(format!("policyName: {}", "p".repeat(129)), &["spec.policyName", "may not be more than 128"]),
        case("policyName: audit/export", &["spec.policyName", "should match"]),
        case("policyName: audit export", &["spec.policyName", "should match"]),
        case("policyName: größe", &["spec.policyName", "should match"]),
        case(r#"policyName: "export\n""#, &["spec.policyName", "should match"]),
        case("policyName: 7", &["spec.policyName", "must be of type string"]),
        case("policyName: [a]", &["spec.policyName", "must be of type string"]),
        case("roleName: ''", &["spec.roleName", "at least 1"]),
        case(format!("roleName: {}", "r".repeat(65)), &["spec.roleName", "may not be more than 64"]),
        case("roleName: a:b", &["spec.roleName", "should match"]),
        case("roleName: a\nroleName: b", &["roleName", "already set"]),
        case("policyPath: databases/", &["spec.policyPath", "should match"]),
        case("policyPath: /databases", &["spec.policyPath", "should match"]),
        case("policyPath: //", &["spec.policyPath", "should match"]),
        case("policyPath: /a b/", &["spec.policyPath", "should match"]),
        case(format!("policyPath: /{}/", "p".repeat(511)), &["spec.policyPath", "may not be more than 512"]),
        case("policyPath: /aws-reserved/sso/", &["spec.policyPath", "belong to AWS's own roles"]),
        case("rolePath: ''", &["spec.rolePath", "at least 1"]),
        case("rolePath: /straße/", &["spec.rolePath", "should match"]),
        case("rolePath: /aws-service-role/rds.amazonaws.com/", &["spec.rolePath", "belong to AWS's own roles"]),
        case(format!("description: {}", "d".repeat(1001)), &["spec.description", "may not be more than 1000"]),
        case("description: export 🚀", &["spec.description", "should match"]),
        case(r#"description: "ring \a""#, &["spec.description", "should match"]),
        case("description: 5", &["spec.description", "must be of type string"]),
    ]
}

fn access_and_scope() -> Vec<Case> {
    vec![
        case("access: Full", &["spec.access", r#"supported values: "Minimal", "FullAccess""#]),
        case("access: minimal", &["spec.access", "supported values"]),
        case("access: true", &["spec.access", "supported values"]),
        case(
            "access: FullAccess\nscope: {regions: [eu-west-1]}",
            &["spec.scope", "remove scope, or use access: Minimal"],
        ),
        case("access: FullAccess\nscope: {}", &["spec.scope", "remove scope"]),
        case("scope: everything", &["spec.scope", "must be of type object"]),
        case("scope: {region: [eu-west-1]}", &["unknown field", "spec.scope.region"]),
        case("scope: {regions: []}", &["spec.scope.regions", "at least 1 items"]),
        case("scope: {regions: eu-west-1}", &["spec.scope.regions", "must be of type array"]),
        case("scope: {regions: [eu-west]}", &["spec.scope.regions[0]", "should match"]),
        case("scope: {regions: [EU-WEST-1]}", &["spec.scope.regions[0]", "should match"]),
        case("scope: {regions: [eu-west-1, eu-*]}", &["spec.scope.regions[1]", "should match"]),
        case("scope: {regions: ['*', eu-west-1]}", &["spec.scope.regions", "must stand alone"]),
        case("scope: {regions: [eu-west-1, eu-west-1]}", &["spec.scope.regions[1]", "Duplicate value"]),
        case("scope: {regions: [null]}", &["spec.scope.regions[0]", "must be of type string"]),
        case(
            format!("scope: {{regions: [{}]}}", items(41, |i| format!("eu-west-{i}"))),
            &["spec.scope.regions", "must have at most 40 items"],
        ),
        case("scope: {accountIds: ['12345678901']}", &["spec.scope.accountIds[0]", "should match"]),
        case("scope: {accountIds: ['1234567890123']}", &["spec.scope.accountIds[0]", "may not be more than 12"]),
        case("scope: {accountIds: [123456789012]}", &["spec.scope.accountIds[0]", "must be of type string"]),
        case("scope: {accountIds: ['123456789012', '*']}", &["spec.scope.accountIds", "must stand alone"]),
        case(
            format!("scope: {{accountIds: [{}]}}", items(51, |i| format!("'{i:012}'"))),
            &["spec.scope.accountIds", "must have at most 50 items"],
        ),
        case("scope: {logGroups: ['/aws/rds/my group']}", &["spec.scope.logGroups[0]", "should match"]),
        case("scope: {logGroups: ['/aws/rds:*']}", &["spec.scope.logGroups[0]", "should match"]),
        case("scope: {logGroups: ['/a/*', '*']}", &["spec.scope.logGroups", "must stand alone"]),
        case("scope: {logGroups: ['']}", &["spec.scope.logGroups[0]", "at least 1"]),
        case(
            format!("scope: {{logGroups: [{}]}}", "g".repeat(513)),
            &["spec.scope.logGroups[0]", "may not be more than 512"],
        ),
        case(
            format!("scope: {{logGroups: [{}]}}", items(51, |i| format!("/aws/rds/{i}"))),
            &["spec.scope.logGroups", "must have at most 50 items"],
        ),
        case("scope: {logStreams: ['a:b']}", &["spec.scope.logStreams[0]", "should match"]),
        case(r#"scope: {logStreams: ["a\"b"]}"#, &["spec.scope.logStreams[0]", "should match"]),
        case("scope: {logStreams: ['${aws:username}']}", &["spec.scope.logStreams[0]", "should match"]),
        case(r#"scope: {logStreams: ["a\nb"]}"#, &["spec.scope.logStreams[0]", "should match"]),
        case("scope: {logStreams: ['*', a]}", &["spec.scope.logStreams", "must stand alone"]),
        case("scope: {logStreams: [a, a]}", &["spec.scope.logStreams[1]", "Duplicate value"]),
        case(
            format!("scope: {{logStreams: [{}]}}", items(21, |i| format!("s{i}"))),
            &["spec.scope.logStreams", "must have at most 20 items"],
        ),
        case("scope: {groupCreation: Some}", &["spec.scope.groupCreation", r#""Any", "LogGroups""#]),
    ]
}

fn trust_boundary_and_tags() -> Vec<Case> {
    let arn = "arn:aws:rds:eu-west-1:123456789012:cluster:";
    vec![
        case("trust: {protection: SourceArn}", &["spec.trust.protection", r#""SourceAccount", "None""#]),
        case("trust: {principals: [ec2.amazonaws.com]}", &["unknown field", "spec.trust.principals"]),
        case("trust: {sourceArns: []}", &["spec.trust.sourceArns", "at least 1 items"]),
        case("trust: {sourceArns: ['*']}", &["spec.trust.sourceArns[0]", "should match"]),
        case("trust: {sourceArns: ['arn:aws:s3:::bucket']}", &["spec.trust.sourceArns[0]", "should match"]),
        case(
            "trust: {sourceArns: ['arn:aws:rds:eu-west-1:*:cluster:a']}",
            &["spec.trust.sourceArns[0]", "should match"],
        ),
        case(format!("trust: {{sourceArns: ['{arn}a', '{arn}a']}}"), &["spec.trust.sourceArns[1]", "Duplicate value"]),
        case(
            format!("trust: {{sourceArns: [{}]}}", items(21, |i| format!("'{arn}{i}'"))),
            &["spec.trust.sourceArns", "must have at most 20 items"],
        ),
        case("permissionsBoundary: Boundary", &["spec.permissionsBoundary", "should"]),
        case(
            "permissionsBoundary: arn:aws:iam::123456789012:role/not-a-policy",
            &["spec.permissionsBoundary", "should match"],
        ),
        case("permissionsBoundary: arn:aws:iam::123456789012:policy/", &["spec.permissionsBoundary", "should match"]),
        case("tags: [team]", &["spec.tags", "must be of type object"]),
        case("tags: {team: 7}", &["spec.tags.team", "must be of type string"]),
        case("tags: {'aws:team': a}", &["spec.tags", "under aws: and auroralogexport.dev/ are reserved"]),
        case("tags: {'AWS:team': a}", &["spec.tags", "are reserved"]),
        case("tags: {auroralogexport.dev/owner: a}", &["spec.tags", "are reserved"]),
        case("tags: {AuroraLogExport.dev/Owner: a}", &["spec.tags", "are reserved"]),
        case("tags: {Team: a, team: b}", &["spec.tags", "differ only in case"]),
        case("tags: {'': a}", &["spec.tags", "1 to 128 characters"]),
        case(format!("tags: {{{}: a}}", "k".repeat(129)), &["spec.tags", "1 to 128 characters"]),
        case("tags: {'a,b': c}", &["spec.tags", "letters, digits, spaces and"]),
        case(format!("tags: {{team: {}}}", "v".repeat(257)), &["spec.tags.team", "may not be more than 256"]),
        case("tags: {team: 'a;b'}", &["spec.tags.team", "should match"]),
        case(format!("tags: {{{}}}", items(48, |i| format!("k{i}: v"))), &["spec.tags", "must have at most 47"]),
    ]
}

fn behaviour_and_references() -> Vec<Case> {
    vec![
        case("deletionPolicy: Orphan", &["spec.deletionPolicy", r#""Delete", "Retain""#]),
        case("adoptionPolicy: Sometimes", &["spec.adoptionPolicy", r#""Never", "Tagged", "Always""#]),
        case("managementPolicy: Report", &["spec.managementPolicy", r#""Enforce", "Observe""#]),
        case("attachmentPolicy: Exclude", &["spec.attachmentPolicy", r#""Additive", "Exclusive""#]),
        case("suspend: 'yes'", &["spec.suspend", "must be of type boolean"]),
        case("driftCheckInterval: 29s", &["spec.driftCheckInterval", "must be at least 30s"]),
        case("driftCheckInterval: 29999ms", &["spec.driftCheckInterval", "must be at least 30s"]),
        case("driftCheckInterval: -10m", &["spec.driftCheckInterval", "should match"]),
        case("driftCheckInterval: 600", &["spec.driftCheckInterval", "must be of type string"]),
        case("driftCheckInterval: '600'", &["spec.driftCheckInterval", "should match"]),
        case("driftCheckInterval: 10 minutes", &["spec.driftCheckInterval", "should match"]),
        case("driftCheckInterval: 1d", &["spec.driftCheckInterval", "should match"]),
        case("driftCheckInterval: 99999999999h", &["spec.driftCheckInterval"]),
        case(
            format!("driftCheckInterval: {}", "1m".repeat(17)),
            &["spec.driftCheckInterval", "may not be more than 32"],
        ),
        case("accountRef: payments", &["spec.accountRef", "must be of type object"]),
        case("accountRef: {}", &["spec.accountRef.name", "Required value"]),
        case("accountRef: {name: Payments}", &["spec.accountRef.name", "should match"]),
        case(
            format!("accountRef: {{name: {}}}", "a".repeat(254)),
            &["spec.accountRef.name", "may not be more than 253"],
        ),
        case("accountRef: {name: a, namespace: b}", &["unknown field", "spec.accountRef.namespace"]),
        case("outputs: {secretRef: {name: a}}", &["unknown field", "spec.outputs.secretRef"]),
        case("outputs: {configMapRef: {}}", &["spec.outputs.configMapRef.name", "Required value"]),
        case("outputs: {configMapRef: {name: a_b}}", &["spec.outputs.configMapRef.name", "should match"]),
        case("policyDocument: {Version: '2012-10-17'}", &["unknown field", "spec.policyDocument"]),
        case("[]", &["spec", "must be of type object"]),
    ]
}

/// All of them.
pub(super) fn cases() -> Vec<Case> {
    [names_and_paths(), access_and_scope(), trust_boundary_and_tags(), behaviour_and_references()]
        .into_iter()
        .flatten()
        .collect()
}
