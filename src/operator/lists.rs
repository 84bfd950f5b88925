//! How far the watches have come with their first lists, and what they have seen since a list began. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::watches::Source;
use crate::model::names::Owner;

/// The progress of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The first list is not complete.
    Listing,
    /// The API server rejects it, so its objects are unknown.
    Refused,
    /// The list is complete.
    Listed,
}

/// The lists of all watches. While a first list is incomplete it is not known which object claimed a name first, which
/// accounts there are, and what a sweep can judge.
#[derive(Debug)]
pub(super) struct Lists {
    progress: BTreeMap<Source, Progress>,
    /// Objects seen since a watch began to list.
    seen: BTreeMap<Source, BTreeSet<Owner>>,
}

impl Lists {
    /// No list has begun.
    pub(super) fn new(sources: BTreeSet<Source>) -> Self {
        let progress = sources.into_iter().map(|source| (source, Progress::Listing)).collect();
        Self { progress, seen: BTreeMap::new() }
    }

    /// True while a first list is incomplete.
    pub(super) fn are_incomplete(&self) -> bool {
        self.progress.values().any(|progress| *progress == Progress::Listing)
    }

    /// True if all lists are complete, and none was refused.
    pub(super) fn are_complete(&self) -> bool {
        self.progress.values().all(|progress| *progress == Progress::Listed)
    }

    /// True while the first list of this watch is incomplete.
    pub(super) fn is_incomplete(&self, source: &Source) -> bool {
        self.progress.get(source) == Some(&Progress::Listing)
    }

    /// True if the API server rejected the first list of this watch.
    pub(super) fn is_refused(&self, source: &Source) -> bool {
        self.progress.get(source) == Some(&Progress::Refused)
    }

    /// Sets how far a watch has come.
    pub(super) fn set(&mut self, source: Source, progress: Progress) {
        self.progress.insert(source, progress);
    }

    /// A watch begins to list.
    pub(super) fn begin(&mut self, source: Source) {
        self.seen.insert(source, BTreeSet::new());
    }

    /// A list contains this object.
    pub(super) fn add(&mut self, source: Source, key: Owner) {
        self.seen.entry(source).or_default().insert(key);
    }

    /// The objects of a list that has ended.
    pub(super) fn end(&mut self, source: &Source) -> BTreeSet<Owner> {
        self.seen.remove(source).unwrap_or_default()
    }
}
