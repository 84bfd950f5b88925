//! The drift scan: one sweep looks at every object of an account.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use aurora_test_support::environment::Environment;
use aurora_test_support::iam_model::faults::{Effect, FaultPlan, Rule};
use aurora_test_support::iam_model::http::Server;
use aurora_test_support::iam_model::{CreateRole, Role};
use aurora_test_support::operator::{Operator, OperatorOptions};
use aurora_test_support::wait::wait_for;

use crate::emulators::aws;
use crate::environment;

const LIMIT: Duration = Duration::from_mins(1);
/// Once in sixty sweeps an object is read by itself, which finds everything, too.
const BEFORE_THE_SLOW_LOOK: Duration = Duration::from_secs(20);
const ACCOUNT: &str = "222233334444";
const OBJECTS: usize = 30;
const OTHER_TRUST: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}"#;
const SWEEP: &str = "GetAccountAuthorizationDetails";

/// An account in the model, an operator that sweeps it every second, and objects that are in sync.
struct Swept<'a> {
    env: &'a Environment,
    namespace: String,
    aws: Server,
}

impl Swept<'_> {
    async fn new() -> Result<Self> {
        let env = environment().await?;
        let aws = aws()?;
        aws.world().add_key("test", ACCOUNT);
        aws.world().configure(ACCOUNT, |settings, _| {
            settings.page_cap = Some(20);
            settings.short_page_probability = 0.2;
        });
        let namespace = env.namespace().await?;
        Ok(Self { env, namespace, aws })
    }

    async fn operator(&self, mode: &str) -> Result<Operator> {
        let watch = format!("--watch-namespace={}", self.namespace);
        let scan = format!("--drift-scan={mode}");
        let flags = [
            watch.as_str(),
            scan.as_str(),
            "--drift-check-interval=1s",
            "--cluster-name=swept",
            "--iam-reads-per-second=500",
            "--iam-writes-per-second=500",
        ];
        let options = OperatorOptions::new(env!("CARGO_BIN_EXE_aurora-log-export-operator"));
        Operator::start(self.env, options.arguments(flags).aws_endpoint(&self.aws.url())).await
    }

    async fn objects(&self) -> Result<()> {
        let documents: Vec<String> = (0..OBJECTS).map(|number| self.manifest(&format!("o{number}"))).collect();
        self.env.apply_yaml(&documents.join("---\n")).await?;
        self.env
            .kubectl(&["wait", "--for=condition=Ready", "alep", "--all", "-n", &self.namespace, "--timeout=60s"])
            .await?;
        Ok(())
    }

    async fn object(&self, name: &str) -> Result<()> {
        self.env.apply_yaml(&self.manifest(name)).await.map(drop)
    }

    fn manifest(&self, name: &str) -> String {
        format!(
            "apiVersion: auroralogexport.dev/v1alpha1\nkind: AuroraLogExportPolicy\n\
             metadata: {{name: {name}, namespace: {}}}\nspec: {{}}\n",
            self.namespace
        )
    }

    async fn ready(&self, object: &str, status: &str) -> Result<()> {
        let condition = format!("--for=condition=Ready={status}");
        self.env.kubectl(&["wait", &condition, "alep", object, "-n", &self.namespace, "--timeout=60s"]).await.map(drop)
    }

    /// A role made by hand under an object's name.
    fn foreign_role(&self, object: &str) -> Result<Role> {
        let name = format!("{}.{object}", self.namespace);
        let request = CreateRole { name, trust: OTHER_TRUST.to_owned(), ..CreateRole::default() };
        Ok(self.aws.world().account(ACCOUNT).lock().create_role(&request)?)
    }

    /// What was called about an object's own policy and role, in order.
    fn calls_about(&self, object: &str) -> Vec<String> {
        let name = format!("{}.{object}", self.namespace);
        let calls = self.aws.gate().calls_since(0).into_iter().filter(|call| call.resource.ends_with(&name));
        calls.map(|call| call.action).collect()
    }

    fn role(&self, number: usize) -> String {
        format!("{}.o{number}", self.namespace)
    }

    fn policy(&self, name: &str) -> String {
        format!("arn:aws:iam::{ACCOUNT}:policy/aurora-log-export/{name}")
    }

    /// Waits for so many more sweeps that are over.
    async fn sweeps(&self, more: u64) -> Result<()> {
        let sweeps = || self.aws.gate().counts().get(SWEEP).copied().unwrap_or_default();
        // At most 60 entities in pages of 20, some of them short.
        let until = sweeps() + more * 8;
        wait_for("sweeps", LIMIT, async || {
            ensure!(sweeps() >= until, "{} calls so far", sweeps());
            Ok(())
        })
        .await
    }

    /// Waits for sweeps that find everything in sync.
    async fn quiet(&self) -> Result<()> {
        wait_for("a sweep without suspects", LIMIT, async || {
            self.aws.gate().clear_log();
            self.sweeps(2).await?;
            let calls = self.other_calls();
            ensure!(calls.is_empty(), "{calls:?}");
            Ok(())
        })
        .await
    }

    /// One edit of every kind that a sweep can see, each to another object.
    fn edit_by_hand(&self) -> Result<()> {
        let document = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#;
        let policy = |number| self.policy(&self.role(number));
        let account = self.aws.world().account(ACCOUNT);
        let mut iam = account.lock();
        let edited = iam
            .update_assume_role_policy(&self.role(7), OTHER_TRUST)
            .and_then(|()| iam.put_role_permissions_boundary(&self.role(8), &policy(1)))
            .and_then(|()| iam.detach_role_policy(&self.role(9), &policy(9)))
            .and_then(|()| iam.create_policy_version(&policy(10), document, true).map(drop))
            .and_then(|()| iam.create_policy_version(&policy(11), document, true).map(drop))
            .and_then(|()| iam.detach_role_policy(&self.role(11), &policy(11)));
        edited.map_err(|error| anyhow!("{error:?}"))
    }

    /// Calls that are not sweeps or of the operator's own identity.
    fn other_calls(&self) -> Vec<String> {
        let counts = self.aws.gate().counts();
        let other = counts.iter().filter(|(action, _)| !["GetCallerIdentity", SWEEP].contains(&action.as_str()));
        other.map(|(action, count)| format!("{action}: {count}")).collect()
    }
}

