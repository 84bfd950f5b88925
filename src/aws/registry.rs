//! Which account an object works in: its `AwsAccount`, or the operator's own. A missing or changed account never falls
//! back to another.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aws_config::SdkConfig;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};

use super::account::{Account, own_session};
use super::credentials::{CallerIdentity, Session, Source};
use super::rate_limit::{Budget, Rates};
use crate::api::Reason;
use crate::api::account::{AllowedNamespaces, AwsAccountSpec, DriftScan};
use crate::aws::gate::Gate;
use crate::kubernetes::lease::Fence;
use crate::model::names::{AccountId, ClusterName};
use crate::model::object::Unreadable;
use crate::model::settings::Via;
use crate::telemetry::metrics::Metrics;

/// All accounts that the operator knows.
pub struct Accounts {
    config: SdkConfig,
    ways: Ways,
    cluster: ClusterName,
    own: Arc<Account>,
    named: RwLock<BTreeMap<String, Entry>>,
    namespaces: RwLock<BTreeMap<String, BTreeMap<String, String>>>,
}

/// What all ways out have in common.
#[derive(Clone)]
pub struct Ways {
    /// Rates of an account that sets none itself.
    pub rates: Rates,
    /// May this replica write?
    pub fence: Fence,
    /// Where calls are counted.
    pub metrics: Metrics,
    /// One budget per account id, whoever refers to it.
    budgets: Arc<Mutex<HashMap<String, Budget>>>,
}

impl Ways {
    /// Ways out with these rates.
    pub fn new(rates: Rates, fence: Fence, metrics: Metrics) -> Self {
        Self { rates, fence, metrics, budgets: Arc::default() }
    }

    fn gate(&self, account: &str, rates: Rates) -> Gate {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = budgets.entry(account.to_owned()).or_insert_with(|| Budget::new(rates)).clone();
        Gate { account: Arc::from(account), budget, fence: self.fence.clone(), metrics: self.metrics.clone() }
    }
}

struct Named {
    spec: AwsAccountSpec,
    account: Arc<Account>,
}

/// An `AwsAccount` is known by its name, also where its spec cannot be read: then by why.
type Entry = Result<Named, Unreadable>;

/// The account of an object.
#[derive(Clone)]
pub struct Resolved {
    /// The account.
    pub account: Arc<Account>,
    /// The `AwsAccount` that stands between.
    pub via: Option<Via>,
}

/// Why an object has no account now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// `AccountNotReady` or `NotPermitted`.
    pub reason: Reason,
    /// What to do.
    pub message: String,
}

impl Accounts {
    /// The registry, with the operator's own account in it. `expected` is `--account-id`.
    pub fn new(config: SdkConfig, expected: Option<AccountId>, cluster: ClusterName, ways: Ways) -> Self {
        let rates = ways.rates;
        // STS has limits of its own: identities are asked for outside the account's budget of IAM calls.
        let session = own_session(&config, expected, ways.gate("sts", rates));
        let own = Arc::new(Account::new(session, {
            let ways = ways.clone();
            move |identity: &CallerIdentity| ways.gate(identity.account.as_str(), rates)
        }));
        Self { config, ways, cluster, own, named: RwLock::default(), namespaces: RwLock::default() }
    }

    /// The account of the operator's own credentials.
    pub fn own(&self) -> &Arc<Account> {
        &self.own
    }

    /// An `AwsAccount` was made or changed; is there anything new in it?
    pub fn upsert(&self, name: &str, spec: Result<&AwsAccountSpec, &Unreadable>) -> bool {
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        let same_credentials = |old: &AwsAccountSpec, new: &AwsAccountSpec| {
            (&old.account_id, &old.region, &old.assume_role, &old.limits)
                == (&new.account_id, &new.region, &new.assume_role, &new.limits)
        };
        let entry = match (named.get_mut(name), spec) {
            (Some(Ok(known)), Ok(spec)) if known.spec == *spec => return false,
            (Some(Err(known)), Err(error)) if known == error => return false,
            (Some(Ok(known)), Ok(spec)) if same_credentials(&known.spec, spec) => {
                known.spec = spec.clone();
                return true;
            }
            (_, Ok(spec)) => Ok(Named { spec: spec.clone(), account: Arc::new(self.open(name, spec)) }),
            (_, Err(error)) => Err(error.clone()),
        };
        named.insert(name.to_owned(), entry);
        true
    }

    /// An `AwsAccount` is gone.
    pub fn remove(&self, name: &str) {
        self.named.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The account behind an `AwsAccount`.
    pub fn named(&self, name: &str) -> Option<Arc<Account>> {
        self.named
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)?
            .as_ref()
            .ok()
            .map(|named| named.account.clone())
    }

