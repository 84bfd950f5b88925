//! Who waits for a token, and who is next.
//!
//! Urgent classes come first, but a class that was passed over long enough gets its turn. Within a class namespaces
//! take turns, within a namespace objects, so that nobody gains by asking more often.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use super::{Caller, Priority};

/// After so many turns of other classes, a class with waiters goes first. By position of [`Priority`]; deletions are
/// never passed over but for these turns.
const PATIENCE: [u32; 3] = [0, 4, 9];

/// A place in the queue.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    caller: Caller,
    number: u64,
}

/// Values by name that take turns in the order of their names.
///
/// The turn is a name, not a position: entries may come and go, and one that comes back is not served again before
/// those that stayed.
#[derive(Debug)]
struct Ring<V> {
    entries: BTreeMap<Arc<str>, V>,
    served: Option<Arc<str>>,
}

impl<V> Default for Ring<V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), served: None }
    }
}

impl<V: Default> Ring<V> {
    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn entry(&mut self, name: &Arc<str>) -> &mut V {
        self.entries.entry(name.clone()).or_default()
    }

    /// Lets `serve` have the entry whose turn it is; it says whether the entry is now empty.
    fn turn<T>(&mut self, serve: impl FnOnce(&mut V) -> (Option<T>, bool)) -> Option<T> {
        let after = self.served.take().and_then(|served| {
            let rest = (Excluded(served), Unbounded);
            self.entries.range::<Arc<str>, _>(rest).next().map(|(name, _)| name.clone())
        });
        let name = after.or_else(|| self.entries.keys().next().cloned())?;
        let (taken, empty) = serve(self.entries.get_mut(&name)?);
        if empty {
            self.entries.remove(&name);
        }
        self.served = Some(name);
        taken
    }

    /// Lets `change` have the entry of that name; it says whether the entry is now empty.
    fn change<T>(&mut self, name: &Arc<str>, change: impl FnOnce(&mut V) -> (Option<T>, bool)) -> Option<T> {
        let (taken, empty) = change(self.entries.get_mut(name)?);
        if empty {
            self.entries.remove(name);
        }
        taken
    }
}

/// Waiters of one object, in the order they came.
type Waiters<T> = BTreeMap<u64, T>;
/// Namespaces, in them objects, in them waiters.
type Class<T> = Ring<Ring<Waiters<T>>>;

/// All waiters for one kind of call.
#[derive(Debug)]
pub(super) struct Queue<T> {
    classes: [Class<T>; 3],
    passed_over: [u32; 3],
    next_number: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { classes: Default::default(), passed_over: [0; 3], next_number: 0 }
    }
}

impl<T> Queue<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.classes.iter().all(Ring::is_empty)
    }

    /// Adds a waiter.
    pub(super) fn push(&mut self, caller: &Caller, waiter: T) -> Ticket {
        let number = self.next_number;
        self.next_number += 1;
        let class = &mut self.classes[position(caller.priority)];
        class.entry(&caller.namespace).entry(&caller.object).insert(number, waiter);
        Ticket { caller: caller.clone(), number }
    }

    /// Takes out the waiter whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        let turn = self.next_class()?;
        for class in 0..self.classes.len() {
            let waits = class != turn && !self.classes[class].is_empty();
            self.passed_over[class] = if waits { self.passed_over[class].saturating_add(1) } else { 0 };
        }
        self.classes[turn].turn(|objects| {
            let waiter = objects.turn(|waiters| {
                let waiter = waiters.pop_first().map(|(_, waiter)| waiter);
                (waiter, waiters.is_empty())
            });
            (waiter, objects.is_empty())
        })
    }

    /// Takes out a waiter that gave up. `None`: it had its turn already.
    pub(super) fn remove(&mut self, ticket: &Ticket) -> Option<T> {
        let Ticket { caller, number } = ticket;
        self.classes[position(caller.priority)].change(&caller.namespace, |objects| {
            let waiter = objects.change(&caller.object, |waiters| {
                let waiter = waiters.remove(number);
                (waiter, waiters.is_empty())
            });
            (waiter, objects.is_empty())
        })
    }

    fn next_class(&self) -> Option<usize> {
        let waits = |class: &usize| !self.classes[*class].is_empty();
        let positions = 0..self.classes.len();
        // The least urgent first: its patience is the longest.
        let starved = positions.clone().rev().filter(waits).find(|class| self.passed_over[*class] >= PATIENCE[*class]);
        starved.or_else(|| positions.clone().find(waits))
    }
}

