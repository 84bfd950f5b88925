//! The failure of one account does not affect other accounts.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aurora_test_support::iam_model::faults::{Effect, FaultPlan, Rule};
use aurora_test_support::wait::wait_for;
use futures::future::try_join_all;
use serde_json::json;

use super::objects::of_account;
use crate::fixture::{Fixture, LIMIT, says};

const ACCOUNTS: usize = 50;
/// Objects in the account that hangs: more than fit into a common pool of workers.
const BURST: usize = 20;

fn id(number: usize) -> String {
    format!("{:012}", 300_000_000_000 + number)
}

/// Fifty accounts with a policy each, and a burst of policies in the first: how long the other 49 took to be in sync.
async fn converge(faults: FaultPlan) -> Result<(Fixture<'static>, Duration)> {
    let fixture = Fixture::with(&["--concurrency=4"]).start().await?;
    fixture.aws.gate().set_faults(faults);
    let accounts = try_join_all(
        (0..ACCOUNTS).map(async |number| fixture.account(&format!("a{number}"), &id(number), json!({})).await),
    )
    .await?;
    let began = Instant::now();
    let burst = (0..BURST).map(|number| (format!("burst-{number}"), &accounts[0]));
    let others = accounts.iter().enumerate().map(|(number, account)| (format!("p{number}"), account));
    let objects = burst.chain(others);
    try_join_all(objects.map(async |(name, account)| fixture.apply(&name, of_account(account)).await)).await?;
    wait_for("the other accounts to be in sync", LIMIT * 2, async || {
        let objects = fixture.objects().await?;
        let others = objects.iter().filter(|object| object.data["spec"]["accountRef"]["name"] != *accounts[0]);
        let late = others.filter(|object| !says(object, "Ready", "True", "InSync"));
        let late: Vec<_> = late.filter_map(|object| object.metadata.name.as_deref()).collect();
        ensure!(late.is_empty() && objects.len() == BURST + ACCOUNTS, "not yet: {late:?}");
        Ok(())
    })
    .await
    .with_context(|| fixture.log())?;
    Ok((fixture, began.elapsed()))
}

#[tokio::test]
async fn an_account_that_is_throttled_to_a_halt_or_hangs_delays_no_other() -> Result<()> {
    let (_, alone) = converge(FaultPlan::none()).await?;
    let throttles = Effect::Throttle;
    let hangs = Effect::Latency { ms: 30_000 };
    for (effect, recovers) in [(throttles, true), (hangs, false)] {
        let rule = Rule::new(effect.clone(), &["*"]).in_account(&id(0));
        let (fixture, beside) = converge(FaultPlan::of(1, vec![rule])).await?;
        println!("49 accounts in sync after {alone:?} without, {beside:?} beside one with {effect:?}");
        assert_eq!(fixture.holds(&id(0)), (0, 0), "it has made no progress, and the others are done");
        // A busy machine may add some seconds. A shared pool of workers would add more: the burst would fill it several
        // times, for 20 s each.
        ensure!(
            beside < alone * 2 + Duration::from_secs(10),
            "{beside:?} beside one with {effect:?}, {alone:?} without"
        );
        if recovers {
            fixture.clear_faults();
            fixture.ready("p0").await?;
        }
    }
    Ok(())
}
