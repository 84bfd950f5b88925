//! Every call to AWS that `deploy/aws` allows is made in the life of an object. The calls of the whole suite are recorded
//! (`tests/support/src/calls.rs`) and compared with `deploy/aws` by `cargo xtask ci --only simulator`; with this test none of
//! them is missing in the recording.

use anyhow::{Context, Result, ensure};
use aurora_test_support::iam_model::{CreatePolicy, CreateRole, Tags};
use serde_json::{Value, json};

use super::objects::{merge, of_account};
use crate::fixture::{FULL_ACCESS, Fixture, PATH, RDS_TRUST, READ_ONLY, tags};

const ID: &str = "111111111111";
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

/// The call that reads a whole account.
const SWEEP: &str = "GetAccountAuthorizationDetails";

#[tokio::test]
async fn every_call_that_the_policy_for_aws_grants_is_made_in_the_life_of_an_object() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let boundary = format!("arn:aws:iam::{ID}:policy/aurora-log-export-boundary");
    plant(&fixture)?;
    let guardrails = json!({ "permissionsBoundary": boundary, "allowFullAccess": true, "allowAdoption": true });
    let swept = |how: &str| json!({ "assumeRole": { "externalId": "external-id" }, "guardrails": guardrails, "driftScan": how });
    let account = fixture.account("prod", ID, swept("Bulk")).await?;
    let apply = async |name: &str, more: Value| -> Result<()> {
        let mut spec = of_account(&account);
        merge(&mut spec, more);
        fixture.applied(name, spec).await.map(drop)
    };
    let (role, policy) = ("life-role", format!("arn:aws:iam::{ID}:policy{PATH}life-policy"));
    let named = |more: Value| {
        let mut spec = json!({ "roleName": role, "policyName": "life-policy" });
        merge(&mut spec, more);
        spec
    };
    // A life: created, edited in every field, pruned, switched both ways.
    apply("life", named(json!({ "tags": { "team": "a" } }))).await?;
    // Both ways to detect drift.
    fixture.eventually_true("a sweep", || Ok(fixture.aws.gate().counts().contains_key(SWEEP))).await?;
    fixture.account("prod", ID, swept("PerResource")).await?;
    for region in ["eu-west-1", "eu-west-2", "eu-west-3", "eu-north-1", "eu-south-1", "eu-north-1"] {
        apply("life", named(json!({ "scope": { "regions": [region] }, "tags": { "team": region } }))).await?;
    }
    apply("life", named(json!({ "description": "edited" }))).await?;
    apply("life", named(json!({ "access": "FullAccess" }))).await?;
    apply("life", named(json!({ "attachmentPolicy": "Exclusive" }))).await?;
    // Drift of each kind.
    {
        let shared = fixture.aws.world().account(ID);
        let mut iam = shared.lock();
        iam.update_assume_role_policy(role, RDS_TRUST)?;
        iam.put_role_permissions_boundary(role, FULL_ACCESS)?;
        iam.put_role_policy(role, "inline", LOGS)?;
        iam.attach_role_policy(role, FULL_ACCESS)?;
        iam.attach_role_policy(role, READ_ONLY)?;
    }
    let repaired = || {
        let state = fixture.snapshot(ID)["roles"][role].clone();
        let clean = state["boundary"] == boundary.as_str()
            && state["inline"] == json!({})
            && state["attached"] == json!([policy]);
        ensure!(clean, "{state}");
        Ok(())
    };
    fixture.eventually("the drift to be repaired", repaired).await?;
    // Adopted in each way that there is, and deleted again.
    for (name, _) in planted(&fixture) {
        let adoption = if name == "found" { "Always" } else { "Tagged" };
        let chosen = json!({ "roleName": format!("{name}-role"), "policyName": format!("{name}-policy"), "adoptionPolicy": adoption });
        apply(name, chosen).await.with_context(|| name.to_owned())?;
    }
    fixture.deleted("life").await?;
    for (name, _) in planted(&fixture) {
        fixture.deleted(name).await?;
    }
    fixture.account_deleted(&account).await?;

    let calls = fixture.calls(0);
    for action in WRITES.into_iter().chain([SWEEP]) {
        ensure!(calls.iter().any(|call| call.action == action && call.outcome == "OK"), "no life needed {action}");
    }
    Ok(())
}

/// The resources that are adopted, by the first part of their names: without an owner and with consent, of another cluster
/// and with consent, and without owner and consent.
fn planted(fixture: &Fixture<'_>) -> [(&'static str, Tags); 3] {
    let mut inherited = fixture.consent("inherited");
    inherited.extend(tags(&[
        ("auroralogexport.dev/managed-by", "old"),
        ("auroralogexport.dev/cluster-uid", "old-uid"),
        ("auroralogexport.dev/owner", "old/owner"),
    ]));
    [("offered", fixture.consent("offered")), ("inherited", inherited), ("found", Tags::new())]
}

/// Creates the boundary, and a role and a policy for each way of adoption.
fn plant(fixture: &Fixture<'_>) -> Result<()> {
    let shared = fixture.aws.world().account(ID);
    let mut iam = shared.lock();
    iam.create_policy(&CreatePolicy {
        name: "aurora-log-export-boundary".into(),
        document: LOGS.into(),
        ..CreatePolicy::default()
    })?;
    for (name, tags) in planted(fixture) {
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
            trust: RDS_TRUST.into(),
            tags,
            ..CreateRole::default()
        })?;
    }
    Ok(())
}
