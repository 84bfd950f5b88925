//! The role that AWS documents as taking precedence for log export: has the account it? Asked for once an hour.

use std::time::{Duration, Instant};

use crate::pipeline::port::{ErrorClass, IamError};

/// Its name.
pub const SERVICE_LINKED_ROLE: &str = "AWSServiceRoleForRDS";
/// How long an answer holds.
const HOLDS: Duration = Duration::from_hours(1);

/// What is known of it in one account.
#[derive(Default)]
pub(super) struct ServiceLinkedRole(tokio::sync::Mutex<Option<(Instant, Option<bool>)>>);

impl ServiceLinkedRole {
    /// Is it there? `None` if that is not known. `ask` is made only if the last answer, a refusal included, does not
    /// hold any more; whoever waits for it meanwhile shares its answer.
    pub(super) async fn look(
        &self,
        now: Instant,
        ask: impl Future<Output = Result<bool, IamError>> + Send,
    ) -> Option<bool> {
        let mut known = self.0.lock().await;
        if let Some((at, answer)) = *known
            && now.saturating_duration_since(at) < HOLDS
        {
            return answer;
        }
        let answer = match ask.await {
            Ok(is_there) => Some(is_there),
            Err(error) if error.class == ErrorClass::AccessDenied => None,
            // Passing trouble: what was known holds until the next look.
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

    /// Asks so many seconds after the beginning; gives what is known, and whether AWS was called.
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
        let answer = role.look(began + Duration::from_secs(seconds), ask).await;
        (answer, called)
    }

    #[tokio::test]
    async fn the_answer_holds_for_an_hour_and_then_aws_is_asked_again() {
        let (role, began) = (ServiceLinkedRole::default(), Instant::now());
        assert_eq!(at(&role, began, 0, Ok(false)).await, (Some(false), true));
        assert_eq!(at(&role, began, 1, Ok(true)).await, (Some(false), false));
        assert_eq!(at(&role, began, 3599, Ok(true)).await, (Some(false), false));
        // Somebody has made it meanwhile.
        assert_eq!(at(&role, began, 3600, Ok(true)).await, (Some(true), true));
        assert_eq!(
            at(&role, began, 7199, Ok(false)).await,
            (Some(true), false),
            "the hour counts from the last answer"
        );
        assert_eq!(at(&role, began, 7200, Ok(false)).await, (Some(false), true));
    }

    #[tokio::test]
    async fn a_refusal_makes_it_unknown_for_an_hour_whatever_was_known() {
        let (role, began) = (ServiceLinkedRole::default(), Instant::now());
        assert_eq!(at(&role, began, 0, Ok(true)).await, (Some(true), true));
        assert_eq!(at(&role, began, 3600, Err(error(ErrorClass::AccessDenied))).await, (None, true));
        assert_eq!(at(&role, began, 3601, Ok(true)).await, (None, false));
        assert_eq!(at(&role, began, 7200, Ok(true)).await, (Some(true), true));
    }

    #[tokio::test]
    async fn passing_trouble_keeps_what_was_known_and_the_next_look_asks_again() {
        let (role, began) = (ServiceLinkedRole::default(), Instant::now());
        assert_eq!(at(&role, began, 0, Err(error(ErrorClass::Throttled))).await, (None, true));
        assert_eq!(at(&role, began, 1, Ok(true)).await, (Some(true), true));
        assert_eq!(at(&role, began, 3601, Err(error(ErrorClass::Transient))).await, (Some(true), true));
        assert_eq!(at(&role, began, 3602, Ok(false)).await, (Some(false), true));
    }
}
