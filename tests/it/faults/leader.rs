//! Two replicas, one Lease: whatever happens to the leader, its writes to AWS end before those of the next leader begin.
//!
//! The replicas have access keys of their own, so that the model's call log shows which of them wrote. They always have
//! something to write: a task keeps changing the roles by hand.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aurora_test_support::iam_model::Iam;
use aurora_test_support::iam_model::call_log::CallRecord;
use aurora_test_support::iam_model::faults::{Effect, Rule};
use aurora_test_support::link::Link;
use aurora_test_support::operator::Operator;
use aurora_test_support::wait::wait_for;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use serde_json::json;
use tokio::task::AbortHandle;

use crate::fixture::{ACCOUNT, Fixture, LIMIT, OTHER_TRUST};

const LEASE: &str = "aurora-log-export-operator";
/// As in the operator.
const LEASE_DURATION: Duration = Duration::from_secs(10);
/// As in the operator: a write must end before the lease does.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Between the operator's check of the lease and the arrival of the request, on a busy machine.
const SLACK: Duration = Duration::from_secs(1);
/// Four of them are more than the lease allows.
const LATENCY_MS: u64 = 1700;
const OBJECTS: [&str; 3] = ["one", "two", "three"];

/// Two replicas at work.
struct Pair {
    fixture: Fixture<'static>,
    /// Between the leader and the API server.
    link: Link,
    leader: Option<Operator>,
    follower: Option<Operator>,
    changes: AbortHandle,
}

/// Access key and name of a replica.
const LEADER: &str = "leader";
const FOLLOWER: &str = "follower";

impl Pair {
    async fn start(workers: usize) -> Result<Self> {
        let fixture = Fixture::with(&[]).prepare().await?;
        allow_leases(&fixture).await?;
        let link = fixture.link().await?;
        let leader = replica(&fixture, LEADER, workers, Some(&link)).await?;
        leads(&leader).await?;
        let follower = replica(&fixture, FOLLOWER, workers, None).await?;
        for name in OBJECTS {
            fixture.apply(name, json!({ "tags": { "team": "orders" } })).await?;
        }
        fixture.all_ready(OBJECTS.len()).await?;
        let changes = keep_changing(&fixture);
        let pair = Self { fixture, link, leader: Some(leader), follower: Some(follower), changes };
        pair.write_of(LEADER, 0).await?;
        Ok(pair)
    }

    /// Waits for a write of this replica after the mark.
    async fn write_of(&self, key: &str, mark: u64) -> Result<CallRecord> {
        wait_for(&format!("a write of the {key}"), LIMIT, async || {
            let mut writes = self.fixture.writes(mark).into_iter();
            writes.find(|call| call.access_key == key).context("none so far")
        })
        .await
    }

    /// Waits until it has repaired all objects once more.
    async fn more_writes_of(&self, key: &str) -> Result<()> {
        let mark = self.fixture.mark();
        wait_for(&format!("writes of the {key}"), LIMIT, async || {
            let count = self.all_of(key, mark).len();
            ensure!(count >= 2 * OBJECTS.len(), "{count} so far");
            Ok(())
        })
        .await
    }

    /// Stops the running operators, which must end with exit code 0.
    async fn finish(mut self) -> Result<()> {
        self.changes.abort();
        for operator in [self.leader.take(), self.follower.take()].into_iter().flatten() {
            operator.stop().await?;
        }
        Ok(())
    }

    /// Writes of this replica after a mark.
    fn all_of(&self, key: &str, mark: u64) -> Vec<CallRecord> {
        let mut writes = self.fixture.writes(mark);
        writes.retain(|call| call.access_key == key);
        writes
    }

    /// When the leader's lease ran out, by what it told the API server last.
    async fn lease_end(&self) -> Result<u64> {
        let api: Api<Lease> = Api::namespaced(self.fixture.client.clone(), self.fixture.namespace());
        let spec = api.get(LEASE).await?.spec.context("an empty Lease")?;
        ensure!(
            spec.holder_identity.as_deref() == Some(&format!("{LEADER}-{}", self.fixture.namespace())),
            "the leader does not hold it: {spec:?}"
        );
        let renewed = spec.renew_time.context("never renewed")?.0.as_millisecond();
        Ok(u64::try_from(renewed)? + millis(LEASE_DURATION))
    }

