//! What every reconcile and sweep shares.

use std::sync::Arc;
use std::time::Instant;

use super::admission::{Namespaces, Resolved, Unresolved, not_allowed, selects};
use super::index::Index;
use super::modes::Modes;
use super::reconcile_state::ReconcileStates;
use super::removed::Removed;
use super::resync::ResyncIntervals;
use crate::api::account::DriftScan;
use crate::api::{EventReason, Reason};
use crate::aws::registry::Accounts;
use crate::kubernetes::managed::Managed;
use crate::kubernetes::{Kubernetes, KubernetesError};
use crate::model::names::Owner;
use crate::model::settings::Settings;
use crate::model::stored::PolicyObject;
use crate::telemetry::metrics::Metrics;

/// Everything that a reconcile or a sweep needs.
pub struct Context {
    /// The operator's flags.
    pub settings: Settings,
    /// AWS.
    pub accounts: Accounts,
    /// Labels of the namespaces, by which accounts admit them.
    pub namespaces: Namespaces,
    /// The API server.
    pub kubernetes: Kubernetes,
    /// The objects that the watch has seen.
    pub index: Index,
    /// The objects that are gone and not cleaned up yet.
    pub removed: Removed,
    /// What is kept of each object between its reconciles.
    pub states: ReconcileStates,
    /// Metrics.
    pub metrics: Metrics,
    /// `--drift-scan`.
    pub drift_scan: DriftScan,
    /// How each account is checked for drift.
    pub modes: Modes,
    /// `--watch-namespace`; empty: all namespaces.
    pub watched: Vec<String>,
    /// When this process started: it knows nothing of what happened before.
    pub started: Instant,
}

impl Context {
    /// The resync intervals that apply to this object.
    pub fn resync(&self, object: &PolicyObject) -> ResyncIntervals {
        let object = object.spec.as_ref().ok().and_then(|spec| spec.drift_check_interval).map(Into::into);
        ResyncIntervals { object, operator: self.settings.drift_check_interval }
    }

    /// True if this operator watches the namespace.
    pub fn watches(&self, namespace: &str) -> bool {
        self.watched.is_empty() || self.watched.iter().any(|watched| watched == namespace)
    }

    /// The objects that claim a name of one that is gone.
    pub fn claiming_names_of(&self, gone: &PolicyObject) -> Vec<Owner> {
        self.index.claiming_names_of(gone, &self.accounts.name_prefix(gone.account_ref()))
    }

    /// What a plan depends on, without the Kubernetes client and the states.
    pub fn view(&self) -> View<'_> {
        View { settings: &self.settings, accounts: &self.accounts, namespaces: &self.namespaces, index: &self.index }
    }

    /// The message where the account does not admit the object's namespace by the labels that it has now: a namespace that
    /// was deleted and created again may have others than those that the watch has delivered.
    ///
    /// # Errors
    /// If the API server refuses or does not answer.
    pub async fn refused_by_labels(&self, object: &PolicyObject) -> Result<Option<String>, KubernetesError> {
        let (Some(account), namespace) = (object.account_ref(), object.namespace()) else { return Ok(None) };
        let Some(selector) = Namespaces::deciding_selector(&self.accounts, account, namespace) else { return Ok(None) };
        let labels = self.kubernetes.namespace_labels(namespace).await?;
        Ok((!selects(&selector, &labels)).then(|| not_allowed(account, namespace)))
    }

    /// An event if the API server finds invalid what was written to it: the status, which would say so, may be what it
    /// rejects. Call it for the first of several failures.
    pub fn report_rejected_write<K: Managed>(&self, object: &K, action: &str, error: &KubernetesError) {
        if error.is_invalid() {
            let note = format!(
                "{error}; the status may be out of date. Check that the CRDs are those of the operator's version; the operator \
                 retries"
            );
            self.kubernetes.event(object, true, EventReason::WriteRejected.as_str(), action, &note);
        }
    }

    /// Adds the finalizer, which keeps the object until its AWS resources are deleted, unless the object has it.
    ///
    /// # Errors
    /// Those of the patch.
    pub async fn ensure_finalizer(&self, object: &PolicyObject) -> Result<(), KubernetesError> {
        let current = self.index.get(&object.key()).filter(|current| current.uid() == object.uid());
        if !object.has_finalizer() && !current.is_some_and(|current| current.has_finalizer()) {
            let answer = self.kubernetes.add_finalizer(object).await?;
            self.written(answer);
        }
        Ok(())
    }

    /// Takes the API server's answer to one of our own writes into the index, unless the watch has brought a newer
    /// state already. Returns the newest state known.
    pub fn written(&self, answer: PolicyObject) -> Arc<PolicyObject> {
        let prefix = self.accounts.name_prefix(answer.account_ref());
        self.index.update(answer, &prefix)
    }
}

/// What decides which plan an object gets, besides the object and AWS.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The operator's flags.
    pub settings: &'a Settings,
    /// AWS.
    pub accounts: &'a Accounts,
    /// Labels of the namespaces, by which accounts admit them.
    pub namespaces: &'a Namespaces,
    /// All objects: some may claim the same names.
    pub index: &'a Index,
}

impl View<'_> {
    /// The account of an object.
    ///
    /// # Errors
    /// As [`Namespaces::resolve`].
    pub fn resolve(&self, object: &PolicyObject) -> Result<Resolved, Unresolved> {
        self.namespaces.resolve(self.accounts, object.account_ref(), object.namespace(), object.is_deleting())
    }

    /// True if the account does not admit the object's namespace.
    pub fn refuses_namespace_of(&self, object: &PolicyObject) -> bool {
        let resolved = self.namespaces.resolve(self.accounts, object.account_ref(), object.namespace(), false);
        resolved.is_err_and(|error| error.reason == Reason::NotPermitted)
    }

    /// How many objects the namespace of this one may have in its account; `None`: any number.
    pub fn objects_allowed(&self, object: &PolicyObject) -> Option<usize> {
        let allowed = self.accounts.binding(object.account_ref())?.guardrails.max_objects_per_namespace?;
        usize::try_from(allowed).ok()
    }

    /// The object that is within the limit of its namespace now that another one is gone.
    pub fn next_within_limit(&self, gone: &PolicyObject) -> Option<Owner> {
        self.index.nth_of(&gone.account_key(), gone.namespace(), self.objects_allowed(gone)?)
    }
}
