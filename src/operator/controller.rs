//! The wiring: watches feed the index and the queue, the queue feeds reconciles, and all of it stops in order.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::runtime::watcher::{self, Event};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinSet};
use tracing::Instrument;

use crate::aws::rate_limit::Priority;
use crate::model::account_object::AccountObject;
use crate::model::names::Owner;
use crate::model::object::{Object, Unread};
use crate::operator::accounts::AwsAccounts;
use crate::operator::reconcile::{Context, Next, reconcile};
use crate::operator::sweep::{Report, Scans, is_judged_by_sweeps};
use crate::operator::watches::{News, Progress, Source, report, watch_all};
use crate::operator::workqueue::Queue;

/// How long reconciles may take to end after a signal; Kubernetes gives a Pod 30 s.
const GRACE: Duration = Duration::from_secs(6);
/// Without a timer, the loop looks around this often.
const IDLE: Duration = Duration::from_secs(30);

/// The controller of `AuroraLogExportPolicy`.
pub struct Controller {
    context: Arc<Context>,
    queue: Queue,
    running: JoinSet<(Owner, Option<Next>)>,
    tasks: HashMap<Id, Owner>,
    accounts: AwsAccounts,
    /// How far each watch has come. While a first list is under way it is not known who was first, who may use which
    /// account, and what a sweep can judge.
    progress: BTreeMap<Source, Progress>,
    /// Names seen since a watch began to list anew.
    listed: BTreeMap<Source, BTreeSet<Owner>>,
    /// Objects, by UID, that are no more and still have something in AWS.
    passed_over: BTreeMap<Owner, String>,
    scans: Scans,
    leads: bool,
    /// Do the tasks of the accounts work?
    accounts_go: watch::Sender<bool>,
}

/// Follows these namespaces (none: all) until `shutdown`, and reconciles while `leadership` is true.
pub async fn run(
    context: Arc<Context>,
    namespaces: &[String],
    concurrency: usize,
    mut leadership: watch::Receiver<bool>,
    shutdown: impl Future<Output = ()>,
) {
    let (mut news, sources) = watch_all(context.kubernetes.client(), namespaces);
    let (reports, mut scanned) = mpsc::channel(16);
    let accounts_go = watch::Sender::new(false);
    let (accounts, mut became_usable) = AwsAccounts::new(context.clone(), namespaces.to_vec(), accounts_go.subscribe());
    let mut controller = Controller {
        scans: Scans::new(context.clone(), reports),
        context,
        queue: Queue::new(concurrency),
        running: JoinSet::new(),
        tasks: HashMap::new(),
        accounts,
        progress: sources.into_iter().map(|source| (source, Progress::Listing)).collect(),
        listed: BTreeMap::new(),
        passed_over: BTreeMap::new(),
        leads: *leadership.borrow_and_update(),
        accounts_go,
    };
    tokio::pin!(shutdown);
    loop {
        controller.start_reconciles();
        let timer = controller.queue.next_timer().filter(|_| controller.leads && !controller.is_listing());
        let timer = timer.unwrap_or_else(|| Instant::now() + IDLE);
        tokio::select! {
            () = &mut shutdown => break,
            item = news.next() => match item {
                Some((source, item)) => controller.take_in(source, item),
                None => break,
            },
            Some(account) = became_usable.recv() => controller.look_at_users(&account),
            Some(ended) = controller.running.join_next_with_id() => controller.ended(ended),
            Ok(()) = leadership.changed() => {
                controller.leads = *leadership.borrow_and_update();
                controller.let_accounts_go();
                controller.lead();
            }
            Some(report) = scanned.recv() => controller.scanned(report),
            () = tokio::time::sleep_until(timer.into()) => {}
        }
    }
    controller.finish().await;
}

impl Controller {
    fn start_reconciles(&mut self) {
        // Before the lists are complete nobody knows who was first, or which accounts there are.
        while self.leads && !self.is_listing() {
            let Some((key, priority)) = self.queue.pop(Instant::now()) else {
                break;
            };
            let context = self.context.clone();
            let span = tracing::error_span!("reconcile", object = %key);
            let task = {
                let key = key.clone();
                async move {
                    // Boxed: a task is moved when it begins, and its room is written over twice when it ends.
                    let again = Box::pin(reconcile(&context, &key, priority)).await;
                    (key, again)
                }
            };
            let id = self.running.spawn(task.instrument(span)).id();
            self.tasks.insert(id, key);
        }
    }

