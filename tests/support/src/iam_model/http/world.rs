//! The accounts served, and which key belongs to which.

use super::super::account::{Iam, Quotas, Settings};
use super::super::call_log::now_ms;
use super::super::error::ApiError;
use super::super::handle::{Shared, lock};
use super::super::rng::Rng;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

/// Whether a key works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyState {
    /// It does.
    #[default]
    Active,
    /// `ExpiredToken`.
    Expired,
    /// `InvalidClientTokenId`.
    Revoked,
}

/// Who a key speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The account.
    pub account: String,
    /// The ARN `GetCallerIdentity` answers.
    pub arn: String,
    /// The user id it answers.
    pub user_id: String,
    /// Whether it works.
    pub state: KeyState,
    /// When it expires by itself, milliseconds since 1970.
    pub expires_ms: Option<u64>,
}

/// What accounts get when they come into being.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// Their quotas.
    pub quotas: Quotas,
    /// Their settings.
    pub settings: Settings,
    /// The partition of accounts that `AssumeRole` reaches first; empty means `aws`.
    pub partition: String,
    /// The account of keys that nobody registered; none refuses them with `InvalidClientTokenId`.
    pub account_of_unknown_keys: Option<String>,
    /// Have others something in every account, which must be as it was when the server ends?
    pub bystanders: bool,
}

/// Accounts and keys; clones share one state.
#[derive(Clone, Debug)]
pub struct World(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    defaults: Defaults,
    accounts: BTreeMap<String, Shared>,
    keys: HashMap<String, Credential>,
    /// By role ARN: the external id it demands.
    external_ids: BTreeMap<String, String>,
    /// Role ARNs that refuse everyone.
    closed_roles: Vec<String>,
    /// How long sessions hold, where it is not for their caller to say.
    session_seconds: Option<u64>,
    rng: Rng,
}

impl World {
    /// Without accounts.
    pub fn new(defaults: Defaults) -> Self {
        Self(Arc::new(Mutex::new(State {
            defaults,
            accounts: BTreeMap::new(),
            keys: HashMap::new(),
            external_ids: BTreeMap::new(),
            closed_roles: Vec::new(),
            session_seconds: None,
            // Keys of two servers must differ, or a test could mix them up unnoticed.
            rng: Rng::new(now_ms()),
        })))
    }

    /// The account, made in the default partition if it does not exist.
    pub fn account(&self, id: &str) -> Shared {
        let partition = {
            let state = lock(&self.0);
            if state.defaults.partition.is_empty() { "aws".to_owned() } else { state.defaults.partition.clone() }
        };
        self.account_in(id, &partition)
    }

    /// The account, made in this partition if it does not exist.
    ///
    /// # Panics
    /// If bystanders do not fit into an empty account, which would be a mistake here.
    pub fn account_in(&self, id: &str, partition: &str) -> Shared {
        let mut state = lock(&self.0);
        let defaults = state.defaults.clone();
        let account = state.accounts.entry(id.to_owned()).or_insert_with(|| {
            let mut iam = Iam::in_partition(id, partition);
            if defaults.bystanders {
                let planted = iam.plant_bystanders();
                assert!(planted.is_ok(), "an empty account has room for bystanders: {planted:?}");
            }
            iam.quotas = defaults.quotas;
            iam.settings = defaults.settings;
            iam.set_now_ms(now_ms());
            Shared::new(iam)
        });
        account.clone()
    }

    /// The account, if it exists.
    pub fn existing(&self, id: &str) -> Option<Shared> {
        lock(&self.0).accounts.get(id).cloned()
    }

    /// Is what others have in every account as it was? The error says what is not.
    pub fn bystanders_untouched(&self) -> Result<(), String> {
        let accounts: Vec<Shared> = lock(&self.0).accounts.values().cloned().collect();
        accounts.iter().try_for_each(|account| account.lock().bystanders_untouched())
    }

    /// The accounts' ids.
    pub fn account_ids(&self) -> Vec<String> {
        lock(&self.0).accounts.keys().cloned().collect()
    }

    /// Registers a key of the account's user `operator`, and the account if it does not exist.
    pub fn add_key(&self, access_key: &str, account: &str) {
        let partition = self.account(account).lock().partition().to_owned();
        let credential = Credential {
            account: account.to_owned(),
            arn: format!("arn:{partition}:iam::{account}:user/operator"),
            user_id: lock(&self.0).rng.id("AIDA", 17),
            state: KeyState::Active,
            expires_ms: None,
        };
        self.set_credential(access_key, credential);
    }

