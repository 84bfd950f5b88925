//! The service-linked role of RDS, which log exports use. Each account is asked once an hour whether it has the role.

use std::time::{Duration, Instant};

use crate::pipeline::port::{ErrorClass, IamError};

/// Name of the role.
pub const SERVICE_LINKED_ROLE: &str = "AWSServiceRoleForRDS";
/// How long an answer is used.
const VALID_FOR: Duration = Duration::from_hours(1);

/// The last answer for one account, with its time; `None` if the role cannot be read.
#[derive(Default)]
pub(super) struct ServiceLinkedRole(tokio::sync::Mutex<Option<(Instant, Option<bool>)>>);

impl ServiceLinkedRole {
    /// True if the account has the role; `None` if that is not known. Polls `ask` only if the last answer, a refusal
    /// included, is too old. Concurrent callers share one answer.
    pub(super) async fn get(
        &self,
        now: Instant,
        ask: impl Future<Output = Result<bool, IamError>> + Send,
    ) -> Option<bool> {
        let mut known = self.0.lock().await;
        if let Some((at, answer)) = *known
            && now.saturating_duration_since(at) < VALID_FOR
        {
            return answer;
        }
        let answer = match ask.await {
            Ok(is_there) => Some(is_there),
            Err(error) if error.class == ErrorClass::AccessDenied => None,
            // A transient error: the last answer stays in use, and the next call asks again.
            Err(_) => return known.and_then(|(_, answer)| answer),
        };
        *known = Some((now, answer));
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::port::Operation;

    fn error(class: ErrorClass) -> IamError {
        IamError {
            class,
            operation: Operation::GetRole,
            resource: SERVICE_LINKED_ROLE.to_owned(),
            code: "No".to_owned(),
            message: String::new(),
        }
    }

    /// Calls `get` at this second. Returns its answer, and whether AWS was called.
    async fn at(
        role: &ServiceLinkedRole,
        began: Instant,
        seconds: u64,
        aws: Result<bool, IamError>,
    ) -> (Option<bool>, bool) {
        let mut called = false;
        let ask = async {
            called = true;
            aws
        };
        let answer = role.get(began + Duration::from_secs(seconds), ask).await;
        (answer, called)
    }

    #[tokio::test]
    async fn an_answer_is_used_for_an_hour() {
        let (role, began) = (ServiceLinkedRole::default(), Instant::now());
        assert_eq!(at(&role, began, 0, Ok(false)).await, (Some(false), true));
        assert_eq!(at(&role, began, 1, Ok(true)).await, (Some(false), false));
        assert_eq!(at(&role, began, 3599, Ok(true)).await, (Some(false), false));
        // The role was created meanwhile.
        assert_eq!(at(&role, began, 3600, Ok(true)).await, (Some(true), true));
        assert_eq!(
            at(&role, began, 7199, Ok(false)).await,
            (Some(true), false),
            "the hour counts from the last answer"
        );
        assert_eq!(at(&role, began, 7200, Ok(false)).await, (Some(false), true));
    }

    #[tokio::test]
    async fn after_a_refusal_the_answer_is_unknown_for_an_hour() {
        let (role, began) = (ServiceLinkedRole::default(), Instant::now());
        assert_eq!(at(&role, began, 0, Ok(true)).await, (Some(true), true));
        assert_eq!(at(&role, began, 3600, Err(error(ErrorClass::AccessDenied))).await, (None, true));
        assert_eq!(at(&role, began, 3601, Ok(true)).await, (None, false));
        assert_eq!(at(&role, began, 7200, Ok(true)).await, (Some(true), true));
    }

    #[tokio::test]
    async fn a_transient_error_keeps_the_last_answer_and_the_next_call_asks_again() {
        let (role, began) = (ServiceLinkedRole::default(), Instant::now());
        assert_eq!(at(&role, began, 0, Err(error(ErrorClass::Throttled))).await, (None, true));
        assert_eq!(at(&role, began, 1, Ok(true)).await, (Some(true), true));
        assert_eq!(at(&role, began, 3601, Err(error(ErrorClass::Transient))).await, (Some(true), true));
        assert_eq!(at(&role, began, 3602, Ok(false)).await, (Some(false), true));
    }
}
