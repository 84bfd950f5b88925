//! Waiting, in real time with high rates. The bucket has its own tests.

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

fn rate_limit(writes_per_second: f64) -> RateLimit {
    RateLimit::new(Rates { reads_per_second: 1_000.0, writes_per_second })
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async { timeout(DEADLINE, test).await.unwrap() });
}

/// Takes all tokens, so that the next call has to wait.
fn empty(rate_limit: &RateLimit, kind: CallKind) {
    rate_limit.throttled(kind);
    let limit = rate_limit.limit(kind);
    while limit.bucket().take(limit.start.elapsed()) {}
}

#[test]
fn a_full_bucket_lets_calls_through_without_waiting() {
    run(async {
        let rate_limit = rate_limit(5.0);
        for _ in 0..10 {
            assert!(rate_limit.acquire(CallKind::Write, Urgency::Interactive).await < Duration::from_millis(100));
        }
    });
}

#[test]
fn reads_do_not_wait_for_writes() {
    run(async {
        let rate_limit = rate_limit(0.01);
        empty(&rate_limit, CallKind::Write);
        let write = rate_limit.clone();
        let waiting = tokio::spawn(async move { write.acquire(CallKind::Write, Urgency::Interactive).await });
        for _ in 0..100 {
            rate_limit.acquire(CallKind::Read, Urgency::Interactive).await;
        }
        assert!(!waiting.is_finished());
        waiting.abort();
    });
}

/// Hundreds of waiters on two threads, some of which give up. All others are served, at the configured rate.
#[test]
fn all_waiters_that_stay_are_served_at_the_rate() {
    run(async {
        let rate_limit = rate_limit(400.0);
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for i in 0..1_200_u64 {
            let rate_limit = rate_limit.clone();
            tasks.spawn(async move {
                let acquired = rate_limit.acquire(CallKind::Write, Urgency::Interactive);
                if i % 6 == 0 {
                    return timeout(Duration::from_millis(i % 40), acquired).await.is_ok();
                }
                acquired.await;
                true
            });
        }
        let served = tasks.join_all().await.into_iter().filter(|served| *served).count();
        assert!(served >= 1_000, "{served}");
        let took = start.elapsed().as_secs_f64();
        let allowed = 800.0 + 400.0 * took;
        assert!(f64::from(u32::try_from(served).unwrap()) <= allowed + 1.0, "{served} calls in {took} s");
    });
}

#[test]
fn a_raised_rate_wakes_the_waiters() {
    run(async {
        let rate_limit = rate_limit(0.01);
        empty(&rate_limit, CallKind::Write);
        let waiting = {
            let rate_limit = rate_limit.clone();
            tokio::spawn(async move { rate_limit.acquire(CallKind::Write, Urgency::Interactive).await })
        };
        while rate_limit.limit(CallKind::Write).turn.try_lock().is_ok() {
            tokio::task::yield_now().await;
        }
        rate_limit.set_rates(Rates { reads_per_second: 1.0, writes_per_second: 1_000.0 });
        waiting.await.unwrap();
        assert!((rate_limit.rate(CallKind::Read) - 1.0).abs() < 1e-6);
    });
}

#[test]
fn a_users_call_overtakes_background_calls_and_does_not_starve_them() {
    run(async {
        let rate_limit = rate_limit(50.0);
        empty(&rate_limit, CallKind::Write);
        let mut background = JoinSet::new();
        for _ in 0..100 {
            let rate_limit = rate_limit.clone();
            background.spawn(async move { rate_limit.acquire(CallKind::Write, Urgency::Background).await });
        }
        while rate_limit.limit(CallKind::Write).background.try_lock().is_ok() {
            tokio::task::yield_now().await;
        }
        // Behind all of them it would wait for two seconds.
        let waited = rate_limit.acquire(CallKind::Write, Urgency::Interactive).await;
        assert!(waited < Duration::from_secs(1), "{waited:?}");
        // Users' calls without a pause between them.
        let users = tokio::spawn(async move {
            loop {
                rate_limit.acquire(CallKind::Write, Urgency::Interactive).await;
            }
        });
        assert_eq!(background.join_all().await.len(), 100);
        users.abort();
    });
}