    /// Registers a key, or says something else of a known one.
    pub fn set_credential(&self, access_key: &str, credential: Credential) {
        lock(&self.0).keys.insert(access_key.to_owned(), credential);
    }

    /// Lets a key work, expire or vanish. False when it is not known.
    pub fn set_key_state(&self, access_key: &str, key_state: KeyState) -> bool {
        match lock(&self.0).keys.get_mut(access_key) {
            Some(credential) => {
                credential.state = key_state;
                true
            }
            None => false,
        }
    }

    /// Every session that `AssumeRole` has given out expires now; registered keys stay.
    pub fn expire_sessions(&self) {
        let mut state = lock(&self.0);
        let sessions = state.keys.values_mut().filter(|credential| credential.expires_ms.is_some());
        sessions.for_each(|credential| credential.state = KeyState::Expired);
    }

    /// A role that may be assumed only with this external id (none: without any).
    pub fn require_external_id(&self, role_arn: &str, external_id: Option<&str>) {
        let mut state = lock(&self.0);
        match external_id {
            Some(id) => state.external_ids.insert(role_arn.to_owned(), id.to_owned()),
            None => state.external_ids.remove(role_arn),
        };
    }

    /// A role that nobody may assume, or may again.
    pub fn close_role(&self, role_arn: &str, closed: bool) {
        let mut state = lock(&self.0);
        state.closed_roles.retain(|arn| arn != role_arn);
        if closed {
            state.closed_roles.push(role_arn.to_owned());
        }
    }

    /// Sessions given out from now on hold so long, whatever their caller asks for: AWS gives no less than 15 minutes, which
    /// is more than a test can wait.
    pub fn set_session_seconds(&self, seconds: u64) {
        lock(&self.0).session_seconds = Some(seconds);
    }

    pub(super) fn session_seconds(&self) -> Option<u64> {
        lock(&self.0).session_seconds
    }

    /// The settings and quotas of an account, changed in place; the account is made if it does not exist.
    pub fn configure(&self, account: &str, change: impl FnOnce(&mut Settings, &mut Quotas)) {
        let account = self.account(account);
        let mut iam = account.lock();
        let Iam { settings, quotas, .. } = &mut *iam;
        change(settings, quotas);
    }

    /// What accounts made from now on get.
    pub fn set_defaults(&self, defaults: Defaults) {
        lock(&self.0).defaults = defaults;
    }

    /// Who signed.
    pub(super) fn authenticate(&self, access_key: Option<&str>) -> Result<Credential, ApiError> {
        let Some(access_key) = access_key else {
            return Err(ApiError::new("MissingAuthenticationToken", 403, "Request is missing Authentication Token"));
        };
        let known = lock(&self.0).keys.get(access_key).cloned();
        let fallback = lock(&self.0).defaults.account_of_unknown_keys.clone();
        let credential = match (known, fallback) {
            (Some(credential), _) => credential,
            (None, Some(account)) => {
                self.add_key(access_key, &account);
                return self.authenticate(Some(access_key));
            }
            (None, None) => return Err(invalid_token()),
        };
        let expired = credential.expires_ms.is_some_and(|at| at <= now_ms());
        match credential.state {
            KeyState::Active if !expired => Ok(credential),
            KeyState::Active | KeyState::Expired => {
                Err(ApiError::new("ExpiredToken", 403, "The security token included in the request is expired"))
            }
            KeyState::Revoked => Err(invalid_token()),
        }
    }

    /// Whether the role lets this caller in.
    pub(super) fn may_assume(&self, role_arn: &str, external_id: Option<&str>) -> bool {
        let state = lock(&self.0);
        let demanded = state.external_ids.get(role_arn);
        !state.closed_roles.iter().any(|arn| arn == role_arn)
            && demanded.is_none_or(|demanded| external_id == Some(demanded))
    }

    /// Characters no one can guess from the test's side; not cryptography.
    pub(super) fn random_id(&self, prefix: &str, length: usize) -> String {
        lock(&self.0).rng.id(prefix, length)
    }
}

fn invalid_token() -> ApiError {
    ApiError::new("InvalidClientTokenId", 403, "The security token included in the request is invalid.")
}
