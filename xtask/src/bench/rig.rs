//! The environment of one run, and what is done in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aurora_test_support::controlplane::ControlPlaneOptions;
use aurora_test_support::environment::Environment;
use aurora_test_support::iam_model::handle::Shared;
use aurora_test_support::iam_model::http::{Server, ServerOptions};
use aurora_test_support::iam_model::{Iam, Quotas};
use aurora_test_support::operator::{Operator, OperatorOptions};
use aurora_test_support::wait::wait_for;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, PostParams};

use super::measure::{Phase, Usage, usage};

pub(super) const ACCOUNT: &str = "111122223333";
pub(super) const SWEEP: &str = "GetAccountAuthorizationDetails";
/// Items on a page of the model of IAM.
pub(super) const PAGE: usize = 100;
const NAMESPACES: usize = 10;
const SWEEPS: u64 = 3;
/// Between sweeps by default.
const INTERVAL: Duration = Duration::from_mins(1);
/// Between sweeps where a phase only waits for them.
const QUICK: &str = "--drift-check-interval=10s";
const LIMIT: Duration = Duration::from_mins(30);

pub(super) struct Rig {
    env: Environment,
    aws: Server,
    binary: PathBuf,
    operator: Option<Operator>,
    objects: usize,
    namespaces: Vec<String>,
}

/// Flags of the operator.
#[derive(Clone, Copy)]
enum Flags {
    /// The rate limit is not what is measured: the emulator answers at once.
    Unbound,
    /// Sweeps follow quickly, too.
    Quick,
    /// The same, but objects are read one by one.
    OneByOne,
    /// As a user gets it.
    Defaults,
}

/// Where a phase began.
struct Mark {
    calls: BTreeMap<String, u64>,
    requests: BTreeMap<String, u64>,
    at: Instant,
    cpu: f64,
    reconciles: f64,
}

impl Rig {
    pub(super) async fn start(binary: &Path, objects: usize) -> Result<Self> {
        let env = Environment::start(ControlPlaneOptions { controller_manager: false, audit: true }).await?;
        env.install_crds().await?;
        env.install_rbac().await?;
        let aws = Server::start(ServerOptions { log_capacity: 0, ..ServerOptions::default() })?;
        aws.world().add_key("test", ACCOUNT);
        aws.world().configure(ACCOUNT, |settings, quotas| {
            settings.page_cap = Some(PAGE);
            *quotas = Quotas::without_entity_limits();
        });
        let mut namespaces = Vec::new();
        for _ in 0..NAMESPACES {
            namespaces.push(env.namespace().await?);
        }
        let mut rig = Self { env, aws, binary: binary.to_owned(), operator: None, objects, namespaces };
        rig.start_operator(Flags::Unbound).await?;
        Ok(rig)
    }

    async fn start_operator(&mut self, chosen: Flags) -> Result<()> {
        let mut flags = vec!["--cluster-name=bench", "--log-filter=warn"];
        flags.extend(match chosen {
            Flags::Unbound => &["--drift-scan=bulk"][..],
            Flags::Quick => &["--drift-scan=bulk", QUICK],
            Flags::OneByOne => &["--drift-scan=per-resource", QUICK],
            Flags::Defaults => &[],
        });
        if !matches!(chosen, Flags::Defaults) {
            flags.extend(["--iam-reads-per-second=100000", "--iam-writes-per-second=100000"]);
        }
        let options = OperatorOptions::new(&self.binary).arguments(flags).aws_endpoint(&self.aws.url());
        self.operator = Some(Operator::start(&self.env, options).await?);
        Ok(())
    }

    fn operator(&self) -> Result<&Operator> {
        self.operator.as_ref().context("the operator is not running")
    }

    fn iam(&self) -> Shared {
        self.aws.world().account(ACCOUNT)
    }

    async fn mark(&self) -> Result<Mark> {
        Ok(Mark {
            calls: self.aws.gate().counts(),
            requests: self.requests()?,
            reconciles: self.reconciles().await?,
            cpu: usage(self.operator()?.id())?.cpu,
            at: Instant::now(),
        })
    }

    async fn since(&self, mark: &Mark) -> Result<Phase> {
        let (took, usage) = (mark.at.elapsed(), usage(self.operator()?.id())?);
        Ok(Phase {
            took,
            reconciles: self.reconciles().await? - mark.reconciles,
            calls: difference(&self.aws.gate().counts(), &mark.calls),
            requests: difference(&self.requests()?, &mark.requests),
            cpu: usage.cpu - mark.cpu,
            usage,
        })
    }

