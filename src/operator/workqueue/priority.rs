//! How urgent a reconcile is.

/// How urgent a reconcile is; the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// An object is being deleted.
    Deletion,
    /// An object was changed.
    Change,
    /// A resync: no user waits for it.
    Resync,
}

impl Priority {
    /// The name in traces.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deletion => "deletion",
            Self::Change => "change",
            Self::Resync => "resync",
        }
    }
}
