//! Answers of the API server: conflicts, 429, errors, lost answers, watches that expire, break or go silent. The operator
//! recovers from each of them by itself, and does nothing twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use aurora_test_support::apiserver_proxy::{ApiserverProxy, Ending, Fault, Record, Rule, Verb};
use aurora_test_support::controlplane::ControlPlaneOptions;
use aurora_test_support::environment::Environment;
use aurora_test_support::iam_model::faults::{self, Effect};
use aurora_test_support::wait::wait_for;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams};
use serde_json::json;

use crate::environment;
use crate::fixture::{Fixture, LIMIT, is_about};

const POLICIES: &str = "auroralogexportpolicies";
const STATUS: &str = "auroralogexportpolicies/status";
const ACCOUNT_STATUS: &str = "awsaccounts/status";
/// No resync during the test: changes arrive by a watch or a list.
const RARELY: &str = "--drift-check-interval=1h";

/// Writes to IAM about an object since the mark, by action.
fn writes(fixture: &Fixture<'_>, object: &str, mark: u64) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in fixture.writes(mark) {
        if call.resource.ends_with(&fixture.name(object)) {
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
    let mut fixture = Fixture::with(&[]).prepare().await?;
    let proxy = fixture.start_behind_proxy().await?;
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
        fixture.apply(name, json!({})).await?;
    }
    fixture.all_ready(cases.len()).await?;
    for (name, resource, fault) in cases {
        let struck = |record: &&Record| {
            record.struck && record.asked.resource == resource && record.asked.name.as_deref() == Some(name)
        };
        let struck = proxy.since(0).iter().filter(struck).count();
        // A finalizer whose patch was done needs no second.
        let expected = if matches!(fault, Fault::LoseAnswer | Fault::Delay(_)) { 1 } else { 3 };
        ensure!(struck >= expected, "{name}: {struck} struck");
        assert_eq!(writes(&fixture, name, 0), once(&["AttachRolePolicy", "CreatePolicy", "CreateRole"]), "{name}");
        assert_eq!(fixture.versions(name)?.len(), 1, "{name}");
    }

    // That status is final for each of them.
    let before = fixture.objects().await?;
    let mark = fixture.mark();
    wait_for("two resyncs of every object", LIMIT, async || {
        let calls = fixture.calls(mark).len();
        ensure!(calls >= 2 * 3 * cases.len(), "{calls} calls");
        Ok(())
    })
    .await?;
    for (before, after) in before.iter().zip(fixture.objects().await?) {
        assert_eq!(before.metadata.resource_version, after.metadata.resource_version, "{after:?}");
    }

    // The finalizer's release is refused as well.
    proxy.set_rules(rules().into());
    let mark = fixture.mark();
    for (name, ..) in cases {
        fixture.delete(name).await?;
    }
    for (name, ..) in cases {
        fixture.gone(name).await?;
        assert_eq!(writes(&fixture, name, mark), once(&["DeletePolicy", "DeleteRole", "DetachRolePolicy"]), "{name}");
    }
    wait_for("one event for each deletion", LIMIT, async || {
        let events = fixture.events().await?;
        for (name, _, fault) in cases {
            let told = events.iter().filter(|event| is_about(event, name, "Deleted")).count();
            // Where the answer was lost, the operator does not know that it released the object.
            let expected = usize::from(!matches!((name, fault), ("lost-finalizer", _)));
            ensure!(told == expected, "{name}: {told}");
        }
        Ok(())
    })
    .await?;
    fixture.finish().await
}

