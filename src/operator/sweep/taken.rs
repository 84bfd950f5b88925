//! Which role names an account had when it was last swept: a new object whose name is not among them need not ask.
//!
//! It licenses nothing. IAM itself refuses to create a role or policy of a name that is taken, and then the object is
//! looked at closely.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::names::{AccountId, RoleName};

/// So long a sweep is believed: until the next one is over, at the default interval of a minute.
const FRESH: Duration = Duration::from_mins(2);

/// The role names of every account that is swept, eight bytes each.
#[derive(Default)]
pub struct TakenNames {
    of: Mutex<HashMap<AccountId, Taken>>,
    hasher: RandomState,
}

/// The names of one account.
struct Taken {
    /// When the sweep began.
    at: Instant,
    /// Hashes, sorted.
    names: Box<[u64]>,
}

impl TakenNames {
    /// Is there no role of this name, whatever its path and case, as far as a recent sweep of the account tells?
    pub fn lack(&self, account: &AccountId, role: &RoleName) -> bool {
        let hash = self.hash(role.as_str());
        let of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        of.get(account).is_some_and(|taken| taken.at.elapsed() < FRESH && taken.names.binary_search(&hash).is_err())
    }

    /// A name as `swept` takes it. IAM's names are unique without regard to case (IAM API reference, `CreateRole`).
    pub(super) fn hash(&self, name: &str) -> u64 {
        self.hasher.hash_one(name.to_ascii_lowercase())
    }

    /// A sweep that began then has seen these names and no other.
    pub(super) fn swept(&self, account: &AccountId, at: Instant, mut names: Vec<u64>) {
        names.sort_unstable();
        let taken = Taken { at, names: names.into_boxed_slice() };
        self.of.lock().unwrap_or_else(PoisonError::into_inner).insert(account.clone(), taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_free_only_where_a_recent_sweep_has_not_seen_it_in_any_case() {
        let account = |id| AccountId::parse(id).unwrap();
        let (swept, other) = (account("111122223333"), account("444455556666"));
        let role = |name| RoleName::parse(name).unwrap();
        let taken = TakenNames::default();
        assert!(!taken.lack(&swept, &role("shop.orders")), "never swept");
        let seen = || ["Shop.Orders", "admin"].map(|name| taken.hash(name)).to_vec();
        taken.swept(&swept, Instant::now(), seen());
        assert!(!taken.lack(&swept, &role("shop.orders")));
        assert!(!taken.lack(&swept, &role("ADMIN")));
        assert!(taken.lack(&swept, &role("shop.carts")));
        assert!(!taken.lack(&other, &role("shop.carts")));
        let Some(long_ago) = Instant::now().checked_sub(FRESH) else { return };
        taken.swept(&swept, long_ago, seen());
        assert!(!taken.lack(&swept, &role("shop.carts")));
    }
}
