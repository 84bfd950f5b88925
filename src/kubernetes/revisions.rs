//! Notices that etcd was restored from a backup: the API server's revisions go back.
//!
//! A watch that continues from a revision of the future gets no events until the new revisions have caught up, and no error.
//! client-go's informers have the same problem. So all objects must be listed again.

use tokio::sync::watch;

/// The revisions in answers to requests that follow each other.
#[derive(Debug)]
pub(super) struct Revisions {
    last: Option<u128>,
    restored: watch::Sender<()>,
}

impl Revisions {
    /// The receiver changes each time the revisions go back.
    pub(super) fn new() -> (Self, watch::Receiver<()>) {
        let (restored, receiver) = watch::channel(());
        (Self { last: None, restored }, receiver)
    }

    /// Takes in a `resourceVersion` of the newest answer. They are integers that only grow (Kubernetes 1.35, KEP-5504); one
    /// that is none is ignored.
    pub(super) fn seen(&mut self, version: &str) {
        let Ok(revision) = version.parse() else { return };
        if let Some(last) = self.last.replace(revision).filter(|last| revision < *last) {
            tracing::warn!(
                "the API server's revision went back from {last} to {revision}: etcd was restored; listing all objects again"
            );
            self.restored.send_replace(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_revision_that_goes_back_counts() {
        let (mut revisions, mut restored) = Revisions::new();
        for (version, expected) in [
            ("100", false),
            ("100", false),
            ("340282366920938463463374607431768211455", false),
            ("", false),
            ("none", false),
            ("99", true),
            ("98", true),
            ("101", false),
        ] {
            revisions.seen(version);
            assert_eq!(restored.has_changed().ok(), Some(expected), "{version}");
            restored.mark_unchanged();
        }
    }
}
