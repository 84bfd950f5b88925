//! The wiring: watches feed the index and the queue, the queue feeds reconciles, and all of it stops in order.

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

use crate::account::budget::Priority;
use crate::api::AwsAccount;
use crate::names::Owner;
use crate::object::Object;
use crate::queue::Queue;
use crate::reconcile::{Context, reconcile};
use crate::scan::{Report, Scans, is_judged_by_sweeps, slow_look};
use crate::watches::{News, Source, report, watch_all};

/// How long reconciles may take to end after a signal; Kubernetes gives a Pod 30 s.
const GRACE: Duration = Duration::from_secs(8);
/// Without a timer, the loop looks around this often.
const IDLE: Duration = Duration::from_secs(30);

/// The controller of `AuroraLogExportPolicy`.
pub struct Controller {
    context: Arc<Context>,
    queue: Queue,
    running: JoinSet<(Owner, Option<Duration>)>,
    tasks: HashMap<Id, Owner>,
    /// Keys seen since a watch of policies began to list anew.
    listed: HashMap<Source, BTreeSet<Owner>>,
    /// Watches whose first list is not complete: until then it is not known who was first, who may use which account,
    /// and what a sweep can judge.
    incomplete: BTreeSet<Source>,
    scans: Scans,
    leads: bool,
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
    let mut controller = Controller {
        scans: Scans::new(context.clone(), reports),
        context,
        queue: Queue::new(concurrency),
        running: JoinSet::new(),
        tasks: HashMap::new(),
        listed: HashMap::new(),
        incomplete: sources,
        leads: *leadership.borrow_and_update(),
    };
    tokio::pin!(shutdown);
    loop {
        controller.start_reconciles();
        let timer = controller.queue.next_timer().filter(|_| controller.leads);
        let timer = timer.unwrap_or_else(|| Instant::now() + IDLE);
        tokio::select! {
            () = &mut shutdown => break,
            item = news.next() => match item {
                Some((source, item)) => controller.take_in(source, item),
                None => break,
            },
            Some(ended) = controller.running.join_next_with_id() => controller.ended(ended),
            Ok(()) = leadership.changed() => {
                controller.leads = *leadership.borrow_and_update();
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
        while self.leads {
            let Some((key, priority)) = self.queue.pop(Instant::now()) else {
                break;
            };
            let context = self.context.clone();
            let span = tracing::error_span!("reconcile", object = %key);
            let task = {
                let key = key.clone();
                async move {
                    let again = reconcile(&context, &key, priority).await;
                    (key, again)
                }
            };
            let id = self.running.spawn(task.instrument(span)).id();
            self.tasks.insert(id, key);
        }
    }

    fn ended(&mut self, ended: Result<(Id, (Owner, Option<Duration>)), tokio::task::JoinError>) {
        let (id, again) = match ended {
            Ok((id, (_, again))) => (id, again),
            Err(error) => {
                tracing::error!(%error, "a reconcile ended unexpectedly; it is repeated");
                (error.id(), Some(Duration::from_mins(1)))
            }
        };
        if let Some(key) = self.tasks.remove(&id) {
            self.queue
                .done(&key, again.map(|pause| (Instant::now() + pause, Priority::Periodic)));
        }
    }

    fn take_in(&mut self, source: Source, news: Result<News, watcher::Error>) {
        match news {
            Err(error) => {
                report(&error);
                // Policies can be worked on without what is only there for accounts.
                if source.is_optional() {
                    self.listed(&source);
                }
            }
            Ok(News::Policy(Event::Init)) => {
                self.listed.insert(source, BTreeSet::new());
            }
            Ok(News::Policy(Event::InitApply(object))) => {
                self.listed.entry(source).or_default().insert(object.key());
                self.changed(object);
            }
            Ok(News::Policy(Event::InitDone)) => {
                let seen = self.listed.remove(&source).unwrap_or_default();
                for key in self.context.index.missing_from(&seen) {
                    if source.covers(&key.namespace) {
                        self.gone(&key);
                    }
                }
                self.listed(&source);
            }
            Ok(News::Policy(Event::Apply(object))) => self.changed(object),
            Ok(News::Policy(Event::Delete(object))) => self.gone(&object.key()),
            Ok(News::Account(Event::InitDone) | News::Namespace(Event::InitDone)) => self.listed(&source),
            Ok(News::Account(event)) => self.account(event),
            Ok(News::Namespace(event)) => self.namespace(event),
        }
    }

    /// The first list of a watch is complete; with the last one, work begins.
    fn listed(&mut self, source: &Source) {
        if self.incomplete.remove(source) && self.incomplete.is_empty() {
            self.lead();
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
        let now = Instant::now();
        let only_asked = old.is_some_and(|old| {
            let new = self.context.index.get(&key);
            new.is_some_and(|new| old.generation() == new.generation() && old.is_deleting() == new.is_deleting())
        });
        if !self.incomplete.is_empty() {
            return;
        }
        if self.leads {
            self.scans.follow(&lane);
        }
        let priority = if deleting { Priority::Deletion } else { Priority::Change };
        let at = if only_asked { asked.unwrap_or(now).max(now) } else { now };
        self.queue.add(&key, &lane, at, priority);
    }

    fn gone(&mut self, key: &Owner) {
        self.queue.remove(key);
        self.context.memories.forget(key);
        for rival in self.context.index.remove(key) {
            self.look_at(&rival, Priority::Change);
        }
    }

    fn look_at(&mut self, key: &Owner, priority: Priority) {
        let Some(object) = self.context.index.get(key) else {
            return;
        };
        self.queue
            .add(key, &object.account_ref().map(str::to_owned), Instant::now(), priority);
    }

    /// Leadership came or went, or the first lists are complete: what is at work is looked at now; what is said to be in
    /// sync waits for the sweep of its account, and is read by itself some time later.
    fn lead(&mut self) {
        if !self.leads || !self.incomplete.is_empty() {
            self.scans.stop();
            return;
        }
        for object in self.context.index.all() {
            let lane = object.account_ref().map(str::to_owned);
            self.scans.follow(&lane);
            if is_judged_by_sweeps(&object) {
                let later = slow_look(crate::scan::DEFAULT_INTERVAL).mul_f64(0.1 + 0.9 * fastrand::f64());
                self.queue
                    .add(&object.key(), &lane, Instant::now() + later, Priority::Periodic);
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
                for object in self.context.index.all() {
                    let waits = all || !self.context.memories.has_looked(&object.key());
                    if waits && object.account_ref().map(str::to_owned) == lane {
                        self.look_at(&object.key(), Priority::Periodic);
                    }
                }
            }
        }
    }

    fn account(&mut self, event: Event<AwsAccount>) {
        let name = match event {
            Event::Apply(account) | Event::InitApply(account) => {
                self.context.accounts.upsert(&account.name_any(), &account.spec);
                account.name_any()
            }
            Event::Delete(account) => {
                self.context.accounts.remove(&account.name_any());
                account.name_any()
            }
            Event::Init | Event::InitDone => return,
        };
        for object in self.context.index.all() {
            if object.account_ref() == Some(name.as_str()) {
                self.look_at(&object.key(), Priority::Change);
            }
        }
    }

    fn namespace(&mut self, event: Event<Namespace>) {
        let name = match event {
            Event::Apply(namespace) | Event::InitApply(namespace) => {
                let name = namespace.name_any();
                self.context
                    .accounts
                    .set_namespace(&name, namespace.metadata.labels.unwrap_or_default());
                name
            }
            Event::Delete(namespace) => {
                self.context.accounts.remove_namespace(&namespace.name_any());
                return;
            }
            Event::Init | Event::InitDone => return,
        };
        for object in self.context.index.all() {
            if object.account_ref().is_some() && object.metadata.namespace.as_deref() == Some(name.as_str()) {
                self.look_at(&object.key(), Priority::Change);
            }
        }
    }

    /// Lets what is under way end; what does not in time is stopped at a safe point: every step stands by itself.
    async fn finish(&mut self) {
        let deadline = tokio::time::Instant::now() + GRACE;
        while !self.running.is_empty() {
            let ended = tokio::time::timeout_at(deadline, self.running.join_next()).await;
            if ended.is_err() {
                tracing::warn!(
                    stopped = self.running.len(),
                    "reconciles did not end in time and were stopped"
                );
                self.running.shutdown().await;
            }
        }
    }
}
