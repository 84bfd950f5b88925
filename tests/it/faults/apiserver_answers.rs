//! What the API server answers, or does not: conflicts, "not now", errors, lost answers, watches that expire, break or go
//! silent. All of it passes by itself, and nothing is done twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aurora_test_support::apiserver_proxy::{ApiserverProxy, Ending, Fault, Record, Rule, Verb};
use aurora_test_support::controlplane::ControlPlaneOptions;
use aurora_test_support::environment::Environment;
use aurora_test_support::iam_model::faults::{self, Effect, FaultPlan};
use aurora_test_support::link::Link;
use aurora_test_support::operator::Operator;
use aurora_test_support::wait::wait_for;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams};
use serde_json::json;

use super::site::{LIMIT, Site, server_of};

const POLICIES: &str = "auroralogexportpolicies";
const STATUS: &str = "auroralogexportpolicies/status";
const OFTEN: [&str; 1] = ["--drift-check-interval=1s"];
/// Nothing is looked at by itself: what is noticed, a watch or a list has brought.
const RARELY: &str = "--drift-check-interval=1h";

/// Writes to IAM about an object since the mark, by action.
fn writes(site: &Site<'_>, object: &str, mark: u64) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in site.writes(mark) {
        if call.resource.ends_with(&site.name(object)) {
            *counts.entry(call.action).or_default() += 1;
        }
    }
    counts
}

fn once(actions: &[&str]) -> BTreeMap<String, usize> {
    actions.iter().map(|&action| (action.to_owned(), 1)).collect()
}