    fn slow_down(&self, key: &str) {
        let latency = Rule::new(Effect::Latency { ms: LATENCY_MS }, &["write"]);
        let rule = Rule { access_key: Some(key.to_owned()), ..latency };
        self.fixture.set_faults([rule]);
    }

    fn leader(&mut self) -> Result<&mut Operator> {
        self.leader.as_mut().context("the leader has ended")
    }

    /// The old leader, `late` requests aside, wrote nothing from the new one's first write on.
    fn nothing_met(&self, first: &CallRecord, late: usize) -> Result<()> {
        let after: Vec<_> = self.all_of(LEADER, 0).into_iter().filter(|call| call.at_ms >= first.at_ms).collect();
        ensure!(after.len() <= late, "the old leader wrote after the new one had begun at {}: {after:#?}", first.at_ms);
        Ok(())
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.changes.abort();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The operator's shipped Role, in the test's own namespace: each pair of replicas has a Lease of its own.
async fn allow_leases(fixture: &Fixture<'_>) -> Result<()> {
    let access = fixture.env.install_rbac().await?;
    let (namespace, account, home) = (fixture.namespace(), &access.service_account, &access.namespace);
    fixture.env
        .apply_yaml(&format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: leader-election, namespace: {namespace}}}\n\
             rules:\n\
             - {{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create]}}\n\
             - {{apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [{LEASE}], verbs: [get, update]}}\n\
             ---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: leader-election, namespace: {namespace}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: leader-election}}\n\
             subjects: [{{kind: ServiceAccount, name: {account}, namespace: {home}}}]\n"
        ))
        .await?;
    Ok(())
}

async fn replica(fixture: &Fixture<'_>, key: &str, workers: usize, link: Option<&Link>) -> Result<Operator> {
    fixture.aws.world().add_key(key, ACCOUNT);
    let workers = format!("--concurrency={workers}");
    let mut options = fixture
        .options(&["--leader-elect=true", "--drift-scan=per-resource", workers.as_str()])
        .env("AWS_ACCESS_KEY_ID", key)
        .env("POD_NAMESPACE", fixture.namespace());
    options.pod_name = Some(format!("{key}-{}", fixture.namespace()));
    if let Some(link) = link {
        options = fixture.through_link(options, link).await?;
    }
    Operator::start(fixture.env, options).await
}

async fn leads(operator: &Operator) -> Result<()> {
    wait_for("the replica to lead", LIMIT, async || {
        let leader = operator.metric("auroralogexport_leader", &[]).await?;
        ensure!(leader > 0.5, "it does not:\n{}", operator.log_text()?);
        Ok(())
    })
    .await
}

async fn follows(operator: &Operator) -> Result<()> {
    wait_for("the replica to notice that it does not lead", LIMIT, async || {
        let leader = operator.metric("auroralogexport_leader", &[]).await?;
        ensure!(leader < 0.5, "it leads:\n{}", operator.log_text()?);
        Ok(())
    })
    .await
}

/// Changes that take four writes to repair, as far as the role exists.
fn change_role(iam: &mut Iam, role: &str) {
    let _ = iam.update_assume_role_policy(role, OTHER_TRUST);
    let _ = iam.update_role_description(role, "mine");
    let _ = iam.untag_role(role, &["team".to_owned()]);
    for policy in iam.attached_to(role) {
        let _ = iam.detach_role_policy(role, &policy);
    }
}

