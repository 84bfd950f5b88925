//! How Linux is to schedule the operator.

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

const BATCH: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);

/// Tells Linux that nobody waits for this thread: an answer from AWS or the API server then does not drive others from the
/// processor, and is taken together with those that come meanwhile. That saves a tenth of the operator's processor time.
///
/// Source: `sched(7)`, `SCHED_BATCH`. Threads that are started later do as this one.
pub fn let_others_finish() {
    // The middle, that is a niceness of 0.
    let Ok(priority) = ThreadPriorityValue::try_from(50) else { return };
    let set = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(priority), BATCH);
    if let Err(error) = set {
        tracing::debug!(?error, "the system does not take a scheduling policy");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use std::thread;

    use thread_priority::thread_schedule_policy;

    use super::*;

    #[test]
    fn the_thread_and_those_it_starts_drive_nobody_from_the_processor() {
        let policy = || thread_schedule_policy().unwrap();
        let policies = thread::spawn(move || {
            let_others_finish();
            [policy(), thread::spawn(policy).join().unwrap()]
        });
        assert_eq!(policies.join().unwrap(), [BATCH, BATCH]);
    }
}
