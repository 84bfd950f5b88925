//! The wiring: watches feed the index and the queue, the queue feeds reconciles, and all of it stops in order.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::Stream;
use futures::stream::{SelectAll, StreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_objects};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tracing::Instrument;

use crate::account::budget::Priority;
use crate::aws_account::{AccountObject, AwsAccounts};
use crate::names::Owner;
use crate::object::Object;
use crate::queue::Queue;
use crate::reconcile::{Context, reconcile};

/// How long reconciles may take to end after a signal; Kubernetes gives a Pod 30 s.
const GRACE: Duration = Duration::from_secs(8);
/// Without a timer, the loop looks around this often.
const IDLE: Duration = Duration::from_secs(30);

/// A watch: of the policies of a namespace (none: of all), of the accounts, of the namespaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Watch {
    Policies(Option<String>),
    Accounts,
    Namespaces,
}

/// What the watches bring.
enum News {
    Policy(Event<Object>),
    Account(Event<AccountObject>),
    Namespace(Event<Namespace>),
}

type NewsStream = std::pin::Pin<Box<dyn Stream<Item = (Watch, Result<News, watcher::Error>)> + Send>>;

/// How far a watch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Its first list is not complete.
    Listing,
    /// The API server does not let us: what it would bring stays unknown.
    Refused,
    /// Its list is complete.
    Listed,
}

/// The controller of `AuroraLogExportPolicy`.
pub struct Controller {
    context: Arc<Context>,
    queue: Queue,
    running: JoinSet<(Owner, Option<Duration>)>,
    tasks: HashMap<Id, Owner>,
    accounts: AwsAccounts,
    progress: BTreeMap<Watch, Progress>,
    /// Names seen since a watch began to list anew.
    listed: BTreeMap<Watch, BTreeSet<Owner>>,
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
    let (watches, mut news) = streams(context.kubernetes.client(), namespaces);
    let accounts_go = watch::Sender::new(false);
    let (accounts, mut became_usable) = AwsAccounts::new(context.clone(), namespaces.to_vec(), accounts_go.subscribe());
    let mut controller = Controller {
        context,
        queue: Queue::new(concurrency),
        running: JoinSet::new(),
        tasks: HashMap::new(),
        accounts,
        progress: watches.into_iter().map(|watch| (watch, Progress::Listing)).collect(),
        listed: BTreeMap::new(),
        leads: *leadership.borrow_and_update(),
        accounts_go,
    };
    tokio::pin!(shutdown);
    loop {
        controller.start_reconciles();
        let timer = controller.queue.next_timer().unwrap_or_else(|| Instant::now() + IDLE);
        tokio::select! {
            () = &mut shutdown => break,
            item = news.next() => match item {
                Some((watch, Ok(item))) => controller.take_in(&watch, item),
                Some((watch, Err(error))) => controller.broke(&watch, &error),
                None => break,
            },
            Some(account) = became_usable.recv() => controller.look_at_users(&account),
            Some(ended) = controller.running.join_next_with_id() => controller.ended(ended),
            Ok(()) = leadership.changed() => {
                controller.leads = *leadership.borrow_and_update();
                controller.let_accounts_go();
                if controller.leads {
                    controller.look_at_all();
                }
            }
            () = tokio::time::sleep_until(timer.into()) => {}
        }
    }
    controller.finish().await;
}

fn streams(client: &Client, namespaces: &[String]) -> (Vec<Watch>, SelectAll<NewsStream>) {
    let mut all = SelectAll::new();
    let mut watches = vec![Watch::Accounts, Watch::Namespaces];
    let policies: Vec<(Option<String>, Api<Object>)> = if namespaces.is_empty() {
        vec![(None, Api::all(client.clone()))]
    } else {
        let distinct: BTreeSet<_> = namespaces.iter().collect();
        distinct
            .into_iter()
            .map(|namespace| (Some(namespace.clone()), Api::namespaced(client.clone(), namespace)))
            .collect()
    };
    for (namespace, api) in policies {
        let watch = Watch::Policies(namespace);
        watches.push(watch.clone());
        all.push(stream(watch, api, News::Policy));
    }
    all.push(stream(Watch::Accounts, Api::all(client.clone()), News::Account));
    all.push(stream(Watch::Namespaces, Api::all(client.clone()), News::Namespace));
    (watches, all)
}

fn stream<K>(watch: Watch, api: Api<K>, news: fn(Event<K>) -> News) -> NewsStream
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    watch_objects(api, watcher::Config::default())
        .default_backoff()
        .map(move |item| (watch.clone(), item.map(news)))
        .boxed()
}

/// A watch that broke is begun again by itself, with pauses; why it broke is for people.
fn report(error: &watcher::Error) -> Option<Progress> {
    let api = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => Some(status),
        watcher::Error::WatchError(status) => Some(status),
        _ => None,
    };
    match api.map(|status| status.code) {
        Some(404) => {
            tracing::warn!(
                "the API server does not know auroralogexport.dev/v1alpha1: install the CRDs (kubectl apply -f crds/); trying again"
            );
            Some(Progress::Refused)
        }
        Some(403) => {
            tracing::warn!(
                "{}; grant it in the operator's ClusterRole (deploy/kustomize/base); trying again",
                api.map(|status| status.message.as_str()).unwrap_or_default()
            );
            Some(Progress::Refused)
        }
        Some(410) => {
            tracing::debug!("the watch is too old; listing anew");
            None
        }
        _ => {
            tracing::warn!(%error, "a watch broke; trying again");
            None
        }
    }
}