    /// Reconciles that have ended, whatever they came to.
    async fn reconciles(&self) -> Result<f64> {
        let metrics = self.operator()?.metrics().await?;
        let lines = metrics.lines().filter(|line| line.starts_with("auroralogexport_reconcile_total{"));
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// The operator's requests so far, by verb.
    fn requests(&self) -> Result<BTreeMap<String, u64>> {
        let mut counts = BTreeMap::new();
        for event in self.env.audit_events()? {
            let by_operator =
                event["user"]["username"].as_str().is_some_and(|name| name.contains("aurora-log-export-operator"));
            let verb = event["verb"].as_str().unwrap_or_default();
            if by_operator && verb != "watch" && event["objectRef"]["resource"] != "events" {
                *counts.entry(verb.to_owned()).or_insert(0) += 1;
            }
        }
        Ok(counts)
    }

    pub(super) async fn idle(&mut self) -> Result<Usage> {
        tokio::time::sleep(Duration::from_secs(5)).await;
        usage(self.operator()?.id())
    }

    pub(super) async fn create(&mut self) -> Result<Phase> {
        let mark = self.mark().await?;
        let client = self.env.client().await?;
        let mut tasks = tokio::task::JoinSet::new();
        for (index, namespace) in self.namespaces.iter().enumerate() {
            let (api, namespace, count) = (api(&client, namespace), namespace.clone(), self.objects / NAMESPACES);
            let count = if index == 0 { count + self.objects % NAMESPACES } else { count };
            tasks.spawn(async move {
                for number in 0..count {
                    let object = serde_json::from_value(serde_json::json!({
                        "apiVersion": "auroralogexport.dev/v1alpha1", "kind": "AuroraLogExportPolicy",
                        "metadata": { "name": format!("o{number}"), "namespace": namespace }, "spec": {},
                    }))?;
                    api.create(&PostParams::default(), &object).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        self.wait_ready().await?;
        self.since(&mark).await
    }

    async fn wait_ready(&self) -> Result<()> {
        // Listing ten thousand objects again and again would slow down what is measured; the model is in this process.
        wait_for("every role to have its policy", LIMIT, async || {
            let attached = self.aws.gate().counts().get("AttachRolePolicy").copied().unwrap_or_default();
            ensure!(attached >= self.objects as u64, "{attached} of {}", self.objects);
            Ok(())
        })
        .await?;
        let client = self.env.client().await?;
        wait_for("every object to be ready", LIMIT, async || {
            let mut ready = 0;
            for namespace in &self.namespaces {
                let list = api(&client, namespace).list(&ListParams::default()).await?;
                ready += list.items.iter().filter(|object| is_ready(object)).count();
            }
            ensure!(ready == self.objects, "{ready} of {}", self.objects);
            Ok(())
        })
        .await
    }

    fn sweeps(&self) -> u64 {
        self.aws.gate().counts().get(SWEEP).copied().unwrap_or_default()
    }

    /// So many sweeps from now on.
    async fn wait_sweeps(&self, more: u64) -> Result<()> {
        self.wait_sweeps_since(self.sweeps(), more).await
    }

    /// So many sweeps since there were so many calls for them. A sweep has pages of roles and policies.
    async fn wait_sweeps_since(&self, before: u64, more: u64) -> Result<()> {
        let pages = (2 * self.objects).div_ceil(PAGE).max(1) as u64;
        let until = before + more * pages;
        wait_for("sweeps", LIMIT, async || {
            ensure!(self.sweeps() >= until, "{} of {until} pages", self.sweeps());
            Ok(())
        })
        .await
    }

    /// Exactly so many sweeps in sync.
    pub(super) async fn steady(&mut self) -> Result<Phase> {
        // Objects settle after their last write; then sweeps find everything in sync.
        self.wait_sweeps(2).await?;
        tokio::time::sleep(INTERVAL / 2).await;
        let mark = self.mark().await?;
        self.wait_sweeps(SWEEPS).await?;
        self.since(&mark).await
    }

    /// Also how long it took from the start of the process to its first call of IAM.
    pub(super) async fn restart(&mut self) -> Result<(Phase, Duration)> {
        let before = self.sweeps();
        let (first_call, mark) = self.start_again(Flags::Quick).await?;
        self.wait_sweeps_since(before, 1).await?;
        // What a sweep suspects would be read right after it.
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok((self.since(&mark).await?, first_call))
    }

    async fn start_again(&mut self, flags: Flags) -> Result<(Duration, Mark)> {
        self.stop_operator().await?;
        let (calls, requests, at) = (self.aws.gate().counts(), self.requests()?, Instant::now());
        let before = self.sweeps();
        let world = self.aws.gate().clone();
        let first_call = tokio::spawn(async move {
            while world.counts().get(SWEEP).copied().unwrap_or_default() == before && at.elapsed() < LIMIT {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            at.elapsed()
        });
        self.start_operator(flags).await?;
        Ok((first_call.await?, Mark { calls, requests, at, cpu: 0.0, reconciles: 0.0 }))
    }

    /// Every object is read by itself and found in sync, once.
    pub(super) async fn resyncs(&mut self) -> Result<Phase> {
        // No sweep to wait for.
        self.stop_operator().await?;
        self.start_operator(Flags::OneByOne).await?;
        // The first resync of each reads more: the documents of versions are not cached yet.
        self.wait_reconciles(self.objects).await?;
        let mark = self.mark().await?;
        self.wait_reconciles(2 * self.objects).await?;
        let phase = self.since(&mark).await?;
        let before = self.sweeps();
        self.start_again(Flags::Quick).await?;
        self.wait_sweeps_since(before, 1).await?;
        Ok(phase)
    }

    /// Until so many reconciles have ended since the process began.
    #[allow(clippy::cast_precision_loss)] // counts far below 2^52
    async fn wait_reconciles(&self, until: usize) -> Result<()> {
        wait_for("reconciles", LIMIT, async || {
            let ended = self.reconciles().await?;
            ensure!(ended >= until as f64, "{ended} of {until}");
            Ok(())
        })
        .await
    }

    pub(super) async fn drift_everywhere(&mut self) -> Result<Phase> {
        let mark = self.mark().await?;
        let arns = self.policy_arns();
        self.edit_by_hand(&arns, "s3:*")?;
        self.wait_repaired(&arns).await?;
        self.since(&mark).await
    }

    /// From one manual edit to its repair, with the operator's default settings, at the worst moment: just after a
    /// sweep has been there.
    pub(super) async fn one_edit(&mut self) -> Result<Duration> {
        let before = self.sweeps();
        self.start_again(Flags::Defaults).await?;
        self.wait_sweeps_since(before, 1).await?;
        // The last page has been asked for, and is still to be judged.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let arns: Vec<String> = self.policy_arns().into_iter().take(1).collect();
        let began = Instant::now();
        self.edit_by_hand(&arns, "ec2:*")?;
        self.wait_repaired(&arns).await?;
        Ok(began.elapsed())
    }

    /// A new default version of each policy, which allows this action.
    fn edit_by_hand(&self, arns: &[String], action: &str) -> Result<()> {
        let document = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"{action}","Resource":"*"}}]}}"#
        );
        for arn in arns {
            self.iam().lock().create_policy_version(arn, &document, true)?;
        }
        Ok(())
    }