#[tokio::test]
async fn a_status_that_the_api_server_rejects_is_told_in_one_event_and_written_as_soon_as_it_can() -> Result<()> {
    let mut fixture = Fixture::with(&[]).prepare().await?;
    let proxy = fixture.start_behind_proxy().await?;
    let account = fixture.unique("prod");
    let rejected = |resource, name| Rule::new(Fault::refuse(422), Verb::Patch, resource).about(name);
    proxy.set_rules(vec![rejected(STATUS, "orders"), rejected(ACCOUNT_STATUS, &account)]);
    fixture.apply("orders", json!({})).await?;
    fixture.account("prod", "111111111111", json!({})).await?;
    // Events about an AwsAccount are in the namespace default.
    let events: Api<Event> = Api::namespaced(fixture.client.clone(), "default");
    let told = async || {
        let (own, others) = (fixture.events().await?, events.list(&ListParams::default()).await?.items);
        let count =
            |events: &[Event], name: &str| events.iter().filter(|event| is_about(event, name, "WriteRejected")).count();
        anyhow::Ok((count(&own, "orders"), count(&others, &account)))
    };
    wait_for("both events, and more attempts", LIMIT, async || {
        let (told, tries) = (told().await?, [STATUS, ACCOUNT_STATUS].map(|it| proxy.count(0, Verb::Patch, it)));
        ensure!(told.0 > 0 && told.1 > 0 && tries.iter().all(|tries| *tries >= 3), "{told:?} {tries:?}");
        Ok(())
    })
    .await?;
    proxy.clear_rules();
    fixture.ready("orders").await?;
    assert_eq!(told().await?, (1, 1));
    let page = fixture.operator()?.metrics().await?;
    ensure!(page.contains("auroralogexport_reconcile_total{result=\"kubernetes_error\"}"), "{page}");
    fixture.finish().await
}

#[tokio::test]
async fn a_busy_api_server_is_asked_again_when_it_says_and_not_before() -> Result<()> {
    const OBJECTS: usize = 10;
    const PAUSE: Duration = Duration::from_secs(2);
    const BUSY: Duration = Duration::from_secs(7);
    let mut fixture = Fixture::with(&[]).prepare().await?;
    let proxy = fixture.start_behind_proxy().await?;
    // The first lists are through.
    fixture.applied("o0", json!({})).await?;
    let busy = Fault::Refuse { status: 429, retry_after: Some(2) };
    proxy.set_rules(vec![Rule::new(busy, Verb::Patch, STATUS), Rule::new(busy, Verb::List, POLICIES)]);
    let mark = proxy.mark();
    for number in 1..OBJECTS {
        fixture.apply(&format!("o{number}"), json!({})).await?;
    }
    // Everything is created meanwhile: only the status has to wait.
    wait_for("all roles to be there", LIMIT, async || {
        let there =
            (0..OBJECTS).filter(|number| fixture.iam().get_role(&fixture.name(&format!("o{number}"))).is_ok()).count();
        ensure!(there == OBJECTS, "{there} roles");
        Ok(())
    })
    .await?;
    proxy.end_watches(POLICIES, Ending::Error(410));
    fixture.apply("o0", json!({ "scope": { "regions": ["eu-west-1"] } })).await?;
    // The time between two attempts is measured.
    tokio::time::sleep(BUSY).await;
    let refused = proxy.since(mark);
    proxy.clear_rules();
    fixture.all_ready(OBJECTS).await?;
    ensure!(fixture.document("o0")?.contains("eu-west-1"), "the change was missed");

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
    fixture.finish().await
}

#[tokio::test]
async fn what_happens_while_a_watch_is_broken_is_noticed_whichever_way_it_ends() -> Result<()> {
    let mut fixture = Fixture::with(&[RARELY]).prepare().await?;
    let proxy = fixture.start_behind_proxy().await?;
    let refused = |verb, status| Rule::new(Fault::refuse(status), verb, POLICIES);
    let ways = [
        ("expired", Ending::Error(410), vec![refused(Verb::List, 503)]),
        ("expired-later", Ending::Broken, vec![refused(Verb::Watch, 410), refused(Verb::List, 503)]),
        ("broken", Ending::Broken, vec![refused(Verb::Watch, 500)]),
        ("error", Ending::Error(500), vec![refused(Verb::Watch, 429)]),
    ];
    for (way, ending, gap) in ways {
        let name = |what: &str| format!("{way}-{what}");
        fixture.apply(&name("changed"), json!({})).await?;
        fixture.apply(&name("deleted"), json!({})).await?;
        // Without a finalizer, so that it is gone at once.
        fixture.apply(&name("vanished"), json!({ "suspend": true })).await?;
        fixture.ready(&name("changed")).await?;
        fixture.ready(&name("deleted")).await?;
        fixture.not_ready(&name("vanished"), "Suspended").await?;
        suspended(&fixture, 1).await?;

        let mark = proxy.mark();
        proxy.set_rules(gap);
        proxy.end_watches(POLICIES, ending);
        wait_for(&format!("the gap ({way})"), LIMIT, async || {
            let verb = if way.starts_with("expired") { Verb::List } else { Verb::Watch };
            ensure!(proxy.count(mark, verb, POLICIES) > 0, "no {verb:?} was asked for");
            Ok(())
        })
        .await?;
        fixture.apply(&name("changed"), json!({ "scope": { "regions": ["eu-west-1"] } })).await?;
        fixture.apply(&name("new"), json!({})).await?;
        fixture.delete(&name("deleted")).await?;
        fixture.delete(&name("vanished")).await?;
        proxy.clear_rules();
        fixture.ready(&name("changed")).await?;
        ensure!(fixture.document(&name("changed"))?.contains("eu-west-1"), "{way}: the change was missed");
        fixture.ready(&name("new")).await?;
        fixture.gone(&name("deleted")).await?;
        suspended(&fixture, 0).await.context(way)?;
    }
    fixture.finish().await
}

