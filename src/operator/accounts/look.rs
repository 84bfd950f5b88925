//! One look at one account: finalizer, identity, status.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc;
use tracing::Instrument;

use super::users::{holders, in_use};
use crate::api::{AwsAccountStatus, ConditionType, EventReason, Reason};
use crate::aws::account::Account;
use crate::aws::rate_limit::{Caller, Priority};
use crate::kubernetes::KubernetesError;
use crate::model::account_object::AccountObject;
use crate::model::object::Unread;
use crate::operator::reconcile::Context;
use crate::operator::sweep;
use crate::operator::workqueue::backoff;
use crate::pipeline::status::account::{Facts, Outcome, condition, next};
use crate::telemetry::trace;

/// Between looks at an account that is usable: its identity is verified anew then.
const INTERVAL: Duration = Duration::from_mins(5);
/// The count of policies alone is written at most this often.
const COUNT_PAUSE: Duration = Duration::from_mins(1);
/// Longest pause between tries to enter an account.
const SLOWEST: Duration = Duration::from_mins(1);
/// The look for the service-linked role waits in the account's budget; the status does not wait longer for it.
const SIDE_LOOK: Duration = Duration::from_secs(2);

/// What is kept of an account between looks.
pub(super) struct Keeper {
    context: Arc<Context>,
    usable: mpsc::UnboundedSender<String>,
    /// The object as our last write left it: the watch may bring it later.
    written: Option<Arc<AccountObject>>,
    failures: u32,
    counted: Option<Instant>,
    last_good_look: Instant,
}

impl Keeper {
    pub(super) fn new(context: Arc<Context>, usable: mpsc::UnboundedSender<String>) -> Self {
        let last_good_look = context.started;
        Self { context, usable, written: None, failures: 0, counted: None, last_good_look }
    }

    /// Looks at the account; returns when to look again.
    pub(super) async fn look(&mut self, object: &Arc<AccountObject>) -> Duration {
        let newest = self.newest(object);
        match self.keep(&newest).instrument(trace::account(newest.name())).await {
            Ok(pause) => pause,
            Err(KubernetesError::NotLeader) => SLOWEST,
            Err(error) if error.is_not_found() => INTERVAL,
            Err(error) => {
                if !error.is_conflict() {
                    tracing::warn!(%error, "Kubernetes did not take a write; it is repeated");
                }
                self.written = None;
                self.again()
            }
        }
    }

    fn newest(&self, object: &Arc<AccountObject>) -> Arc<AccountObject> {
        let version = |object: &AccountObject| object.metadata.resource_version.as_ref()?.parse::<u64>().ok();
        match &self.written {
            Some(written) if written.metadata.uid == object.metadata.uid && version(written) > version(object) => {
                written.clone()
            }
            _ => object.clone(),
        }
    }

    async fn keep(&mut self, object: &Arc<AccountObject>) -> Result<Duration, KubernetesError> {
        let mut object = object.clone();
        if object.is_deleting() {
            return self.let_go(&object).await;
        }
        if !object.has_finalizer() {
            object = read(self.context.kubernetes.add_finalizer(&*object).await?);
            self.written = Some(object.clone());
        }
        let outcome = self.outcome(&object).await;
        let usable = matches!(outcome, Outcome::Usable { .. });
        if !usable
            && outcome.is_passing()
            && is_ready(&object.status, object.generation())
            && self.last_good_look.elapsed() < INTERVAL * 3
        {
            return Ok(self.again());
        }
        let pause = self.write(&object, &outcome).await?;
        if !usable {
            return Ok(self.again());
        }
        self.last_good_look = Instant::now();
        if std::mem::take(&mut self.failures) > 0 {
            // Nobody listens any more only while the operator stops.
            let _ = self.usable.send(object.name().to_owned());
        }
        Ok(pause)
    }

