//! The watches: policies (of all namespaces or of some), accounts, and the labels of namespaces, as one stream; and the
//! operator's `ConfigMaps` as another.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use futures::stream::{self, BoxStream, SelectAll, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Client;
use kube::api::Api;
use kube::core::NamespaceResourceScope;
use kube::runtime::watcher as watch;
use kube::runtime::watcher::{self, Event};

use super::backoff::backoff;
use crate::model::stored::{AccountObject, PolicyObject};

/// Pauses before a watch that broke starts again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Objects in one page of a list. An object can have more than a megabyte, and a page is in memory as a whole.
const PAGE: u32 = 25;

/// An event of a watch.
// It is short-lived: from the stream to the index.
#[allow(clippy::large_enum_variant)]
pub enum WatchEvent {
    /// About a policy.
    Policy(Event<PolicyObject>),
    /// About an account.
    Account(Event<AccountObject>),
    /// About a namespace.
    Namespace(Event<Namespace>),
}

/// Identifies a watch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Policies of this namespace; `None`: of all namespaces.
    Policies(Option<String>),
    /// Accounts.
    Accounts,
    /// Namespaces.
    Namespaces,
}

type EventStream = Pin<Box<dyn Stream<Item = (Source, Result<WatchEvent, watcher::Error>)> + Send>>;

/// All watches as one stream, and their sources. A watch that fails restarts by itself, with backoff.
pub fn watch_all(client: &Client, namespaces: &[String]) -> (SelectAll<EventStream>, BTreeSet<Source>) {
    let mut all: SelectAll<EventStream> = SelectAll::new();
    let mut sources = BTreeSet::from([Source::Accounts, Source::Namespaces]);
    for scope in scopes(namespaces) {
        let api = api::<PolicyObject>(client, scope.as_deref());
        let source = Source::Policies(scope);
        sources.insert(source.clone());
        all.push(tagged(source, api, WatchEvent::Policy));
    }
    all.push(tagged(Source::Accounts, Api::<AccountObject>::all(client.clone()), WatchEvent::Account));
    all.push(tagged(Source::Namespaces, Api::<Namespace>::all(client.clone()), WatchEvent::Namespace));
    (all, sources)
}

/// The events of one watch of `ConfigMaps`, with its namespace; `None`: all namespaces.
pub type ConfigMapStream = BoxStream<'static, (Option<String>, Result<Event<ConfigMap>, watcher::Error>)>;

/// The `ConfigMaps` that a label selects, in these namespaces; none: in all.
pub fn watch_config_maps(client: &Client, namespaces: &[String], selector: &str) -> SelectAll<ConfigMapStream> {
    let of = |scope: Option<String>| -> ConfigMapStream {
        let events = events(api::<ConfigMap>(client, scope.as_deref()), watcher::Config::default().labels(selector));
        events.map(move |event| (scope.clone(), event)).boxed()
    };
    scopes(namespaces).into_iter().map(of).collect()
}

/// The namespaces to watch, each once; `None`: all.
fn scopes(namespaces: &[String]) -> BTreeSet<Option<String>> {
    if namespaces.is_empty() { BTreeSet::from([None]) } else { namespaces.iter().cloned().map(Some).collect() }
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        None => Api::all(client.clone()),
        Some(namespace) => Api::namespaced(client.clone(), namespace),
    }
}

fn tagged<K>(source: Source, api: Api<K>, wrap: fn(Event<K>) -> WatchEvent) -> EventStream
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    events(api, watcher::Config::default()).map(move |event| (source.clone(), event.map(wrap))).boxed()
}

/// The events of a watch that lists in small pages and restarts by itself.
fn events<K>(api: Api<K>, config: watcher::Config) -> impl Stream<Item = Result<Event<K>, watcher::Error>> + Send
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    restarting(move || watch(api.clone(), config.clone().page_size(PAGE)).boxed())
}

/// The events of a watch. It restarts by itself when it breaks, with pauses that grow until something has been received;
/// kube's own backoff begins again with every attempt to list.
///
/// Where the API server no longer knows the resource version that a watch wants to continue from (410), it lists again.
/// kube's watcher does so when an event of the watch says it; as the answer to a new watch it would repeat the watch for
/// ever.
fn restarting<K: Send + 'static>(
    begin: impl Fn() -> BoxStream<'static, Result<Event<K>, watcher::Error>> + Send + 'static,
) -> impl Stream<Item = Result<Event<K>, watcher::Error>> + Send {
    stream::unfold((begin(), begin, 0, false), async |(mut events, begin, failures, failed)| {
        if failed {
            tokio::time::sleep(backoff(failures, FIRST_PAUSE, LONGEST_PAUSE)).await;
        }
        let event = events.next().await?;
        if event.as_ref().is_err_and(is_expired) {
            events = begin();
        }
        let failed = event.is_err();
        let failures = failures_after(failures, &event);
        Some((event, (events, begin, failures, failed)))
    })
}