/// Waits until the operator knows of so many suspended objects.
async fn suspended(fixture: &Fixture<'_>, expected: u32) -> Result<()> {
    wait_for(&format!("{expected} suspended objects"), LIMIT, async || {
        let labels = [("condition", "Ready"), ("reason", "Suspended")];
        let known = fixture.metric("auroralogexport_resources", &labels).await?;
        ensure!((known - f64::from(expected)).abs() < 0.5, "{known}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_watch_or_a_list_that_goes_silent_is_asked_for_anew() -> Result<()> {
    let mut fixture = Fixture::with(&[RARELY, "--api-server-silence=2s"]).prepare().await?;
    let proxy = fixture.start_behind_proxy().await?;
    fixture.applied("first", json!({})).await?;

    proxy.end_watches(POLICIES, Ending::Silent);
    fixture.applied("unseen", json!({})).await?;

    let hangs = |verb| Rule::new(Fault::Hang, verb, POLICIES).times(1);
    let refused = Rule::new(Fault::refuse(410), Verb::Watch, POLICIES).times(1);
    let mark = proxy.mark();
    proxy.set_rules(vec![refused, hangs(Verb::List), hangs(Verb::Watch)]);
    proxy.end_watches(POLICIES, Ending::Broken);
    fixture.applied("unlisted", json!({})).await?;
    wait_for("the list and the watch that hang to be given up", LIMIT, async || {
        let (lists, watches) = (proxy.count(mark, Verb::List, POLICIES), proxy.count(mark, Verb::Watch, POLICIES));
        ensure!(lists >= 2 && watches >= 3, "{lists} lists, {watches} watches");
        Ok(())
    })
    .await?;
    // A write that hangs times out and is repeated.
    proxy.set_rules(vec![Rule::new(Fault::Hang, Verb::Patch, POLICIES).about("unwritten").times(1)]);
    fixture.applied("unwritten", json!({})).await?;
    fixture.finish().await
}

#[tokio::test]
async fn what_an_object_that_went_unseen_has_in_aws_is_pursued_through_a_list_made_anew() -> Result<()> {
    let mut fixture = Fixture::with(&[RARELY]).prepare().await?;
    let proxy = fixture.start_behind_proxy().await?;
    fixture.applied("unseen", json!({})).await?;
    fixture.set_faults([faults::Rule::new(Effect::ServiceFailure, &["DeleteRole"])]);
    let mark = fixture.mark();
    // As where its finalizer came in the instant in which it was deleted.
    let key = format!("auroralogexport.dev/{POLICIES}/{}/unseen", fixture.namespace());
    fixture.env.control_plane()?.remove_from_etcd(&key).await?;
    let tried = || Ok(fixture.writes(mark).iter().any(|call| call.action == "DeleteRole"));
    fixture.eventually_true("a deletion in AWS that fails", tried).await?;
    let listed = proxy.mark();
    proxy.end_watches(POLICIES, Ending::Error(410));
    fixture.applied("seen", json!({})).await?;
    ensure!(proxy.count(listed, Verb::List, POLICIES) > 0, "nothing was listed");
    fixture.clear_faults();
    fixture.eventually("its policy and role to be deleted", || fixture.nothing_left("unseen")).await?;
    fixture.finish().await
}

#[tokio::test]
async fn an_object_that_a_new_list_does_not_have_is_cleaned_up_by_its_deletion_policy() -> Result<()> {
    let mut fixture = Fixture::with(&[RARELY]).prepare().await?;
    let proxy = fixture.start_behind_proxy().await?;
    fixture.applied("vanished", json!({})).await?;
    fixture.applied("kept", json!({ "deletionPolicy": "Retain" })).await?;
    proxy.set_rules(vec![Rule::new(Fault::refuse(503), Verb::Watch, POLICIES)]);
    proxy.end_watches(POLICIES, Ending::Broken);
    for name in ["vanished", "kept"] {
        let strip = r#"{"metadata":{"finalizers":null}}"#;
        fixture.kubectl(&["patch", "alep", name, "--type=merge", "-p", strip]).await?;
        fixture.deleted(name).await?;
    }
    proxy.set_rules(vec![Rule::new(Fault::refuse(410), Verb::Watch, POLICIES).times(1)]);
    fixture.eventually("its policy and role to be deleted", || fixture.nothing_left("vanished")).await?;
    fixture.event("kept", "Retained").await?;
    fixture.role("kept")?;
    fixture.finish().await
}

#[tokio::test]
async fn history_that_etcd_has_compacted_away_is_made_up_for_by_a_list() -> Result<()> {
    let env = Environment::start(ControlPlaneOptions::default()).await?;
    env.install_crds().await?;
    let mut fixture = Fixture::with(&[RARELY, "--api-server-silence=12s"]).within(&env).prepare().await?;
    let link = fixture.start_behind_link().await?;
    // On a busy machine the watches may be back before the API server has forgotten: then once more.
    for round in 1..=3 {
        let [changed, deleted, vanished] = ["changed", "deleted", "vanished"].map(|name| format!("{name}-{round}"));
        fixture.apply(&changed, json!({})).await?;
        fixture.apply(&deleted, json!({})).await?;
        fixture.apply(&vanished, json!({ "suspend": true })).await?;
        fixture.ready(&changed).await?;
        fixture.ready(&deleted).await?;
        suspended(&fixture, 1).await?;

        link.cut();
        fixture.apply(&changed, json!({ "scope": { "regions": ["eu-west-1"] } })).await?;
        fixture.delete(&deleted).await?;
        fixture.delete(&vanished).await?;
        let control_plane = env.control_plane()?;
        control_plane.compact_etcd().await?;
        control_plane.kill_apiserver()?;
        control_plane.start_apiserver().await?;
        // Requests under way must not arrive later.
        link.kill_connections();
        link.mend();
        fixture.ready(&changed).await?;
        ensure!(fixture.document(&changed)?.contains("eu-west-1"), "the change was missed");
        fixture.gone(&deleted).await?;
        suspended(&fixture, 0).await?;
        if fixture.operator()?.log_text()?.contains("watch expired; listing again") {
            return fixture.finish().await;
        }
    }
    bail!("nothing had been compacted away: {}", fixture.log())
}

#[tokio::test]
async fn a_connection_that_died_without_a_word_is_replaced() -> Result<()> {
    let mut fixture = Fixture::with(&[RARELY, "--api-server-silence=15s"]).prepare().await?;
    let link = fixture.start_behind_link().await?;
    fixture.applied("before", json!({})).await?;
    link.kill_connections();
    fixture.applied("after", json!({})).await?;
    fixture.finish().await
}

/// Without rules the proxy changes nothing.
#[tokio::test]
async fn the_proxy_passes_on_what_no_rule_strikes_with_the_operators_own_rights() -> Result<()> {
    let access = environment().await?.install_rbac().await?;
    let proxy = ApiserverProxy::before(&access.kubeconfig).await?;
    let answer = aurora_test_support::http::get(&proxy.addr().to_string(), "/api/v1/secrets").await?;
    assert_eq!(answer.status, 403, "{answer:?}");
    let answer = aurora_test_support::http::get(&proxy.addr().to_string(), "/api/v1/namespaces/kube-system").await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(proxy.count(0, Verb::List, "secrets"), 1);
    assert_eq!(proxy.count(0, Verb::Get, "namespaces"), 1);
    Ok(())
}