    async fn outcome(&self, object: &AccountObject) -> Outcome {
        let account = match &object.spec {
            Ok(_) => self.context.accounts.named(object.name()),
            Err(error) => {
                return Outcome::Failed { reason: Reason::InvalidSpec, message: error.to_string() };
            }
        };
        let Some(account) = account else {
            return Outcome::Failed {
                reason: Reason::Progressing,
                message: "the account is being taken in".to_owned(),
            };
        };
        match account.identity().await {
            Ok(identity) => {
                let look = service_linked_role(&account, &identity);
                let answer = tokio::time::timeout(SIDE_LOOK, look).await;
                Outcome::Usable {
                    caller_arn: identity.arn,
                    service_linked_role: answer.unwrap_or(object.status.service_linked_role),
                }
            }
            Err(error) => Outcome::of(&error),
        }
    }

    /// Removes the finalizer, unless policies need the account.
    async fn let_go(&mut self, object: &AccountObject) -> Result<Duration, KubernetesError> {
        if !object.has_finalizer() {
            return Ok(INTERVAL);
        }
        let name = object.name();
        let users = self.context.index.users_of(name);
        let held = holders(&users, |namespace| self.context.accounts.admits(name, namespace));
        if let Some(message) = in_use(&held) {
            self.write(object, &Outcome::InUse { message }).await?;
            return Ok(INTERVAL);
        }
        self.context.kubernetes.remove_finalizer(object).await?;
        let note = "no policy uses the account any more";
        tracing::info!("{note}");
        let reason = EventReason::Deleted.as_str();
        self.context.kubernetes.event(object, false, reason, "Delete", note).await;
        Ok(INTERVAL)
    }

    /// Writes the status if it differs, and an event if `Ready` did; returns when to look again.
    async fn write(&mut self, object: &AccountObject, outcome: &Outcome) -> Result<Duration, KubernetesError> {
        let count = i64::try_from(self.context.index.users_of(object.name()).len()).unwrap_or(i64::MAX);
        let facts = |policies| Facts {
            policies,
            drift_scan: sweep::mode(&self.context, &Some(object.name().to_owned())).to_string(),
        };
        let now = Timestamp::now();
        let status = |policies| next(&object.status, outcome, &facts(policies), object.generation(), now);
        let mut wanted = status(count);
        if wanted == object.status {
            return Ok(INTERVAL);
        }
        let wait = self.counted.map_or(Duration::ZERO, |at| COUNT_PAUSE.saturating_sub(at.elapsed()));
        if let Some(known) = object.status.policies
            && !wait.is_zero()
        {
            wanted = status(known);
            if wanted == object.status {
                return Ok(wait);
            }
        } else if object.status.policies.is_some() {
            self.counted = Some(Instant::now());
        }
        self.written = Some(self.context.kubernetes.write_status(object, &wanted, read).await?);
        self.tell(object, &wanted).await;
        Ok(if wait.is_zero() { INTERVAL } else { wait })
    }

    async fn tell(&self, object: &AccountObject, status: &AwsAccountStatus) {
        let ready = |status: &AwsAccountStatus| {
            condition(status, ConditionType::Ready).map(|it| (it.status.clone(), it.reason.clone(), it.message.clone()))
        };
        let (before, after) = (ready(&object.status), ready(status));
        let Some((value, reason, note)) = after else { return };
        if before.is_some_and(|before| (&before.0, &before.1) == (&value, &reason)) {
            return;
        }
        let warning = value != "True";
        if warning {
            tracing::warn!(reason = &*reason, "{note}");
        } else {
            tracing::info!(reason = &*reason, "{note}");
        }
        self.context.kubernetes.event(object, warning, &reason, "Verify", &note).await;
    }

    fn again(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        backoff(self.failures, Duration::from_secs(2), SLOWEST)
    }
}

fn read(answer: Unread) -> Arc<AccountObject> {
    Arc::new(answer.into())
}

async fn service_linked_role(account: &Account, identity: &crate::aws::credentials::CallerIdentity) -> Option<bool> {
    let caller = Caller { namespace: Arc::from(""), object: Arc::from(""), priority: Priority::Periodic };
    account.service_linked_role(&account.iam(identity, caller)).await
}

fn is_ready(status: &AwsAccountStatus, generation: i64) -> bool {
    condition(status, ConditionType::Ready)
        .is_some_and(|ready| ready.status == "True" && ready.observed_generation == Some(generation))
}