    /// The names of all `AwsAccount`s.
    pub fn names(&self) -> Vec<String> {
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        named.keys().cloned().collect()
    }

    /// A namespace has these labels; are they new?
    pub fn set_namespace(&self, name: &str, labels: BTreeMap<String, String>) -> bool {
        let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        if namespaces.get(name) == Some(&labels) {
            return false;
        }
        namespaces.insert(name.to_owned(), labels);
        true
    }

    /// May policies of a namespace refer to an `AwsAccount`?
    pub fn admits(&self, account: &str, namespace: &str) -> bool {
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        match named.get(account) {
            Some(Ok(named)) => self.allows(named.spec.allowed_namespaces.as_ref(), namespace),
            _ => false,
        }
    }

    /// A namespace is gone.
    pub fn remove_namespace(&self, name: &str) {
        self.namespaces.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The `AwsAccount` that an object refers to, whether or not its namespace may.
    pub fn via(&self, account_ref: Option<&str>) -> Option<Via> {
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        let (name, named) = named.get_key_value(account_ref?)?;
        let named = named.as_ref().ok()?;
        Some(Via { name: name.clone(), guardrails: named.spec.guardrails.clone().unwrap_or_default() })
    }

    /// How an `AwsAccount` wants drift to be looked for; `None`: the operator's flag decides.
    pub fn drift_scan(&self, account_ref: Option<&str>) -> Option<DriftScan> {
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        named.get(account_ref?)?.as_ref().ok()?.spec.drift_scan
    }

    /// The account of an object. Whether its namespace may use it does not matter where it is only to be deleted.
    ///
    /// # Errors
    /// `AccountNotReady` if there is no such `AwsAccount`, `NotPermitted` if the namespace may not use it.
    pub fn resolve(&self, account_ref: Option<&str>, namespace: &str, deleting: bool) -> Result<Resolved, Unresolved> {
        let Some(name) = account_ref else {
            return Ok(Resolved { account: self.own.clone(), via: None });
        };
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        let Named { spec, account } = match named.get(name) {
            Some(Ok(named)) => named,
            Some(Err(error)) => {
                return Err(Unresolved {
                    reason: Reason::AccountNotReady,
                    message: format!("AwsAccount {name:?} cannot be read: {error}"),
                });
            }
            None if deleting => {
                return Err(Unresolved {
                    reason: Reason::AccountNotReady,
                    message: format!(
                        "there is no AwsAccount {name:?}, so what this object made cannot be removed: make the account again, or \
                         annotate the object with auroralogexport.dev/abandon: \"true\" to leave it in AWS"
                    ),
                });
            }
            None => {
                return Err(Unresolved {
                    reason: Reason::AccountNotReady,
                    message: format!("there is no AwsAccount {name:?}: make it, or delete this object"),
                });
            }
        };
        if !deleting && !self.allows(spec.allowed_namespaces.as_ref(), namespace) {
            return Err(Unresolved {
                reason: Reason::NotPermitted,
                message: format!(
                    "AwsAccount {name:?} does not allow namespace {namespace:?} (guardrail allowedNamespaces): ask the platform team"
                ),
            });
        }
        let via = Via { name: name.to_owned(), guardrails: spec.guardrails.clone().unwrap_or_default() };
        Ok(Resolved { account: account.clone(), via: Some(via) })
    }

    fn allows(&self, allowed: Option<&AllowedNamespaces>, namespace: &str) -> bool {
        let Some(AllowedNamespaces { names, selector }) = allowed else {
            return false;
        };
        if names.iter().flatten().any(|name| name == namespace) {
            return true;
        }
        let namespaces = self.namespaces.read().unwrap_or_else(PoisonError::into_inner);
        match (selector, namespaces.get(namespace)) {
            (Some(selector), Some(labels)) => selects(selector, labels),
            _ => false,
        }
    }

    fn open(&self, name: &str, spec: &AwsAccountSpec) -> Account {
        let expected = AccountId::parse(spec.account_id.clone()).ok();
        let limits = spec.limits.clone().unwrap_or_default();
        let rates = Rates {
            reads_per_second: limits.reads_per_second.map_or(self.ways.rates.reads_per_second, f64::from),
            writes_per_second: limits.writes_per_second.map_or(self.ways.rates.writes_per_second, f64::from),
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
        let sts = self.ways.gate(&format!("sts/{name}"), self.ways.rates);
        let session = Session::new(source, expected, config.build(), sts);
        let ways = self.ways.clone();
        Account::new(session, move |identity| {
            let gate = ways.gate(identity.account.as_str(), rates);
            gate.budget.set_rates(rates);
            gate
        })
    }
}

/// Does a selector match? One that cannot be read matches nothing.
fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(labels))
}
