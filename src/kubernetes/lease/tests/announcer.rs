//! The announcer publishes and logs every change of the election once.

use super::*;
use crate::kubernetes::lease::elector::Observed;
use crate::telemetry::buffer::Buffer;

/// The lines that `run` logs.
fn logged(run: impl FnOnce()) -> Vec<String> {
    let log = Buffer::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, run);
    log.text().lines().map(str::to_owned).collect()
}

fn announcer() -> (Announcer, watch::Receiver<bool>) {
    let (leads, leading) = watch::channel(false);
    (Announcer::new("operators/l".to_owned(), "me".to_owned(), Fence::shut(), leads), leading)
}

fn elector() -> Elector {
    let timing = Timing {
        duration: Duration::from_mins(1),
        renew_every: Duration::from_secs(1),
        poll_every: Duration::from_secs(1),
    };
    Elector::new("me".to_owned(), timing)
}

/// An elector that holds the lease.
fn leader() -> Elector {
    let mut elector = elector();
    let now = boot_time();
    elector.next(now, now_in_microseconds());
    elector.answered(now, Answer::Absent);
    let Step::Send(Request::Create(claim)) = elector.next(now, now_in_microseconds()) else { panic!("no write") };
    elector.answered(now, Answer::Written(Observed { version: "1".to_owned(), claim }));
    elector
}

/// Reads a Lease of this holder and version, at the second of the same number.
fn finds(elector: &mut Elector, holder: &str, version: u64) {
    let now = Duration::from_secs(version);
    elector.next(now, now_in_microseconds());
    let mut claim = observed(&Lease::default()).claim;
    holder.clone_into(&mut claim.holder);
    elector.answered(now, Answer::Found(Observed { version: version.to_string(), claim }));
}

#[test]
fn receivers_are_notified_of_changes_only_and_at_once() {
    let (mut announcer, mut leading) = announcer();
    let mut elector = leader();
    let lines = logged(|| {
        announcer.announce(&elector);
        assert!(leading.has_changed().unwrap() && *leading.borrow_and_update());
        announcer.announce(&elector);
        assert!(!leading.has_changed().unwrap(), "nothing changed");
        elector.release(boot_time());
        announcer.announce(&elector);
        assert!(leading.has_changed().unwrap() && !*leading.borrow_and_update());
    });
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(
        lines[0].contains("INFO") && lines[0].contains("this replica holds the lease and is the leader"),
        "{lines:#?}"
    );
    assert!(lines[1].contains("INFO") && lines[1].contains("is no longer the leader"), "{lines:#?}");
}

#[test]
fn another_holder_is_logged_and_one_with_the_same_identity_is_a_warning() {
    let (mut announcer, leading) = announcer();
    let mut elector = elector();
    let lines = logged(|| {
        for (version, holder) in [(1, "other"), (2, "other"), (3, "me"), (4, "me"), (5, "third")] {
            finds(&mut elector, holder, version);
            announcer.announce(&elector);
        }
    });
    assert!(!*leading.borrow());
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for (line, (level, holder)) in lines.iter().zip([("INFO", "other"), ("WARN", "me"), ("INFO", "third")]) {
        assert!(line.contains(level) && line.contains(&format!("holder=\"{holder}\"")), "{line}");
        assert_eq!(line.contains("POD_NAME"), level == "WARN", "{line}");
    }
}