#[tokio::test]
async fn refused_and_lost_writes_are_repeated_and_nothing_is_done_twice() -> Result<()> {
    let site = Site::start().await?;
    let (operator, proxy) = site.behind_proxy(&OFTEN).await?;
    let cases = [
        ("conflict-finalizer", POLICIES, Fault::refuse(409)),
        ("conflict-status", STATUS, Fault::refuse(409)),
        ("error-finalizer", POLICIES, Fault::refuse(500)),
        ("error-status", STATUS, Fault::refuse(500)),
        ("away-finalizer", POLICIES, Fault::refuse(503)),
        ("away-status", STATUS, Fault::refuse(503)),
        ("lost-finalizer", POLICIES, Fault::LoseAnswer),
        ("lost-status", STATUS, Fault::LoseAnswer),
        ("slow-finalizer", POLICIES, Fault::Delay(Duration::from_secs(1))),
        ("slow-status", STATUS, Fault::Delay(Duration::from_secs(1))),
    ];
    // Several in a row.
    let rules = || cases.map(|(name, resource, fault)| Rule::new(fault, Verb::Patch, resource).about(name).times(3));
    proxy.set_rules(rules().into());
    for (name, ..) in cases {
        site.apply(name, json!({})).await?;
    }
    site.all_ready(cases.len()).await.with_context(|| operator.log().display().to_string())?;
    for (name, resource, fault) in cases {
        let struck = |record: &&Record| {
            record.struck && record.asked.resource == resource && record.asked.name.as_deref() == Some(name)
        };
        let struck = proxy.since(0).iter().filter(struck).count();
        // A finalizer whose patch was done needs no second.
        let expected = if matches!(fault, Fault::LoseAnswer | Fault::Delay(_)) { 1 } else { 3 };
        ensure!(struck >= expected, "{name}: {struck} struck");
        assert_eq!(writes(&site, name, 0), once(&["AttachRolePolicy", "CreatePolicy", "CreateRole"]), "{name}");
        assert_eq!(site.versions(name)?, 1, "{name}");
    }

    // It was the last status, for each of them.
    let before = site.objects().await?;
    let mark = site.mark();
    wait_for("every object to be looked at twice", LIMIT, async || {
        let looks = site.calls(mark).len();
        ensure!(looks >= 2 * 3 * cases.len(), "{looks} calls");
        Ok(())
    })
    .await?;
    for (before, after) in before.iter().zip(site.objects().await?) {
        assert_eq!(before.metadata.resource_version, after.metadata.resource_version, "{after:?}");
    }

    // The finalizer's release is refused as well.
    proxy.set_rules(rules().into());
    let mark = site.mark();
    for (name, ..) in cases {
        site.delete(name).await?;
    }
    for (name, ..) in cases {
        site.gone(name).await?;
        assert_eq!(writes(&site, name, mark), once(&["DeletePolicy", "DeleteRole", "DetachRolePolicy"]), "{name}");
    }
    let events: Api<Event> = Api::namespaced(site.client.clone(), &site.namespace);
    wait_for("one event for each deletion", LIMIT, async || {
        let events = events.list(&ListParams::default()).await?.items;
        for (name, _, fault) in cases {
            let about = |event: &&Event| {
                event.reason.as_deref() == Some("Deleted")
                    && event.regarding.as_ref().is_some_and(|about| about.name.as_deref() == Some(name))
            };
            let told = events.iter().filter(about).count();
            // Where the answer was lost, nobody knows that it was this operator who released it.
            let expected = usize::from(!matches!((name, fault), ("lost-finalizer", _)));
            ensure!(told == expected, "{name}: {told}");
        }
        Ok(())
    })
    .await?;
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_busy_api_server_is_asked_again_when_it_says_and_not_before() -> Result<()> {
    const OBJECTS: usize = 10;
    const PAUSE: Duration = Duration::from_secs(2);
    const BUSY: Duration = Duration::from_secs(7);
    let site = Site::start().await?;
    let (operator, proxy) = site.behind_proxy(&OFTEN).await?;
    // The first lists are through.
    site.apply("o0", json!({})).await?;
    site.ready("o0").await?;
    let busy = Fault::Refuse { status: 429, retry_after: Some(2) };
    proxy.set_rules(vec![Rule::new(busy, Verb::Patch, STATUS), Rule::new(busy, Verb::List, POLICIES)]);
    let mark = proxy.mark();
    for number in 1..OBJECTS {
        site.apply(&format!("o{number}"), json!({})).await?;
    }
    // Everything is made meanwhile: only the status has to wait.
    wait_for("all roles to be there", LIMIT, async || {
        let there =
            (0..OBJECTS).filter(|number| site.iam().get_role(&site.name(&format!("o{number}"))).is_ok()).count();
        ensure!(there == OBJECTS, "{there} roles");
        Ok(())
    })
    .await?;
    proxy.end_watches(POLICIES, Ending::Error(410));
    site.apply("o0", json!({ "scope": { "regions": ["eu-west-1"] } })).await?;
    // Time has to pass here: it is what is measured.
    tokio::time::sleep(BUSY).await;
    let refused = proxy.since(mark);
    proxy.clear_rules();
    site.all_ready(OBJECTS).await.with_context(|| operator.log().display().to_string())?;
    ensure!(site.document("o0")?.contains("eu-west-1"), "the change was missed");

    let mut asked: BTreeMap<String, Vec<Instant>> = BTreeMap::new();
    for record in refused.iter().filter(|record| record.struck) {
        asked.entry(record.asked.to_string()).or_default().push(record.at);
    }
    println!("{} refusals of {} requests", refused.iter().filter(|record| record.struck).count(), asked.len());
    // The list, and every status; that of the first only if its change was seen before the watch ended.
    assert!((OBJECTS..=OBJECTS + 1).contains(&asked.len()), "{:?}", asked.keys());
    for (what, times) in &asked {
        for (earlier, later) in times.iter().zip(&times[1..]) {
            let pause = later.duration_since(*earlier);
            ensure!(pause >= PAUSE, "{what} was asked for again after {pause:?}");
        }
    }
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_happens_while_a_watch_is_broken_is_noticed_whichever_way_it_ends() -> Result<()> {
    let site = Site::start().await?;
    let (operator, proxy) = site.behind_proxy(&[RARELY]).await?;
    let refused = |verb, status| Rule::new(Fault::refuse(status), verb, POLICIES);
    let ways = [
        ("expired", Ending::Error(410), vec![refused(Verb::List, 503)]),
        ("expired-later", Ending::Broken, vec![refused(Verb::Watch, 410), refused(Verb::List, 503)]),
        ("broken", Ending::Broken, vec![refused(Verb::Watch, 500)]),
        ("error", Ending::Error(500), vec![refused(Verb::Watch, 429)]),
    ];
    for (way, ending, gap) in ways {
        let name = |what: &str| format!("{way}-{what}");
        site.apply(&name("changed"), json!({})).await?;
        site.apply(&name("deleted"), json!({})).await?;
        // Without a finalizer, so that it is gone at once.
        site.apply(&name("vanished"), json!({ "suspend": true })).await?;
        site.ready(&name("changed")).await?;
        site.ready(&name("deleted")).await?;
        site.until(&name("vanished"), "False", "Suspended").await?;
        suspended(&operator, 1).await?;

        let mark = proxy.mark();
        proxy.set_rules(gap);
        proxy.end_watches(POLICIES, ending);
        wait_for(&format!("the gap ({way})"), LIMIT, async || {
            let verb = if way.starts_with("expired") { Verb::List } else { Verb::Watch };
            ensure!(proxy.count(mark, verb, POLICIES) > 0, "no {verb:?} was asked for");
            Ok(())
        })
        .await?;
        site.apply(&name("changed"), json!({ "scope": { "regions": ["eu-west-1"] } })).await?;
        site.apply(&name("new"), json!({})).await?;
        site.delete(&name("deleted")).await?;
        site.delete(&name("vanished")).await?;
        proxy.clear_rules();
        site.ready(&name("changed")).await.with_context(|| operator.log().display().to_string())?;
        ensure!(site.document(&name("changed"))?.contains("eu-west-1"), "{way}: the change was missed");
        site.ready(&name("new")).await?;
        site.gone(&name("deleted")).await?;
        suspended(&operator, 0).await.context(way)?;
    }
    operator.stop().await?;
    Ok(())
}

/// Waits until the operator knows of so many suspended objects.
async fn suspended(operator: &Operator, expected: u32) -> Result<()> {
    wait_for(&format!("{expected} suspended objects"), LIMIT, async || {
        let labels = [("condition", "Ready"), ("reason", "Suspended")];
        let known = operator.metric("auroralogexport_resources", &labels).await?;
        ensure!((known - f64::from(expected)).abs() < 0.5, "{known}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_watch_or_a_list_that_goes_silent_is_asked_for_anew() -> Result<()> {
    let site = Site::start().await?;
    let (operator, proxy) = site.behind_proxy(&[RARELY, "--api-server-silence=2s"]).await?;
    site.apply("first", json!({})).await?;
    site.ready("first").await?;

    proxy.end_watches(POLICIES, Ending::Silent);
    site.apply("unseen", json!({})).await?;
    site.ready("unseen").await.with_context(|| operator.log().display().to_string())?;

    let hangs = |verb| Rule::new(Fault::Hang, verb, POLICIES).times(1);
    let refused = Rule::new(Fault::refuse(410), Verb::Watch, POLICIES).times(1);
    let mark = proxy.mark();
    proxy.set_rules(vec![refused, hangs(Verb::List), hangs(Verb::Watch)]);
    proxy.end_watches(POLICIES, Ending::Broken);
    site.apply("unlisted", json!({})).await?;
    site.ready("unlisted").await.with_context(|| operator.log().display().to_string())?;
    wait_for("the list and the watch that hang to be given up", LIMIT, async || {
        let (lists, watches) = (proxy.count(mark, Verb::List, POLICIES), proxy.count(mark, Verb::Watch, POLICIES));
        ensure!(lists >= 2 && watches >= 3, "{lists} lists, {watches} watches");
        Ok(())
    })
    .await?;
    // A write that hangs is given up and made again.
    proxy.set_rules(vec![Rule::new(Fault::Hang, Verb::Patch, POLICIES).about("unwritten").times(1)]);
    site.apply("unwritten", json!({})).await?;
    site.ready("unwritten").await.with_context(|| operator.log().display().to_string())?;
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn what_an_object_that_went_unseen_has_in_aws_is_pursued_through_a_list_made_anew() -> Result<()> {
    let site = Site::start().await?;
    let (operator, proxy) = site.behind_proxy(&[RARELY]).await?;
    site.apply("unseen", json!({})).await?;
    site.ready("unseen").await?;
    let broken = faults::Rule::new(Effect::ServiceFailure, &["DeleteRole"]);
    site.aws.gate().set_faults(FaultPlan::of(1, vec![broken]));
    let mark = site.mark();
    // As where its finalizer came in the instant in which it was deleted.
    let key = format!("auroralogexport.dev/{POLICIES}/{}/unseen", site.namespace);
    site.env.control_plane()?.remove_from_etcd(&key).await?;
    wait_for("a deletion in AWS that fails", LIMIT, async || {
        ensure!(site.writes(mark).iter().any(|call| call.action == "DeleteRole"), "none");
        Ok(())
    })
    .await?;
    let listed = proxy.mark();
    proxy.end_watches(POLICIES, Ending::Error(410));
    site.apply("seen", json!({})).await?;
    site.ready("seen").await?;
    ensure!(proxy.count(listed, Verb::List, POLICIES) > 0, "nothing was listed");
    site.aws.gate().clear_faults();
    wait_for("nothing of it to be left", LIMIT, async || {
        ensure!(site.iam().get_role(&site.name("unseen")).is_err() && site.document("unseen").is_err(), "it is there");
        Ok(())
    })
    .await
    .with_context(|| operator.log().display().to_string())?;
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn history_that_etcd_has_compacted_away_is_made_up_for_by_a_list() -> Result<()> {
    let env = Environment::start(ControlPlaneOptions::default()).await?;
    env.install_crds().await?;
    let access = env.install_rbac().await?;
    let site = Site::within(&env).await?;
    let link = Link::to(server_of(&access.kubeconfig)?).await?;
    let mut options = site.options(&[RARELY, "--api-server-silence=12s"]);
    options.kubeconfig = Some(site.kubeconfig_via(link.addr()).await?);
    let operator = Operator::start(&env, options).await?;
    site.apply("changed", json!({})).await?;
    site.apply("deleted", json!({})).await?;
    site.apply("vanished", json!({ "suspend": true })).await?;
    site.ready("changed").await?;
    site.ready("deleted").await?;
    suspended(&operator, 1).await?;

    link.cut();
    site.apply("changed", json!({ "scope": { "regions": ["eu-west-1"] } })).await?;
    site.delete("deleted").await?;
    site.delete("vanished").await?;
    let control_plane = env.control_plane()?;
    control_plane.compact_etcd().await?;
    control_plane.kill_apiserver()?;
    control_plane.start_apiserver().await?;
    // What was under way must not arrive after all.
    link.kill_connections();
    link.mend();
    site.ready("changed").await.with_context(|| operator.log().display().to_string())?;
    ensure!(site.document("changed")?.contains("eu-west-1"), "the change was missed");
    site.gone("deleted").await?;
    suspended(&operator, 0).await?;
    let log = operator.log_text()?;
    ensure!(log.contains("watch expired; listing again"), "nothing had been compacted away:\n{log}");
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_connection_that_died_without_a_word_is_replaced() -> Result<()> {
    let site = Site::start().await?;
    let access = site.env.install_rbac().await?;
    let link = Link::to(server_of(&access.kubeconfig)?).await?;
    // Nothing but pings notices in time: the answers' own limit would be a minute, and close nothing.
    let mut options = site.options(&[RARELY, "--api-server-silence=1m"]);
    options.kubeconfig = Some(site.kubeconfig_via(link.addr()).await?);
    let operator = Operator::start(site.env, options).await?;
    site.apply("before", json!({})).await?;
    site.ready("before").await?;
    link.kill_connections();
    site.apply("after", json!({})).await?;
    site.ready("after").await.with_context(|| operator.log().display().to_string())?;
    operator.stop().await?;
    Ok(())
}

/// The proxy itself: without rules it is not there.
#[tokio::test]
async fn the_proxy_passes_on_what_no_rule_strikes_with_the_operators_own_rights() -> Result<()> {
    let site = Site::start().await?;
    let access = site.env.install_rbac().await?;
    let proxy = ApiserverProxy::before(&access.kubeconfig).await?;
    let answer = aurora_test_support::http::get(&proxy.addr().to_string(), "/api/v1/secrets").await?;
    assert_eq!(answer.status, 403, "{answer:?}");
    let answer = aurora_test_support::http::get(&proxy.addr().to_string(), "/api/v1/namespaces/kube-system").await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(proxy.count(0, Verb::List, "secrets"), 1);
    assert_eq!(proxy.count(0, Verb::Get, "namespaces"), 1);
    Ok(())
}
