//! Accounts that cannot be entered: the right condition, no write anywhere, and recovery by itself.

use anyhow::{Result, ensure};
use aurora_log_export_operator::api::Reason;
use aurora_test_support::iam_model::faults::{Effect, FaultPlan, Rule};
use aurora_test_support::iam_model::http::{Credential, KeyState};
use aurora_test_support::wait::wait_for;
use serde_json::{Value, json};

use super::bench::{Bench, HUB, LIMIT, role_arn};

const ID: &str = "111111111111";

/// An account and a policy in it, each with this reason; gives the messages of both.
async fn refused(bench: &Bench, account: &str, of_account: Reason, of_policy: Reason) -> Result<[String; 2]> {
    let object = bench.wait_account(account, of_account.as_str()).await?;
    let conditions = object.status.unwrap_or_default().conditions;
    assert_eq!(conditions[1].type_, "Stalled", "{conditions:?}");
    let policy = bench.wait_policy(bench.ns(), "orders", of_policy.as_str()).await?;
    Ok([conditions[0].message.to_string(), policy])
}

#[tokio::test]
async fn a_wrong_external_id_is_denied_and_the_right_one_recovers() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    bench.server.world().require_external_id(&role_arn(ID), Some("right-one"));
    let wrong = json!({ "assumeRole": { "externalId": "wrong-one" } });
    let account = bench.account("prod", ID, wrong).await?;
    bench.policy(bench.ns(), "orders", json!({ "accountRef": { "name": account } })).await?;
    let messages = refused(&bench, &account, Reason::AccessDenied, Reason::AccessDenied).await?;
    for message in messages {
        assert!(message.contains("sts:AssumeRole") && message.contains(&role_arn(ID)), "{message}");
        assert!(message.contains("trust policy") && message.contains("external id"), "{message}");
        assert!(!message.contains("wrong-one"), "an external id is nobody's business: {message}");
    }
    assert!(bench.writes_since(0).is_empty());
    bench.account("prod", ID, json!({ "assumeRole": { "externalId": "right-one" } })).await?;
    bench.wait_account(&account, "InSync").await?;
    bench.wait_policy(bench.ns(), "orders", "InSync").await?;
    assert_eq!((bench.holds(ID), bench.holds(HUB)), ((1, 1), (0, 0)));
    Ok(())
}

#[tokio::test]
async fn a_role_that_cannot_be_assumed_is_entered_as_soon_as_it_can() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    bench.server.world().close_role(&role_arn(ID), true);
    let account = bench.account("prod", ID, json!({})).await?;
    bench.policy(bench.ns(), "orders", json!({ "accountRef": { "name": account } })).await?;
    refused(&bench, &account, Reason::AccessDenied, Reason::AccessDenied).await?;
    assert!(bench.writes_since(0).is_empty());
    // Nobody touches Kubernetes.
    bench.server.world().close_role(&role_arn(ID), false);
    bench.wait_account(&account, "InSync").await?;
    bench.wait_policy(bench.ns(), "orders", "InSync").await?;
    Ok(())
}

#[tokio::test]
async fn an_expired_session_is_replaced_and_disturbs_no_other_account() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    let (ns, other) = (bench.ns().to_owned(), "222222222222");
    let account = bench.account("prod", ID, json!({})).await?;
    let quiet = bench.account("quiet", other, json!({})).await?;
    bench.policy(&ns, "orders", json!({ "accountRef": { "name": account } })).await?;
    bench.policy(&ns, "quiet", json!({ "accountRef": { "name": quiet } })).await?;
    bench.wait_policy(&ns, "orders", "InSync").await?;
    bench.wait_policy(&ns, "quiet", "InSync").await?;
    let before = (bench.snapshot(ID), bench.policies(&ns).get("quiet").await?.metadata.resource_version);
    // AWS takes no session of that account any more.
    let expired = Effect::Error {
        code: "ExpiredToken".into(),
        status: 403,
        message: "The security token included in the request is expired".into(),
    };
    let rule = Rule::new(expired, &["*", "!AssumeRole"]).in_account(ID);
    bench.server.gate().set_faults(FaultPlan::of(1, vec![rule]));
    bench.wait_policy(&ns, "orders", "CredentialsInvalid").await?;
    let mark = bench.server.gate().last_seq();
    wait_for("looks at the other account", LIMIT, async || {
        let looks = bench.iam_calls_since(mark, other).len();
        ensure!(looks >= 10, "{looks} calls");
        Ok(())
    })
    .await?;
    bench.server.gate().clear_faults();
    bench.wait_policy(&ns, "orders", "InSync").await?;
    let after = (bench.snapshot(ID), bench.policies(&ns).get("quiet").await?.metadata.resource_version);
    assert_eq!(after, before, "nothing was written, in AWS or to the other policy's status");
    Ok(())
}

