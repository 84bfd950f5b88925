//! Credentials that are missing, expire, are exchanged, or belong to another account: nothing is written and no finalizer is
//! removed until they are right; then the operator continues without a restart.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use aurora_test_support::iam_model::faults::{Effect, Rule};
use aurora_test_support::iam_model::http::KeyState;
use aurora_test_support::moto::ACCESS_KEY;
use aurora_test_support::operator::OperatorOptions;
use aurora_test_support::wait::wait_for;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::fixture::{ACCOUNT, Fixture, LIMIT, condition, message};

const OTHER_ACCOUNT: &str = "999988887777";

/// The operator's credentials file.
struct KeyFile(PathBuf);

impl KeyFile {
    /// A fixture without an operator, and the path of a file that does not exist yet.
    async fn prepare() -> Result<(Fixture<'static>, Self)> {
        let fixture = Fixture::with(&[]).prepare().await?;
        let file = Self(fixture.env.dir().join(format!("{}.credentials", fixture.namespace())));
        Ok((fixture, file))
    }

    /// A fixture whose operator works with this key.
    async fn start(key: &str) -> Result<(Fixture<'static>, Self)> {
        let (mut fixture, file) = Self::prepare().await?;
        file.write(key)?;
        fixture.start_operator_with(file.options(&fixture, &[])).await?;
        Ok((fixture, file))
    }

    /// Replaces the file as a whole, as a mounted secret is.
    fn write(&self, key: &str) -> Result<()> {
        let content = format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = unchecked\n");
        let next = self.0.with_extension("next");
        std::fs::write(&next, content)?;
        std::fs::rename(&next, &self.0).context("cannot replace the credentials")
    }

    /// Options of an operator that reads this file.
    fn options(&self, fixture: &Fixture<'_>, flags: &[&str]) -> OperatorOptions {
        // The environment comes first in the SDK's chain; an empty variable counts as unset.
        let options = fixture.options(flags).env("AWS_ACCESS_KEY_ID", "").env("AWS_SECRET_ACCESS_KEY", "");
        let file = self.0.display().to_string();
        options.env("AWS_SHARED_CREDENTIALS_FILE", &file).env("AWS_EC2_METADATA_DISABLED", "true")
    }
}

fn contains(text: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(text.contains(part), "{part:?} is not in {text:?}");
    }
    Ok(())
}

#[tokio::test]
async fn credentials_that_are_missing_at_first_are_taken_up_when_they_come() -> Result<()> {
    let (mut fixture, file) = KeyFile::prepare().await?;
    assert!(!file.0.exists());
    fixture.start_operator_with(file.options(&fixture, &[])).await?;
    fixture.apply("waiting", json!({})).await?;
    let status = fixture.not_ready("waiting", "CredentialsInvalid").await?;
    contains(&message(&status), &["sts:GetCallerIdentity", "check the operator's AWS credentials"])?;
    ensure!(condition(&status, "Stalled").is_some(), "{status}");
    file.write(ACCESS_KEY)?;
    fixture.ready("waiting").await?;
    fixture.finish().await
}

/// As on EKS with IAM roles for service accounts: the SDK itself asks STS for credentials, and waits without end.
#[tokio::test]
async fn a_source_of_credentials_that_does_not_answer_is_told_and_asked_again() -> Result<()> {
    let (mut fixture, file) = KeyFile::prepare().await?;
    let token = file.0.with_extension("token");
    std::fs::write(&token, "of the service account")?;
    let options = file
        .options(&fixture, &[])
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", &token.display().to_string())
        .env("AWS_ROLE_ARN", &format!("arn:aws:iam::{ACCOUNT}:role/operator"));
    fixture.set_faults([Rule::new(Effect::Latency { ms: 120_000 }, &["AssumeRoleWithWebIdentity"])]);
    fixture.start_operator_with(options).await?;
    fixture.apply("waiting", json!({})).await?;
    let status = fixture.not_ready("waiting", "AwsUnavailable").await?;
    contains(&message(&status), &["no credentials within 20 s"])?;
    fixture.clear_faults();
    fixture.ready("waiting").await?;
    fixture.finish().await
}

/// The agent of EKS Pod Identity on a node: it gives credentials for this token. Returns its URL.
async fn agent(token: &'static str) -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}/v1/credentials", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && client.read_buf(&mut head).await.is_ok_and(|count| count > 0) {}
            let head = String::from_utf8_lossy(&head).to_lowercase();
            let keys = json!({
                "AccessKeyId": ACCESS_KEY, "SecretAccessKey": "unchecked", "Token": "of the session",
                "Expiration": "2999-01-01T00:00:00Z",
            });
            let good = head.contains(&format!("\r\nauthorization: {token}\r\n"));
            let (status, body) = if good { (200, keys.to_string()) } else { (403, String::new()) };
            let answer =
                format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            let _ = client.write_all(answer.as_bytes()).await;
        }
    });
    Ok(url)
}

