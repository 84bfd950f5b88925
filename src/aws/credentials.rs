//! Credentials that are verified to belong to the expected account.
//!
//! A client signs only with credentials that its [`Session`] has verified: `sts:GetCallerIdentity`, called with these
//! credentials, returned the expected account. A rotation therefore never sends a call to another account.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_sts::types::Tag;

use super::gate::{Gate, READ_TIMEOUT, root_cause};
use super::sdk;
use super::token_files::TokenFile;
use crate::api::account::AssumeRole;
use crate::model::names::{AccountId, Partition};
use crate::pipeline::port::{ErrorClass, IamError, Operation};

/// How long an identity counts as verified if the credentials do not change.
const VERIFIED_FOR: Duration = Duration::from_mins(5);
/// How long a failure is returned to later callers: a thousand objects of an account whose role cannot be assumed must
/// not call STS a thousand times.
const FAILED_FOR: Duration = Duration::from_secs(1);
/// If STS cannot be reached, verified credentials stay in use until they expire, and STS is called again after this
/// time.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);
/// Credentials are renewed this long before they expire.
const RENEW_BEFORE: Duration = Duration::from_mins(2);
/// If STS cannot be reached, credentials are used until this long before they expire, enough for a call to complete.
const LAST_USE: Duration = Duration::from_secs(10);
/// Session name of assumed roles, as CloudTrail shows it.
const SESSION_NAME: &str = "aurora-log-export-operator";

/// Verified STS caller identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerIdentity {
    /// Account of the credentials.
    pub account: AccountId,
    /// Partition of the credentials.
    pub partition: Partition,
    /// ARN of the caller.
    pub arn: String,
}

/// Verified credentials, with their account.
#[derive(Clone, Debug, Default)]
struct Verified(Arc<RwLock<Option<(AccountId, Credentials)>>>);

impl Verified {
    fn set(&self, credentials: Option<(AccountId, Credentials)>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = credentials;
    }

    fn of(&self, account: &AccountId) -> Result<Credentials, CredentialsError> {
        let verified = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match &*verified {
            Some((owner, credentials)) if owner == account => Ok(credentials.clone()),
            _ => Err(CredentialsError::not_loaded(format!("no verified credentials of account {account}"))),
        }
    }
}

/// Provides verified credentials, and only those of the account that its client was created for: a reconcile that began
/// before the credentials were replaced must not continue in another account.
#[derive(Clone, Debug)]
struct OfAccount {
    verified: Verified,
    account: AccountId,
}

impl ProvideCredentials for OfAccount {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(self.verified.of(&self.account))
    }
}

/// Where credentials come from.
#[derive(Clone)]
pub enum Source {
    /// The SDK's own chain.
    Chain,
    /// A role, assumed from another session.
    Role {
        /// The session that assumes the role.
        base: Arc<Session>,
        /// The role.
        role: AssumeRole,
        /// Session tags.
        tags: Vec<(String, String)>,
    },
    /// The credentials of another session.
    Same(Arc<Session>),
}

/// The credentials of one account: fetched, verified, renewed before they expire.
pub struct Session {
    source: Source,
    expected: Option<AccountId>,
    config: SdkConfig,
    gate: Gate,
    verified: Verified,
    state: tokio::sync::Mutex<State>,
    current: RwLock<Option<Current>>,
}

#[derive(Default)]
struct State {
    chain: Option<SharedCredentialsProvider>,
    failed: Option<(Instant, IamError)>,
}

#[derive(Clone)]
struct Current {
    identity: CallerIdentity,
    access_key: String,
    verified_at: Instant,
    refresh_at: Instant,
    renew_before: Duration,
    expires: Option<SystemTime>,
}

impl Current {
    fn is_valid_for(&self, duration: Duration) -> bool {
        self.expires.is_none_or(|expiry| expiry > SystemTime::now() + duration)
    }
}

impl Session {
    /// A session without credentials yet. It provides credentials of the account `expected` only.
    pub fn new(source: Source, expected: Option<AccountId>, config: SdkConfig, gate: Gate) -> Self {
        Self {
            source,
            expected,
            config,
            gate,
            verified: Verified::default(),
            state: tokio::sync::Mutex::default(),
            current: RwLock::new(None),
        }
    }

    /// The configuration for clients that sign with verified credentials of this account only.
    pub fn client_config(&self, account: &AccountId) -> SdkConfig {
        let provider = OfAccount { verified: self.verified.clone(), account: account.clone() };
        self.config
            .to_builder()
            .credentials_provider(SharedCredentialsProvider::new(provider))
            .identity_cache(aws_config::identity::IdentityCache::no_cache())
            .build()
    }

