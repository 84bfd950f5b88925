//! The failure of one account is nobody else's.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aurora_test_support::iam_model::faults::{Effect, FaultPlan, Rule};
use aurora_test_support::wait::wait_for;
use futures::future::try_join_all;
use kube::api::ListParams;
use serde_json::json;

use super::bench::{Bench, LIMIT};

const ACCOUNTS: usize = 50;
/// In the account that hangs: more than would fit at once into all places of a common pool.
const CROWD: usize = 20;

fn id(number: usize) -> String {
    format!("{:012}", 300_000_000_000 + number)
}

/// Fifty accounts with a policy each, and a crowd in the first; how long the other 49 took to be in sync.
async fn converge(faults: FaultPlan) -> Result<(Bench, Duration)> {
    let bench = Bench::start(1, &["--concurrency=4"]).await?;
    bench.server.gate().set_faults(faults);
    let ns = bench.ns().to_owned();
    let accounts = try_join_all(
        (0..ACCOUNTS).map(async |number| bench.account(&format!("a{number}"), &id(number), json!({})).await),
    )
    .await?;
    let began = Instant::now();
    let crowd = (0..CROWD).map(|number| (format!("crowd-{number}"), &accounts[0]));
    let others = accounts.iter().enumerate().map(|(number, account)| (format!("p{number}"), account));
    try_join_all(
        crowd
            .chain(others)
            .map(async |(name, account)| bench.policy(&ns, &name, json!({ "accountRef": { "name": account } })).await),
    )
    .await?;
    wait_for("the other accounts to be in sync", LIMIT * 2, async || {
        let listed = bench.policies(&ns).list(&ListParams::default()).await?;
        let late: Vec<_> = listed
            .items
            .iter()
            .filter(|object| object.spec.account_ref.as_ref().is_some_and(|it| it.name != accounts[0]))
            .filter(|object| {
                let conditions = object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
                !conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True")
            })
            .filter_map(|object| object.metadata.name.clone())
            .collect();
        ensure!(late.is_empty() && listed.items.len() == CROWD + ACCOUNTS, "not yet: {late:?}");
        Ok(())
    })
    .await
    .with_context(|| bench.log())?;
    Ok((bench, began.elapsed()))
}

#[tokio::test]
async fn an_account_that_is_throttled_to_a_halt_or_hangs_delays_no_other() -> Result<()> {
    let (_, alone) = converge(FaultPlan::none()).await?;
    let throttles = Effect::Throttle;
    let hangs = Effect::Latency { ms: 30_000, jitter_ms: 0 };
    for (effect, recovers) in [(throttles, true), (hangs, false)] {
        let rule = Rule::new(effect.clone(), &["*"]).in_account(&id(0));
        let (bench, beside) = converge(FaultPlan::of(1, vec![rule])).await?;
        println!("49 accounts in sync after {alone:?} without, {beside:?} beside one with {effect:?}");
        assert_eq!(bench.holds(&id(0)), (0, 0), "it stands still, and the others are done");
        // What a busy machine does to a measurement of seconds is forgiven; what a shared pool of places would do is not:
        // the crowd would fill it several times over, 20 s each.
        ensure!(
            beside < alone * 2 + Duration::from_secs(10),
            "{beside:?} beside one with {effect:?}, {alone:?} without"
        );
        if recovers {
            bench.server.gate().clear_faults();
            bench.wait_policy(bench.ns(), "p0", "InSync").await?;
        }
    }
    Ok(())
}
