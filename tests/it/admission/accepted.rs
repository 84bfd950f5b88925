//! What is just within the limits is stored, and stored as it was written.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{ACCOUNTS_PATH, account, create, items, policies_path, policy};
use crate::environment;

pub(super) fn policies() -> Vec<String> {
    let arn = "arn:aws:rds:eu-west-1:123456789012:cluster:";
    vec![
        "{}".into(),
        format!("policyName: {}", "p".repeat(128)),
        format!("roleName: {}", "r".repeat(64)),
        "policyName: a_+=,.@-Z9\nroleName: '0'".into(),
        format!("policyPath: /{}/\nrolePath: /", "p".repeat(510)),
        "policyPath: /a/b.,+@=_-/c/\nrolePath: /aws-service/".into(),
        format!("description: {}", "ä".repeat(1000)),
        "description: ''".into(),
        r#"description: "line\nand\ttab""#.into(),
        "access: Minimal\nscope: {}".into(),
        "access: FullAccess".into(),
        "scope: {regions: ['*'], accountIds: ['*'], logGroups: ['*'], logStreams: ['*']}".into(),
        "scope: {regions: [us-gov-west-1, cn-north-1, us-isob-east-1, eusc-de-east-1, ap-southeast-7]}".into(),
        format!("scope: {{regions: [{}]}}", items(40, |i| format!("eu-west-{i}"))),
        format!("scope: {{accountIds: [{}]}}", items(50, |i| format!("'{i:012}'"))),
        format!("scope: {{logGroups: [{}]}}", items(50, |i| format!("/aws/rds/{i}"))),
        format!("scope: {{logGroups: [{}, 'a_.-/#*Z0']}}", "g".repeat(512)),
        format!("scope: {{logStreams: [{}]}}", items(20, |i| format!("s{i}"))),
        format!("scope: {{logStreams: [{}, 'with space, comma/slash-*', größe]}}", "s".repeat(512)),
        "scope: {groupCreation: LogGroups}".into(),
        format!("trust: {{protection: None, sourceArns: [{}]}}", items(20, |i| format!("'{arn}{i}'"))),
        "trust: {sourceArns: ['arn:aws-cn:rds:*:123456789012:*']}".into(),
        "permissionsBoundary: arn:aws:iam::aws:policy/PowerUserAccess".into(),
        "permissionsBoundary: arn:aws-us-gov:iam::123456789012:policy/a/b/c".into(),
        format!("tags: {{{}}}", items(47, |i| format!("k{i}: v{i}"))),
        format!("tags: {{{}: {}, empty: ''}}", "k".repeat(128), "v".repeat(256)),
        "tags: {'Größe (ä)': x}".replace(" (ä)", " ä"),
        "tags: {awsome: a, my-aws: 'b', 'cost:center/x=1+2@3_4.5-6': c}".into(),
        "driftCheckInterval: 30s".into(),
        "driftCheckInterval: 1h30m".into(),
        "driftCheckInterval: 0.5m".into(),
        "driftCheckInterval: 30000ms".into(),
        "deletionPolicy: Retain\nadoptionPolicy: Tagged\nmanagementPolicy: Observe\nattachmentPolicy: Exclusive\nsuspend: true"
            .into(),
        format!("accountRef: {{name: {}}}", "a".repeat(253)),
        "accountRef: {name: team-a.payments}\noutputs: {configMapRef: {name: role.export}}".into(),
        "outputs: {}\ntrust: {}".into(),
    ]
}

pub(super) fn accounts() -> Vec<String> {
    let with = |fields: &str| format!("accountId: '123456789012'\n{fields}");
    vec![
        "accountId: '000000000000'".into(),
        with(
            "region: us-gov-east-1\nassumeRole: {roleArn: 'arn:aws-us-gov:iam::123456789012:role/a/b', externalId: 'a:/b', sessionName: ab}",
        ),
        with("allowedNamespaces: {selector: {}}"),
        with("allowedNamespaces: {names: [a, b-1], selector: {matchLabels: {example.com/team: a, b: ''}}}"),
        with(
            "allowedNamespaces: {selector: {matchExpressions: [{key: a, operator: In, values: [b]}, {key: c, operator: Exists}]}}",
        ),
        with("guardrails: {}\nlimits: {readsPerSecond: 1, writesPerSecond: 1000}\ndriftScan: PerResource"),
        with(&format!("guardrails: {{namePrefix: {}, iamPath: /, maxDeletionPolicy: Retain}}", "p".repeat(32))),
        with("guardrails: {permissionsBoundary: 'arn:aws:iam::123456789012:policy/x/boundary'}"),
        with("guardrails: {permissionsBoundary: 'arn:aws:iam::aws:policy/PowerUserAccess'}"),
        with(
            "guardrails: {requiredTags: {team: a}, defaultTags: {env: ''}, allowedRegions: [eu-west-1], allowedLogGroups: ['/aws/rds/*']}",
        ),
    ]
}

fn written(manifest: &str) -> Result<Value> {
    let object: Value = serde_saphyr::from_str(manifest)?;
    Ok(object["spec"].clone())
}

#[tokio::test]
async fn a_policy_at_the_limits_is_stored_as_written() -> Result<()> {
    let env = environment().await?;
    let namespace = env.namespace().await?;
    let (client, path) = (env.client().await?, policies_path(&namespace));
    for (number, spec) in policies().iter().enumerate() {
        let manifest = policy(&namespace, &format!("valid-{number}"), spec);
        let stored = create(&client, &path, &manifest, false).await.with_context(|| spec.clone())?;
        assert_eq!(stored["spec"], written(&manifest)?, "{spec}");
        assert_eq!(stored["status"], serde_json::json!({ "observedGeneration": -1 }), "{spec}");
    }
    let longest = policy(&namespace, &"n".repeat(128), "{}");
    create(&client, &path, &longest, false).await?;
    Ok(())
}

/// A template that leaves a field empty says nothing.
#[tokio::test]
async fn a_null_for_a_value_is_dropped_or_refused_but_never_stored() -> Result<()> {
    let env = environment().await?;
    let namespace = env.namespace().await?;
    let (client, path) = (env.client().await?, policies_path(&namespace));
    let manifest = policy(&namespace, "created", "roleName: null\nsuspend: null\nscope: {groupCreation: null}");
    let created = create(&client, &path, &manifest, false).await?;
    assert_eq!(created["spec"], serde_json::json!({ "scope": {} }));
    let applied = env.apply_yaml(&policy(&namespace, "applied", "roleName: null")).await;
    let message = applied.err().map(|error| format!("{error:#}")).unwrap_or_default();
    assert!(message.contains("spec.roleName"), "{message}");
    Ok(())
}

/// Not stored, because operators of other tests would take notice of new accounts.
#[tokio::test]
async fn an_account_at_the_limits_is_accepted_as_written() -> Result<()> {
    let env = environment().await?;
    let client = env.client().await?;
    for spec in accounts() {
        let manifest = account("valid", &spec);
        let accepted = create(&client, ACCOUNTS_PATH, &manifest, true).await.with_context(|| spec.clone())?;
        assert_eq!(accepted["spec"], written(&manifest)?, "{spec}");
        assert_eq!(accepted["status"]["observedGeneration"], -1, "{spec}");
    }
    Ok(())
}