#[tokio::test]
async fn sessions_that_all_expire_at_once_are_replaced() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    let account = bench.account("prod", ID, json!({})).await?;
    bench.policy(bench.ns(), "orders", json!({ "accountRef": { "name": account } })).await?;
    bench.wait_policy(bench.ns(), "orders", "InSync").await?;
    let mark = bench.server.gate().last_seq();
    bench.server.world().expire_sessions();
    wait_for("a new session at work", LIMIT, async || {
        let calls = bench.server.gate().calls_since(mark);
        let assumed = calls.iter().position(|call| call.action == "AssumeRole" && call.outcome == "OK");
        let worked =
            assumed.is_some_and(|at| calls[at..].iter().any(|call| call.action == "GetRole" && call.outcome == "OK"));
        ensure!(worked, "{} calls", calls.len());
        Ok(())
    })
    .await?;
    bench.wait_policy(bench.ns(), "orders", "InSync").await?;
    assert!(bench.writes_since(mark).is_empty());
    Ok(())
}

#[tokio::test]
async fn credentials_of_another_account_are_a_mismatch_and_make_no_call() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    // The operator's own credentials, under a name that promises another account.
    let account = bench.account("prod", ID, json!({ "assumeRole": Value::Null })).await?;
    bench.policy(bench.ns(), "orders", json!({ "accountRef": { "name": account } })).await?;
    let messages = refused(&bench, &account, Reason::AccountMismatch, Reason::AccountNotReady).await?;
    for message in messages {
        assert!(message.contains(ID) && message.contains(HUB), "{message}");
    }
    assert!(bench.iam_calls_since(0, HUB).is_empty() && bench.iam_calls_since(0, ID).is_empty());
    // The operator is given credentials of that account: nobody touches Kubernetes.
    bench.server.world().set_credential("test", key(ID));
    bench.wait_account(&account, "InSync").await?;
    bench.wait_policy(bench.ns(), "orders", "InSync").await?;
    assert_eq!((bench.holds(ID), bench.holds(HUB)), ((1, 1), (0, 0)));
    Ok(())
}

#[tokio::test]
async fn own_credentials_that_come_to_belong_to_another_account_stop_every_write() -> Result<()> {
    let bench = Bench::start(1, &["--account-id=100000000000"]).await?;
    let ns = bench.ns().to_owned();
    bench.policy(&ns, "orders", json!({})).await?;
    bench.wait_policy(&ns, "orders", "InSync").await?;
    let before = bench.snapshot(HUB);
    // Somebody rotates the key: the old one is gone, and a restart finds the key of another account.
    bench.server.world().set_credential("test", key(ID));
    let mut bench = bench;
    let next =
        super::bench::start_operator(bench.env, &bench.namespaces, &bench.server, &["--account-id=100000000000"])
            .await?;
    std::mem::replace(&mut bench.operator, next).stop().await?;
    let mark = bench.server.gate().last_seq();
    bench.policy(&ns, "orders", json!({ "description": "new" })).await?;
    let message = bench.wait_policy(&ns, "orders", "AccountNotReady").await?;
    assert!(message.contains(ID) && message.contains(HUB), "{message}");
    assert!(bench.writes_since(mark).is_empty());
    assert_eq!((bench.snapshot(HUB), bench.holds(ID)), (before, (0, 0)));
    bench.server.world().set_credential("test", key(HUB));
    bench.wait_policy(&ns, "orders", "InSync").await?;
    Ok(())
}

#[tokio::test]
async fn a_revoked_key_is_told_apart_from_a_denied_role() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    bench.server.world().set_key_state("test", KeyState::Revoked);
    let account = bench.account("prod", ID, json!({})).await?;
    bench.policy(bench.ns(), "orders", json!({ "accountRef": { "name": account } })).await?;
    refused(&bench, &account, Reason::CredentialsInvalid, Reason::CredentialsInvalid).await?;
    bench.server.world().set_key_state("test", KeyState::Active);
    bench.wait_account(&account, "InSync").await?;
    bench.wait_policy(bench.ns(), "orders", "InSync").await?;
    Ok(())
}

/// What may pass by itself is no failure: kstatus must not give up on it.
#[tokio::test]
async fn an_account_that_nobody_answers_for_is_being_retried_and_recovers() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    let silent = Rule::new(Effect::Unavailable, &["AssumeRole", "GetCallerIdentity"]);
    bench.server.gate().set_faults(FaultPlan::of(1, vec![silent]));
    let account = bench.account("prod", ID, json!({})).await?;
    let object = bench.wait_account(&account, "Progressing").await?;
    let conditions = object.status.unwrap_or_default().conditions;
    let of = |at: usize| [&*conditions[at].type_, &*conditions[at].status, &*conditions[at].reason];
    assert_eq!([of(0), of(1)], [["Ready", "False", "Progressing"], ["Reconciling", "True", "Retrying"]]);
    assert_eq!(conditions.len(), 2, "{conditions:?}");
    bench.server.gate().clear_faults();
    bench.wait_account(&account, "InSync").await?;
    Ok(())
}

fn key(account: &str) -> Credential {
    Credential {
        account: account.to_owned(),
        arn: format!("arn:aws:iam::{account}:user/operator"),
        user_id: "AIDAEXAMPLE".into(),
        state: KeyState::Active,
        expires_ms: None,
    }
}
