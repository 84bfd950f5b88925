//! The objects of one account that wait for their turn.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::priority::Priority;
use crate::model::names::Owner;

/// In every 8th turn of an account, a resync goes before deletions and changes.
pub(super) const RESYNC_TURN: u32 = 8;
/// In every 4th turn of a namespace, a change goes before deletions.
pub(super) const CHANGE_TURN: u32 = 4;

/// Deletions and changes, and apart from them resyncs.
#[derive(Debug, Default)]
pub(super) struct AccountRings {
    urgent: Ring,
    resyncs: Ring,
    turn: u32,
}

impl AccountRings {
    pub(super) fn push(&mut self, object: Owner, priority: Priority) {
        self.ring(priority).push(object, priority);
    }

    pub(super) fn remove(&mut self, object: &Owner, priority: Priority) {
        self.ring(priority).remove(object);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.resyncs.is_empty()
    }

    /// True if an object may run. `resyncs`: a slot for a resync is free.
    pub(super) fn has_next(&self, resyncs: bool) -> bool {
        !self.urgent.is_empty() || (resyncs && !self.resyncs.is_empty())
    }

    /// The object whose turn it is. `resyncs`: a slot for a resync is free.
    pub(super) fn pop(&mut self, resyncs: bool) -> Option<(Owner, Priority)> {
        self.turn = self.turn.wrapping_add(1);
        let resync_first = self.turn.is_multiple_of(RESYNC_TURN);
        if resyncs && (resync_first || self.urgent.is_empty()) {
            return self.resyncs.pop().or_else(|| self.urgent.pop());
        }
        self.urgent.pop()
    }

    fn ring(&mut self, priority: Priority) -> &mut Ring {
        match priority {
            Priority::Deletion | Priority::Change => &mut self.urgent,
            Priority::Resync => &mut self.resyncs,
        }
    }
}

/// Namespaces take turns.
#[derive(Debug, Default)]
struct Ring {
    order: VecDeque<Arc<str>>,
    namespaces: HashMap<Arc<str>, Waiting>,
}

/// The objects of one namespace.
#[derive(Debug, Default)]
struct Waiting {
    deletions: VecDeque<Owner>,
    others: VecDeque<(Owner, Priority)>,
    turn: u32,
}

impl Ring {
    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn push(&mut self, object: Owner, priority: Priority) {
        let waiting = self.namespaces.entry(object.namespace.clone()).or_insert_with(|| {
            self.order.push_back(object.namespace.clone());
            Waiting::default()
        });
        match priority {
            Priority::Deletion => waiting.deletions.push_back(object),
            Priority::Change | Priority::Resync => waiting.others.push_back((object, priority)),
        }
    }

    fn pop(&mut self) -> Option<(Owner, Priority)> {
        let namespace = self.order.pop_front()?;
        let waiting = self.namespaces.get_mut(&namespace)?;
        let next = waiting.pop();
        if waiting.is_empty() {
            self.namespaces.remove(&namespace);
        } else {
            self.order.push_back(namespace);
        }
        next
    }

    fn remove(&mut self, object: &Owner) {
        let Some(waiting) = self.namespaces.get_mut(&object.namespace) else {
            return;
        };
        waiting.deletions.retain(|other| other != object);
        waiting.others.retain(|(other, _)| other != object);
        if waiting.is_empty() {
            self.namespaces.remove(&object.namespace);
            self.order.retain(|namespace| *namespace != object.namespace);
        }
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.deletions.is_empty() && self.others.is_empty()
    }

    fn pop(&mut self) -> Option<(Owner, Priority)> {
        self.turn = self.turn.wrapping_add(1);
        if self.turn.is_multiple_of(CHANGE_TURN) && !self.others.is_empty() {
            return self.others.pop_front();
        }
        let deletion = self.deletions.pop_front().map(|object| (object, Priority::Deletion));
        deletion.or_else(|| self.others.pop_front())
    }
}
