//! The watches: policies (of all namespaces or of some), accounts, and the labels of namespaces, as one stream.

use std::collections::BTreeSet;
use std::pin::Pin;

use futures::Stream;
use futures::stream::{SelectAll, StreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::Api;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};

use crate::aws_account::AccountObject;
use crate::object::Object;

/// What a watch brings.
// It lives from the stream to the index.
#[allow(clippy::large_enum_variant)]
pub enum News {
    /// Of a policy.
    Policy(Event<Object>),
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
        let api: Api<Object> = match &scope {
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
    let events = watch(api, watcher::Config::default()).default_backoff();
    events.map(move |event| (source.clone(), event.map(wrap))).boxed()
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