    fn policy_arns(&self) -> Vec<String> {
        let snapshot = self.iam().lock().snapshot();
        let policies = snapshot["policies"].as_object().cloned().unwrap_or_default();
        policies.values().filter_map(|policy| policy["arn"].as_str().map(str::to_owned)).collect()
    }

    async fn wait_repaired(&self, arns: &[String]) -> Result<()> {
        wait_for("the repair", LIMIT, async || {
            let iam = self.iam();
            let iam = iam.lock();
            let wrong = arns.iter().filter(|arn| !is_repaired(&iam, arn)).count();
            ensure!(wrong == 0, "{wrong} still differ");
            Ok(())
        })
        .await
    }

    pub(super) async fn delete(&mut self) -> Result<Phase> {
        let before = self.sweeps();
        self.start_again(Flags::Quick).await?;
        self.wait_sweeps_since(before, 1).await?;
        let mark = self.mark().await?;
        let client = self.env.client().await?;
        for namespace in &self.namespaces {
            api(&client, namespace).delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
        }
        wait_for("IAM to be empty", LIMIT, async || {
            let (roles, policies) = self.iam().lock().counts();
            ensure!(roles + policies == 0, "{roles} roles and {policies} policies are left");
            Ok(())
        })
        .await?;
        self.since(&mark).await
    }

    pub(super) async fn stop_operator(&mut self) -> Result<()> {
        self.operator.take().context("the operator is not running")?.stop().await?;
        Ok(())
    }
}

fn is_repaired(iam: &Iam, arn: &str) -> bool {
    iam.get_policy(arn)
        .and_then(|policy| iam.get_policy_version(arn, &policy.default_version))
        .is_ok_and(|version| version.document.as_str().contains("logs:PutLogEvents"))
}

pub(super) fn api(client: &kube::Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("auroralogexport.dev", "v1alpha1", "AuroraLogExportPolicy");
    let resource = ApiResource::from_gvk_with_plural(&kind, "auroralogexportpolicies");
    Api::namespaced_with(client.clone(), namespace, &resource)
}

pub(super) fn is_ready(object: &DynamicObject) -> bool {
    let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn difference(now: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut difference = BTreeMap::new();
    for (key, count) in now {
        // The API server begins a new audit log when the old one is large: then what is left of the phase is counted.
        let more = count.saturating_sub(before.get(key).copied().unwrap_or_default());
        if more > 0 {
            difference.insert(key.clone(), more);
        }
    }
    difference
}
