//! While AWS or the API server is away, objects change and change: what the operator holds in memory, and what it has open,
//! depends on how many objects there are, not on how much has happened to them.
//!
//! The long forms, ten minutes each: `cargo test --test it -- --ignored --nocapture soak`.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aurora_test_support::iam_model::faults::{Effect, FaultPlan, Rule};
use aurora_test_support::link::Link;
use aurora_test_support::operator::Operator;
use aurora_test_support::wait::wait_for;
use futures::future::try_join_all;
use serde_json::json;

use super::site::{Site, says, server_of};

const REGIONS: [&str; 3] = ["eu-central-1", "us-east-1", "ap-south-1"];
/// A pause after failures is at most a minute; what comes on top is the machine's.
const CONVERGENCE: Duration = Duration::from_mins(3);
/// Connections: one for each object at work (16), a few more to either side.
const MORE_FILES: usize = 40;
const MORE_THREADS: usize = 8;
/// What an allocator may keep or lose between two looks; a queue of the events would be far more in the long form.
const MORE_KIB: usize = 16 * 1024;

#[derive(Clone, Copy)]
struct Plan {
    objects: usize,
    /// At least so many times every object changes.
    rounds: usize,
    /// And for at least this long.
    lasts: Duration,
    /// Between two rounds.
    pause: Duration,
}

const SHORT: Plan = Plan { objects: 100, rounds: 8, lasts: Duration::from_secs(10), pause: Duration::from_millis(100) };
const LONG: Plan = Plan { objects: 200, rounds: 40, lasts: Duration::from_mins(10), pause: Duration::from_secs(5) };

#[tokio::test]
async fn the_absence_of_aws_costs_no_memory_for_each_change() -> Result<()> {
    without_aws(SHORT).await
}

#[tokio::test]
async fn the_absence_of_the_api_server_costs_no_memory_for_each_change() -> Result<()> {
    without_api_server(SHORT).await
}

#[tokio::test]
#[ignore = "takes a quarter of an hour: cargo test --test it -- --ignored --nocapture soak"]
async fn soak_ten_minutes_without_aws() -> Result<()> {
    without_aws(LONG).await
}

#[tokio::test]
#[ignore = "takes a quarter of an hour: cargo test --test it -- --ignored --nocapture soak"]
async fn soak_ten_minutes_without_the_api_server() -> Result<()> {
    without_api_server(LONG).await
}

async fn without_aws(plan: Plan) -> Result<()> {
    let site = Site::start().await?;
    let operator = site.operator(&["--drift-check-interval=5s", "--log-filter=warn"]).await?;
    change_all(&site, plan, 0).await?;
    converged(&site, plan, 0).await?;
    let base = Vitals::of(&operator)?;
    let gone = Rule::new(Effect::DropConnection, &["*"]).with_probability(0.5);
    // The other half is never answered.
    let silent = Rule::new(Effect::Latency { ms: 3_600_000, jitter_ms: 0 }, &["*"]);
    site.aws.gate().set_faults(FaultPlan::of(1, vec![gone, silent]));
    let last = endure(&site, &operator, plan, base).await?;
    site.aws.gate().clear_faults();
    let calm = Instant::now();
    converged(&site, plan, last).await.with_context(|| operator.log().display().to_string())?;
    println!("converged {:?} after AWS was back", calm.elapsed());
    operator.stop().await?;
    Ok(())
}

async fn without_api_server(plan: Plan) -> Result<()> {
    let site = Site::start().await?;
    let access = site.env.install_rbac().await?;
    let link = Link::to(server_of(&access.kubeconfig)?).await?;
    let mut options = site.options(&["--drift-check-interval=5s", "--log-filter=warn"]);
    options.kubeconfig = Some(site.kubeconfig_via(link.addr()).await?);
    let operator = Operator::start(site.env, options).await?;
    change_all(&site, plan, 0).await?;
    converged(&site, plan, 0).await?;
    let base = Vitals::of(&operator)?;
    link.cut();
    let last = endure(&site, &operator, plan, base).await?;
    link.mend();
    let calm = Instant::now();
    converged(&site, plan, last).await.with_context(|| operator.log().display().to_string())?;
    println!("converged {:?} after the API server was back", calm.elapsed());
    let after = Vitals::of(&operator)?;
    println!("afterwards {after}");
    ensure!(after.files <= base.files + MORE_FILES, "{after}, {base} before");
    operator.stop().await?;
    Ok(())
}

/// Changes everything again and again; gives the number of the last round.
async fn endure(site: &Site<'_>, operator: &Operator, plan: Plan, base: Vitals) -> Result<usize> {
    let began = Instant::now();
    let (mut round, mut halfway) = (0, None);
    println!("before: {base}");
    while round < plan.rounds || began.elapsed() < plan.lasts {
        round += 1;
        change_all(site, plan, round).await?;
        // The pace of the changes: nothing is waited for.
        tokio::time::sleep(plan.pause).await;
        let now = Vitals::of(operator)?;
        if round % (plan.rounds / 4) == 0 {
            println!("{:?}, {} changes: {now}", began.elapsed(), round * plan.objects);
        }
        ensure!(now.files <= base.files + MORE_FILES, "{now}, {base} before");
        ensure!(now.threads <= base.threads + MORE_THREADS, "{now}, {base} before");
        if halfway.is_none() && round >= plan.rounds / 2 && began.elapsed() >= plan.lasts / 2 {
            halfway = Some(now);
        }
    }
    let (now, halfway) = (Vitals::of(operator)?, halfway.unwrap_or(base));
    ensure!(now.kib <= halfway.kib + MORE_KIB, "{now} at the end, {halfway} halfway");
    Ok(round)
}

fn region(round: usize) -> &'static str {
    REGIONS[round % REGIONS.len()]
}

async fn change_all(site: &Site<'_>, plan: Plan, round: usize) -> Result<()> {
    let spec = json!({ "scope": { "regions": [region(round)] } });
    let changes = (0..plan.objects).map(|number| {
        let spec = spec.clone();
        async move { site.apply(&format!("o{number}"), spec).await }
    });
    try_join_all(changes).await.map(drop)
}

async fn converged(site: &Site<'_>, plan: Plan, round: usize) -> Result<()> {
    wait_for("every object to be ready", CONVERGENCE, async || {
        let objects = site.objects().await?;
        let waiting = objects.iter().filter(|object| !says(object, "Ready", "True", "InSync")).count();
        ensure!(objects.len() == plan.objects && waiting == 0, "{waiting} of {} objects wait", objects.len());
        Ok(())
    })
    .await?;
    for number in 0..plan.objects {
        let document = site.document(&format!("o{number}"))?;
        ensure!(document.contains(region(round)), "o{number}: {document}");
    }
    Ok(())
}

/// What the operator's process holds.
#[derive(Clone, Copy)]
struct Vitals {
    /// Resident memory.
    kib: usize,
    threads: usize,
    /// Open files, connections included.
    files: usize,
}

impl Vitals {
    fn of(operator: &Operator) -> Result<Self> {
        let process = format!("/proc/{}", operator.id());
        let status = std::fs::read_to_string(format!("{process}/status"))?;
        let number = |key: &str| -> Result<usize> {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).with_context(|| format!("no {key}"))?;
            Ok(line.split_whitespace().next().unwrap_or_default().parse()?)
        };
        let files = std::fs::read_dir(format!("{process}/fd"))?.count();
        Ok(Self { kib: number("VmRSS:")?, threads: number("Threads:")?, files })
    }
}

impl fmt::Display for Vitals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} KiB resident, {} threads, {} open files", self.kib, self.threads, self.files)
    }
}
