//! The controller of `AwsAccount`: is the account usable, as whom, and may it go?
//!
//! Each account has a task of its own, so that one that hangs or fails holds up no other. The policies are reconciled
//! elsewhere; they wait for nothing here, and are told when an account becomes usable again.

mod look;
pub mod users;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::model::account_object::AccountObject;
use crate::operator::reconcile::Context;
use look::Keeper;

/// News of an account's policies come in crowds: so long they are gathered.
const GATHER: Duration = Duration::from_millis(200);

/// All accounts and their tasks.
pub struct AwsAccounts {
    context: Arc<Context>,
    /// Namespaces that this operator watches; none: all.
    watched: Vec<String>,
    go: watch::Receiver<bool>,
    usable: mpsc::UnboundedSender<String>,
    known: BTreeMap<String, Known>,
}

struct Known {
    object: watch::Sender<Arc<AccountObject>>,
    poke: Arc<Notify>,
    task: Option<JoinHandle<()>>,
}

impl Drop for Known {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl AwsAccounts {
    /// Tasks work while `go` is true: this replica leads, and all lists are complete. The names that come out of the
    /// receiver are those of accounts that have become usable again.
    pub fn new(
        context: Arc<Context>,
        watched: Vec<String>,
        go: watch::Receiver<bool>,
    ) -> (Self, mpsc::UnboundedReceiver<String>) {
        let (usable, became_usable) = mpsc::unbounded_channel();
        let accounts = Self { context, watched, go, usable, known: BTreeMap::new() };
        (accounts, became_usable)
    }

    /// An account was made or changed; must its policies be looked at?
    pub fn upsert(&mut self, object: AccountObject) -> bool {
        let name = object.name().to_owned();
        let spec = object.spec.as_ref().map(AsRef::as_ref);
        let changed = self.context.accounts.upsert(&name, spec);
        if let Some(known) = self.known.get(&name) {
            known.object.send_if_modified(|old| {
                let matters = differs(old, &object);
                *old = Arc::new(object);
                matters
            });
        } else {
            let known = Known { object: watch::Sender::new(Arc::new(object)), poke: Arc::default(), task: None };
            self.known.insert(name.clone(), known);
        }
        self.look_after(&name);
        changed
    }

    /// An account is gone.
    pub fn remove(&mut self, name: &str) {
        self.context.accounts.remove(name);
        self.known.remove(name);
    }

    /// A policy that refers to the account was made, changed or deleted.
    pub fn users_changed(&mut self, name: &str) {
        self.look_after(name);
        if let Some(known) = self.known.get(name) {
            known.poke.notify_one();
        }
    }

    /// Namespaces changed, or all lists are complete.
    pub fn reconsider(&mut self) {
        for name in self.known.keys().cloned().collect::<Vec<_>>() {
            self.users_changed(&name);
        }
    }

    /// Stops all tasks.
    pub fn stop(&mut self) {
        self.known.clear();
    }

    /// An operator that watches some namespaces looks after the accounts that these may use, or do use: several such
    /// operators in one cluster keep out of each other's way.
    fn look_after(&mut self, name: &str) {
        let Some(known) = self.known.get_mut(name).filter(|known| known.task.is_none()) else {
            return;
        };
        let admits = |namespace: &str| self.context.accounts.admits(name, namespace);
        let ours = self.watched.is_empty()
            || self.watched.iter().any(|namespace| admits(namespace))
            || !users::holders(&self.context.index.users_of(name), admits).is_empty();
        if !ours {
            return;
        }
        let keeper = Keeper::new(self.context.clone(), self.usable.clone());
        let task = tend(keeper, known.object.subscribe(), known.poke.clone(), self.go.clone());
        let span = tracing::info_span!(parent: None, "account", name);
        known.task = Some(tokio::spawn(task.instrument(span)));
    }
}

async fn tend(
    mut keeper: Keeper,
    mut object: watch::Receiver<Arc<AccountObject>>,
    poke: Arc<Notify>,
    mut go: watch::Receiver<bool>,
) {
    loop {
        if go.wait_for(|go| *go).await.is_err() {
            return;
        }
        let current = object.borrow_and_update().clone();
        let pause = keeper.look(&current).await;
        tokio::select! {
            changed = object.changed() => if changed.is_err() { return },
            () = poke.notified() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Does anything differ that a look would come to another result for? The status is our own word.
fn differs(old: &AccountObject, new: &AccountObject) -> bool {
    old.metadata.uid != new.metadata.uid
        || old.generation() != new.generation()
        || old.is_deleting() != new.is_deleting()
        || old.has_finalizer() != new.has_finalizer()
}
