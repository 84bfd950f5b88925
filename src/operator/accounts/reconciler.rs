//! Reconciles one `AwsAccount`: finalizer, identity, status.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc;
use tracing::Instrument;

use super::users::{holders, in_use};
use crate::api::{AwsAccountStatus, ConditionType, EventReason, FINALIZER, Reason};
use crate::kubernetes::KubernetesError;
use crate::model::account_key::AccountKey;
use crate::model::stored::AccountObject;
use crate::operator::backoff::backoff;
use crate::operator::context::Context;
use crate::pipeline::status::account::{Facts, Outcome, condition, next};
use crate::pipeline::status::{ignored_note, is_new_note, note_ignored};
use crate::telemetry::metrics::ReconcileResult;
use crate::telemetry::{panics, trace};

/// Between checks of an account that is usable. Its identity is verified again then.
const INTERVAL: Duration = Duration::from_mins(5);
/// The counts of policies and orphans alone are written at most this often.
const COUNT_INTERVAL: Duration = Duration::from_mins(1);
/// The longest pause between tries to use an account.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// The read of the service-linked role waits for the account's rate limit; the status does not wait longer for it.
const ROLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Reconciles one account, and keeps what it needs between two reconciles.
pub(super) struct AccountReconciler {
    context: Arc<Context>,
    usable: mpsc::UnboundedSender<String>,
    /// The object as our last write left it: the watch may bring it later.
    written: Option<Arc<AccountObject>>,
    failures: u32,
    counted: Option<Instant>,
    last_usable: Instant,
}

impl AccountReconciler {
    pub(super) fn new(context: Arc<Context>, usable: mpsc::UnboundedSender<String>) -> Self {
        let last_usable = context.started;
        Self { context, usable, written: None, failures: 0, counted: None, last_usable }
    }

    /// Reconciles the account. Returns when to do so again.
    pub(super) async fn reconcile(&mut self, object: &Arc<AccountObject>) -> Duration {
        let began = Instant::now();
        let object = self.newest(object);
        let span = trace::account(object.name());
        match panics::contain(self.try_reconcile(object.clone())).instrument(span).await {
            Ok(Ok(pause)) => pause,
            Ok(Err(KubernetesError::NotLeader)) => LONGEST_PAUSE,
            Ok(Err(error)) if error.is_not_found() => INTERVAL,
            Ok(Err(error)) => {
                if !error.is_conflict() {
                    tracing::warn!(%error, "Kubernetes write failed; retrying");
                }
                if self.failures == 0 {
                    self.context.report_rejected_write(&*object, "Verify", &error);
                }
                self.written = None;
                self.retry()
            }
            Err(panics::Panicked) => {
                self.context.metrics.reconciled(ReconcileResult::Panic, began.elapsed());
                self.retry()
            }
        }
    }

    fn newest(&self, object: &Arc<AccountObject>) -> Arc<AccountObject> {
        let newer = self
            .written
            .as_ref()
            .filter(|written| written.uid() == object.uid() && written.resource_version() > object.resource_version());
        newer.unwrap_or(object).clone()
    }

    async fn try_reconcile(&mut self, mut object: Arc<AccountObject>) -> Result<Duration, KubernetesError> {
        panics::inject(&format_args!("account {}", object.name()));
        if object.is_deleting() {
            return self.delete(&object).await;
        }
        if !object.has_finalizer() {
            object = Arc::new(self.context.kubernetes.add_finalizer(&*object).await?);
            self.written = Some(object.clone());
        }
        let outcome = self.check(&object).await;
        let usable = matches!(outcome, Outcome::Usable { .. });
        if outcome.may_pass() && is_ready(&object) && self.last_usable.elapsed() < INTERVAL * 3 {
            return Ok(self.retry());
        }
        let pause = self.report(&object, &outcome).await?;
        if !usable {
            return Ok(self.retry());
        }
        self.last_usable = Instant::now();
        if std::mem::take(&mut self.failures) > 0 {
            // The receiver is gone only while the operator stops.
            let _ = self.usable.send(object.name().to_owned());
        }
        Ok(pause)
    }

    async fn check(&self, object: &AccountObject) -> Outcome {
        if let Err(error) = &object.spec {
            return Outcome::Failed { reason: Reason::InvalidSpec, message: error.to_string() };
        }
        let Some(account) = self.context.accounts.account(&AccountKey::Named(object.name().to_owned())) else {
            let message = "the account is being set up".to_owned();
            return Outcome::Failed { reason: Reason::Progressing, message };
        };
        match account.identity().await {
            Ok(identity) => {
                let iam = account.iam(&identity).in_background();
                let role = tokio::time::timeout(ROLE_TIMEOUT, account.service_linked_role(&iam)).await;
                Outcome::Usable {
                    caller_arn: identity.arn,
                    service_linked_role: role.unwrap_or(object.status.service_linked_role),
                }
            }
            Err(error) => Outcome::of(&error),
        }
    }

