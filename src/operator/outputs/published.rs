//! What this process has published: it saves reads, and tells edits of others from its own writes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::values::Values;
use crate::model::names::Owner;
use crate::model::stored::PolicyObject;

/// A ConfigMap is read at least this often, also if it is not watched.
const CHECK_INTERVAL: Duration = Duration::from_hours(1);
/// A ConfigMap that others keep editing is published again at most this often.
const PAUSE: Duration = Duration::from_secs(5);

/// See the [module](self).
#[derive(Default)]
pub struct Outputs {
    published: Mutex<HashMap<Owner, Published>>,
}

struct Published {
    uid: String,
    name: String,
    values: Values,
    at: Instant,
    /// Others have edited or deleted the ConfigMap since.
    changed: bool,
}

impl Outputs {
    /// True if these values are published, as far as is known.
    pub(super) fn has(&self, object: &PolicyObject, name: &str, values: &Values) -> bool {
        self.lock().get(&object.key()).is_some_and(|published| {
            published.uid == object.uid()
                && published.name == name
                && published.values == *values
                && !published.changed
                && published.at.elapsed() < CHECK_INTERVAL
        })
    }

    /// Notes that these values are published now.
    pub(super) fn set(&self, object: &PolicyObject, name: &str, values: &Values) {
        let published = Published {
            uid: object.uid().to_owned(),
            name: name.to_owned(),
            values: values.clone(),
            at: Instant::now(),
            changed: false,
        };
        self.lock().insert(object.key(), published);
    }

    /// What the object's ConfigMap must contain, if this process has published it.
    pub(super) fn expected(&self, object: &PolicyObject) -> Option<Values> {
        let published = self.lock();
        published.get(&object.key()).filter(|known| known.uid == object.uid()).map(|known| known.values.clone())
    }

    /// Notes that others have edited or deleted the ConfigMap. Returns when to publish it again.
    pub(super) fn changed(&self, object: &PolicyObject) -> Instant {
        let now = Instant::now();
        match self.lock().get_mut(&object.key()) {
            Some(published) => {
                published.changed = true;
                now.max(published.at + PAUSE)
            }
            None => now,
        }
    }

    /// Forgets what was published for an object: the ConfigMap is read at its next reconcile.
    pub fn forget(&self, key: &Owner) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Owner, Published>> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