    fn ended(&mut self, ended: Result<(Id, (Owner, Option<Next>)), tokio::task::JoinError>) {
        let (id, again) = match ended {
            Ok((id, (_, again))) => (id, again),
            Err(error) => {
                tracing::error!(%error, "a reconcile ended unexpectedly; it is repeated");
                (error.id(), Some(Next { pause: Duration::from_mins(1), priority: Priority::Periodic }))
            }
        };
        if let Some(key) = self.tasks.remove(&id) {
            self.queue.done(&key, again.map(|next| (Instant::now() + next.pause, next.priority)));
            // Not idle if it went while it was being looked at: its deletion is still to come.
            if self.queue.is_idle(&key) && self.is_passed_over(&key) {
                self.gone(&key);
            }
        }
    }

    fn take_in(&mut self, source: Source, news: Result<News, watcher::Error>) {
        match news {
            Err(error) => {
                // What the API server refuses to list holds up only what needs it.
                if report(&error) && self.progress.get(&source) == Some(&Progress::Listing) {
                    self.progressed(source, Progress::Refused);
                }
            }
            Ok(News::Policy(Event::Init) | News::Account(Event::Init) | News::Namespace(Event::Init)) => {
                self.listed.insert(source, BTreeSet::new());
            }
            Ok(News::Policy(Event::InitApply(object))) => {
                self.listed.entry(source).or_default().insert(object.key());
                self.seen(object);
            }
            Ok(News::Policy(Event::InitDone)) => {
                let Source::Policies(namespace) = &source else { return };
                let seen = self.listed.remove(&source).unwrap_or_default();
                for key in self.context.index.missing_from(namespace.as_deref(), &seen) {
                    if !self.is_passed_over(&key) {
                        self.gone(&key);
                    }
                }
                self.progressed(source, Progress::Listed);
            }
            Ok(News::Policy(Event::Apply(object))) => self.seen(object),
            Ok(News::Policy(Event::Delete(object))) => self.deleted(object.into()),
            Ok(News::Account(Event::InitApply(account))) => {
                let key = Owner::new("", account.name());
                self.listed.entry(source).or_default().insert(key);
                self.account(account);
            }
            Ok(News::Account(Event::InitDone)) => {
                let seen = self.listed.remove(&source).unwrap_or_default();
                for name in self.context.accounts.names() {
                    if !seen.contains(&Owner::new("", name.as_str())) {
                        self.account_gone(&name);
                    }
                }
                self.progressed(source, Progress::Listed);
            }
            Ok(News::Account(Event::Apply(account))) => self.account(account),
            Ok(News::Account(Event::Delete(account))) => self.account_gone(account.name()),
            Ok(News::Namespace(Event::InitDone)) => self.progressed(source, Progress::Listed),
            Ok(News::Namespace(Event::Apply(namespace) | Event::InitApply(namespace))) => self.namespace(namespace),
            Ok(News::Namespace(Event::Delete(namespace))) => {
                self.context.accounts.remove_namespace(&namespace.name_any());
            }
        }
    }

    fn is_listing(&self) -> bool {
        self.progress.values().any(|progress| *progress == Progress::Listing)
    }

    /// A watch has come further; with the last first list, work begins.
    fn progressed(&mut self, source: Source, progress: Progress) {
        let before = self.is_listing();
        self.progress.insert(source, progress);
        self.let_accounts_go();
        if before && !self.is_listing() {
            self.lead();
        }
    }

    /// Whether an account may go depends on all policies and namespaces: all lists must be complete.
    fn let_accounts_go(&mut self) {
        let complete = self.progress.values().all(|progress| *progress == Progress::Listed);
        let go = self.leads && complete;
        if self.accounts_go.send_replace(go) != go && go {
            self.accounts.reconsider();
        }
    }

    fn seen(&mut self, object: Unread) {
        if self.context.index.known(&object).is_none() {
            self.changed(object.into());
        }
    }

    fn changed(&mut self, object: Object) {
        let (key, lane) = (object.key(), object.account_ref().map(str::to_owned));
        let prefix = self.context.name_prefix(&object);
        let deleting = object.is_deleting();
        let asked = self.context.memories.reconcile_at_due(&object);
        let old = self.context.index.get(&key);
        let change = self.context.index.upsert(object, &prefix);
        if change.replaced {
            self.context.memories.forget(&key);
        }
        if !change.matters {
            return;
        }
        if let Some(account) = &lane {
            self.accounts.users_changed(account);
        }
        let now = Instant::now();
        let only_asked = old.is_some_and(|old| {
            let new = self.context.index.get(&key);
            new.is_some_and(|new| old.generation() == new.generation() && old.is_deleting() == new.is_deleting())
        });
        if self.is_listing() {
            return;
        }
        if self.leads {
            self.scans.follow(&lane);
        }
        let priority = if deleting { Priority::Deletion } else { Priority::Change };
        let at = if only_asked { asked.unwrap_or(now).max(now) } else { now };
        self.queue.add(&key, &lane, at, priority);
    }