/// How many times in a row a watch has failed, after this event.
fn failures_after<K>(failures: u32, event: &Result<Event<K>, watcher::Error>) -> u32 {
    match event {
        Err(_) => failures.saturating_add(1),
        // The beginning of a list that may fail.
        Ok(Event::Init) => failures,
        Ok(_) => 0,
    }
}

fn is_expired(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410)
}

/// Logs why a watch failed. Returns true if the API server rejects it, so that waiting does not help. `again`: the first list
/// was rejected before. An operator with permissions in some namespaces only works without the cluster-wide lists, so their
/// rejection is a warning once.
pub fn report_failure(source: &Source, error: &watcher::Error, again: bool) -> bool {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => Some(status),
        watcher::Error::WatchError(status) => Some(status),
        _ => None,
    };
    match status.map(|status| (status.code, status.message.as_str())) {
        Some((404, _)) => tracing::warn!(
            "the API server does not know auroralogexport.dev/v1alpha1: install the CRDs (kubectl apply -f crds/); retrying"
        ),
        Some((403, message)) if again && !matches!(source, Source::Policies(_)) => {
            tracing::debug!("{message}; retrying");
        }
        Some((403, message)) => {
            let consequence = match source {
                Source::Policies(_) => "no object is reconciled",
                Source::Accounts => "objects with an accountRef are not reconciled",
                Source::Namespaces => "the namespace selectors of AwsAccounts select nothing",
            };
            tracing::warn!(
                "{message}; {consequence}; grant it in the operator's ClusterRole (deploy/kustomize/base); retrying"
            );
        }
        Some((410, _)) => tracing::debug!("watch expired; listing again"),
        _ => tracing::warn!(%error, "watch failed; retrying"),
    }
    matches!(status.map(|status| status.code), Some(403 | 404))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use kube::core::Status;

    use super::*;

    fn start_failed(code: u16) -> Result<Event<()>, watcher::Error> {
        let status = Status::failure("it is rejected", "Rejected").with_code(code);
        Err(watcher::Error::WatchStartFailed(kube::Error::Api(status.boxed())))
    }

    /// Returns how many of these watches are started and how many events they deliver.
    async fn started(watches: Vec<Vec<Result<Event<()>, watcher::Error>>>) -> (usize, usize) {
        let watches = Arc::new(Mutex::new(VecDeque::from(watches)));
        let left = watches.clone();
        let total = watches.lock().unwrap().len();
        let events = restarting(move || stream::iter(left.lock().unwrap().pop_front().unwrap_or_default()).boxed());
        let events = events.collect::<Vec<_>>().await;
        (total - watches.lock().unwrap().len(), events.len())
    }

    #[test]
    fn the_pauses_grow_with_every_failed_list_and_end_with_a_good_one() {
        let failed = || Err(watcher::Error::InitialListFailed(kube::Error::Api(Box::new(Status::failure("", "")))));
        let events: [Result<Event<()>, _>; 6] =
            [Ok(Event::Init), failed(), Ok(Event::Init), failed(), Ok(Event::Init), Ok(Event::InitDone)];
        let failures = events.iter().scan(0, |failures, event| {
            *failures = failures_after(*failures, event);
            Some(*failures)
        });
        assert_eq!(failures.collect::<Vec<_>>(), [0, 1, 1, 2, 2, 0]);
    }

    #[tokio::test]
    async fn only_an_expired_watch_is_started_again() {
        let new = || vec![Ok(Event::Init), Ok(Event::InitDone)];
        // No event after the rejection comes from the old watch.
        let expired = vec![Ok(Event::InitDone), start_failed(410), start_failed(410)];
        assert_eq!(started(vec![expired, new(), new()]).await, (2, 4));
        for code in [403, 404, 429, 500, 503] {
            assert_eq!(started(vec![vec![start_failed(code), Ok(Event::InitDone)], new()]).await, (1, 2), "{code}");
        }
    }
}
