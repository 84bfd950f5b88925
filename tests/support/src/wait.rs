//! Waiting for a condition, with a deadline and the last seen state in the error.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use kube::Api;
use serde::Serialize;
use serde::de::DeserializeOwned;

const POLL: Duration = Duration::from_millis(50);
/// One attempt that hangs, for example on a frozen server, must not outlast the whole wait by much.
const ATTEMPT: Duration = Duration::from_secs(10);

/// An error after which waiting makes no sense, such as the end of the process that one waits for.
#[derive(Debug)]
pub struct Hopeless(pub String);

impl std::error::Error for Hopeless {}

impl std::fmt::Display for Hopeless {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Calls `attempt` until it returns `Ok`; an error means "not yet", and the last one is reported when `limit` is over.
/// [`Hopeless`] ends the wait at once.
///
/// ```no_run
/// # use aurora_test_support::wait::wait_for;
/// # async fn example() -> anyhow::Result<()> {
/// let seen = wait_for("two objects", std::time::Duration::from_secs(5), async || {
///     let count = 2;
///     anyhow::ensure!(count == 2, "{count} objects");
///     Ok(count)
/// })
/// .await?;
/// # Ok(()) }
/// ```
pub async fn wait_for<T>(what: &str, limit: Duration, mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let seen = match tokio::time::timeout(ATTEMPT, attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) if error.is::<Hopeless>() => return Err(error.context(format!("waiting for {what}"))),
            Ok(Err(error)) => error,
            Err(_) => anyhow!("no answer within {ATTEMPT:?}"),
        };
        if Instant::now() > deadline {
            return Err(anyhow!("waited {limit:?} for {what}; last seen: {seen:#}"));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until there is no object of that name; the error shows what is left of it.
///
/// # Errors
/// If it is still there when `limit` is over.
pub async fn wait_gone<K>(api: &Api<K>, name: &str, limit: Duration) -> Result<()>
where
    K: Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    wait_for(&format!("{name} to go"), limit, async || {
        let left = api.get_opt(name).await?;
        ensure!(left.is_none(), "{}", serde_json::to_string(&left)?);
        Ok(())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn gives_the_value_once_it_is_there() {
        let mut attempts = 0;
        let value = wait_for("the third attempt", Duration::from_secs(5), async || {
            attempts += 1;
            anyhow::ensure!(attempts == 3, "attempt {attempts}");
            Ok(attempts)
        })
        .await;
        assert_eq!(value.expect("in time"), 3);
    }

    #[tokio::test]
    async fn names_the_last_seen_state() {
        let result: Result<()> =
            wait_for("Godot", Duration::ZERO, async || Err(anyhow!("a tree").context("a country road"))).await;
        let error = result.expect_err("never comes").to_string();
        assert!(error.contains("Godot") && error.contains("a country road: a tree"), "{error}");
    }

    #[tokio::test]
    async fn gives_up_at_once_where_there_is_no_hope() {
        let mut attempts = 0;
        let result: Result<()> = wait_for("the dead", Duration::from_mins(1), async || {
            attempts += 1;
            Err(anyhow!(Hopeless(String::from("ended"))).context("attempt"))
        })
        .await;
        assert_eq!(format!("{:#}", result.expect_err("hopeless")), "waiting for the dead: attempt: ended");
        assert_eq!(attempts, 1);
    }
}
