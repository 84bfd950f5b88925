//! The model in one process: a shared handle with a hook that can inject a fault before or after each operation.

use super::account::Iam;
use super::action::Action;
use super::call_log::{CallInfo, CallLog, CallRecord};
use super::error::ApiError;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The fault that the hook injects into one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// No fault.
    #[default]
    None,
    /// The call is not executed and fails with this.
    FailBefore(ApiError),
    /// The call is executed and its response is lost.
    LoseAnswerAfter,
}

/// A call as the hook sees it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Counts from 1.
    pub seq: u64,
    /// The operation.
    pub action: Action,
    /// Name or ARN of the resource.
    pub resource: &'a str,
}

/// How a call through the handle fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// AWS answered with an error.
    Api(ApiError),
    /// The response was lost. The call was executed, which a real caller cannot know.
    AnswerLost,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(error) => error.fmt(f),
            Self::AnswerLost => f.write_str("the connection was lost before the response arrived"),
        }
    }
}

impl std::error::Error for CallError {}

impl From<ApiError> for CallError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

type Hook = Box<dyn FnMut(&Call<'_>) -> Fault + Send>;

/// An account that clones of this handle share.
#[derive(Clone)]
pub struct Shared {
    iam: Arc<Mutex<Iam>>,
    hook: Arc<Mutex<Hook>>,
    log: Arc<Mutex<CallLog>>,
}

impl Shared {
    /// Without faults; the records of the last 10,000 calls are kept.
    pub fn new(iam: Iam) -> Self {
        Self {
            iam: Arc::new(Mutex::new(iam)),
            hook: Arc::new(Mutex::new(Box::new(|_| Fault::None))),
            log: Arc::new(Mutex::new(CallLog::new(10_000))),
        }
    }

    /// Replaces the hook, which is called before each operation.
    pub fn set_hook(&self, hook: impl FnMut(&Call<'_>) -> Fault + Send + 'static) {
        *lock(&self.hook) = Box::new(hook);
    }

    /// Removes the hook: no more faults.
    pub fn clear_hook(&self) {
        self.set_hook(|_| Fault::None);
    }

    /// The account, without hook and log: for manual changes and for assertions.
    pub fn lock(&self) -> MutexGuard<'_, Iam> {
        lock(&self.iam)
    }

    /// One call: hook, operation, log.
    ///
    /// `shared.call(Action::GetRole, name, |iam| iam.get_role(name))`
    pub fn call<T>(
        &self,
        action: Action,
        resource: &str,
        operation: impl FnOnce(&mut Iam) -> Result<T, ApiError>,
    ) -> Result<T, CallError> {
        let info = CallInfo { action: action.name().to_owned(), resource: resource.to_owned(), ..CallInfo::default() };
        let seq = lock(&self.log).begin(&info);
        let fault = (lock(&self.hook))(&Call { seq, action, resource });
        let (result, outcome, executed) = match fault {
            Fault::FailBefore(error) => (Err(CallError::Api(error.clone())), error.code, false),
            Fault::None => match operation(&mut self.lock()) {
                Ok(value) => (Ok(value), "OK".to_owned(), true),
                Err(error) => (Err(CallError::Api(error.clone())), error.code, false),
            },
            Fault::LoseAnswerAfter => {
                let executed = operation(&mut self.lock()).is_ok();
                (Err(CallError::AnswerLost), "ConnectionLost".to_owned(), executed)
            }
        };
        lock(&self.log).finish(seq, &outcome, executed);
        result
    }

    /// The calls with a number above `seq` (0: all).
    pub fn calls_since(&self, seq: u64) -> Vec<CallRecord> {
        lock(&self.log).since(seq)
    }

    /// The number of the last call.
    pub fn last_seq(&self) -> u64 {
        lock(&self.log).last_seq()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("account", &self.lock().account_id()).finish_non_exhaustive()
    }
}

/// Ignores poisoning, so that a panic in a test does not cause a misleading failure in the next assertion.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
