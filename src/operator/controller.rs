//! The wiring: watches feed the index and the workqueue, the workqueue feeds reconciles, and all of it stops in order.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::runtime::watcher::{self, Event};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinSet};
use tracing::Instrument;

use super::accounts::AwsAccounts;
use super::context::Context;
use super::index::Change;
use super::lists::{Lists, Progress};
use super::outputs::watch::OutputsWatch;
use super::reconcile::{Next, reconcile};
use super::sweep::{SweepReport, Sweeps};
use super::watches::{Source, WatchEvent, report_failure, watch_all};
use super::workqueue::{Priority, Workqueue};
use crate::model::account_key::AccountKey;
use crate::model::names::Owner;
use crate::model::stored::{AccountObject, PolicyObject};
use crate::pipeline::verdict::is_checked_by_sweeps;
use crate::telemetry::panics;

/// How long reconciles may take to end after a signal; Kubernetes gives a Pod 30 s.
const GRACE: Duration = Duration::from_secs(6);
/// Without a timer, the loop wakes up this often.
const IDLE: Duration = Duration::from_secs(30);

/// The controller of `AuroraLogExportPolicy`.
pub struct Controller {
    context: Arc<Context>,
    workqueue: Workqueue,
    running: JoinSet<Option<Next>>,
    tasks: HashMap<Id, Owner>,
    accounts: AwsAccounts,
    lists: Lists,
    outputs: OutputsWatch,
    sweeps: Sweeps,
    leads: bool,
    /// True while the tasks of the accounts work.
    accounts_active: watch::Sender<bool>,
}

/// Follows the watched namespaces until `shutdown`, and reconciles while `leadership` is true.
pub async fn run(
    context: Arc<Context>,
    concurrency: usize,
    mut leadership: watch::Receiver<bool>,
    shutdown: impl Future<Output = ()>,
) {
    let (mut events, sources) = watch_all(context.kubernetes.client(), &context.watched);
    let (reports, mut swept) = mpsc::channel(16);
    let accounts_active = watch::Sender::new(false);
    let (accounts, mut became_usable) = AwsAccounts::new(context.clone(), accounts_active.subscribe());
    let mut controller = Controller {
        sweeps: Sweeps::new(context.clone(), reports),
        outputs: OutputsWatch::new(context.clone()),
        context,
        workqueue: Workqueue::new(concurrency),
        running: JoinSet::new(),
        tasks: HashMap::new(),
        accounts,
        lists: Lists::new(sources),
        leads: *leadership.borrow_and_update(),
        accounts_active,
    };
    controller.context.index.lead(controller.leads);
    tokio::pin!(shutdown);
    loop {
        controller.start_reconciles();
        let timer = controller.workqueue.next_timer().filter(|_| controller.works());
        let timer = timer.unwrap_or_else(|| Instant::now() + IDLE);
        tokio::select! {
            () = &mut shutdown => break,
            event = events.next() => match event {
                Some((source, event)) => controller.watched(source, event),
                None => break,
            },
            changed = controller.outputs.next() => for (object, at) in changed {
                controller.workqueue.add(&object.key(), &object.account_key(), at, Priority::Change);
            },
            Some(account) = became_usable.recv() => controller.enqueue_users(&account),
            Some(ended) = controller.running.join_next_with_id() => controller.reconcile_ended(ended),
            Ok(()) = leadership.changed() => {
                controller.leads = *leadership.borrow_and_update();
                controller.context.index.lead(controller.leads);
                controller.activate_accounts();
                controller.start_or_stop();
            }
            Some(report) = swept.recv() => controller.swept(report),
            () = tokio::time::sleep_until(timer.into()) => {}
        }
    }
    controller.finish().await;
}

impl Controller {
    /// True while objects are reconciled: this replica leads, and the first lists are complete.
    fn works(&self) -> bool {
        self.leads && !self.lists.are_incomplete()
    }

    fn start_reconciles(&mut self) {
        while self.works() {
            let Some((key, priority)) = self.workqueue.pop(Instant::now()) else { break };
            let context = self.context.clone();
            let span = tracing::error_span!("reconcile", object = %key);
            let task = {
                let key = key.clone();
                async move { Box::pin(reconcile(&context, &key, priority)).await }
            };
            let id = self.running.spawn(task.instrument(span)).id();
            self.tasks.insert(id, key);
        }
    }

    fn reconcile_ended(&mut self, ended: Result<(Id, Option<Next>), tokio::task::JoinError>) {
        // A panic is contained in the reconcile itself, so an error here is a task that was stopped.
        let (id, next) = ended.unwrap_or_else(|error| (error.id(), None));
        let Some(key) = self.tasks.remove(&id) else { return };
        self.workqueue.done(&key, next.map(|next| (Instant::now() + next.pause, next.priority)));
        for gone in self.context.removed.take_cleaned_up() {
            self.enqueue_all(self.context.claiming_names_of(&gone), Priority::Change);
            self.users_changed(&gone.account_key());
        }
    }

