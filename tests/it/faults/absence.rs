//! While AWS or the API server is unavailable, objects keep changing: the operator's memory and open files depend on the
//! number of objects, not on the number of changes.
//!
//! The long forms, ten minutes each: `cargo test --test it -- --ignored --nocapture soak`.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aurora_test_support::iam_model::faults::{Effect, Rule};
use aurora_test_support::operator::Operator;
use aurora_test_support::wait::wait_for;
use futures::future::try_join_all;
use serde_json::json;

use crate::fixture::{Fixture, says};

const REGIONS: [&str; 3] = ["eu-central-1", "us-east-1", "ap-south-1"];
/// The longest backoff is a minute; the rest is for a busy machine.
const CONVERGENCE: Duration = Duration::from_mins(3);
/// Connections: one for each object that is reconciled at the same time (24), and a few more to either side.
const MORE_FILES: usize = 40;
const MORE_THREADS: usize = 8;
/// Variation of the allocator; a queue of all events would be far larger in the long form.
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
    let fixture = Fixture::with(&["--drift-check-interval=5s", "--log-filter=warn"]).start().await?;
    change_all(&fixture, plan, 0).await?;
    converged(&fixture, plan, 0).await?;
    let base = Vitals::of(fixture.operator()?)?;
    let gone = Rule::new(Effect::DropConnection, &["*"]).with_probability(0.5);
    // The other half is never answered.
    let silent = Rule::new(Effect::Latency { ms: 3_600_000 }, &["*"]);
    fixture.set_faults([gone, silent]);
    let last = endure(&fixture, plan, base).await?;
    fixture.clear_faults();
    let calm = Instant::now();
    converged(&fixture, plan, last).await.with_context(|| fixture.log())?;
    println!("converged {:?} after AWS was back", calm.elapsed());
    fixture.finish().await
}

async fn without_api_server(plan: Plan) -> Result<()> {
    let mut fixture = Fixture::with(&["--drift-check-interval=5s", "--log-filter=warn"]).prepare().await?;
    let link = fixture.start_behind_link().await?;
    change_all(&fixture, plan, 0).await?;
    converged(&fixture, plan, 0).await?;
    let base = Vitals::of(fixture.operator()?)?;
    link.cut();
    let last = endure(&fixture, plan, base).await?;
    link.mend();
    let calm = Instant::now();
    converged(&fixture, plan, last).await.with_context(|| fixture.log())?;
    println!("converged {:?} after the API server was back", calm.elapsed());
    let after = Vitals::of(fixture.operator()?)?;
    println!("afterwards {after}");
    ensure!(after.files <= base.files + MORE_FILES, "{after}, {base} before");
    fixture.finish().await
}

/// Changes all objects again and again; returns the number of the last round.
async fn endure(fixture: &Fixture<'_>, plan: Plan, base: Vitals) -> Result<usize> {
    let operator = fixture.operator()?;
    let began = Instant::now();
    let (mut round, mut halfway) = (0, None);
    println!("before: {base}");
    while round < plan.rounds || began.elapsed() < plan.lasts {
        round += 1;
        change_all(fixture, plan, round).await?;
        // The interval of the changes.
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

async fn change_all(fixture: &Fixture<'_>, plan: Plan, round: usize) -> Result<()> {
    let spec = json!({ "scope": { "regions": [region(round)] } });
    let changes = (0..plan.objects).map(|number| {
        let spec = spec.clone();
        async move { fixture.apply(&format!("o{number}"), spec).await }
    });
    try_join_all(changes).await.map(drop)
}

async fn converged(fixture: &Fixture<'_>, plan: Plan, round: usize) -> Result<()> {
    wait_for("every object to be ready", CONVERGENCE, async || {
        let objects = fixture.objects().await?;
        let waiting = objects.iter().filter(|object| !says(object, "Ready", "True", "InSync")).count();
        ensure!(objects.len() == plan.objects && waiting == 0, "{waiting} of {} objects wait", objects.len());
        Ok(())
    })
    .await?;
    for number in 0..plan.objects {
        let document = fixture.document(&format!("o{number}"))?;
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
