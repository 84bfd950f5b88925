//! The registry of accounts: the operator's own, and one for each `AwsAccount`.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aws_config::SdkConfig;

use super::account::Account;
use super::credentials::{CallerIdentity, Session, Source};
use super::gate::{Gate, WriteFence};
use super::rate_limit::{RateLimit, Rates, Urgency};
use crate::api::account::{AllowedNamespaces, AwsAccountSpec, DriftScan};
use crate::model::account_key::AccountKey;
use crate::model::names::{AccountId, ClusterName};
use crate::model::settings::AccountBinding;
use crate::model::stored::UnreadableSpec;
use crate::telemetry::metrics::Metrics;

/// The operator's own account and every `AwsAccount`.
pub struct Accounts {
    config: SdkConfig,
    gates: GateConfig,
    cluster: ClusterName,
    own: Arc<Account>,
    named: RwLock<BTreeMap<String, Entry>>,
    /// True if the API server refuses to list them.
    refused: AtomicBool,
}

/// What the gates of all accounts have in common.
#[derive(Clone)]
pub struct GateConfig {
    rates: Rates,
    fence: WriteFence,
    metrics: Metrics,
    /// One rate limit per account id: two `AwsAccount`s with the same account id share it.
    rate_limits: Arc<Mutex<HashMap<String, RateLimit>>>,
}

impl GateConfig {
    /// `rates` apply to accounts that set none.
    pub fn new(rates: Rates, fence: WriteFence, metrics: Metrics) -> Self {
        Self { rates, fence, metrics, rate_limits: Arc::default() }
    }

    fn gate(&self, account: &str, rates: Rates) -> Gate {
        let mut rate_limits = self.rate_limits.lock().unwrap_or_else(PoisonError::into_inner);
        let rate_limit = rate_limits.entry(account.to_owned()).or_insert_with(|| RateLimit::new(rates)).clone();
        Gate {
            account: Arc::from(account),
            rate_limit,
            urgency: Urgency::Interactive,
            fence: self.fence.clone(),
            metrics: self.metrics.clone(),
        }
    }

    /// Drops the rate limit and the metrics of an account that is no longer in use.
    fn forget(&self, account: &str) {
        self.rate_limits.lock().unwrap_or_else(PoisonError::into_inner).remove(account);
        self.metrics.forget_account(account);
    }
}

/// An `AwsAccount` whose spec can be read.
pub struct NamedAccount {
    spec: AwsAccountSpec,
    /// The account.
    pub account: Arc<Account>,
}

impl NamedAccount {
    /// Which namespaces may refer to it.
    pub fn allowed_namespaces(&self) -> Option<&AllowedNamespaces> {
        self.spec.allowed_namespaces.as_ref()
    }

    /// The binding of the objects that refer to it by this name.
    pub fn binding(&self, name: &str) -> AccountBinding {
        AccountBinding { name: name.to_owned(), guardrails: self.spec.guardrails.clone().unwrap_or_default() }
    }
}

type Entry = Result<Arc<NamedAccount>, UnreadableSpec>;

/// Result of a lookup of an `AwsAccount` by name.
pub enum Lookup {
    /// It exists.
    Found(Arc<NamedAccount>),
    /// It exists, and its spec cannot be read.
    Unreadable(UnreadableSpec),
    /// It does not exist.
    Missing,
}

impl Accounts {
    /// The registry with the operator's own account. `expected` is `--account-id`.
    pub fn new(config: SdkConfig, expected: Option<AccountId>, cluster: ClusterName, gates: GateConfig) -> Self {
        let rates = gates.rates;
        // STS has its own limits: its calls do not count against the account's rate limit for IAM.
        let session = Session::new(Source::Chain, expected, config.clone(), gates.gate("sts", rates));
        let own = Arc::new(Account::new(session, {
            let gates = gates.clone();
            move |identity: &CallerIdentity| gates.gate(identity.account.as_str(), rates)
        }));
        Self { config, gates, cluster, own, named: RwLock::default(), refused: AtomicBool::new(false) }
    }

    /// The account of the operator's own credentials.
    pub fn own(&self) -> &Arc<Account> {
        &self.own
    }

    /// Adds or updates an `AwsAccount`. Returns true if its spec changed.
    pub fn upsert(&self, name: &str, spec: Result<&AwsAccountSpec, &UnreadableSpec>) -> bool {
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        let entry = match (named.get(name), spec) {
            (Some(Ok(known)), Ok(spec)) if known.spec == *spec => return false,
            (Some(Err(known)), Err(error)) if known == error => return false,
            (Some(Ok(known)), Ok(spec)) if same_account(&known.spec, spec) => {
                Ok(Arc::new(NamedAccount { spec: spec.clone(), account: known.account.clone() }))
            }
            (_, Ok(spec)) => {
                Ok(Arc::new(NamedAccount { spec: spec.clone(), account: Arc::new(self.open(name, spec)) }))
            }
            (_, Err(error)) => Err(error.clone()),
        };
        let replaced = named.insert(name.to_owned(), entry);
        self.forget_unused(&named, replaced);
        true
    }

