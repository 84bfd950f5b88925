//! Which account an object works in, and whether its namespace may use it. A missing or changed account never falls
//! back to another.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};

use crate::api::Reason;
use crate::api::account::AllowedNamespaces;
use crate::aws::account::Account;
use crate::aws::registry::{Accounts, Lookup};
use crate::model::settings::AccountBinding;

/// Labels of the namespaces that the watch has seen.
#[derive(Default)]
pub struct Namespaces(RwLock<BTreeMap<String, BTreeMap<String, String>>>);

/// The account of an object.
#[derive(Clone)]
pub struct Resolved {
    /// The account.
    pub account: Arc<Account>,
    /// The `AwsAccount` that the object refers to, if any.
    pub binding: Option<AccountBinding>,
}

/// Why an object has no account now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// `AccountNotReady` or `NotPermitted`.
    pub reason: Reason,
    /// What is wrong and what to do.
    pub message: String,
}

impl Namespaces {
    /// Sets the labels of a namespace; returns true if they are new.
    pub fn set(&self, name: &str, labels: BTreeMap<String, String>) -> bool {
        let mut namespaces = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if namespaces.get(name) == Some(&labels) {
            return false;
        }
        namespaces.insert(name.to_owned(), labels);
        true
    }

    /// Forgets a namespace that is gone.
    pub fn remove(&self, name: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Forgets the namespaces that are not in a new list.
    pub fn retain(&self, listed: impl Fn(&str) -> bool) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|name, _| listed(name));
    }

    /// True if the `AwsAccount` of this name admits objects of the namespace.
    pub fn admitted(&self, accounts: &Accounts, account: &str, namespace: &str) -> bool {
        match accounts.lookup(account) {
            Lookup::Found(named) => self.allowed(named.allowed_namespaces(), namespace),
            Lookup::Unreadable(_) | Lookup::Missing => false,
        }
    }

    /// The selector of the account's `allowedNamespaces`; `None` if the account names the namespace.
    pub fn deciding_selector(accounts: &Accounts, account: &str, namespace: &str) -> Option<LabelSelector> {
        let Lookup::Found(named) = accounts.lookup(account) else { return None };
        let allowed = named.allowed_namespaces()?;
        allowed.selector.clone().filter(|_| !is_named(allowed, namespace))
    }

    /// The account that `spec.accountRef` means to a namespace. An object that is being deleted needs no admission: what it
    /// created must be removed.
    ///
    /// # Errors
    /// `AccountNotReady` if there is no such `AwsAccount`, `NotPermitted` if the namespace may not use it.
    pub fn resolve(
        &self,
        accounts: &Accounts,
        account_ref: Option<&str>,
        namespace: &str,
        deleting: bool,
    ) -> Result<Resolved, Unresolved> {
        let Some(name) = account_ref else {
            return Ok(Resolved { account: accounts.own().clone(), binding: None });
        };
        let not_ready = |message| Unresolved { reason: Reason::AccountNotReady, message };
        let named = match accounts.lookup(name) {
            Lookup::Found(named) => named,
            Lookup::Unreadable(error) => {
                return Err(not_ready(format!("AwsAccount {name:?} cannot be read: {error}")));
            }
            Lookup::Missing if accounts.are_refused() => {
                return Err(not_ready(format!(
                    "AwsAccount {name:?} cannot be read: the operator may not list AwsAccounts; grant it list, watch and \
                     patch on awsaccounts in a ClusterRole (deploy/kustomize/base), or delete this object"
                )));
            }
            Lookup::Missing if deleting => {
                return Err(not_ready(format!(
                    "AwsAccount {name:?} does not exist, so the policy and role of this object cannot be removed: create the \
                     account again, or annotate the object with auroralogexport.dev/abandon: \"true\" to leave them in AWS"
                )));
            }
            Lookup::Missing => return Err(not_ready(not_allowed(name, namespace))),
        };
        if !deleting && !self.allowed(named.allowed_namespaces(), namespace) {
            return Err(Unresolved { reason: Reason::NotPermitted, message: not_allowed(name, namespace) });
        }
        Ok(Resolved { account: named.account.clone(), binding: Some(named.binding(name)) })
    }

    fn allowed(&self, allowed: Option<&AllowedNamespaces>, namespace: &str) -> bool {
        let Some(allowed) = allowed else {
            return false;
        };
        if is_named(allowed, namespace) {
            return true;
        }
        let namespaces = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match (&allowed.selector, namespaces.get(namespace)) {
            (Some(selector), Some(labels)) => selects(selector, labels),
            _ => false,
        }
    }
}

fn is_named(allowed: &AllowedNamespaces, namespace: &str) -> bool {
    allowed.names.iter().flatten().any(|name| name == namespace)
}

/// The same for an account that does not exist: its name is no business of a namespace that may not use it.
pub fn not_allowed(account: &str, namespace: &str) -> String {
    format!(
        "AwsAccount {account:?} does not exist or does not allow namespace {namespace:?} (guardrail allowedNamespaces): ask the \
         platform team"
    )
}

/// True if the selector matches. A selector that cannot be read matches nothing.
pub fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(labels))
}
