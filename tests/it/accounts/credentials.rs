//! Accounts whose role cannot be assumed: the right condition, no write anywhere, and recovery by itself.

use anyhow::Result;
use aurora_log_export_operator::api::Reason;
use aurora_test_support::iam_model::faults::{Effect, Rule};
use aurora_test_support::iam_model::http::{Credential, KeyState};
use aurora_test_support::moto::ACCESS_KEY;
use serde_json::{Value, json};

use super::objects::{of_account, role_arn};
use crate::fixture::{ACCOUNT, Fixture, message};

const ID: &str = "111111111111";

/// Waits until an account and the policy `orders` in it have these reasons; returns the messages of both.
async fn refused(fixture: &Fixture<'_>, account: &str, of_account: Reason, of_policy: Reason) -> Result<[String; 2]> {
    let status = fixture.account_not_ready(account, of_account.as_str()).await?;
    assert_eq!(status["conditions"][1]["type"], "Stalled", "{status}");
    Ok([message(&status), fixture.refusal("orders", of_policy.as_str()).await?])
}

#[tokio::test]
async fn a_wrong_external_id_is_denied_and_the_right_one_recovers() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    fixture.aws.world().require_external_id(&role_arn(ID), Some("right-one"));
    let wrong = json!({ "assumeRole": { "externalId": "wrong-one" } });
    let account = fixture.account("prod", ID, wrong).await?;
    fixture.apply("orders", of_account(&account)).await?;
    let messages = refused(&fixture, &account, Reason::AccessDenied, Reason::AccessDenied).await?;
    for message in messages {
        assert!(message.contains("sts:AssumeRole") && message.contains(&role_arn(ID)), "{message}");
        assert!(message.contains("trust policy") && message.contains("external id"), "{message}");
        assert!(!message.contains("wrong-one"), "an external id is not shown: {message}");
    }
    assert!(fixture.writes(0).is_empty());
    fixture.account("prod", ID, json!({ "assumeRole": { "externalId": "right-one" } })).await?;
    fixture.account_ready(&account).await?;
    fixture.ready("orders").await?;
    assert_eq!((fixture.holds(ID), fixture.holds(ACCOUNT)), ((1, 1), (0, 0)));
    Ok(())
}

#[tokio::test]
async fn a_role_that_cannot_be_assumed_is_entered_as_soon_as_it_can() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    fixture.aws.world().close_role(&role_arn(ID), true);
    let account = fixture.account("prod", ID, json!({})).await?;
    fixture.apply("orders", of_account(&account)).await?;
    refused(&fixture, &account, Reason::AccessDenied, Reason::AccessDenied).await?;
    assert!(fixture.writes(0).is_empty());
    // Nothing changes in Kubernetes.
    fixture.aws.world().close_role(&role_arn(ID), false);
    fixture.account_ready(&account).await?;
    fixture.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn an_expired_session_is_replaced_and_disturbs_no_other_account() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let other = "222222222222";
    let account = fixture.account("prod", ID, json!({})).await?;
    let quiet = fixture.account("quiet", other, json!({})).await?;
    fixture.apply("orders", of_account(&account)).await?;
    fixture.apply("quiet", of_account(&quiet)).await?;
    fixture.ready("orders").await?;
    fixture.ready("quiet").await?;
    let before = (fixture.snapshot(ID), fixture.object("quiet").await?.metadata.resource_version);
    // AWS refuses all sessions of that account from now on.
    let expired = Effect::Error {
        code: "ExpiredToken".into(),
        status: 403,
        message: "The security token included in the request is expired".into(),
    };
    fixture.set_faults([Rule::new(expired, &["*", "!AssumeRole"]).in_account(ID)]);
    fixture.not_ready("orders", "CredentialsInvalid").await?;
    let mark = fixture.mark();
    fixture.eventually_true("resyncs in the other account", || Ok(fixture.calls_in(other, mark).len() >= 10)).await?;
    fixture.clear_faults();
    fixture.ready("orders").await?;
    let after = (fixture.snapshot(ID), fixture.object("quiet").await?.metadata.resource_version);
    assert_eq!(after, before, "nothing was written, in AWS or to the other policy's status");
    Ok(())
}

