//! The controller of `AwsAccount`: whether the account is usable, as which identity, and whether it may be deleted.
//!
//! Each account has a task of its own, so that one that hangs or fails holds up no other. Policies are reconciled elsewhere.
//! They do not wait for these tasks, and are reconciled again when an account becomes usable.

mod reconciler;
pub mod users;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::context::Context;
use crate::model::stored::AccountObject;
use reconciler::AccountReconciler;

/// Changes of an account's policies come in bursts: they are batched for this long.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// All accounts and their tasks.
pub struct AwsAccounts {
    context: Arc<Context>,
    /// True while the tasks work: this replica leads, and all lists are complete.
    active: watch::Receiver<bool>,
    usable: mpsc::UnboundedSender<String>,
    known: BTreeMap<String, Known>,
}

struct Known {
    object: watch::Sender<Arc<AccountObject>>,
    users_changed: Arc<Notify>,
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
    /// The receiver brings the names of accounts that have become usable again.
    pub fn new(context: Arc<Context>, active: watch::Receiver<bool>) -> (Self, mpsc::UnboundedReceiver<String>) {
        let (usable, became_usable) = mpsc::unbounded_channel();
        (Self { context, active, usable, known: BTreeMap::new() }, became_usable)
    }

    /// Takes in an account that was created or changed. Returns true if its policies must be reconciled.
    pub fn upsert(&mut self, object: AccountObject) -> bool {
        let name = object.name().to_owned();
        let changed = self.context.accounts.upsert(&name, object.spec.as_ref().map(AsRef::as_ref));
        if let Some(known) = self.known.get(&name) {
            known.object.send_if_modified(|old| {
                let matters = differs(old, &object);
                *old = Arc::new(object);
                matters
            });
        } else {
            let object = watch::Sender::new(Arc::new(object));
            self.known.insert(name.clone(), Known { object, users_changed: Arc::default(), task: None });
        }
        self.start_task(&name);
        changed
    }

    /// Forgets an account that is gone.
    pub fn remove(&mut self, name: &str) {
        self.context.accounts.remove(name);
        self.known.remove(name);
    }

    /// A policy that refers to the account was created, changed or deleted.
    pub fn users_changed(&mut self, name: &str) {
        self.start_task(name);
        if let Some(known) = self.known.get(name) {
            known.users_changed.notify_one();
        }
    }

    /// Namespaces changed, or all lists are complete.
    pub fn reconcile_all(&mut self) {
        for name in self.known.keys().cloned().collect::<Vec<_>>() {
            self.users_changed(&name);
        }
    }

    /// Stops all tasks.
    pub fn stop(&mut self) {
        self.known.clear();
    }

    /// Starts the account's task if this operator is responsible for it. An operator that watches some namespaces only is
    /// responsible for the accounts that these may use, or do use: so several operators in one cluster do not interfere.
    fn start_task(&mut self, name: &str) {
        let Some(known) = self.known.get_mut(name).filter(|known| known.task.is_none()) else {
            return;
        };
        let Context { accounts, namespaces, index, watched, .. } = &*self.context;
        let admits = |namespace: &str| namespaces.admitted(accounts, name, namespace);
        let responsible = watched.is_empty()
            || watched.iter().any(|namespace| admits(namespace))
            || !users::holders(&index.users_of(name), admits).is_empty();
        if !responsible {
            return;
        }
        let reconciler = AccountReconciler::new(self.context.clone(), self.usable.clone());
        let task = run(reconciler, known.object.subscribe(), known.users_changed.clone(), self.active.clone());
        let span = tracing::info_span!(parent: None, "account", name);
        known.task = Some(tokio::spawn(task.instrument(span)));
    }
}

async fn run(
    mut reconciler: AccountReconciler,
    mut object: watch::Receiver<Arc<AccountObject>>,
    users_changed: Arc<Notify>,
    mut active: watch::Receiver<bool>,
) {
    loop {
        if active.wait_for(|active| *active).await.is_err() {
            return;
        }
        let current = object.borrow_and_update().clone();
        let pause = reconciler.reconcile(&current).await;
        tokio::select! {
            changed = object.changed() => if changed.is_err() { return },
            () = users_changed.notified() => tokio::time::sleep(DEBOUNCE).await,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// True if anything differs that the account's task depends on. The status is our own write.
fn differs(old: &AccountObject, new: &AccountObject) -> bool {
    old.uid() != new.uid()
        || old.generation() != new.generation()
        || old.is_deleting() != new.is_deleting()
        || old.has_finalizer() != new.has_finalizer()
}