    fn watched(&mut self, source: Source, event: Result<WatchEvent, watcher::Error>) {
        match event {
            Err(error) => {
                // A list that the API server refuses holds up only what needs it.
                if report_failure(&source, &error, self.lists.is_refused(&source)) && self.lists.is_incomplete(&source)
                {
                    self.progressed(source, Progress::Refused);
                }
            }
            Ok(
                WatchEvent::Policy(Event::Init) | WatchEvent::Account(Event::Init) | WatchEvent::Namespace(Event::Init),
            ) => self.lists.begin(source),
            Ok(WatchEvent::Policy(Event::InitApply(object))) => {
                self.lists.add(source, object.key());
                self.changed(object);
            }
            Ok(WatchEvent::Policy(Event::InitDone)) => {
                let Source::Policies(namespace) = &source else { return };
                let seen = self.lists.end(&source);
                for key in self.context.index.missing_from(namespace.as_deref(), &seen) {
                    self.gone(&key, None);
                }
                self.progressed(source, Progress::Listed);
            }
            Ok(WatchEvent::Policy(Event::Apply(object))) => self.changed(object),
            Ok(WatchEvent::Policy(Event::Delete(object))) => self.gone(&object.key(), Some(&object)),
            Ok(WatchEvent::Account(Event::InitApply(account))) => {
                self.lists.add(source, account.key());
                self.account_changed(account);
            }
            Ok(WatchEvent::Account(Event::InitDone)) => {
                let seen = self.lists.end(&source);
                for name in self.context.accounts.names() {
                    if !seen.contains(&Owner::new("", name.as_str())) {
                        self.account_gone(&name);
                    }
                }
                self.progressed(source, Progress::Listed);
            }
            Ok(WatchEvent::Account(Event::Apply(account))) => self.account_changed(account),
            Ok(WatchEvent::Account(Event::Delete(account))) => self.account_gone(account.name()),
            Ok(WatchEvent::Namespace(Event::InitApply(namespace))) => {
                self.lists.add(source, Owner::new("", namespace.name_any()));
                self.namespace_changed(namespace);
            }
            Ok(WatchEvent::Namespace(Event::InitDone)) => {
                let seen = self.lists.end(&source);
                self.context.namespaces.retain(|name| seen.contains(&Owner::new("", name)));
                self.progressed(source, Progress::Listed);
            }
            Ok(WatchEvent::Namespace(Event::Apply(namespace))) => self.namespace_changed(namespace),
            Ok(WatchEvent::Namespace(Event::Delete(namespace))) => {
                self.context.namespaces.remove(&namespace.name_any());
            }
        }
    }

    /// A watch has come further; with the last first list, work begins.
    fn progressed(&mut self, source: Source, progress: Progress) {
        let before = self.lists.are_incomplete();
        self.lists.set(source, progress);
        self.context.accounts.set_refused(self.lists.is_refused(&Source::Accounts));
        self.activate_accounts();
        if before && !self.lists.are_incomplete() {
            self.start_or_stop();
        }
    }

    /// Whether an account may be deleted depends on all policies and namespaces: all lists must be complete.
    fn activate_accounts(&mut self) {
        let active = self.leads && self.lists.are_complete();
        if self.accounts_active.send_replace(active) != active && active {
            self.accounts.reconcile_all();
        }
    }

    fn changed(&mut self, object: PolicyObject) {
        let (key, account, deleting) = (object.key(), object.account_key(), object.is_deleting());
        let released = object.is_released();
        let prefix = self.context.accounts.name_prefix(object.account_ref());
        let asked = self.context.states.reconcile_at_due(&object);
        let old = self.context.index.get(&key);
        if let Some(gone) = old.as_ref().filter(|old| old.uid() != object.uid()) {
            self.clean_up_after(gone, false);
            self.context.states.remove(&key);
        }
        // An object that was deleted and created again while the watch was broken may work in another account.
        let left = old.map(|old| old.account_key()).filter(|left| *left != account);
        let change = self.context.index.upsert(object, &prefix);
        if change == Change::Nothing {
            return;
        }
        if let Some(left) = left {
            self.users_changed(&left);
        }
        self.users_changed(&account);
        if !self.works() {
            // `start_or_stop` goes over all objects when the work begins.
            return;
        }
        if released {
            // Its names are free, also while finalizers of others hold it.
            self.enqueue_all(self.context.index.rivals(&key), Priority::Change);
        }
        let now = Instant::now();
        let at = match (change, asked) {
            (Change::Asked, Some(due)) => due.max(now),
            // The annotation was removed, or has its last value again.
            (Change::Asked, None) => return,
            _ => now,
        };
        let priority = if deleting { Priority::Deletion } else { Priority::Change };
        self.workqueue.add(&key, &account, at, priority);
    }

    /// An object is gone. `last` is its last version; `None`: its removal was not observed.
    fn gone(&mut self, key: &Owner, last: Option<&PolicyObject>) {
        self.workqueue.remove(key);
        let known = self.context.index.get(key);
        if let Some(object) = last.or(known.as_deref()) {
            self.clean_up_after(object, last.is_some());
        }
        let rivals = self.context.index.remove(key);
        self.enqueue_all(rivals, Priority::Change);
        // After the index: a reconcile that ends now asks the index whether to keep the state.
        if !self.context.removed.has(key) {
            self.context.states.remove(key);
        }
        if let Some(gone) = known {
            self.users_changed(&gone.account_key());
            self.enqueue_all(self.context.view().next_within_limit(&gone), Priority::Change);
        }
    }