    /// The verified STS caller identity; fetches and verifies credentials if there are none, or if they are about to
    /// expire.
    ///
    /// # Errors
    /// `CredentialsInvalid` if there are none or AWS does not accept them, `AccountMismatch` if they belong to another
    /// account, `AccessDenied` if the role cannot be assumed, and every other error of the calls to STS.
    pub async fn identity(&self) -> Result<CallerIdentity, IamError> {
        if let Some(current) = self.current() {
            return Ok(current);
        }
        // One refresh at a time: callers that waited use its result.
        let mut state = self.state.lock().await;
        if let Some(current) = self.current() {
            return Ok(current);
        }
        if let Some((at, error)) = &state.failed
            && at.elapsed() < FAILED_FOR
        {
            return Err(error.clone());
        }
        state.failed = None;
        // Boxed to keep the future of a reconcile small: a refresh is rare.
        let error = match Box::pin(self.refresh(&mut state)).await {
            Ok(identity) => return Ok(identity),
            Err(error) => error,
        };
        if !error.class.is_terminal()
            && let Some(identity) = self.keep_using()
        {
            return Ok(identity);
        }
        self.discard_cached(&mut state);
        if error.class.is_terminal() {
            self.verified.set(None);
        }
        state.failed = Some((Instant::now(), error.clone()));
        Err(error)
    }

