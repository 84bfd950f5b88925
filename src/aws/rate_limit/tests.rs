//! The asynchronous shell, in real time with high rates; what it decides is tested beside `bucket` and `queue`.

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

fn budget(writes_per_second: f64) -> Budget {
    Budget::new(Rates { reads_per_second: 1_000.0, writes_per_second })
}

fn caller(priority: Priority, namespace: &str, object: &str) -> Caller {
    Caller { namespace: namespace.into(), object: object.into(), priority }
}

fn change(object: &str) -> Caller {
    caller(Priority::Change, "ns", object)
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async { timeout(DEADLINE, test).await.unwrap() });
}

/// Uses up what is there now, so that the next to ask has to wait.
async fn empty(budget: &Budget, kind: CallKind) {
    budget.throttled(kind);
    while budget.lane(kind).lock().bucket.take(budget.lane(kind).now()) {
        tokio::task::yield_now().await;
    }
}

/// A task serves the writes: somebody waits.
fn is_served(budget: &Budget) -> bool {
    budget.lane(CallKind::Write).lock().served
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_full_bucket_lets_calls_through_without_waiting() {
    run(async {
        let budget = budget(5.0);
        for _ in 0..10 {
            budget.acquire(CallKind::Write, &change("o")).await;
            assert!(!is_served(&budget), "nobody had to wait");
        }
    });
}

#[test]
fn reads_do_not_wait_for_writes() {
    run(async {
        let budget = budget(0.01);
        empty(&budget, CallKind::Write).await;
        let (write, caller) = (budget.clone(), change("o"));
        let waiting = tokio::spawn(async move { write.acquire(CallKind::Write, &caller).await });
        for _ in 0..100 {
            budget.acquire(CallKind::Read, &change("o")).await;
        }
        assert!(!waiting.is_finished());
        waiting.abort();
    });
}

/// No lost wake-up: hundreds of waiters come, give up and are throttled from two threads, and all that stay are served
/// within the time the rate allows.
#[test]
fn everybody_who_stays_is_served_at_the_rate() {
    run(async {
        let budget = budget(400.0);
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for i in 0..1_200_u64 {
            let budget = budget.clone();
            tasks.spawn(async move {
                let caller = caller(Priority::Change, &format!("n{}", i % 7), &format!("o{}", i % 31));
                let acquired = budget.acquire(CallKind::Write, &caller);
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
        // The task ends with the queue.
        until(|| !is_served(&budget)).await;
        assert!(budget.lane(CallKind::Write).lock().queue.is_empty());
    });
}

#[test]
fn who_gives_up_loses_no_token() {
    run(async {
        let budget = budget(0.01);
        // Three turns that came and were never taken: the one token is still there for others.
        for _ in 0..3 {
            let place = Lane::enter(budget.lane(CallKind::Write), &change("o"));
            drop(place);
        }
        budget.acquire(CallKind::Write, &change("o")).await;
        assert!(!is_served(&budget), "nobody had to wait");
        // One that waited leaves the queue.
        let place = Lane::enter(budget.lane(CallKind::Write), &change("o"));
        assert!(!budget.lane(CallKind::Write).lock().queue.is_empty());
        drop(place);
        assert!(budget.lane(CallKind::Write).lock().queue.is_empty());
    });
}

#[test]
fn a_token_given_back_goes_to_who_waits() {
    run(async {
        let budget = budget(0.01);
        let lane = budget.lane(CallKind::Write);
        let unused = Lane::enter(lane, &change("a"));
        let waiting = {
            let budget = budget.clone();
            tokio::spawn(async move { budget.acquire(CallKind::Write, &change("b")).await })
        };
        until(|| !lane.lock().queue.is_empty()).await;
        drop(unused);
        waiting.await.unwrap();
    });
}

#[test]
fn a_raised_rate_wakes_who_waits() {
    run(async {
        let budget = budget(0.01);
        empty(&budget, CallKind::Write).await;
        let waiting = {
            let budget = budget.clone();
            tokio::spawn(async move { budget.acquire(CallKind::Write, &change("o")).await })
        };
        until(|| !budget.lane(CallKind::Write).lock().queue.is_empty()).await;
        budget.set_rates(Rates { reads_per_second: 1.0, writes_per_second: 1_000.0 });
        waiting.await.unwrap();
        assert!((budget.rate(CallKind::Read) - 1.0).abs() < 1e-6);
    });
}

#[test]
fn a_busy_namespace_does_not_delay_a_quiet_one() {
    run(async {
        let budget = budget(50.0);
        let mut noisy = JoinSet::new();
        for i in 0..2_000 {
            let budget = budget.clone();
            noisy.spawn(async move {
                budget.acquire(CallKind::Write, &caller(Priority::Change, "noisy", &format!("o{i}"))).await
            });
        }
        until(|| !budget.lane(CallKind::Write).lock().queue.is_empty()).await;
        // Alone in line the noisy ones would take 38 s.
        let waited = budget.acquire(CallKind::Write, &caller(Priority::Change, "quiet", "o")).await;
        assert!(waited < Duration::from_secs(10), "{waited:?}");
        noisy.abort_all();
    });
}

#[test]
fn a_runtime_that_ends_does_not_leave_the_queue_unserved() {
    let budget = budget(20.0);
    run(async { empty(&budget, CallKind::Write).await });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let place = runtime.block_on(async { Lane::enter(budget.lane(CallKind::Write), &change("a")) });
    drop(runtime);
    run(async {
        budget.acquire(CallKind::Write, &change("b")).await;
    });
    drop(place);
}