/// As on EKS with Pod Identity. The SDK would send the token as it stands in the file.
#[tokio::test]
async fn a_token_file_may_end_in_a_line_break_and_an_error_names_it() -> Result<()> {
    const CONTAINER: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
    let (mut fixture, file) = KeyFile::prepare().await?;
    let token = file.0.with_extension("token");
    let path = token.display().to_string();
    let url = agent("s3cret").await?;
    let pod_identity = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str());
    let web_identity = ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/operator");
    for (object, variable, (other, value), content, refused) in [
        ("plain", CONTAINER, pod_identity, Some("s3cret"), None),
        ("line-break", CONTAINER, pod_identity, Some("s3cret\n"), None),
        ("wrong", CONTAINER, pod_identity, Some("wr0ng\n"), Some("HTTP 403")),
        ("missing", "AWS_WEB_IDENTITY_TOKEN_FILE", web_identity, None, Some("os error 2")),
    ] {
        match content {
            Some(content) => std::fs::write(&token, content)?,
            None => std::fs::remove_file(&token)?,
        }
        let options = file.options(&fixture, &[]).env(variable, &path).env(other, value);
        fixture.start_operator_with(options).await?;
        fixture.apply(object, json!({})).await?;
        match refused {
            None => drop(fixture.ready(object).await?),
            Some(why) => {
                let message = fixture.refusal(object, "CredentialsInvalid").await?;
                contains(&message, &[&format!("{variable}={path}"), why])?;
            }
        }
        let log = fixture.operator()?.log_text()?;
        ensure!(!log.contains("s3cret") && !log.contains("wr0ng"), "{log}");
        fixture.stop_operator().await?;
    }
    Ok(())
}

#[tokio::test]
async fn credentials_that_are_exchanged_are_taken_up_without_a_word() -> Result<()> {
    let (fixture, file) = KeyFile::start(ACCESS_KEY).await?;
    fixture.applied("a", json!({})).await?;
    let before = fixture.object("a").await?;
    fixture.aws.world().add_key("second", ACCOUNT);
    file.write("second")?;
    fixture.aws.world().set_key_state(ACCESS_KEY, KeyState::Revoked);
    let mark = fixture.mark();
    wait_for("resyncs with the new key", LIMIT, async || {
        let calls = fixture.calls(mark);
        let reads = calls.iter().filter(|call| call.access_key == "second" && call.action == "GetRole");
        ensure!(reads.count() >= 2, "{calls:?}");
        Ok(())
    })
    .await?;
    let after = fixture.object("a").await?;
    assert_eq!(before.metadata.resource_version, after.metadata.resource_version, "{after:?}");
    fixture.finish().await
}

#[tokio::test]
async fn expired_credentials_are_told_and_nothing_is_lost() -> Result<()> {
    let (fixture, _file) = KeyFile::start(ACCESS_KEY).await?;
    fixture.apply("a", json!({})).await?;
    fixture.apply("doomed", json!({})).await?;
    fixture.all_ready(2).await?;
    fixture.aws.world().set_key_state(ACCESS_KEY, KeyState::Expired);
    let status = fixture.not_ready("a", "CredentialsInvalid").await?;
    contains(&message(&status), &["ExpiredToken", "check the operator's AWS credentials"])?;
    fixture.delete("doomed").await?;
    fixture.not_ready("doomed", "CredentialsInvalid").await?;
    let finalizers = fixture.object("doomed").await?.metadata.finalizers;
    ensure!(finalizers.is_some_and(|finalizers| !finalizers.is_empty()), "released");
    fixture.aws.world().set_key_state(ACCESS_KEY, KeyState::Active);
    fixture.ready("a").await?;
    fixture.gone("doomed").await?;
    assert!(fixture.iam().get_role(&fixture.name("doomed")).is_err());
    fixture.finish().await
}

#[tokio::test]
async fn the_credentials_of_another_account_write_nothing_and_release_nothing() -> Result<()> {
    let (mut fixture, file) = KeyFile::start(ACCESS_KEY).await?;
    fixture.apply("a", json!({})).await?;
    fixture.apply("doomed", json!({})).await?;
    fixture.all_ready(2).await?;
    fixture.stop_operator().await?;

    // Without --account-id, the expected account is that of each object's status.
    fixture.aws.world().add_key("elsewhere", OTHER_ACCOUNT);
    file.write("elsewhere")?;
    let mark = fixture.mark();
    fixture.start_operator_with(file.options(&fixture, &[])).await?;
    fixture.delete("doomed").await?;
    // This edit needs a write.
    fixture.apply("a", json!({ "scope": { "regions": ["eu-central-1"] } })).await?;
    for name in ["a", "doomed"] {
        let status = fixture.not_ready(name, "AccountNotReady").await?;
        contains(&message(&status), &[OTHER_ACCOUNT, ACCOUNT, "give the operator credentials of"])?;
    }
    let finalizers = fixture.object("doomed").await?.metadata.finalizers;
    ensure!(finalizers.is_some_and(|finalizers| !finalizers.is_empty()), "released");
    assert_eq!(fixture.writes(mark), []);
    fixture.stop_operator().await?;

    // With the flag, it is the same for a new object.
    let expected = format!("--account-id={ACCOUNT}");
    fixture.start_operator_with(file.options(&fixture, &[&expected])).await?;
    fixture.apply("new", json!({})).await?;
    let status = fixture.not_ready("new", "AccountNotReady").await?;
    contains(&message(&status), &[OTHER_ACCOUNT, ACCOUNT])?;
    assert_eq!(fixture.writes(mark), []);

    // The file is read again, without a restart.
    file.write(ACCESS_KEY)?;
    fixture.ready("new").await?;
    fixture.ready("a").await?;
    fixture.gone("doomed").await?;
    let elsewhere = fixture.snapshot(OTHER_ACCOUNT);
    assert!(elsewhere["roles"].as_object().is_some_and(serde_json::Map::is_empty), "{elsewhere}");
    contains(&fixture.document("a")?, &["eu-central-1"])?;
    fixture.finish().await
}
