//! Candidates against a small API server, in real time with short leases.

mod announcer;
mod apiserver;

use std::time::Instant;

use apiserver::{ApiServer, Mode};

use k8s_openapi::api::coordination::v1::Lease;

use super::api::{RequestError, observed};
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

/// Checks that the candidate stays a follower, for several polls of the Lease.
async fn stays_follower(leading: &watch::Receiver<bool>, fence: &Fence) {
    for _ in 0..100 {
        assert!(!*leading.borrow() && !fence.may_write(Duration::ZERO));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn one_candidate_leads_and_a_release_hands_over_at_once() {
    run(async {
        let server = ApiServer::default();
        let (first, mut first_leads) = Election::start(server.client().await.0, config("first"));
        until_leads(&mut first_leads, true).await;
        assert!(first.fence().may_write(Duration::from_secs(1)));
        assert!(!first.fence().may_write(Duration::from_secs(3)));
        server.edit(|lease| lease.metadata.labels = Some([("team".to_owned(), "db".to_owned())].into()));

        let (second, mut second_leads) = Election::start(server.client().await.0, config("second"));
        stays_follower(&second_leads, &second.fence()).await;
        assert!(*first_leads.borrow(), "renewed despite the edit");

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
fn a_leader_without_connection_stops_before_another_candidate_leads() {
    run(async {
        let server = ApiServer::default();
        let (client, mode) = server.client().await;
        let (first, mut first_leads) = Election::start(client, config("first"));
        until_leads(&mut first_leads, true).await;
        let (second, mut second_leads) = Election::start(server.client().await.0, config("second"));
        stays_follower(&second_leads, &second.fence()).await;

        mode.send_replace(Mode::Hanging);
        let (mut lost, mut won) = (None, None);
        while won.is_none() {
            tokio::select! {
                () = until_leads(&mut first_leads, false), if lost.is_none() => lost = Some(Instant::now()),
                () = until_leads(&mut second_leads, true) => won = Some(Instant::now()),
            }
        }
        assert!(lost.unwrap() < won.unwrap());
        assert!(!first.fence().may_write(Duration::ZERO));

        // When its connection is back, it is a follower.
        mode.send_replace(Mode::Normal);
        stays_follower(&first_leads, &first.fence()).await;
        assert!(*second_leads.borrow());
    });
}

#[test]
fn a_restarted_process_leads_at_once() {
    run(async {
        let server = ApiServer::default();
        let (client, mode) = server.client().await;
        let (first, mut leading) = Election::start(client, config("pod-0"));
        until_leads(&mut leading, true).await;
        // Killed: it cannot release.
        mode.send_replace(Mode::Hanging);
        drop(first);
        let restarted = Instant::now();
        let (_second, mut leading) = Election::start(server.client().await.0, config("pod-0"));
        until_leads(&mut leading, true).await;
        assert!(restarted.elapsed() < Duration::from_secs(2), "{:?}", restarted.elapsed());
        assert_eq!(server.lease().unwrap().spec.unwrap().lease_transitions, Some(0));
    });
}

#[test]
fn dropping_an_election_releases_the_lease() {
    run(async {
        let server = ApiServer::default();
        let (election, mut leading) = Election::start(server.client().await.0, config("only"));
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
fn a_release_without_an_api_server_ends() {
    run(async {
        let server = ApiServer::default();
        let (client, mode) = server.client().await;
        let (election, mut leading) = Election::start(client, config("only"));
        until_leads(&mut leading, true).await;
        mode.send_replace(Mode::Hanging);
        let released = Instant::now();
        election.release().await;
        assert!(released.elapsed() < RELEASE_TIMEOUT + Duration::from_secs(1), "{:?}", released.elapsed());
        assert!(!*leading.borrow());
    });
}

#[test]
fn a_release_is_retried_during_a_short_outage_of_the_api_server() {
    run(async {
        let server = ApiServer::default();
        let (client, mode) = server.client().await;
        let config = LeaseConfig {
            poll_every: Duration::from_millis(50),
            request_timeout: Duration::from_millis(100),
            ..config("only")
        };
        let (election, mut leading) = Election::start(client, config);
        until_leads(&mut leading, true).await;
        mode.send_replace(Mode::Hanging);
        let back = async {
            tokio::time::sleep(RELEASE_TIMEOUT * 6 / 10).await;
            mode.send_replace(Mode::Normal);
        };
        tokio::join!(election.release(), back);
        assert_eq!(server.holder().as_deref(), Some(""));
    });
}

#[test]
fn writes_have_timestamps_with_the_precision_of_a_lease() {
    let before = Timestamp::now();
    let stamp = now_in_microseconds();
    assert!(stamp <= Timestamp::now() && stamp.as_microsecond() >= before.as_microsecond(), "{before} {stamp}");
    assert_eq!(stamp.subsec_nanosecond() % 1000, 0);
}

#[test]
fn a_replica_without_an_identity_gets_one() {
    run(async {
        let server = ApiServer::default();
        let (_election, mut leading) = Election::start(server.client().await.0, config(""));
        until_leads(&mut leading, true).await;
        assert!(server.holder().unwrap().starts_with("aurora-log-export-operator-"));
    });
}

#[test]
fn missing_permissions_are_named_and_granting_them_is_enough() {
    run(async {
        let server = ApiServer::default();
        let (client, mode) = server.client().await;
        mode.send_replace(Mode::Forbidden);
        let mut api = LeaseApi::new(client.clone(), &config("only"));
        let error = api.perform(&Request::Read).await.unwrap_err();
        assert_eq!(
            error,
            RequestError::Forbidden { verb: "get", lease: "operators/aurora-log-export-operator".to_owned() }
        );
        assert!(error.to_string().contains("get leases.coordination.k8s.io operators/"), "{error}");

        let (election, mut leading) = Election::start(client, config("only"));
        stays_follower(&leading, &election.fence()).await;
        mode.send_replace(Mode::Normal);
        until_leads(&mut leading, true).await;
    });
}

/// Reads that succeed between failed writes must not be logged as the end of the failure.
#[test]
fn a_failure_is_over_when_the_same_request_succeeds() {
    let error = RequestError::Forbidden { verb: "update", lease: "operators/l".to_owned() };
    let (leads, _leading) = watch::channel(false);
    let mut announcer = Announcer::new("operators/l".to_owned(), "only".to_owned(), Fence::shut(), leads);
    announcer.request_failed(error.clone());
    announcer.request_succeeded(&Request::Read);
    assert_eq!(announcer.last_error(), Some(&error));
    let claim = observed(&Lease::default()).claim;
    announcer.request_succeeded(&Request::Replace { version: "1".to_owned(), claim });
    assert_eq!(announcer.last_error(), None);
}

#[test]
fn a_deleted_lease_is_created_again_by_its_holder() {
    run(async {
        let server = ApiServer::default();
        let (_election, mut leading) = Election::start(server.client().await.0, config("only"));
        until_leads(&mut leading, true).await;
        server.delete();
        while server.holder().as_deref() != Some("only") {
            assert!(*leading.borrow());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

#[test]
fn fractions_of_a_second_are_rounded_up_in_the_lease() {
    run(async {
        let server = ApiServer::default();
        let config = LeaseConfig { duration: Duration::from_millis(2_100), ..config("only") };
        let (_election, mut leading) = Election::start(server.client().await.0, config);
        until_leads(&mut leading, true).await;
        assert_eq!(server.lease().unwrap().spec.unwrap().lease_duration_seconds, Some(3));
    });
}

#[test]
fn a_missing_namespace_is_named() {
    run(async {
        let server = ApiServer::default();
        let (client, mode) = server.client().await;
        mode.send_replace(Mode::NoNamespace);
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
        let error = api.perform(&create).await.unwrap_err();
        assert!(matches!(error, RequestError::NoNamespace { .. }), "{error}");
    });
}

#[test]
fn a_request_without_an_answer_times_out() {
    run(async {
        let server = ApiServer::default();
        let (client, mode) = server.client().await;
        mode.send_replace(Mode::Hanging);
        let mut api = LeaseApi::new(client, &config("only"));
        let error = api.perform(&Request::Read).await.unwrap_err();
        assert!(matches!(error, RequestError::Timeout { verb: "get", .. }), "{error}");
    });
}

#[test]
fn a_write_contains_the_claim_and_keeps_the_metadata_of_others() {
    run(async {
        let server = ApiServer::default();
        let mut api = LeaseApi::new(server.client().await.0, &config("only"));
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
        assert_eq!(metadata.managed_fields, None, "the API server maintains it");

        // A version that was not read has no known metadata to keep.
        server.edit(|lease| lease.metadata.labels = None);
        assert!(matches!(api.perform(&replace("4")).await, Ok(Answer::Written(_))));
        let lease = server.lease().unwrap();
        assert_eq!(lease.metadata.labels, None, "a label that was removed stays removed");
        assert_eq!(observed(&lease).claim, claim);
    });
}
