//! The watches: policies (of all namespaces or of some), accounts, and the labels of namespaces, as one stream.

use std::collections::BTreeSet;
use std::pin::Pin;

use futures::Stream;
use futures::stream::{self, BoxStream, SelectAll, StreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::Api;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};

use crate::model::account_object::AccountObject;
use crate::model::object::Unread;

/// What a watch brings.
// It lives from the stream to the index.
#[allow(clippy::large_enum_variant)]
pub enum News {
    /// Of a policy.
    Policy(Event<Unread>),
    /// Of an account.
    Account(Event<AccountObject>),
    /// Of a namespace.
    Namespace(Event<Namespace>),
}

/// Which watch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Policies of this namespace, or of all.
    Policies(Option<String>),
    /// Accounts.
    Accounts,
    /// Namespaces.
    Namespaces,
}

/// How far a watch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Its first list is not complete.
    Listing,
    /// The API server does not let us: what it would bring stays unknown.
    Refused,
    /// Its list is complete.
    Listed,
}

type NewsStream = Pin<Box<dyn Stream<Item = (Source, Result<News, watcher::Error>)> + Send>>;

/// All watches as one stream, and which they are. Each begins anew by itself, with pauses, when it breaks.
pub fn watch_all(client: &Client, namespaces: &[String]) -> (SelectAll<NewsStream>, BTreeSet<Source>) {
    let scopes: Vec<Option<String>> =
        if namespaces.is_empty() { vec![None] } else { namespaces.iter().cloned().map(Some).collect() };
    let mut all: SelectAll<NewsStream> = SelectAll::new();
    let mut sources = BTreeSet::from([Source::Accounts, Source::Namespaces]);
    for scope in scopes {
        let api: Api<Unread> = match &scope {
            None => Api::all(client.clone()),
            Some(namespace) => Api::namespaced(client.clone(), namespace),
        };
        let source = Source::Policies(scope);
        if sources.insert(source.clone()) {
            all.push(tagged(source, api, News::Policy));
        }
    }
    all.push(tagged(Source::Accounts, Api::<AccountObject>::all(client.clone()), News::Account));
    all.push(tagged(Source::Namespaces, Api::<Namespace>::all(client.clone()), News::Namespace));
    (all, sources)
}

fn tagged<K>(source: Source, api: Api<K>, wrap: fn(Event<K>) -> News) -> NewsStream
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let events = renewed(move || watch(api.clone(), watcher::Config::default()).boxed()).default_backoff();
    events.map(move |event| (source.clone(), event.map(wrap))).boxed()
}

/// Begins anew, with a list, where the API server no longer knows what a watch wants to go on from. kube's watcher does so
/// when an event of the watch says it; the same as the answer to a new watch it would ask for again and again.
fn renewed<K: Send + 'static>(
    begin: impl Fn() -> BoxStream<'static, Result<Event<K>, watcher::Error>> + Send + 'static,
) -> impl Stream<Item = Result<Event<K>, watcher::Error>> + Send {
    stream::unfold((begin(), begin), async |(mut events, begin)| {
        let event = events.next().await?;
        if event.as_ref().is_err_and(cannot_go_on) {
            events = begin();
        }
        Some((event, (events, begin)))
    })
}

fn cannot_go_on(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410)
}

/// Says why a watch broke, for people. True: the API server refuses it, and waiting does not help.
pub fn report(error: &watcher::Error) -> bool {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => Some(status),
        watcher::Error::WatchError(status) => Some(status),
        _ => None,
    };
    match status.map(|status| (status.code, status.message.as_str())) {
        Some((404, _)) => tracing::warn!(
            "the API server does not know auroralogexport.dev/v1alpha1: install the CRDs (kubectl apply -f crds/); trying again"
        ),
        Some((403, message)) => {
            tracing::warn!("{message}; grant it in the operator's ClusterRole (deploy/kustomize/base); trying again");
        }
        Some((410, _)) => tracing::debug!("the watch is too old; listing anew"),
        _ => tracing::warn!(%error, "a watch broke; trying again"),
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
        let status = Status::failure("it is refused", "Refused").with_code(code);
        Err(watcher::Error::WatchStartFailed(kube::Error::Api(status.boxed())))
    }

    /// How many watches are begun until the events that these bring are through.
    async fn begun(watches: Vec<Vec<Result<Event<()>, watcher::Error>>>) -> (usize, usize) {
        let watches = Arc::new(Mutex::new(VecDeque::from(watches)));
        let left = watches.clone();
        let total = watches.lock().unwrap().len();
        let events = renewed(move || stream::iter(left.lock().unwrap().pop_front().unwrap_or_default()).boxed());
        let events = events.collect::<Vec<_>>().await;
        (total - watches.lock().unwrap().len(), events.len())
    }

    #[tokio::test]
    async fn a_watch_that_may_not_go_on_begins_anew_and_any_other_does_not() {
        let new = || vec![Ok(Event::Init), Ok(Event::InitDone)];
        // Nothing after the refusal comes from the old one.
        let expired = vec![Ok(Event::InitDone), start_failed(410), start_failed(410)];
        assert_eq!(begun(vec![expired, new(), new()]).await, (2, 4));
        for code in [403, 404, 429, 500, 503] {
            assert_eq!(begun(vec![vec![start_failed(code), Ok(Event::InitDone)], new()]).await, (1, 2), "{code}");
        }
    }
}