    /// If an object that is gone may have left resources in AWS: cleans up by its deletion policy.
    fn clean_up_after(&mut self, gone: &PolicyObject, is_final: bool) {
        if !self.context.index.left_resources(gone, is_final) {
            return;
        }
        self.context.removed.add(gone, self.context.states.take_known(gone));
        if self.works() {
            self.workqueue.add(&gone.key(), &gone.account_key(), Instant::now(), Priority::Deletion);
        }
    }

    /// An account has other objects than before.
    fn users_changed(&mut self, account: &AccountKey) {
        if self.works() {
            self.sweeps.follow(account);
        }
        if let Some(name) = account.name() {
            self.accounts.users_changed(name);
        }
    }

    /// Asks for a reconcile now. Before the work begins nothing is enqueued: `start_or_stop` goes over all objects then.
    fn enqueue(&mut self, key: &Owner, priority: Priority) {
        if !self.works() {
            return;
        }
        if let Some(object) = self.context.index.get(key) {
            let priority = if object.is_deleting() { Priority::Deletion } else { priority };
            self.workqueue.add(key, &object.account_key(), Instant::now(), priority);
        }
    }

    fn enqueue_all(&mut self, keys: impl IntoIterator<Item = Owner>, priority: Priority) {
        keys.into_iter().for_each(|key| self.enqueue(&key, priority));
    }

    fn enqueue_users(&mut self, account: &str) {
        let users = self.context.index.users_of(account);
        self.enqueue_all(users.iter().map(|user| user.key()), Priority::Change);
    }

    /// Leadership changed, or the first lists are complete. Objects with work to do are reconciled now. Objects in sync
    /// wait for the sweep of their account, and are read by themselves some time later.
    fn start_or_stop(&mut self) {
        self.outputs.set_active(self.works());
        if !self.works() {
            self.sweeps.stop();
            if !self.leads {
                self.context.removed.clear();
            }
            return;
        }
        for gone in self.context.removed.all() {
            self.workqueue.add(&gone.key(), &gone.account_key(), Instant::now(), Priority::Deletion);
        }
        panics::inject(&"controller");
        for object in self.context.index.all() {
            let account = object.account_key();
            self.sweeps.follow(&account);
            if is_checked_by_sweeps(&object) {
                let later = self.context.resync(&object).first_read().mul_f64(0.1 + 0.9 * fastrand::f64());
                self.workqueue.add(&object.key(), &account, Instant::now() + later, Priority::Resync);
            } else {
                self.enqueue(&object.key(), Priority::Change);
            }
        }
    }

    fn swept(&mut self, report: SweepReport) {
        match report {
            SweepReport::Suspects(suspects) => self.enqueue_all(suspects, Priority::Resync),
            SweepReport::OneByOne { account, all } => {
                // An object that is being reconciled sets its next resync itself.
                let running: BTreeSet<Owner> = self.tasks.values().cloned().collect();
                for object in self.context.index.all() {
                    let key = object.key();
                    let scheduled = running.contains(&key) || self.context.states.has(&key);
                    if object.account_key() == account && (all || !scheduled) {
                        self.enqueue(&key, Priority::Resync);
                    }
                }
            }
        }
    }

    fn account_changed(&mut self, account: AccountObject) {
        let name = account.name().to_owned();
        if !self.accounts.upsert(account) {
            return;
        }
        // The guardrail namePrefix may be another now: the index must know which names the objects claim.
        self.context.index.prefix_changed(&name, &self.context.accounts.name_prefix(Some(&name)));
        if self.works() {
            self.sweeps.follow(&AccountKey::Named(name.clone()));
        }
        self.enqueue_users(&name);
    }

    fn account_gone(&mut self, name: &str) {
        self.accounts.remove(name);
        self.sweeps.follow(&AccountKey::Named(name.to_owned()));
        self.enqueue_users(name);
    }

    fn namespace_changed(&mut self, namespace: Namespace) {
        let name = namespace.name_any();
        if !self.context.namespaces.set(&name, namespace.metadata.labels.unwrap_or_default()) {
            return;
        }
        for object in self.context.index.all() {
            if object.account_ref().is_some() && object.namespace() == name {
                self.enqueue(&object.key(), Priority::Change);
            }
        }
        if *self.accounts_active.borrow() {
            self.accounts.reconcile_all();
        }
    }

    /// Lets running reconciles end. Those that do not end in time are stopped, which is safe: every step stands by itself.
    async fn finish(&mut self) {
        self.accounts.stop();
        let deadline = tokio::time::Instant::now() + GRACE;
        while !self.running.is_empty() {
            let ended = tokio::time::timeout_at(deadline, self.running.join_next()).await;
            if ended.is_err() {
                tracing::warn!(stopped = self.running.len(), "reconciles did not end in time and were stopped");
                self.running.shutdown().await;
            }
        }
    }
}
