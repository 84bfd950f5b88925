//! A panic stays local: the object or the sweep that panics is retried, everything else goes on.

use anyhow::{Result, ensure};
use aurora_test_support::wait::wait_for;
use serde_json::json;

use crate::fixture::{Fixture, LIMIT};

const OBJECTS: usize = 50;

/// The debug build panics where this variable says (`telemetry::panics::inject`).
const INJECT: &str = "ALEP_TEST_PANIC";

/// An operator that panics at `place`; `{namespace}` stands for the fixture's namespace.
async fn panicking(place: &str, flags: &[&str]) -> Result<Fixture<'static>> {
    let mut fixture = Fixture::with(flags).prepare().await?;
    let options = fixture.own_options().env(INJECT, &place.replace("{namespace}", fixture.namespace()));
    fixture.start_operator_with(options).await?;
    Ok(fixture)
}

/// Waits until at least two panics were counted, so that the first one was retried.
async fn counted(fixture: &Fixture<'_>) -> Result<()> {
    wait_for("a panic to be retried and counted", LIMIT, async || {
        let panics = fixture.metric("auroralogexport_reconcile_total", &[("result", "panic")]).await?;
        ensure!(panics >= 2.0, "{panics} panics were counted");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_panic_in_one_of_fifty_objects_leaves_the_others_and_the_process_alone() -> Result<()> {
    let mut fixture = panicking("{namespace}/o7", &[]).await?;
    for number in 0..OBJECTS {
        fixture.apply(&format!("o{number}"), json!({})).await?;
    }
    for number in (0..OBJECTS).filter(|&number| number != 7) {
        fixture.ready(&format!("o{number}")).await?;
    }
    counted(&fixture).await?;
    fixture.check_alive()?;
    let status = fixture.object("o7").await?.data["status"].clone();
    ensure!(status["conditions"].is_null(), "the object that panics cannot have conditions: {status}");
    let place = format!("object={}/o7", fixture.namespace());
    fixture.logged(&["panic: injected", &place, "src/telemetry/panics.rs"]).await?;
    fixture.finish().await
}

#[tokio::test]
async fn a_panic_in_a_sweep_is_counted_and_reconciles_go_on() -> Result<()> {
    let mut fixture = panicking("sweep own", &["--drift-scan=bulk"]).await?;
    fixture.applied("orders", json!({})).await?;
    counted(&fixture).await?;
    fixture.check_alive()?;
    fixture.finish().await
}

#[tokio::test]
async fn a_panic_anywhere_else_ends_the_process_with_a_message() -> Result<()> {
    let mut fixture = panicking("controller", &[]).await?;
    wait_for("the process to end", LIMIT, async || {
        ensure!(fixture.check_alive().is_err(), "it is still there");
        Ok(())
    })
    .await?;
    fixture.logged(&["panic: injected at controller"]).await?;
    fixture.logged(&["the process exits"]).await?;
    Ok(())
}
