//! Accounts that the API server refuses.

use anyhow::Result;

use super::{ACCOUNTS_PATH, Case, account, case, items, not_refused_properly};
use crate::environment;

const ID: &str = "accountId: '123456789012'";

fn below(spec: &str, refusal: &'static [&'static str]) -> Case {
    case(format!("{ID}\n{spec}"), refusal)
}

fn identity() -> Vec<Case> {
    let role = |arn: &str| format!("assumeRole: {{roleArn: '{arn}'}}");
    let other = |fields: &str| format!("assumeRole: {{roleArn: 'arn:aws:iam::123456789012:role/r', {fields}}}");
    vec![
        case("region: eu-west-1", &["spec.accountId", "Required value"]),
        case("accountId: '12345678901'", &["spec.accountId", "at least 12"]),
        case("accountId: '1234567890123'", &["spec.accountId", "may not be more than 12"]),
        case("accountId: 12345678901a", &["spec.accountId", "should match"]),
        case("accountId: 123456789012", &["spec.accountId", "must be of type string"]),
        below("region: Ireland", &["spec.region", "should match"]),
        below("assumeRole: {}", &["spec.assumeRole.roleArn", "Required value"]),
        below(&role("operator-member-role"), &["spec.assumeRole.roleArn", "should match"]),
        below(&role("arn:aws:iam::123456789012:user/operator"), &["spec.assumeRole.roleArn", "should match"]),
        below(
            &role("arn:aws:iam::210987654321:role/operator"),
            &["spec.assumeRole.roleArn", "must be in the account of accountId"],
        ),
        below(&other("externalId: x"), &["spec.assumeRole.externalId", "at least 2"]),
        below(&other("externalId: 'a b'"), &["spec.assumeRole.externalId", "should match"]),
        below(&other("sessionName: 'a/b'"), &["spec.assumeRole.sessionName", "should match"]),
        below(
            &other(&format!("sessionName: {}", "s".repeat(65))),
            &["spec.assumeRole.sessionName", "may not be more than 64"],
        ),
        below(&other("mfa: x"), &["unknown field", "spec.assumeRole.mfa"]),
        below("driftScan: bulk", &["spec.driftScan", r#""Auto", "Bulk", "PerResource""#]),
        below("limits: {readsPerSecond: 0}", &["spec.limits.readsPerSecond", "greater than or equal to 1"]),
        below("limits: {writesPerSecond: 1001}", &["spec.limits.writesPerSecond", "less than or equal to 1000"]),
        below("limits: {readsPerSecond: 1.5}", &["spec.limits.readsPerSecond", "must be of type integer"]),
    ]
}

fn namespaces() -> Vec<Case> {
    let selector = |selector: &str| format!("allowedNamespaces: {{selector: {selector}}}");
    vec![
        below("allowedNamespaces: {names: []}", &["spec.allowedNamespaces.names", "at least 1 items"]),
        below("allowedNamespaces: {names: [Shop]}", &["spec.allowedNamespaces.names[0]", "should match"]),
        below("allowedNamespaces: {names: [a, a]}", &["spec.allowedNamespaces.names[1]", "Duplicate value"]),
        below("allowedNamespaces: {names: '*'}", &["spec.allowedNamespaces.names", "must be of type array"]),
        below(
            &selector("{matchLabels: {'a b': c}}"),
            &["spec.allowedNamespaces.selector.matchLabels", "must be a label key"],
        ),
        below(
            &selector("{matchLabels: {team: 'a b'}}"),
            &["spec.allowedNamespaces.selector.matchLabels.team", "should match"],
        ),
        below(
            &selector("{matchExpressions: [{key: team}]}"),
            &["spec.allowedNamespaces.selector.matchExpressions[0].operator", "Required value"],
        ),
        below(
            &selector("{matchExpressions: [{key: team, operator: Equals, values: [a]}]}"),
            &["spec.allowedNamespaces.selector.matchExpressions[0].operator", r#""In", "NotIn""#],
        ),
        below(
            &selector("{matchExpressions: [{key: team, operator: In}]}"),
            &["spec.allowedNamespaces.selector.matchExpressions[0].values", "In and NotIn require values"],
        ),
        below(
            &selector("{matchExpressions: [{key: team, operator: Exists, values: [a]}]}"),
            &["spec.allowedNamespaces.selector.matchExpressions[0].values", "DoesNotExist do not allow them"],
        ),
        below(&selector("{labels: {team: a}}"), &["unknown field", "spec.allowedNamespaces.selector.labels"]),
    ]
}

fn guardrails() -> Vec<Case> {
    let guardrails = |fields: &str| format!("guardrails: {{{fields}}}");
    vec![
        below(&guardrails("iamPath: team"), &["spec.guardrails.iamPath", "should match"]),
        below(&guardrails("iamPath: /aws-reserved/"), &["spec.guardrails.iamPath", "belong to AWS's own roles"]),
        below(&guardrails("namePrefix: ''"), &["spec.guardrails.namePrefix", "at least 1"]),
        below(
            &guardrails(&format!("namePrefix: {}", "p".repeat(33))),
            &["spec.guardrails.namePrefix", "may not be more than 32"],
        ),
        below(&guardrails("requireNamespaceInName: always"), &["requireNamespaceInName", "must be of type boolean"]),
        below(
            &guardrails("permissionsBoundary: 'arn:aws:iam::210987654321:policy/boundary'"),
            &["spec.guardrails.permissionsBoundary", "must be a policy in the account of accountId"],
        ),
        below(&guardrails("permissionsBoundary: boundary"), &["spec.guardrails.permissionsBoundary", "should"]),
        below(&guardrails("maxDeletionPolicy: Never"), &["spec.guardrails.maxDeletionPolicy", r#""Delete", "Retain""#]),
        below(&guardrails("requiredTags: {'aws:a': b}"), &["spec.guardrails.requiredTags", "are reserved"]),
        below(&guardrails("defaultTags: {Team: a, team: b}"), &["spec.guardrails.defaultTags", "differ only in case"]),
        below(&guardrails("allowedRegions: ['*', eu-west-1]"), &["spec.guardrails.allowedRegions", "must stand alone"]),
        below(
            &guardrails(&format!("allowedLogGroups: [{}]", items(51, |i| format!("/a/{i}")))),
            &["spec.guardrails.allowedLogGroups", "must have at most 50 items"],
        ),
        below(&guardrails("allowEverything: true"), &["unknown field", "spec.guardrails.allowEverything"]),
    ]
}

/// All of them.
pub(super) fn cases() -> Vec<Case> {
    [identity(), namespaces(), guardrails()].into_iter().flatten().collect()
}

#[tokio::test]
async fn an_invalid_account_is_refused_with_the_fields_name() -> Result<()> {
    let env = environment().await?;
    let cases = cases();
    let wrong =
        not_refused_properly(&env.client().await?, ACCOUNTS_PATH, &cases, |case| account("invalid", &case.spec))
            .await?;
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    Ok(())
}