    /// After a transient failure of STS: verified credentials that have not expired stay in use for [`RETRY_INTERVAL`].
    fn keep_using(&self) -> Option<CallerIdentity> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let current = current.as_mut().filter(|current| current.is_valid_for(LAST_USE))?;
        current.refresh_at = Instant::now() + RETRY_INTERVAL;
        current.renew_before = LAST_USE;
        Some(current.identity.clone())
    }

    /// The account's id, as far as it is known without a call.
    pub fn known_id(&self) -> Option<AccountId> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        self.expected.clone().or_else(|| current.as_ref().map(|current| current.identity.account.clone()))
    }

    /// Call this when AWS rejected the credentials: the next [`identity`](Self::identity) fetches new ones. Calls in
    /// progress continue with the old ones, which are verified and may still be valid.
    pub async fn invalidate(&self) {
        let mut state = self.state.lock().await;
        self.discard_cached(&mut state);
        // Not for an assumed role: the base credentials serve other accounts as well and may be valid.
        if let Source::Same(base) = &self.source {
            Box::pin(base.invalidate()).await;
        }
    }

    fn current(&self) -> Option<CallerIdentity> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let current = current.as_ref().filter(|it| Instant::now() < it.refresh_at && it.is_valid_for(it.renew_before));
        current.map(|current| current.identity.clone())
    }

    fn discard_cached(&self, state: &mut State) {
        state.chain = None;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn refresh(&self, state: &mut State) -> Result<CallerIdentity, IamError> {
        let credentials = self.fetch(state).await?;
        let known = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let is_verified =
            |it: &Current| it.access_key == credentials.access_key_id() && it.verified_at.elapsed() < VERIFIED_FOR;
        let (identity, verified_at) = match known.filter(is_verified) {
            Some(known) => (known.identity, known.verified_at),
            None => (self.verify_identity(&credentials).await?, Instant::now()),
        };
        if let Some(expected) = self.expected.as_ref().filter(|expected| **expected != identity.account) {
            return Err(IamError {
                class: ErrorClass::AccountMismatch,
                operation: Operation::GetCallerIdentity,
                resource: format!("account {expected}"),
                code: "AccountMismatch".into(),
                message: format!("the credentials belong to account {}, expected is {expected}", identity.account),
            });
        }
        self.verified.set(Some((identity.account.clone(), credentials.clone())));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Current {
            identity: identity.clone(),
            access_key: credentials.access_key_id().to_owned(),
            verified_at,
            refresh_at: verified_at + VERIFIED_FOR,
            renew_before: RENEW_BEFORE,
            expires: credentials.expiry(),
        });
        Ok(identity)
    }

    async fn fetch(&self, state: &mut State) -> Result<Credentials, IamError> {
        match &self.source {
            Source::Chain => {
                let chain = if let Some(chain) = &state.chain {
                    chain.clone()
                } else {
                    // A new chain, because a chain reads profile files once.
                    let Some(http) = self.config.http_client() else {
                        return Err(no_credentials("no HTTP client"));
                    };
                    let provider = sdk::load(http).await.credentials_provider();
                    provider.ok_or_else(|| no_credentials("the chain of credential providers is empty"))?
                };
                state.chain = Some(chain.clone());
                // The chain decides what it calls; for STS (web identity) it has no timeout of its own.
                let provided = tokio::time::timeout(READ_TIMEOUT, chain.provide_credentials()).await;
                let failed = match provided.map_err(|_| credentials_timeout())? {
                    Ok(credentials) => return Ok(credentials),
                    Err(error) => root_cause(&error),
                };
                let Some(file) = TokenFile::from_env() else { return Err(no_credentials(&failed)) };
                let trimmed = tokio::time::timeout(READ_TIMEOUT, file.credentials(&self.config)).await;
                let failed = match trimmed.map_err(|_| credentials_timeout())? {
                    Some(Ok(credentials)) => return Ok(credentials),
                    Some(Err(error)) => root_cause(error.as_ref()),
                    None => failed,
                };
                Err(no_credentials(&format!("{failed} ({})", file.shown())))
            }
            Source::Same(base) => {
                let caller = Box::pin(base.identity()).await?;
                base.verified.of(&caller.account).map_err(|error| no_credentials(&root_cause(&error)))
            }
            Source::Role { base, role, tags } => {
                let caller = Box::pin(base.identity()).await?;
                let assumed = self.assume(base, &caller.account, role, tags).await;
                if let Err(error) = &assumed
                    && error.class == ErrorClass::CredentialsInvalid
                {
                    Box::pin(base.invalidate()).await;
                }
                assumed
            }
        }
    }

    async fn assume(
        &self,
        base: &Session,
        from: &AccountId,
        role: &AssumeRole,
        tags: &[(String, String)],
    ) -> Result<Credentials, IamError> {
        let mut config = base.client_config(from).to_builder();
        config.set_region(self.config.region().cloned());
        let client = sdk::sts(&config.build());
        let label = format!("role {}", role.role_arn);
        let session_tags: Vec<Tag> =
            tags.iter().filter_map(|(key, value)| Tag::builder().key(key).value(value).build().ok()).collect();
        let answer = self
            .gate
            .call(Operation::AssumeRole, &label, || {
                client
                    .assume_role()
                    .role_arn(&role.role_arn)
                    .role_session_name(role.session_name.as_deref().unwrap_or(SESSION_NAME))
                    .set_external_id(role.external_id.clone())
                    .set_tags(Some(session_tags.clone()))
                    .send()
            })
            .await?;
        let keys =
            answer.credentials.ok_or_else(|| no_credentials("the response of sts:AssumeRole has no credentials"))?;
        Ok(Credentials::new(
            keys.access_key_id,
            keys.secret_access_key,
            Some(keys.session_token),
            SystemTime::try_from(keys.expiration).ok(),
            "AssumeRole",
        ))
    }

    async fn verify_identity(&self, credentials: &Credentials) -> Result<CallerIdentity, IamError> {
        let config =
            self.config.to_builder().credentials_provider(SharedCredentialsProvider::new(credentials.clone())).build();
        let client = sdk::sts(&config);
        let resource = "the operator's credentials";
        let answer =
            self.gate.call(Operation::GetCallerIdentity, resource, || client.get_caller_identity().send()).await?;
        let arn = answer.arn.unwrap_or_default();
        let partition = arn.split(':').nth(1).unwrap_or_default();
        match (AccountId::parse(answer.account.unwrap_or_default()), Partition::parse(partition)) {
            (Ok(account), Ok(partition)) => Ok(CallerIdentity { account, partition, arn }),
            _ => Err(IamError {
                class: ErrorClass::Transient,
                operation: Operation::GetCallerIdentity,
                resource: resource.to_owned(),
                code: "Incomplete".into(),
                message: "the response has no account".into(),
            }),
        }
    }
}

fn no_credentials(message: &str) -> IamError {
    IamError {
        class: ErrorClass::CredentialsInvalid,
        operation: Operation::GetCallerIdentity,
        resource: "the operator's credentials".into(),
        code: "NoCredentials".into(),
        message: crate::pipeline::port::error::stable_message(message),
    }
}

fn credentials_timeout() -> IamError {
    IamError {
        class: ErrorClass::Transient,
        code: "Timeout".into(),
        message: format!("no credentials within {} s", READ_TIMEOUT.as_secs()),
        ..no_credentials("")
    }
}
