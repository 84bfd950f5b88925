//! How each account is checked for drift: by sweeps, or object by object.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::index::Index;
use crate::api::account::DriftScan;
use crate::aws::registry::Accounts;
use crate::model::account_key::AccountKey;

/// Up to this many objects, reading them one by one is cheap enough not to try a sweep.
const FEW: usize = 25;

/// How an account is checked for drift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By sweeps.
    Bulk,
    /// Object by object, for this reason.
    PerResource(String),
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bulk => f.write_str("Bulk: one sweep by GetAccountAuthorizationDetails checks every object"),
            Self::PerResource(why) => write!(f, "PerResource: {why}"),
        }
    }
}

/// Whether an account is to be swept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Yes, whatever it costs.
    Sweep,
    /// Yes, if a sweep takes fewer calls than reading the objects.
    SweepIfCheaper,
    /// No, for this reason.
    PerResource(String),
}

/// Decides from the configuration, and from the number of objects, whether an account is to be swept. `flag` is
/// `--drift-scan`, which the `AwsAccount` overrides.
pub fn choose(accounts: &Accounts, index: &Index, flag: DriftScan, account: &AccountKey) -> Choice {
    match accounts.drift_scan(account).unwrap_or(flag) {
        DriftScan::Bulk => Choice::Sweep,
        DriftScan::PerResource => Choice::PerResource("set by configuration".to_owned()),
        DriftScan::Auto if index.count_of(account) > FEW => Choice::SweepIfCheaper,
        DriftScan::Auto => Choice::PerResource(format!("reading up to {FEW} objects one by one is cheaper")),
    }
}

/// The mode in force of every account, and what its sweeps find.
#[derive(Default)]
pub struct Modes {
    modes: Mutex<HashMap<AccountKey, Mode>>,
    orphans: Mutex<HashMap<AccountKey, u64>>,
}

impl Modes {
    /// The mode of an account; `None`: no sweep has decided it yet.
    pub fn get(&self, account: &AccountKey) -> Option<Mode> {
        self.modes().get(account).cloned()
    }

    /// Sets the mode, logs a change, and returns the mode before.
    pub fn set(&self, account: &AccountKey, mode: Mode) -> Option<Mode> {
        if mode != Mode::Bulk {
            self.orphans_by_account().remove(account);
        }
        let before = self.modes().insert(account.clone(), mode.clone());
        if before.as_ref() != Some(&mode) {
            tracing::info!(%account, %mode, "drift scan mode changed");
        }
        before
    }

    /// Notes how many orphans a sweep has found.
    pub fn set_orphans(&self, account: &AccountKey, count: u64) {
        self.orphans_by_account().insert(account.clone(), count);
    }

    /// How many orphans the last sweep has found; `None`: the account is not swept.
    pub fn orphans(&self, account: &AccountKey) -> Option<u64> {
        self.orphans_by_account().get(account).copied()
    }

    /// Forgets an account that is no longer swept.
    pub fn remove(&self, account: &AccountKey) {
        self.modes().remove(account);
        self.orphans_by_account().remove(account);
    }

    fn modes(&self) -> MutexGuard<'_, HashMap<AccountKey, Mode>> {
        self.modes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn orphans_by_account(&self) -> MutexGuard<'_, HashMap<AccountKey, u64>> {
        self.orphans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The mode for the status of an `AwsAccount`: the one in force, or the one that the first sweep will find.
    pub fn describe(&self, accounts: &Accounts, index: &Index, flag: DriftScan, account: &AccountKey) -> Mode {
        self.get(account).unwrap_or_else(|| match choose(accounts, index, flag, account) {
            Choice::Sweep | Choice::SweepIfCheaper => Mode::Bulk,
            Choice::PerResource(why) => Mode::PerResource(why),
        })
    }
}