const fn position(priority: Priority) -> usize {
    match priority {
        Priority::Deletion => 0,
        Priority::Change => 1,
        Priority::Periodic => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const PRIORITIES: [Priority; 3] = [Priority::Deletion, Priority::Change, Priority::Periodic];

    fn caller(priority: Priority, namespace: &str, object: &str) -> Caller {
        Caller { namespace: namespace.into(), object: object.into(), priority }
    }

    fn drain<T>(queue: &mut Queue<T>) -> Vec<T> {
        std::iter::from_fn(|| queue.pop()).collect()
    }

    #[test]
    fn a_quiet_namespace_waits_for_one_turn_of_a_noisy_one() {
        for (noisy, quiet) in [("a", "b"), ("b", "a")] {
            let mut queue = Queue::default();
            for object in 0..1_000 {
                queue.push(&caller(Priority::Change, noisy, &format!("o{object}")), noisy);
            }
            queue.pop();
            queue.push(&caller(Priority::Change, quiet, "only"), quiet);
            assert!([queue.pop(), queue.pop()].contains(&Some(quiet)));
        }
    }

    #[test]
    fn an_object_that_asks_all_the_time_does_not_hold_up_its_neighbours() {
        let mut queue = Queue::default();
        for _ in 0..100 {
            queue.push(&caller(Priority::Change, "ns", "m-noisy"), "m-noisy");
        }
        for quiet in ["a", "z"] {
            queue.push(&caller(Priority::Change, "ns", quiet), quiet);
        }
        let order = drain(&mut queue);
        assert!(order[..3].contains(&"a") && order[..3].contains(&"z"), "{:?}", &order[..4]);
    }

    #[test]
    fn one_object_is_served_in_the_order_it_asked() {
        let mut queue = Queue::default();
        for turn in 0..20 {
            queue.push(&caller(Priority::Periodic, "ns", "o"), turn);
        }
        assert_eq!(drain(&mut queue), (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn urgent_classes_go_first_and_no_class_starves() {
        let mut queue = Queue::default();
        for priority in PRIORITIES {
            for _ in 0..100 {
                queue.push(&caller(priority, "ns", "o"), priority);
            }
        }
        assert_eq!(queue.pop(), Some(Priority::Deletion));
        let order: Vec<_> = (0..100).filter_map(|_| queue.pop()).collect();
        let turns = |priority| order.iter().filter(|served| **served == priority).count();
        assert!(turns(Priority::Deletion) >= 65, "{}", turns(Priority::Deletion));
        assert!((15..=25).contains(&turns(Priority::Change)), "{}", turns(Priority::Change));
        assert!((8..=12).contains(&turns(Priority::Periodic)), "{}", turns(Priority::Periodic));
    }

    #[test]
    fn who_gave_up_leaves_nothing_behind() {
        let mut queue = Queue::default();
        let tickets: Vec<_> = (0..50)
            .map(|i| queue.push(&caller(PRIORITIES[i % 3], &format!("n{}", i % 4), &format!("o{i}")), i))
            .collect();
        let served = queue.pop();
        let gone: Vec<_> = tickets.iter().filter_map(|ticket| queue.remove(ticket)).collect();
        assert_eq!(gone.len(), 49);
        assert!(!gone.contains(&served.unwrap_or(usize::MAX)));
        assert!(queue.is_empty());
        assert!(queue.classes.iter().all(|class| class.entries.is_empty()));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push { priority: usize, namespace: u8, object: u8 },
        Pop,
        Remove(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..3_usize, 0..2_u8, 0..3_u8)
                .prop_map(|(priority, namespace, object)| Step::Push { priority, namespace, object }),
            3 => Just(Step::Pop),
            1 => any::<prop::sample::Index>().prop_map(Step::Remove),
        ]
    }

    /// Waiters with their tickets and the turns that others had since they were first in their object's line.
    #[derive(Default)]
    struct Waiting(HashMap<u32, (Ticket, u32)>);

    impl Waiting {
        /// Serves one; false if the queue's idea of who waits is not ours.
        fn pop(&mut self, queue: &mut Queue<u32>) -> bool {
            let Some(served) = queue.pop() else {
                return self.0.is_empty();
            };
            let mut first: HashMap<Caller, u64> = HashMap::new();
            for (ticket, _) in self.0.values() {
                let number = first.entry(ticket.caller.clone()).or_insert(ticket.number);
                *number = ticket.number.min(*number);
            }
            for (ticket, turns) in self.0.values_mut() {
                *turns += u32::from(first.get(&ticket.caller) == Some(&ticket.number));
            }
            self.0.remove(&served).is_some()
        }
    }

    proptest! {
        /// Everybody who was pushed comes out exactly once, and who is first in its object's line waits for no more turns
        /// than there are objects and classes to share with.
        #[test]
        fn everybody_is_served_once_and_in_bounded_time(steps in prop::collection::vec(step(), 1..400)) {
            let mut queue = Queue::default();
            let mut waiting = Waiting::default();
            let mut next = 0_u32;
            for step in steps {
                match step {
                    Step::Push { priority, namespace, object } => {
                        let caller = caller(PRIORITIES[priority], &namespace.to_string(), &object.to_string());
                        waiting.0.insert(next, (queue.push(&caller, next), 0));
                        next += 1;
                    }
                    Step::Pop => prop_assert!(waiting.pop(&mut queue)),
                    Step::Remove(index) if !waiting.0.is_empty() => {
                        let mut ids: Vec<_> = waiting.0.keys().copied().collect();
                        ids.sort_unstable();
                        let id = *index.get(&ids);
                        let ticket = waiting.0.remove(&id).map(|(ticket, _)| ticket);
                        prop_assert_eq!(ticket.and_then(|ticket| queue.remove(&ticket)), Some(id));
                    }
                    Step::Remove(_) => {}
                }
                // Six objects share a class's turns; the most patient class has one turn in eleven at worst.
                let longest = waiting.0.values().map(|(_, turns)| *turns).max().unwrap_or(0);
                prop_assert!(longest <= 6 * 11, "somebody waited for {longest} turns");
            }
            while !waiting.0.is_empty() {
                prop_assert!(waiting.pop(&mut queue));
            }
            prop_assert!(queue.is_empty());
        }
    }
}
