//! Events are published asynchronously, and none is lost when the operator stops.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use aurora_test_support::apiserver_proxy::{Fault, Rule, Verb};
use serde_json::json;

use crate::fixture::Fixture;

#[tokio::test]
async fn what_was_done_is_told_before_the_operator_ends() -> Result<()> {
    let mut fixture = Fixture::with(&["--drift-check-interval=1h"]).prepare().await?;
    let proxy = fixture.start_behind_proxy().await?;
    proxy.set_rules(vec![Rule::new(Fault::Delay(Duration::from_secs(1)), Verb::Create, "events")]);
    fixture.applied("told", json!({})).await?;
    fixture.stop_operator().await?;

    let told = fixture.events().await?.into_iter().filter_map(|event| event.reason);
    let expected = ["InSync", "PolicyAttached", "PolicyCreated", "RoleCreated"].map(str::to_owned);
    assert_eq!(told.collect::<BTreeSet<_>>(), BTreeSet::from(expected));
    fixture.finish().await
}