    /// Removes an `AwsAccount` that was deleted.
    pub fn remove(&self, name: &str) {
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        let Some(removed) = named.remove(name) else { return };
        self.gates.forget(&sts_label(name));
        self.forget_unused(&named, Some(removed));
    }

    /// Drops the rate limit and the metrics of an account that was replaced or removed, unless another one has its id.
    fn forget_unused(&self, named: &BTreeMap<String, Entry>, replaced: Option<Entry>) {
        let Some(Ok(replaced)) = replaced else { return };
        let Some(id) = replaced.account.known_id() else { return };
        let in_use = self.own.known_id().as_ref() == Some(&id)
            || named.values().flatten().any(|other| other.account.known_id().as_ref() == Some(&id));
        if !in_use {
            self.gates.forget(id.as_str());
        }
    }

    /// The `AwsAccount` of this name.
    pub fn lookup(&self, name: &str) -> Lookup {
        match self.named.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            Some(Ok(named)) => Lookup::Found(named.clone()),
            Some(Err(error)) => Lookup::Unreadable(error.clone()),
            None => Lookup::Missing,
        }
    }

    /// The account of a key; `None` if the `AwsAccount` does not exist or its spec cannot be read.
    pub fn account(&self, key: &AccountKey) -> Option<Arc<Account>> {
        match key.name() {
            None => Some(self.own.clone()),
            Some(name) => self.found(name).map(|named| named.account.clone()),
        }
    }

    /// Sets whether the API server refuses to list `AwsAccount`s.
    pub fn set_refused(&self, refused: bool) {
        self.refused.store(refused, Ordering::Relaxed);
    }

    /// True if the API server refuses to list `AwsAccount`s: a missing one may exist.
    pub fn are_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// The names of all `AwsAccount`s.
    pub fn names(&self) -> Vec<String> {
        self.named.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// The binding of the `AwsAccount` of this name, for the objects that refer to it.
    pub fn binding(&self, account_ref: Option<&str>) -> Option<AccountBinding> {
        let name = account_ref?;
        Some(self.found(name)?.binding(name))
    }

    /// The guardrail `namePrefix` of the account that an object refers to; empty if there is none.
    pub fn name_prefix(&self, account_ref: Option<&str>) -> String {
        self.binding(account_ref).and_then(|binding| binding.guardrails.name_prefix).unwrap_or_default()
    }

    /// `spec.driftScan` of an `AwsAccount`; `None` means that the operator's flag decides.
    pub fn drift_scan(&self, key: &AccountKey) -> Option<DriftScan> {
        self.found(key.name()?)?.spec.drift_scan
    }

    fn found(&self, name: &str) -> Option<Arc<NamedAccount>> {
        match self.lookup(name) {
            Lookup::Found(named) => Some(named),
            Lookup::Unreadable(_) | Lookup::Missing => None,
        }
    }

    fn open(&self, name: &str, spec: &AwsAccountSpec) -> Account {
        let expected = AccountId::parse(spec.account_id.clone()).ok();
        let limits = spec.limits.clone().unwrap_or_default();
        let rates = Rates {
            reads_per_second: limits.reads_per_second.map_or(self.gates.rates.reads_per_second, f64::from),
            writes_per_second: limits.writes_per_second.map_or(self.gates.rates.writes_per_second, f64::from),
        };
        let mut config = self.config.clone().into_builder();
        if let Some(region) = &spec.region {
            config.set_region(Some(aws_config::Region::new(region.clone())));
        }
        let source = match &spec.assume_role {
            None => Source::Same(self.own.session().clone()),
            Some(role) => Source::Role {
                base: self.own.session().clone(),
                role: role.clone(),
                tags: vec![
                    ("aurora-cluster".into(), self.cluster.to_string()),
                    ("aurora-account".into(), name.to_owned()),
                ],
            },
        };
        let sts = self.gates.gate(&sts_label(name), self.gates.rates);
        let session = Session::new(source, expected, config.build(), sts);
        let gates = self.gates.clone();
        Account::new(session, move |identity| {
            let gate = gates.gate(identity.account.as_str(), rates);
            gate.rate_limit.set_rates(rates);
            gate
        })
    }
}

/// True if the open account can stay: nothing that its session and its gate are made of has changed.
fn same_account(old: &AwsAccountSpec, new: &AwsAccountSpec) -> bool {
    (&old.account_id, &old.region, &old.assume_role, &old.limits)
        == (&new.account_id, &new.region, &new.assume_role, &new.limits)
}

/// Label of the metrics about STS calls for an `AwsAccount`.
fn sts_label(name: &str) -> String {
    format!("sts/{name}")
}
