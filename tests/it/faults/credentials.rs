//! Credentials that are missing, expire, are exchanged, or belong to another account: nothing is written and no
//! finalizer released until they are right, and then work goes on without a restart.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use aurora_test_support::iam_model::faults::{Effect, FaultPlan, Rule};
use aurora_test_support::iam_model::http::KeyState;
use aurora_test_support::operator::{Operator, OperatorOptions};
use aurora_test_support::wait::wait_for;
use serde_json::json;

use super::site::{ACCOUNT, LIMIT, Site, condition, message};

const OTHER_ACCOUNT: &str = "999988887777";
const FLAGS: [&str; 1] = ["--drift-check-interval=1s"];

/// A site whose operator reads its credentials from a file.
struct Keys {
    site: Site<'static>,
    file: PathBuf,
}

impl Keys {
    async fn start() -> Result<Self> {
        let site = Site::start().await?;
        let file = site.env.dir().join(format!("{}.credentials", site.namespace));
        Ok(Self { site, file })
    }

    /// As a secret that is mounted: replaced as a whole.
    fn write(&self, key: &str) -> Result<()> {
        let content = format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = unchecked\n");
        let next = self.file.with_extension("next");
        std::fs::write(&next, content)?;
        std::fs::rename(&next, &self.file).context("cannot replace the credentials")
    }

    fn options(&self, flags: &[&str]) -> OperatorOptions {
        let file = self.file.display().to_string();
        let mut options = self.site.options(flags).env("AWS_SHARED_CREDENTIALS_FILE", &file);
        options = options.env("AWS_EC2_METADATA_DISABLED", "true");
        // The environment comes first in the SDK's chain; what is empty counts as unset.
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            options = options.env(name, "");
        }
        options
    }

    async fn operator(&self, flags: &[&str]) -> Result<Operator> {
        Operator::start(self.site.env, self.options(flags)).await
    }

    fn nothing_written(&self, mark: u64) -> Result<()> {
        let writes = self.site.writes(mark);
        ensure!(writes.is_empty(), "{writes:#?}");
        Ok(())
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
    let keys = Keys::start().await?;
    let (site, file) = (&keys.site, keys.file.as_path());
    assert!(!Path::new(file).exists());
    let operator = keys.operator(&FLAGS).await?;
    site.apply("waiting", json!({})).await?;
    let status = site.until("waiting", "False", "CredentialsInvalid").await?;
    contains(&message(&status), &["sts:GetCallerIdentity", "check the operator's AWS credentials"])?;
    ensure!(condition(&status, "Stalled").is_some(), "{status}");
    keys.write("test")?;
    site.ready("waiting").await?;
    operator.stop().await?;
    Ok(())
}

