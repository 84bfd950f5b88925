//! Candidates against a small API server, in real time with short leases.

mod announcer;
mod apiserver;

use std::time::Instant;

use apiserver::{ApiServer, Door};

use k8s_openapi::api::coordination::v1::Lease;

use super::api::{Trouble, observed};
use super::elector::Claim;
use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

fn config(identity: &str) -> LeaseConfig {
    LeaseConfig {
        duration: Duration::from_secs(3),
        renew_every: Duration::from_millis(400),
        poll_every: Duration::from_millis(200),
        request_timeout: Duration::from_millis(400),
        ..LeaseConfig::new("operators", identity)
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(DEADLINE, test).await.unwrap() });
}

async fn until_leads(leading: &mut watch::Receiver<bool>, leads: bool) {
    leading.wait_for(|now| *now == leads).await.unwrap();
}

/// Nothing for a while: long enough for several looks at the Lease.
async fn stays_follower(leading: &watch::Receiver<bool>, fence: &Fence) {
    for _ in 0..100 {
        assert!(!*leading.borrow() && !fence.may_write(Duration::ZERO));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn one_leads_and_a_release_hands_over_at_once() {
    run(async {
        let server = ApiServer::default();
        let (first, mut first_leads) = Election::start(server.door().await.0, config("first"));
        until_leads(&mut first_leads, true).await;
        assert!(first.fence().may_write(Duration::from_secs(1)));
        assert!(!first.fence().may_write(Duration::from_secs(3)));
        server.edit(|lease| lease.metadata.labels = Some([("team".to_owned(), "db".to_owned())].into()));

        let (second, mut second_leads) = Election::start(server.door().await.0, config("second"));
        stays_follower(&second_leads, &second.fence()).await;
        assert!(*first_leads.borrow(), "renewed in spite of the edit");

        let fence = first.fence();
        let released = Instant::now();
        first.release().await;
        assert!(!fence.may_write(Duration::ZERO));
        until_leads(&mut second_leads, true).await;
        assert!(released.elapsed() < Duration::from_secs(2), "{:?}", released.elapsed());
        let lease = server.lease().unwrap();
        assert_eq!(lease.metadata.labels.unwrap()["team"], "db", "others' labels stay");
        let spec = lease.spec.unwrap();
        assert_eq!(spec.holder_identity.as_deref(), Some("second"));
        assert_eq!((spec.lease_transitions, spec.lease_duration_seconds), (Some(1), Some(3)));
        assert!(spec.acquire_time <= spec.renew_time);
        second.release().await;
        assert_eq!(server.holder().as_deref(), Some(""));
    });
}

#[test]
fn a_leader_that_is_cut_off_says_so_in_time_and_is_followed() {
    run(async {
        let server = ApiServer::default();
        let (client, door) = server.door().await;
        let (first, mut first_leads) = Election::start(client, config("first"));
        until_leads(&mut first_leads, true).await;
        let (second, mut second_leads) = Election::start(server.door().await.0, config("second"));
        stays_follower(&second_leads, &second.fence()).await;

        door.send_replace(Door::Stuck);
        let (mut lost, mut won) = (None, None);
        while won.is_none() {
            tokio::select! {
                () = until_leads(&mut first_leads, false), if lost.is_none() => lost = Some(Instant::now()),
                () = until_leads(&mut second_leads, true) => won = Some(Instant::now()),
            }
        }
        assert!(lost.unwrap() < won.unwrap());
        assert!(!first.fence().may_write(Duration::ZERO));

        // Back again, it follows.
        door.send_replace(Door::Open);
        stays_follower(&first_leads, &first.fence()).await;
        assert!(*second_leads.borrow());
    });
}

#[test]
fn a_restarted_process_leads_at_once() {
    run(async {
        let server = ApiServer::default();
        let (client, door) = server.door().await;
        let (first, mut leading) = Election::start(client, config("pod-0"));
        until_leads(&mut leading, true).await;
        // Killed: it cannot release.
        door.send_replace(Door::Stuck);
        drop(first);
        let restarted = Instant::now();
        let (_second, mut leading) = Election::start(server.door().await.0, config("pod-0"));
        until_leads(&mut leading, true).await;
        assert!(restarted.elapsed() < Duration::from_secs(2), "{:?}", restarted.elapsed());
        assert_eq!(server.lease().unwrap().spec.unwrap().lease_transitions, Some(0));
    });
}

#[test]
fn dropping_an_election_gives_the_lease_up() {
    run(async {
        let server = ApiServer::default();
        let (election, mut leading) = Election::start(server.door().await.0, config("only"));
        until_leads(&mut leading, true).await;
        let fence = election.fence();
        drop(election);
        assert!(!fence.may_write(Duration::ZERO));
        while server.holder().as_deref() != Some("") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn a_release_without_an_api_server_comes_to_an_end() {
    run(async {
        let server = ApiServer::default();
        let (client, door) = server.door().await;
        let (election, mut leading) = Election::start(client, config("only"));
        until_leads(&mut leading, true).await;
        door.send_replace(Door::Stuck);
        let released = Instant::now();
        election.release().await;
        assert!(released.elapsed() < RELEASE_TIMEOUT + Duration::from_secs(1), "{:?}", released.elapsed());
        assert!(!*leading.borrow());
    });
}

#[test]
fn a_release_outlasts_a_short_absence_of_the_api_server() {
    run(async {
        let server = ApiServer::default();
        let (client, door) = server.door().await;
        let config = LeaseConfig {
            poll_every: Duration::from_millis(50),
            request_timeout: Duration::from_millis(100),
            ..config("only")
        };
        let (election, mut leading) = Election::start(client, config);
        until_leads(&mut leading, true).await;
        door.send_replace(Door::Stuck);
        let back = async {
            tokio::time::sleep(RELEASE_TIMEOUT * 6 / 10).await;
            door.send_replace(Door::Open);
        };
        tokio::join!(election.release(), back);
        assert_eq!(server.holder().as_deref(), Some(""));
    });
}

#[test]
fn writes_are_stamped_with_the_time_as_a_lease_keeps_it() {
    let before = Timestamp::now();
    let stamp = now_in_microseconds();
    assert!(stamp <= Timestamp::now() && stamp.as_microsecond() >= before.as_microsecond(), "{before} {stamp}");
    assert_eq!(stamp.subsec_nanosecond() % 1000, 0);
}

#[test]
fn a_replica_without_a_name_gets_one() {
    run(async {
        let server = ApiServer::default();
        let (_election, mut leading) = Election::start(server.door().await.0, config(""));
        until_leads(&mut leading, true).await;
        assert!(server.holder().unwrap().starts_with("aurora-log-export-operator-"));
    });
}

#[test]
fn missing_rights_are_named_and_getting_them_is_enough() {
    run(async {
        let server = ApiServer::default();
        let (client, door) = server.door().await;
        door.send_replace(Door::Forbidden);
        let mut api = LeaseApi::new(client.clone(), &config("only"));
        let trouble = api.perform(&Request::Read).await.unwrap_err();
        assert_eq!(
            trouble,
            Trouble::Forbidden { verb: "get", lease: "operators/aurora-log-export-operator".to_owned() }
        );
        assert!(trouble.to_string().contains("get leases.coordination.k8s.io operators/"), "{trouble}");

        let (election, mut leading) = Election::start(client, config("only"));
        stays_follower(&leading, &election.fence()).await;
        door.send_replace(Door::Open);
        until_leads(&mut leading, true).await;
    });
}

/// Reading works all the time; that must not be taken for the end of the trouble with writing, again and again.
#[test]
fn trouble_is_over_when_the_same_request_is_answered() {
    let trouble = Trouble::Forbidden { verb: "update", lease: "operators/l".to_owned() };
    let (leads, _leading) = watch::channel(false);
    let mut announcer = Announcer::new("operators/l".to_owned(), "only".to_owned(), Fence::shut(), leads);
    announcer.troubled(trouble.clone());
    announcer.answered(&Request::Read);
    assert_eq!(announcer.trouble(), Some(&trouble));
    let claim = observed(&Lease::default()).claim;
    announcer.answered(&Request::Replace { version: "1".to_owned(), claim });
    assert_eq!(announcer.trouble(), None);
}

#[test]
fn a_deleted_lease_is_made_again_by_its_holder() {
    run(async {
        let server = ApiServer::default();
        let (_election, mut leading) = Election::start(server.door().await.0, config("only"));
        until_leads(&mut leading, true).await;
        server.delete();
        while server.holder().as_deref() != Some("only") {
            assert!(*leading.borrow());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn a_lease_of_broken_seconds_is_written_longer_not_shorter() {
    run(async {
        let server = ApiServer::default();
        let config = LeaseConfig { duration: Duration::from_millis(2_100), ..config("only") };
        let (_election, mut leading) = Election::start(server.door().await.0, config);
        until_leads(&mut leading, true).await;
        assert_eq!(server.lease().unwrap().spec.unwrap().lease_duration_seconds, Some(3));
    });
}

#[test]
fn a_missing_namespace_is_named() {
    run(async {
        let server = ApiServer::default();
        let (client, door) = server.door().await;
        door.send_replace(Door::NoNamespace);
        let mut api = LeaseApi::new(client, &config("only"));
        assert_eq!(api.perform(&Request::Read).await, Ok(Answer::Absent));
        let mut elector = Elector::new(
            "only".to_owned(),
            Timing {
                duration: Duration::from_secs(2),
                renew_every: Duration::from_secs(1),
                poll_every: Duration::from_secs(1),
            },
        );
        elector.next(boot_time(), now_in_microseconds());
        elector.answered(boot_time(), Answer::Absent);
        let Step::Send(create) = elector.next(boot_time(), now_in_microseconds()) else { panic!("not yet") };
        let trouble = api.perform(&create).await.unwrap_err();
        assert!(matches!(trouble, Trouble::NoNamespace { .. }), "{trouble}");
    });
}

#[test]
fn an_api_server_that_does_not_answer_is_not_waited_for() {
    run(async {
        let server = ApiServer::default();
        let (client, door) = server.door().await;
        door.send_replace(Door::Stuck);
        let mut api = LeaseApi::new(client, &config("only"));
        let trouble = api.perform(&Request::Read).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Timeout { verb: "get", .. }), "{trouble}");
    });
}

#[test]
fn a_lease_is_written_as_claimed_and_keeps_others_parts_of_the_version_it_replaces() {
    run(async {
        let server = ApiServer::default();
        let mut api = LeaseApi::new(server.door().await.0, &config("only"));
        let now = now_in_microseconds();
        let mut claim = Claim {
            holder: "only".to_owned(),
            duration: Duration::from_secs(3),
            acquired: Some(now),
            renewed: Some(now),
            transitions: 4,
        };
        assert!(matches!(api.perform(&Request::Create(claim.clone())).await, Ok(Answer::Written(_))));
        let lease = server.lease().unwrap();
        assert_eq!(observed(&lease).claim, claim);
        let metadata = lease.metadata;
        assert_eq!(metadata.namespace.as_deref(), Some("operators"));
        assert_eq!(metadata.name.as_deref(), Some("aurora-log-export-operator"));

        server.edit(|lease| {
            lease.metadata.labels = Some([("team".to_owned(), "db".to_owned())].into());
            lease.metadata.managed_fields = Some(Vec::new());
        });
        assert!(matches!(api.perform(&Request::Read).await, Ok(Answer::Found(_))));
        claim.transitions = 5;
        let replace = |version: &str| Request::Replace { version: version.to_owned(), claim: claim.clone() };
        assert!(matches!(api.perform(&replace("2")).await, Ok(Answer::Written(_))));
        let metadata = server.lease().unwrap().metadata;
        assert_eq!(metadata.labels.unwrap()["team"], "db");
        assert_eq!(metadata.managed_fields, None, "the API server's own business");

        // Of a version that was never seen nothing is known that could be kept.
        server.edit(|lease| lease.metadata.labels = None);
        assert!(matches!(api.perform(&replace("4")).await, Ok(Answer::Written(_))));
        let lease = server.lease().unwrap();
        assert_eq!(lease.metadata.labels, None, "what somebody took off stays off");
        assert_eq!(observed(&lease).claim, claim);
    });
}
