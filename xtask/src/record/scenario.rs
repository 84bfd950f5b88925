//! What happens to the operator while the dashboard's Prometheus watches.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow};
use aurora_test_support::apply::manifest;
use aurora_test_support::controlplane::ControlPlaneOptions;
use aurora_test_support::environment::Environment;
use aurora_test_support::iam_model::Tags;
use aurora_test_support::iam_model::faults::{Effect, FaultPlan, Rule};
use aurora_test_support::iam_model::http::{Server, ServerOptions};
use aurora_test_support::operator::{Operator, OperatorOptions};

const OWN: &str = "111122223333";
const OTHER: &str = "444455556666";
/// Shorter than by default, so that some minutes show what hours do.
const INTERVAL: &str = "--drift-check-interval=15s";

/// A cluster, two accounts, and an operator.
pub(super) struct Scene {
    pub(super) env: Environment,
    pub(super) operator: Operator,
    aws: Server,
    began: Instant,
}

impl Scene {
    pub(super) async fn set(binary: PathBuf) -> Result<Self> {
        let env = Environment::start(ControlPlaneOptions { controller_manager: true, audit: false }).await?;
        env.install_crds().await?;
        env.install_rbac().await?;
        let aws = Server::start(ServerOptions::default())?;
        aws.world().add_key("test", OWN);
        let options = OperatorOptions::new(binary)
            .arguments(["--cluster-name=record", INTERVAL, "--leader-elect=true"])
            .aws_endpoint(&aws.url());
        let operator = Operator::start(&env, options).await?;
        Ok(Self { env, operator, aws, began: Instant::now() })
    }

    async fn apply(&self, yaml: &str) -> Result<()> {
        self.env.apply_yaml(yaml).await.map(drop)
    }

    /// A number of objects in a namespace, and the namespace.
    async fn team(&self, namespace: &str, count: usize, spec: &str) -> Result<()> {
        let mut yaml = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n");
        for number in 0..count {
            yaml.push_str(&manifest(namespace, &format!("cluster-{number}"), spec));
        }
        self.apply(&yaml).await
    }

    /// Plays it over `seconds`, saying what happens.
    pub(super) async fn play(&self, seconds: u64) -> Result<()> {
        self.team("shop", 40, "{}").await?;
        self.until(seconds, 15, "another account, and a team that uses it").await;
        let mut account =
            String::from("apiVersion: auroralogexport.dev/v1alpha1\nkind: AwsAccount\nmetadata: {name: prod}\n");
        let _ = write!(
            account,
            "spec:\n  accountId: \"{OTHER}\"\n  assumeRole: {{roleArn: \"arn:aws:iam::{OTHER}:role/operator\"}}\n  \
             allowedNamespaces: {{names: [payments]}}\n"
        );
        self.apply(&account).await?;
        self.team("payments", 12, "{accountRef: {name: prod}}").await?;
        self.until(seconds, 32, "RDS uses the roles of that team, and others are edited in the console").await;
        self.assume("payments")?;
        self.edit("shop")?;
        self.until(seconds, 50, "another tool uses up the account's calls").await;
        let throttled = Rule::new(Effect::Throttle, &["*"]).in_account(OWN).with_probability(0.6);
        self.aws.gate().set_faults(FaultPlan::of(1, vec![throttled]));
        self.edit("shop")?;
        self.until(seconds, 64, "that is over; a spec that a guardrail forbids, a suspended object, one that observes")
            .await;
        self.aws.gate().clear_faults();
        let others = manifest("shop", "cluster-1", "{suspend: true}")
            + &manifest("payments", "cluster-0", "{accountRef: {name: prod}, access: FullAccess}")
            + &manifest("shop", "cluster-2", "{managementPolicy: Observe, scope: {regions: [eu-west-1]}}");
        self.apply(&others).await?;
        self.until(seconds, 80, "an object is abandoned, and leaves orphans").await;
        self.env.kubectl(&["-n", "shop", "annotate", "alep/cluster-3", "auroralogexport.dev/abandon=true"]).await?;
        self.env.kubectl(&["-n", "shop", "delete", "alep/cluster-3", "--timeout=30s"]).await?;
        self.until(seconds, 100, "the end").await;
        Ok(())
    }

    /// Until so many percent of the time are over.
    async fn until(&self, seconds: u64, percent: u64, what: &str) {
        let at = Duration::from_millis(seconds * percent * 10);
        tokio::time::sleep(at.saturating_sub(self.began.elapsed())).await;
        println!("[{:5.1} s] {what}", self.began.elapsed().as_secs_f64());
    }

    /// As RDS does when it writes logs by the roles of a namespace.
    fn assume(&self, namespace: &str) -> Result<()> {
        let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
        let account = self.aws.world().account(OTHER);
        let mut iam = account.lock();
        for number in 0..12 {
            iam.assumed(&format!("{namespace}.cluster-{number}"), now)?;
        }
        Ok(())
    }

    /// Three kinds of edits by hand, on a dozen roles.
    fn edit(&self, namespace: &str) -> Result<()> {
        let account = self.aws.world().account(OWN);
        let mut iam = account.lock();
        for number in 10..22 {
            let name = format!("{namespace}.cluster-{number}");
            let arn = format!("arn:aws:iam::{OWN}:policy/aurora-log-export/{name}");
            let done = match number % 3 {
                0 => iam.detach_role_policy(&name, &arn),
                1 => iam.update_role_description(&name, "changed by hand").map(drop),
                _ => iam.update_assume_role_policy(&name, TRUST),
            };
            // Throttled before, an edit of the first round may not have been undone yet.
            if let Err(error) = done
                && error.code != "NoSuchEntity"
            {
                return Err(anyhow!("{name}: {}", error.code));
            }
        }
        iam.tag_role(
            &format!("{namespace}.cluster-30"),
            &Tags::from([("auroralogexport.dev/owner".into(), "x/y".into())]),
        )
        .map_err(|error| anyhow!("{}", error.code))
    }
}

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"rds.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
