//! Lives that need every call to AWS that `deploy/aws` grants. What the calls of the whole suite ask leave for is recorded
//! (`tests/support/src/calls.rs`) and held to `deploy/aws` by `cargo xtask ci --only simulator`; this test sees to it
//! that none of them is missing there.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use aurora_test_support::iam_model::{CreatePolicy, CreateRole};
use aurora_test_support::wait::wait_for;
use serde_json::{Value, json};

use super::bench::{Bench, LIMIT};

const ID: &str = "111111111111";
const PATH: &str = "/aurora-log-export/";
const RDS: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"rds.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
const LOGS: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"logs:*","Resource":"*"}]}"#;

/// Every call that the operator may change IAM with.
const WRITES: [&str; 18] = [
    "AttachRolePolicy",
    "CreatePolicy",
    "CreatePolicyVersion",
    "CreateRole",
    "DeletePolicy",
    "DeletePolicyVersion",
    "DeleteRole",
    "DeleteRolePolicy",
    "DetachRolePolicy",
    "PutRolePermissionsBoundary",
    "SetDefaultPolicyVersion",
    "TagPolicy",
    "TagRole",
    "UntagPolicy",
    "UntagRole",
    "UpdateAssumeRolePolicy",
    "UpdateRoleDescription",
    "AssumeRole",
];

/// The call that looks at a whole account.
const SCAN: &str = "GetAccountAuthorizationDetails";

#[tokio::test]
async fn every_call_that_the_policy_for_aws_grants_is_made_in_the_life_of_an_object() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    let ns = bench.ns().to_owned();
    let boundary = format!("arn:aws:iam::{ID}:policy/aurora-log-export-boundary");
    plant(&bench, &ns)?;
    let guardrails = json!({ "permissionsBoundary": boundary, "allowFullAccess": true, "allowAdoption": true });
    let scanned = |how: &str| json!({ "assumeRole": { "externalId": "external-id" }, "guardrails": guardrails, "driftScan": how });
    let account = bench.account("prod", ID, scanned("Bulk")).await?;
    let apply = async |name: &str, more: Value| -> Result<()> {
        let mut spec = more;
        spec["accountRef"] = json!({ "name": account });
        bench.policy(&ns, name, spec).await?;
        bench.wait_policy(&ns, name, "InSync").await?;
        Ok(())
    };
    let (role, policy) = ("life-role", format!("arn:aws:iam::{ID}:policy{PATH}life-policy"));
    let named = |more: Value| {
        let mut spec = json!({ "roleName": role, "policyName": "life-policy" });
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        spec
    };
    // A life: made, edited in every field, pruned, switched both ways.
    apply("life", named(json!({ "tags": { "team": "a" } }))).await?;
    // Both ways to look for drift.
    wait_for("a scan of the account", LIMIT, async || {
        ensure!(bench.server.gate().counts().contains_key(SCAN), "no {SCAN} yet");
        Ok(())
    })
    .await
    .with_context(|| bench.log())?;
    bench.account("prod", ID, scanned("PerResource")).await?;
    for region in ["eu-west-1", "eu-west-2", "eu-west-3", "eu-north-1", "eu-south-1", "eu-north-1"] {
        apply("life", named(json!({ "scope": { "regions": [region] }, "tags": { "team": region } }))).await?;
    }
    apply("life", named(json!({ "description": "edited" }))).await?;
    apply("life", named(json!({ "access": "FullAccess" }))).await?;
    apply("life", named(json!({ "attachmentPolicy": "Exclusive" }))).await?;
    // Drift of each kind.
    {
        let shared = bench.server.world().account(ID);
        let mut iam = shared.lock();
        iam.update_assume_role_policy(role, RDS)?;
        iam.put_role_permissions_boundary(role, "arn:aws:iam::aws:policy/CloudWatchLogsFullAccess")?;
        iam.put_role_policy(role, "inline", LOGS)?;
        iam.attach_role_policy(role, "arn:aws:iam::aws:policy/CloudWatchLogsFullAccess")?;
    }
    wait_for("the drift to be repaired", LIMIT, async || {
        let state = bench.snapshot(ID)["roles"][role].clone();
        let clean = state["boundary"] == boundary.as_str()
            && state["inline"] == json!({})
            && state["attached"] == json!([policy]);
        ensure!(clean, "{state}");
        Ok(())
    })
    .await
    .with_context(|| bench.log())?;
    // Taken over in each way that there is, and given up again.
    for (name, _) in planted(&ns) {
        let adoption = if name == "found" { "Always" } else { "Tagged" };
        let chosen = json!({ "roleName": format!("{name}-role"), "policyName": format!("{name}-policy"), "adoptionPolicy": adoption });
        apply(name, chosen).await.with_context(|| name.to_owned())?;
    }
    bench.delete_policy(&ns, "life").await?;
    for (name, _) in planted(&ns) {
        bench.delete_policy(&ns, name).await?;
    }
    bench.delete_account(&account).await?;

    let calls = bench.server.gate().calls_since(0);
    for action in WRITES.into_iter().chain([SCAN]) {
        ensure!(calls.iter().any(|call| call.action == action && call.outcome == "OK"), "no life needed {action}");
    }
    Ok(())
}

/// What is taken over, by the first part of its names: what nobody owns and consents, what another cluster owned and
/// consents, what nobody owns and was not asked.
fn planted(ns: &str) -> [(&'static str, BTreeMap<String, String>); 3] {
    let consent = |name: &str| ("auroralogexport.dev/adoptable-by".to_owned(), format!("bench/{ns}/{name}"));
    let old = [("managed-by", "old"), ("cluster-uid", "old-uid"), ("owner", "old/owner")];
    let old = old.map(|(key, value)| (format!("auroralogexport.dev/{key}"), value.to_owned()));
    [
        ("offered", BTreeMap::from([consent("offered")])),
        ("inherited", old.into_iter().chain([consent("inherited")]).collect()),
        ("found", BTreeMap::new()),
    ]
}

/// The boundary, and a role and a policy for each way to take over.
fn plant(bench: &Bench, ns: &str) -> Result<()> {
    let shared = bench.server.world().account(ID);
    let mut iam = shared.lock();
    iam.create_policy(&CreatePolicy {
        name: "aurora-log-export-boundary".into(),
        document: LOGS.into(),
        ..CreatePolicy::default()
    })?;
    for (name, tags) in planted(ns) {
        iam.create_policy(&CreatePolicy {
            name: format!("{name}-policy"),
            path: Some(PATH.into()),
            document: LOGS.into(),
            tags: tags.clone(),
            ..CreatePolicy::default()
        })?;
        iam.create_role(&CreateRole {
            name: format!("{name}-role"),
            path: Some(PATH.into()),
            trust: RDS.into(),
            tags,
            ..CreateRole::default()
        })?;
    }
    Ok(())
}