/// As on EKS with IAM roles for service accounts: the SDK itself asks STS for credentials, and waits without end.
#[tokio::test]
async fn a_source_of_credentials_that_does_not_answer_is_told_and_asked_again() -> Result<()> {
    let keys = Keys::start().await?;
    let site = &keys.site;
    let token = keys.file.with_extension("token");
    std::fs::write(&token, "of the service account")?;
    let options = keys
        .options(&FLAGS)
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", &token.display().to_string())
        .env("AWS_ROLE_ARN", &format!("arn:aws:iam::{ACCOUNT}:role/operator"));
    let silent = Rule::new(Effect::Latency { ms: 120_000, jitter_ms: 0 }, &["AssumeRoleWithWebIdentity"]);
    site.aws.gate().set_faults(FaultPlan::of(1, vec![silent]));
    let operator = Operator::start(site.env, options).await?;
    site.apply("waiting", json!({})).await?;
    let status = site.until("waiting", "False", "AwsUnavailable").await?;
    contains(&message(&status), &["no credentials came within 20 s"])?;
    site.aws.gate().clear_faults();
    site.ready("waiting").await?;
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn credentials_that_are_exchanged_are_taken_up_without_a_word() -> Result<()> {
    let keys = Keys::start().await?;
    let site = &keys.site;
    keys.write("test")?;
    let operator = keys.operator(&FLAGS).await?;
    site.apply("a", json!({})).await?;
    site.ready("a").await?;
    let before = site.object("a").await?;
    site.aws.world().add_key("second", ACCOUNT);
    keys.write("second")?;
    site.aws.world().set_key_state("test", KeyState::Revoked);
    let mark = site.mark();
    wait_for("looks with the new key", LIMIT, async || {
        let calls = site.calls(mark);
        let looks = calls.iter().filter(|call| call.access_key == "second" && call.action == "GetRole");
        ensure!(looks.count() >= 2, "{calls:?}");
        Ok(())
    })
    .await?;
    let after = site.object("a").await?;
    assert_eq!(before.metadata.resource_version, after.metadata.resource_version, "{after:?}");
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn expired_credentials_are_told_and_nothing_is_lost() -> Result<()> {
    let keys = Keys::start().await?;
    let site = &keys.site;
    keys.write("test")?;
    let operator = keys.operator(&FLAGS).await?;
    site.apply("a", json!({})).await?;
    site.apply("doomed", json!({})).await?;
    site.all_ready(2).await?;
    site.aws.world().set_key_state("test", KeyState::Expired);
    let status = site.until("a", "False", "CredentialsInvalid").await?;
    contains(&message(&status), &["ExpiredToken", "check the operator's AWS credentials"])?;
    site.delete("doomed").await?;
    site.until("doomed", "False", "CredentialsInvalid").await?;
    let finalizers = site.object("doomed").await?.metadata.finalizers;
    ensure!(finalizers.is_some_and(|finalizers| !finalizers.is_empty()), "released");
    site.aws.world().set_key_state("test", KeyState::Active);
    site.ready("a").await?;
    site.gone("doomed").await?;
    assert!(site.iam().get_role(&site.name("doomed")).is_err());
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn the_credentials_of_another_account_write_nothing_and_release_nothing() -> Result<()> {
    let keys = Keys::start().await?;
    let site = &keys.site;
    keys.write("test")?;
    let operator = keys.operator(&FLAGS).await?;
    site.apply("a", json!({})).await?;
    site.apply("doomed", json!({})).await?;
    site.all_ready(2).await?;
    operator.stop().await?;

    // Without --account-id, each object's status says where it lives.
    site.aws.world().add_key("elsewhere", OTHER_ACCOUNT);
    keys.write("elsewhere")?;
    let mark = site.mark();
    let operator = keys.operator(&FLAGS).await?;
    site.delete("doomed").await?;
    // What it would have to write if it did not look.
    site.apply("a", json!({ "scope": { "regions": ["eu-central-1"] } })).await?;
    for name in ["a", "doomed"] {
        let status = site.until(name, "False", "AccountNotReady").await?;
        contains(&message(&status), &[OTHER_ACCOUNT, ACCOUNT, "give the operator credentials of"])?;
    }
    let finalizers = site.object("doomed").await?.metadata.finalizers;
    ensure!(finalizers.is_some_and(|finalizers| !finalizers.is_empty()), "released");
    keys.nothing_written(mark)?;
    operator.stop().await?;

    // With it, also a new object.
    let expected = format!("--account-id={ACCOUNT}");
    let operator = keys.operator(&[FLAGS[0], &expected]).await?;
    site.apply("new", json!({})).await?;
    let status = site.until("new", "False", "AccountNotReady").await?;
    contains(&message(&status), &[OTHER_ACCOUNT, ACCOUNT])?;
    keys.nothing_written(mark)?;

    // The file is read again, without a restart.
    keys.write("test")?;
    site.ready("new").await?;
    site.ready("a").await?;
    site.gone("doomed").await?;
    let elsewhere = site.aws.world().account(OTHER_ACCOUNT).lock().snapshot();
    assert!(elsewhere["roles"].as_object().is_some_and(serde_json::Map::is_empty), "{elsewhere}");
    contains(&site.document("a")?, &["eu-central-1"])?;
    operator.stop().await?;
    Ok(())
}
