//! The wiring: watches feed the index and the queue, the queue feeds reconciles, and all of it stops in order.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{SelectAll, StreamExt};
use futures::{Stream, TryStreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_objects};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tracing::Instrument;

use crate::account::budget::Priority;
use crate::api::AwsAccount;
use crate::names::Owner;
use crate::object::Object;
use crate::queue::Queue;
use crate::reconcile::{Context, reconcile};

/// How long reconciles may take to end after a signal; Kubernetes gives a Pod 30 s.
const GRACE: Duration = Duration::from_secs(8);
/// Without a timer, the loop looks around this often.
const IDLE: Duration = Duration::from_secs(30);

/// What the watches bring.
enum News {
    Policy(Event<Object>),
    Account(Event<AwsAccount>),
    Namespace(Event<Namespace>),
}

type NewsStream = std::pin::Pin<Box<dyn Stream<Item = Result<News, watcher::Error>> + Send>>;

/// The controller of `AuroraLogExportPolicy`.
pub struct Controller {
    context: Arc<Context>,
    queue: Queue,
    running: JoinSet<(Owner, Option<Duration>)>,
    tasks: HashMap<Id, Owner>,
    /// Keys seen since a watch began to list anew.
    listed: BTreeSet<Owner>,
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
    let mut news = streams(context.kubernetes.client(), namespaces);
    let mut controller = Controller {
        context,
        queue: Queue::new(concurrency),
        running: JoinSet::new(),
        tasks: HashMap::new(),
        listed: BTreeSet::new(),
        leads: *leadership.borrow_and_update(),
    };
    tokio::pin!(shutdown);
    loop {
        controller.start_reconciles();
        let timer = controller.queue.next_timer().unwrap_or_else(|| Instant::now() + IDLE);
        tokio::select! {
            () = &mut shutdown => break,
            item = news.next() => match item {
                Some(Ok(item)) => controller.take_in(item),
                Some(Err(error)) => report(&error),
                None => break,
            },
            Some(ended) = controller.running.join_next_with_id() => controller.ended(ended),
            Ok(()) = leadership.changed() => {
                controller.leads = *leadership.borrow_and_update();
                if controller.leads {
                    controller.look_at_all();
                }
            }
            () = tokio::time::sleep_until(timer.into()) => {}
        }
    }
    controller.finish().await;
}

fn streams(client: &Client, namespaces: &[String]) -> SelectAll<NewsStream> {
    let mut all = SelectAll::new();
    let policies: Vec<Api<Object>> = if namespaces.is_empty() {
        vec![Api::all(client.clone())]
    } else {
        namespaces
            .iter()
            .map(|namespace| Api::namespaced(client.clone(), namespace))
            .collect()
    };
    for api in policies {
        let stream = watch_objects(api, watcher::Config::default()).default_backoff();
        all.push(stream.map_ok(News::Policy).boxed());
    }
    let accounts = watch_objects(Api::<AwsAccount>::all(client.clone()), watcher::Config::default()).default_backoff();
    all.push(accounts.map_ok(News::Account).boxed());
    let labels = watch_objects(Api::<Namespace>::all(client.clone()), watcher::Config::default()).default_backoff();
    all.push(labels.map_ok(News::Namespace).boxed());
    all
}

/// A watch that broke is begun again by itself, with pauses; why it broke is for people.
fn report(error: &watcher::Error) {
    let api = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => Some(status),
        watcher::Error::WatchError(status) => Some(status),
        _ => None,
    };
    match api.map(|status| status.code) {
        Some(404) => tracing::warn!(
            "the API server does not know auroralogexport.dev/v1alpha1: install the CRDs (kubectl apply -f crds/); trying again"
        ),
        Some(403) => tracing::warn!(
            "{}; grant it in the operator's ClusterRole (deploy/kustomize/base); trying again",
            api.map(|status| status.message.as_str()).unwrap_or_default()
        ),
        Some(410) => tracing::debug!("the watch is too old; listing anew"),
        _ => tracing::warn!(%error, "a watch broke; trying again"),
    }
}

impl Controller {
    fn start_reconciles(&mut self) {
        while self.leads {
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

    fn take_in(&mut self, news: News) {
        match news {
            News::Policy(Event::Init) => self.listed.clear(),
            News::Policy(Event::InitApply(object)) => {
                self.listed.insert(object.key());
                self.changed(object);
            }
            News::Policy(Event::InitDone) => {
                for key in self.context.index.missing_from(&std::mem::take(&mut self.listed)) {
                    self.gone(&key);
                }
            }
            News::Policy(Event::Apply(object)) => self.changed(object),
            News::Policy(Event::Delete(object)) => self.gone(&object.key()),
            News::Account(event) => self.account(event),
            News::Namespace(event) => self.namespace(event),
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

    fn look_at_all(&mut self) {
        for key in self.context.index.keys() {
            self.look_at(&key, Priority::Periodic);
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