#[tokio::test]
async fn sweeps_cost_no_call_per_object_and_find_every_kind_of_manual_edit() -> Result<()> {
    let swept = Swept::new().await?;
    let operator = swept.operator("bulk").await?;
    swept.objects().await?;
    // Objects settle for 5 s after their last write; later sweeps find everything in sync.
    swept.sweeps(6).await?;
    swept.quiet().await?;
    // Twice: what was seen in sync again is looked at as closely as before.
    for round in 1..=2 {
        swept.edit_by_hand()?;
        for (field, edits) in [("trust", 1), ("permissionsBoundary", 1), ("attachments", 2), ("document", 2)] {
            let expected = f64::from(edits * round);
            wait_for(&format!("{expected} repairs of {field}"), BEFORE_THE_SLOW_LOOK, async || {
                let repaired = operator.metric("auroralogexport_drift_repaired_total", &[("field", field)]).await?;
                ensure!((repaired - expected).abs() < f64::EPSILON, "{repaired}");
                Ok(())
            })
            .await?;
        }
        swept.quiet().await?;
    }
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_restart_in_sync_costs_no_read_per_object() -> Result<()> {
    let swept = Swept::new().await?;
    let operator = swept.operator("bulk").await?;
    swept.objects().await?;
    operator.stop().await?;
    swept.aws.gate().clear_log();
    let operator = swept.operator("bulk").await?;
    swept.sweeps(2).await?;
    let calls = swept.other_calls();
    assert!(calls.is_empty(), "{calls:?}");
    let written = operator.metric("auroralogexport_status_writes_total", &[]).await.unwrap_or_default();
    assert!(written < 0.5, "{written} status writes");
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn without_the_permission_objects_are_read_one_by_one() -> Result<()> {
    let swept = Swept::new().await?;
    swept.aws.gate().set_faults(FaultPlan::of(1, vec![Rule::new(Effect::AccessDenied, &[SWEEP])]));
    let operator = swept.operator("bulk").await?;
    swept.objects().await?;
    let (role, account) = (swept.role(3), swept.aws.world().account(ACCOUNT));
    account.lock().detach_role_policy(&role, &swept.policy(&role)).map_err(|error| anyhow!("{error:?}"))?;
    wait_for("the policy to be attached again", LIMIT, async || {
        ensure!(!account.lock().attached_to(&role).is_empty(), "nothing is attached");
        Ok(())
    })
    .await?;
    operator.stop().await?;
    Ok(())
}
