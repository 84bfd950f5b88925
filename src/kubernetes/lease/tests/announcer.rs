//! What the rest of the program and the log hear of the election: every change, once.

use super::*;
use crate::kubernetes::lease::elector::Observed;
use crate::telemetry::buffer::Buffer;

/// The lines that are logged meanwhile.
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

/// Leads from now on.
fn leader() -> Elector {
    let mut elector = elector();
    let now = boot_time();
    elector.next(now, now_in_microseconds());
    elector.answered(now, Answer::Absent);
    let Step::Send(Request::Create(claim)) = elector.next(now, now_in_microseconds()) else { panic!("no write") };
    elector.answered(now, Answer::Written(Observed { version: "1".to_owned(), claim }));
    elector
}

/// Finds that holder on the Lease, in a version of that number, which is also the second of the look.
fn finds(elector: &mut Elector, holder: &str, version: u64) {
    let now = Duration::from_secs(version);
    elector.next(now, now_in_microseconds());
    let mut claim = observed(&Lease::default()).claim;
    holder.clone_into(&mut claim.holder);
    elector.answered(now, Answer::Found(Observed { version: version.to_string(), claim }));
}

#[test]
fn whoever_waits_hears_of_a_change_at_once_and_of_nothing_else() {
    let (mut announcer, mut leading) = announcer();
    let mut elector = leader();
    let lines = logged(|| {
        announcer.announce(&elector);
        assert!(leading.has_changed().unwrap() && *leading.borrow_and_update());
        announcer.announce(&elector);
        assert!(!leading.has_changed().unwrap(), "told already");
        elector.release(boot_time());
        announcer.announce(&elector);
        assert!(leading.has_changed().unwrap() && !*leading.borrow_and_update());
    });
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("INFO") && lines[0].contains("this replica holds the lease and leads"), "{lines:#?}");
    assert!(lines[1].contains("INFO") && lines[1].contains("does not lead any more"), "{lines:#?}");
}

#[test]
fn the_log_says_who_else_holds_the_lease_and_warns_of_a_namesake() {
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