    /// Removes the finalizer, unless policies need the account.
    async fn delete(&mut self, object: &AccountObject) -> Result<Duration, KubernetesError> {
        if !object.has_finalizer() {
            return Ok(INTERVAL);
        }
        let name = object.name();
        let context = self.context.clone();
        let Context { accounts, namespaces, index, removed, kubernetes, .. } = &*context;
        let mut users = index.users_of(name);
        users.extend(removed.all().into_iter().filter(|gone| gone.account_ref() == Some(name)));
        let held = holders(&users, |namespace| namespaces.admitted(accounts, name, namespace));
        if let Some(message) = in_use(&held) {
            self.report(object, &Outcome::InUse { message }).await?;
            return Ok(INTERVAL);
        }
        if object.metadata.finalizers.iter().flatten().any(|finalizer| finalizer != FINALIZER) {
            let message = "no policy uses the account any more; the object waits for other finalizers".to_owned();
            self.report(object, &Outcome::Released { message }).await?;
        }
        // False: an earlier check published the event; the watch has not reported the removal yet.
        if kubernetes.remove_finalizer(object).await? {
            let note = "no policy uses the account any more";
            tracing::info!("{note}");
            kubernetes.event(object, false, EventReason::Deleted.as_str(), "Delete", note);
        }
        Ok(INTERVAL)
    }

    /// Writes the status if it differs, and an event if `Ready` changed. Returns when to reconcile again.
    async fn report(&mut self, object: &AccountObject, outcome: &Outcome) -> Result<Duration, KubernetesError> {
        let Context { accounts, index, modes, drift_scan, .. } = &*self.context;
        let key = AccountKey::Named(object.name().to_owned());
        let count = i64::try_from(index.count_of(&key)).unwrap_or(i64::MAX);
        let orphans = modes.orphans(&key).map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        let mode = modes.describe(accounts, index, *drift_scan, &key).to_string();
        let now = Timestamp::now();
        let status = |policies, orphans| {
            let facts = Facts { policies, orphans, drift_scan: mode.clone() };
            let mut status = next(&object.status, outcome, &facts, object.generation(), now);
            note_ignored(&mut status.conditions, &object.ignored);
            status
        };
        let mut wanted = status(count, orphans);
        if wanted == object.status {
            return Ok(INTERVAL);
        }
        let wait = self.counted.map_or(Duration::ZERO, |at| COUNT_INTERVAL.saturating_sub(at.elapsed()));
        if let Some(known) = object.status.policies
            && !wait.is_zero()
        {
            wanted = status(known, object.status.orphans);
            if wanted == object.status {
                return Ok(wait);
            }
        } else if object.status.policies.is_some() {
            self.counted = Some(Instant::now());
        }
        self.written = Some(Arc::new(self.context.kubernetes.write_status(object, &wanted).await?));
        self.report_transition(object, &wanted);
        Ok(if wait.is_zero() { INTERVAL } else { wait })
    }

    fn report_transition(&self, object: &AccountObject, status: &AwsAccountStatus) {
        let before = condition(&object.status, ConditionType::Ready);
        let Some(after) = condition(status, ConditionType::Ready) else { return };
        if is_new_note(&object.ignored, before, after)
            && let Some(note) = ignored_note(&object.ignored)
        {
            tracing::warn!("{note}");
            self.context.kubernetes.event(object, true, EventReason::UnknownFields.as_str(), "Verify", &note);
        }
        if before.is_some_and(|before| (&before.status, &before.reason) == (&after.status, &after.reason)) {
            return;
        }
        let warning = after.status != "True";
        if warning {
            tracing::warn!(reason = &*after.reason, "{}", after.message);
        } else {
            tracing::info!(reason = &*after.reason, "{}", after.message);
        }
        self.context.kubernetes.event(object, warning, &after.reason, "Verify", &after.message);
    }

    fn retry(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        backoff(self.failures, Duration::from_secs(2), LONGEST_PAUSE)
    }
}

fn is_ready(object: &AccountObject) -> bool {
    condition(&object.status, ConditionType::Ready)
        .is_some_and(|ready| ready.status == "True" && ready.observed_generation == Some(object.generation()))
}