#[tokio::test]
async fn sessions_that_all_expire_at_once_are_replaced() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let account = fixture.account("prod", ID, json!({})).await?;
    fixture.applied("orders", of_account(&account)).await?;
    let mark = fixture.mark();
    fixture.aws.world().expire_sessions();
    let at_work = || {
        let calls = fixture.calls(mark);
        let assumed = calls.iter().position(|call| call.action == "AssumeRole" && call.outcome == "OK");
        Ok(assumed.is_some_and(|at| calls[at..].iter().any(|call| call.action == "GetRole" && call.outcome == "OK")))
    };
    fixture.eventually_true("a new session at work", at_work).await?;
    fixture.ready("orders").await?;
    assert!(fixture.writes(mark).is_empty());
    Ok(())
}

#[tokio::test]
async fn credentials_of_another_account_are_a_mismatch_and_make_no_call() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    // The operator's own credentials, with the id of another account.
    let account = fixture.account("prod", ID, json!({ "assumeRole": Value::Null })).await?;
    fixture.apply("orders", of_account(&account)).await?;
    let messages = refused(&fixture, &account, Reason::AccountMismatch, Reason::AccountNotReady).await?;
    for message in messages {
        assert!(message.contains(ID) && message.contains(ACCOUNT), "{message}");
    }
    assert!(fixture.calls_in(ACCOUNT, 0).is_empty() && fixture.calls_in(ID, 0).is_empty());
    // The operator gets credentials of that account; nothing changes in Kubernetes.
    fixture.aws.world().set_credential(ACCESS_KEY, key(ID));
    fixture.account_ready(&account).await?;
    fixture.ready("orders").await?;
    assert_eq!((fixture.holds(ID), fixture.holds(ACCOUNT)), ((1, 1), (0, 0)));
    Ok(())
}

#[tokio::test]
async fn own_credentials_that_come_to_belong_to_another_account_stop_every_write() -> Result<()> {
    let expected = format!("--account-id={ACCOUNT}");
    let mut fixture = Fixture::with(&[&expected]).start().await?;
    fixture.applied("orders", json!({})).await?;
    let before = fixture.snapshot(ACCOUNT);
    // The key is rotated: after the restart, the operator has the key of another account.
    fixture.aws.world().set_credential(ACCESS_KEY, key(ID));
    fixture.restart_with(&[&expected]).await?;
    let mark = fixture.mark();
    fixture.apply("orders", json!({ "description": "new" })).await?;
    let message = fixture.refusal("orders", "AccountNotReady").await?;
    assert!(message.contains(ID) && message.contains(ACCOUNT), "{message}");
    assert!(fixture.writes(mark).is_empty());
    assert_eq!((fixture.snapshot(ACCOUNT), fixture.holds(ID)), (before, (0, 0)));
    fixture.aws.world().set_credential(ACCESS_KEY, key(ACCOUNT));
    fixture.ready("orders").await?;
    Ok(())
}

#[tokio::test]
async fn a_revoked_key_is_told_apart_from_a_denied_role() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    fixture.aws.world().set_key_state(ACCESS_KEY, KeyState::Revoked);
    let account = fixture.account("prod", ID, json!({})).await?;
    fixture.apply("orders", of_account(&account)).await?;
    refused(&fixture, &account, Reason::CredentialsInvalid, Reason::CredentialsInvalid).await?;
    fixture.aws.world().set_key_state(ACCESS_KEY, KeyState::Active);
    fixture.account_ready(&account).await?;
    fixture.ready("orders").await?;
    Ok(())
}

/// A state that may recover by itself is no failure for kstatus.
#[tokio::test]
async fn an_account_that_nobody_answers_for_is_being_retried_and_recovers() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    fixture.set_faults([Rule::new(Effect::Unavailable, &["AssumeRole", "GetCallerIdentity"])]);
    let account = fixture.account("prod", ID, json!({})).await?;
    let status = fixture.account_not_ready(&account, "Progressing").await?;
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let found: Vec<_> = conditions.map(|it| [&it["type"], &it["status"], &it["reason"]]).collect();
    assert_eq!(found, [["Ready", "False", "Progressing"], ["Reconciling", "True", "Retrying"]]);
    fixture.clear_faults();
    fixture.account_ready(&account).await?;
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
