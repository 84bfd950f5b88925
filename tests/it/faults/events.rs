//! Events are published beside the work, and none is lost when the operator ends.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use aurora_test_support::apiserver_proxy::{Fault, Rule, Verb};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams};
use serde_json::json;

use super::site::Site;

#[tokio::test]
async fn what_was_done_is_told_before_the_operator_ends() -> Result<()> {
    let site = Site::start().await?;
    let (operator, proxy) = site.behind_proxy(&["--drift-check-interval=1h"]).await?;
    proxy.set_rules(vec![Rule::new(Fault::Delay(Duration::from_secs(1)), Verb::Create, "events")]);
    site.apply("told", json!({})).await?;
    site.ready("told").await?;
    operator.stop().await?;

    let events: Api<Event> = Api::namespaced(site.client.clone(), &site.namespace);
    let told = events.list(&ListParams::default()).await?.items.into_iter().filter_map(|event| event.reason);
    let expected = ["InSync", "PolicyAttached", "PolicyCreated", "RoleCreated"].map(str::to_owned);
    assert_eq!(told.collect::<BTreeSet<_>>(), BTreeSet::from(expected));
    Ok(())
}
