//! The accounts that the server serves, and their access keys.

use super::super::account::{Iam, Quotas, Settings};
use super::super::call_log::now_ms;
use super::super::error::ApiError;
use super::super::handle::{Shared, lock};
use super::super::rng::Rng;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

/// Whether a key works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyState {
    /// The key is valid.
    #[default]
    Active,
    /// `ExpiredToken`.
    Expired,
    /// `InvalidClientTokenId`.
    Revoked,
}

/// The identity of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The account.
    pub account: String,
    /// The ARN that `GetCallerIdentity` returns.
    pub arn: String,
    /// The user id that it returns.
    pub user_id: String,
    /// Whether the key is valid.
    pub state: KeyState,
    /// When it expires by itself, milliseconds since 1970.
    pub expires_ms: Option<u64>,
}

/// Accounts and keys; clones share one state.
#[derive(Clone, Debug)]
pub struct World(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    partition: &'static str,
    bystanders: bool,
    accounts: BTreeMap<String, Shared>,
    keys: HashMap<String, Credential>,
    /// The required external ids, by role ARN.
    external_ids: BTreeMap<String, String>,
    /// ARNs of roles that cannot be assumed.
    closed_roles: Vec<String>,
    /// Duration of sessions, instead of the requested one.
    session_seconds: Option<u64>,
    rng: Rng,
}

impl World {
    /// Without accounts; see [`ServerOptions`](super::ServerOptions).
    pub fn new(partition: &'static str, bystanders: bool) -> Self {
        Self(Arc::new(Mutex::new(State {
            partition,
            bystanders,
            accounts: BTreeMap::new(),
            keys: HashMap::new(),
            external_ids: BTreeMap::new(),
            closed_roles: Vec::new(),
            session_seconds: None,
            // Keys of two servers must differ, or a test could mix them up unnoticed.
            rng: Rng::new(now_ms()),
        })))
    }

    /// The account, created in the default partition if it does not exist.
    pub fn account(&self, id: &str) -> Shared {
        let partition = lock(&self.0).partition;
        self.account_in(id, partition)
    }

    /// The account, created in this partition if it does not exist.
    ///
    /// # Panics
    /// If the bystanders cannot be created in an empty account, which is a bug here.
    pub fn account_in(&self, id: &str, partition: &str) -> Shared {
        let mut state = lock(&self.0);
        let bystanders = state.bystanders;
        let account = state.accounts.entry(id.to_owned()).or_insert_with(|| {
            let mut iam = Iam::in_partition(id, partition);
            if bystanders {
                let planted = iam.plant_bystanders();
                assert!(planted.is_ok(), "an empty account has room for bystanders: {planted:?}");
            }
            iam.set_now_ms(now_ms());
            Shared::new(iam)
        });
        account.clone()
    }

    /// The account, if it exists.
    pub fn existing(&self, id: &str) -> Option<Shared> {
        lock(&self.0).accounts.get(id).cloned()
    }

    /// Checks that the bystanders of every account are unchanged. The error names the one that is not.
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

    /// Registers or replaces a key.
    pub fn set_credential(&self, access_key: &str, credential: Credential) {
        lock(&self.0).keys.insert(access_key.to_owned(), credential);
    }

    /// Sets whether a key is valid, expired or revoked. Returns false if the key is unknown.
    pub fn set_key_state(&self, access_key: &str, key_state: KeyState) -> bool {
        match lock(&self.0).keys.get_mut(access_key) {
            Some(credential) => {
                credential.state = key_state;
                true
            }
            None => false,
        }
    }

    /// Expires every session of `AssumeRole`; registered keys stay valid.
    pub fn expire_sessions(&self) {
        let mut state = lock(&self.0);
        let sessions = state.keys.values_mut().filter(|credential| credential.expires_ms.is_some());
        sessions.for_each(|credential| credential.state = KeyState::Expired);
    }

    /// Requires this external id to assume the role (`None`: requires none).
    pub fn require_external_id(&self, role_arn: &str, external_id: Option<&str>) {
        let mut state = lock(&self.0);
        match external_id {
            Some(id) => state.external_ids.insert(role_arn.to_owned(), id.to_owned()),
            None => state.external_ids.remove(role_arn),
        };
    }

    /// Closes a role, so that it cannot be assumed, or opens it again.
    pub fn close_role(&self, role_arn: &str, closed: bool) {
        let mut state = lock(&self.0);
        state.closed_roles.retain(|arn| arn != role_arn);
        if closed {
            state.closed_roles.push(role_arn.to_owned());
        }
    }

    /// Sets the duration of new sessions, regardless of the requested one: the minimum of AWS, 15 minutes, is too long
    /// for a test.
    pub fn set_session_seconds(&self, seconds: u64) {
        lock(&self.0).session_seconds = Some(seconds);
    }

    pub(super) fn session_seconds(&self) -> Option<u64> {
        lock(&self.0).session_seconds
    }

    /// Changes settings and quotas of an account, which is created if it does not exist.
    pub fn configure(&self, account: &str, change: impl FnOnce(&mut Settings, &mut Quotas)) {
        let account = self.account(account);
        let mut iam = account.lock();
        let Iam { settings, quotas, .. } = &mut *iam;
        change(settings, quotas);
    }

    /// Who signed.
    pub(super) fn authenticate(&self, access_key: Option<&str>) -> Result<Credential, ApiError> {
        let Some(access_key) = access_key else {
            return Err(ApiError::new("MissingAuthenticationToken", 403, "Request is missing Authentication Token"));
        };
        let credential = lock(&self.0).keys.get(access_key).cloned().ok_or_else(invalid_token)?;
        let expired = credential.expires_ms.is_some_and(|at| at <= now_ms());
        match credential.state {
            KeyState::Active if !expired => Ok(credential),
            KeyState::Active | KeyState::Expired => {
                Err(ApiError::new("ExpiredToken", 403, "The security token included in the request is expired"))
            }
            KeyState::Revoked => Err(invalid_token()),
        }
    }

    /// True if the role can be assumed with this external id.
    pub(super) fn may_assume(&self, role_arn: &str, external_id: Option<&str>) -> bool {
        let state = lock(&self.0);
        let required = state.external_ids.get(role_arn);
        !state.closed_roles.iter().any(|arn| arn == role_arn)
            && required.is_none_or(|required| external_id == Some(required))
    }

    /// Random characters that a test cannot guess; not cryptographically secure.
    pub(super) fn random_id(&self, prefix: &str, length: usize) -> String {
        lock(&self.0).rng.id(prefix, length)
    }
}

fn invalid_token() -> ApiError {
    ApiError::new("InvalidClientTokenId", 403, "The security token included in the request is invalid.")
}