impl Controller {
    /// Before the lists are complete nobody knows who was first, or which accounts there are: nothing is begun. A list
    /// that the API server refuses holds up only what needs it.
    fn start_reconciles(&mut self) {
        while self.leads && !self.is_listing() {
            let Some((key, priority)) = self.queue.pop(Instant::now()) else {
                break;
            };
            let context = self.context.clone();
            let span = tracing::info_span!("reconcile", object = %key);
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
                (error.id(), Some(Duration::from_secs(60)))
            }
        };
        if let Some(key) = self.tasks.remove(&id) {
            self.queue
                .done(&key, again.map(|pause| (Instant::now() + pause, Priority::Periodic)));
        }
    }

    fn is_listing(&self) -> bool {
        self.progress.values().any(|progress| *progress == Progress::Listing)
    }

    fn broke(&mut self, watch: &Watch, error: &watcher::Error) {
        if let (Some(refused), Some(progress)) = (report(error), self.progress.get_mut(watch))
            && *progress == Progress::Listing
        {
            *progress = refused;
        }
    }

    fn list_complete(&mut self, watch: &Watch) {
        self.progress.insert(watch.clone(), Progress::Listed);
        self.let_accounts_go();
    }

    /// Whether an account may go depends on all policies and namespaces: all lists must be complete.
    fn let_accounts_go(&mut self) {
        let complete = self.progress.values().all(|progress| *progress == Progress::Listed);
        let go = self.leads && complete;
        if self.accounts_go.send_replace(go) != go && go {
            self.accounts.reconsider();
        }
    }

    fn take_in(&mut self, watch: &Watch, news: News) {
        match news {
            News::Policy(Event::Init) | News::Account(Event::Init) | News::Namespace(Event::Init) => {
                self.listed.insert(watch.clone(), BTreeSet::new());
            }
            News::Policy(Event::InitApply(object)) => {
                self.seen(watch, object.key());
                self.changed(object);
            }
            News::Policy(Event::InitDone) => {
                let Watch::Policies(namespace) = watch else { return };
                let seen = self.listed.remove(watch).unwrap_or_default();
                for key in self.context.index.missing_from(namespace.as_deref(), &seen) {
                    self.gone(&key);
                }
                self.list_complete(watch);
            }
            News::Policy(Event::Apply(object)) => self.changed(object),
            News::Policy(Event::Delete(object)) => self.gone(&object.key()),
            News::Account(Event::InitApply(account)) => {
                self.seen(watch, Owner::new("", account.name()));
                self.account(account);
            }
            News::Account(Event::InitDone) => {
                let seen = self.listed.remove(watch).unwrap_or_default();
                for name in self.context.accounts.names() {
                    if !seen.contains(&Owner::new("", &name)) {
                        self.account_gone(&name);
                    }
                }
                self.list_complete(watch);
            }
            News::Account(Event::Apply(account)) => self.account(account),
            News::Account(Event::Delete(account)) => self.account_gone(account.name()),
            News::Namespace(Event::InitDone) => self.list_complete(watch),
            News::Namespace(Event::Apply(namespace) | Event::InitApply(namespace)) => self.namespace(namespace),
            News::Namespace(Event::Delete(namespace)) => {
                self.context.accounts.remove_namespace(&namespace.name_any());
            }
        }
    }

    fn seen(&mut self, watch: &Watch, key: Owner) {
        self.listed.entry(watch.clone()).or_default().insert(key);
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
        let priority = if deleting { Priority::Deletion } else { Priority::Change };
        let at = if only_asked { asked.unwrap_or(now).max(now) } else { now };
        self.queue.add(&key, &lane, at, priority);
    }

    fn gone(&mut self, key: &Owner) {
        self.queue.remove(key);
        self.context.memories.forget(key);
        let gone = self.context.index.get(key);
        for rival in self.context.index.remove(key) {
            self.look_at(&rival, Priority::Change);
        }
        if let Some(account) = gone.as_deref().and_then(Object::account_ref) {
            self.accounts.users_changed(account);
        }
    }

    fn look_at(&mut self, key: &Owner, priority: Priority) {
        let Some(object) = self.context.index.get(key) else {
            return;
        };
        self.queue
            .add(key, &object.account_ref().map(str::to_owned), Instant::now(), priority);
    }

    fn look_at_all(&mut self) {
        for key in self.context.index.keys() {
            self.look_at(&key, Priority::Periodic);
        }
    }

    fn account(&mut self, account: AccountObject) {
        let name = account.name().to_owned();
        if self.accounts.upsert(account) {
            // Its prefix may be another now: who claims which name follows from it.
            for object in self.context.index.users_of(&name) {
                let prefix = self.context.name_prefix(&object);
                self.context.index.upsert(object.as_ref().clone(), &prefix);
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
            match tokio::time::timeout_at(deadline, self.running.join_next()).await {
                Ok(_) => {}
                Err(_) => {
                    tracing::warn!(
                        stopped = self.running.len(),
                        "reconciles did not end in time and were stopped"
                    );
                    self.running.shutdown().await;
                }
            }
        }
    }
}