    /// The API server removes an object that it has found without finalizers even if ours is added in that very instant:
    /// then it never was *being* deleted, and what is made for it at this moment would stay for ever. So it is held here,
    /// as one that is being deleted, until that is done.
    fn deleted(&mut self, mut object: Object) {
        let key = object.key();
        if !object.has_finalizer() || object.is_deleting() {
            self.gone(&key);
            return;
        }
        tracing::info!(object = %key, "it went without passing by; what it has in AWS follows");
        object.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::now()));
        self.passed_over.insert(key, object.uid().to_owned());
        self.changed(object);
    }

    /// Is what is known under this name one that is no more, and not a new object?
    fn is_passed_over(&self, key: &Owner) -> bool {
        let known = self.passed_over.get(key).zip(self.context.index.get(key));
        known.is_some_and(|(uid, object)| object.uid() == uid)
    }

    fn gone(&mut self, key: &Owner) {
        self.queue.remove(key);
        self.passed_over.remove(key);
        let gone = self.context.index.get(key);
        for rival in self.context.index.remove(key) {
            self.look_at(&rival, Priority::Change);
        }
        // After the index: a reconcile that ends now looks there whether to keep it.
        self.context.memories.forget(key);
        if let Some(account) = gone.as_deref().and_then(Object::account_ref) {
            self.accounts.users_changed(account);
        }
    }

    fn look_at(&mut self, key: &Owner, priority: Priority) {
        let Some(object) = self.context.index.get(key) else {
            return;
        };
        self.queue.add(key, &object.account_ref().map(str::to_owned), Instant::now(), priority);
    }

    /// Leadership came or went, or the first lists are complete: what is at work is looked at now; what is said to be in
    /// sync waits for the sweep of its account, and is read by itself some time later.
    fn lead(&mut self) {
        if !self.leads || self.is_listing() {
            self.scans.stop();
            return;
        }
        for object in self.context.index.all() {
            let lane = object.account_ref().map(str::to_owned);
            self.scans.follow(&lane);
            if is_judged_by_sweeps(&object) {
                let later = self.context.pace(&object).first_look().mul_f64(0.1 + 0.9 * fastrand::f64());
                self.queue.add(&object.key(), &lane, Instant::now() + later, Priority::Periodic);
            } else {
                self.queue.add(&object.key(), &lane, Instant::now(), Priority::Change);
            }
        }
    }

    fn scanned(&mut self, report: Report) {
        match report {
            Report::Suspects(suspects) => {
                for key in suspects {
                    self.look_at(&key, Priority::Periodic);
                }
            }
            Report::OneByOne { lane, all } => {
                // What is being looked at says itself when to look again.
                let at_work: BTreeSet<Owner> = self.tasks.values().cloned().collect();
                for object in self.context.index.all() {
                    let key = object.key();
                    let waits = all || !(at_work.contains(&key) || self.context.memories.has_looked(&key));
                    if waits && object.account_ref().map(str::to_owned) == lane {
                        self.look_at(&key, Priority::Periodic);
                    }
                }
            }
        }
    }

    fn account(&mut self, account: AccountObject) {
        let name = account.name().to_owned();
        if self.accounts.upsert(account) {
            // Its prefix may be another now: who claims which name follows from it.
            for object in self.context.index.users_of(&name) {
                let prefix = self.context.name_prefix(&object);
                self.context.index.upsert(object, &prefix);
            }
            self.look_at_users(&name);
        }
    }

    fn account_gone(&mut self, name: &str) {
        self.accounts.remove(name);
        self.look_at_users(name);
    }

    fn look_at_users(&mut self, account: &str) {
        for object in self.context.index.users_of(account) {
            self.look_at(&object.key(), Priority::Change);
        }
    }

    fn namespace(&mut self, namespace: Namespace) {
        let name = namespace.name_any();
        let labels = namespace.metadata.labels.unwrap_or_default();
        if !self.context.accounts.set_namespace(&name, labels) {
            return;
        }
        for object in self.context.index.all() {
            if object.account_ref().is_some() && object.metadata.namespace.as_deref() == Some(name.as_str()) {
                self.look_at(&object.key(), Priority::Change);
            }
        }
        if *self.accounts_go.borrow() {
            self.accounts.reconsider();
        }
    }

    /// Lets what is under way end; what does not in time is stopped at a safe point: every step stands by itself.
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