/// Starts a task that keeps changing the roles by hand.
fn keep_changing(fixture: &Fixture<'_>) -> AbortHandle {
    let account = fixture.aws.world().account(ACCOUNT);
    let roles = OBJECTS.map(|object| fixture.name(object));
    tokio::spawn(async move {
        loop {
            for role in &roles {
                change_role(&mut account.lock(), role);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .abort_handle()
}

#[tokio::test]
async fn a_follower_acts_within_15_seconds_of_the_leaders_death() -> Result<()> {
    let mut pair = Pair::start(1).await?;
    let mark = pair.fixture.mark();
    let died = Instant::now();
    pair.leader.take().context("it runs")?.kill()?;
    pair.write_of(FOLLOWER, mark).await?;
    let took = died.elapsed();
    println!("first write {took:?} after the leader's death");
    assert!(took < Duration::from_secs(15), "{took:?}");
    pair.finish().await
}

#[tokio::test]
async fn a_follower_acts_before_the_lease_expires_after_the_leaders_orderly_end() -> Result<()> {
    let mut pair = Pair::start(1).await?;
    let mark = pair.fixture.mark();
    pair.leader.take().context("it runs")?.stop().await?;
    let ended = Instant::now();
    let first = pair.write_of(FOLLOWER, mark).await?;
    let took = ended.elapsed();
    println!("first write {took:?} after the leader's end");
    // Without the release it would wait for the whole lease.
    assert!(took < LEASE_DURATION / 2, "{took:?}");
    pair.nothing_met(&first, 0)?;
    pair.finish().await
}

#[tokio::test]
async fn a_leader_cut_off_from_the_api_server_writes_nothing_once_another_may() -> Result<()> {
    let mut pair = Pair::start(OBJECTS.len()).await?;
    // One round of repairs takes the leader longer than its lease lasts, and it is in the middle of one: it would have more
    // to write.
    pair.slow_down(LEADER);
    let mark = pair.fixture.mark();
    pair.write_of(LEADER, mark).await?;
    pair.link.cut();
    let end = pair.lease_end().await?;
    let first = pair.write_of(FOLLOWER, mark).await?;
    let written = pair.all_of(LEADER, mark);
    let last = written.last().context("it wrote nothing")?.at_ms;
    println!(
        "the leader's last write came {} ms before its lease ran out, the follower's first {} ms after",
        i128::from(end) - i128::from(last),
        i128::from(first.at_ms) - i128::from(end),
    );
    ensure!(
        last + millis(WRITE_TIMEOUT) < end + millis(SLACK),
        "a write at {last}, which may not have ended when the lease ran out at {end}"
    );
    ensure!(first.at_ms >= end, "a write of the follower at {}, before {end}", first.at_ms);

    pair.link.mend();
    follows(pair.leader()?).await?;
    pair.more_writes_of(FOLLOWER).await?;
    pair.nothing_met(&first, 0)?;
    let fenced = [("result", "fenced")];
    let fenced = pair.leader()?.metric("auroralogexport_reconcile_total", &fenced).await?;
    ensure!(fenced > 0.5, "the fence stopped nothing: the test proves nothing");

    // It is a candidate like any other again.
    let mark = pair.fixture.mark();
    pair.follower.take().context("it runs")?.stop().await?;
    pair.write_of(LEADER, mark).await?;
    pair.finish().await
}

#[tokio::test]
async fn a_leader_whose_connections_died_without_a_word_keeps_its_lease() -> Result<()> {
    let pair = Pair::start(1).await?;
    let end = pair.lease_end().await?;
    pair.link.kill_connections();
    wait_for("the leader to renew its lease once the old one is over", LIMIT, async || {
        ensure!(pair.lease_end().await? > end + millis(LEASE_DURATION), "not yet");
        Ok(())
    })
    .await?;
    pair.finish().await
}

#[tokio::test]
async fn a_leader_that_was_frozen_for_longer_than_its_lease_does_not_go_on() -> Result<()> {
    let mut pair = Pair::start(1).await?;
    let mark = pair.fixture.mark();
    pair.leader()?.pause()?;
    let first = pair.write_of(FOLLOWER, mark).await?;
    pair.leader()?.resume()?;
    follows(pair.leader()?).await?;
    pair.more_writes_of(FOLLOWER).await?;
    // One request of each worker may be under way, and there is one worker.
    pair.nothing_met(&first, 1)?;
    pair.finish().await
}
