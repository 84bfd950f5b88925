//! AWS accounts: the caller identity, the IAM client and the gate of each.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::credentials::{CallerIdentity, Session};
use super::gate::Gate;
use super::iam::AwsIam;
use super::inventory::Inventory;
use super::sdk;
use super::service_linked::ServiceLinkedRole;
use crate::model::names::{AccountId, RoleName};
use crate::pipeline::port::{ErrorClass, Iam, IamError};

pub use super::service_linked::SERVICE_LINKED_ROLE;

/// One AWS account, or the operator's own.
pub struct Account {
    session: Arc<Session>,
    /// Client and gate; created when the account's id is known.
    open: Mutex<Option<Open>>,
    make_gate: Box<dyn Fn(&CallerIdentity) -> Gate + Send + Sync>,
    service_linked_role: ServiceLinkedRole,
}

#[derive(Clone)]
struct Open {
    account: AccountId,
    client: aws_sdk_iam::Client,
    gate: Arc<Gate>,
}

impl Account {
    /// An account without any call yet. `make_gate` creates the gate once the account's id is known.
    pub fn new(session: Session, make_gate: impl Fn(&CallerIdentity) -> Gate + Send + Sync + 'static) -> Self {
        Self {
            session: Arc::new(session),
            open: Mutex::new(None),
            make_gate: Box::new(make_gate),
            service_linked_role: ServiceLinkedRole::default(),
        }
    }

    /// The account's id, as far as it is known without a call.
    pub fn known_id(&self) -> Option<AccountId> {
        self.session.known_id()
    }

    /// The credentials.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The verified STS caller identity.
    ///
    /// # Errors
    /// As [`Session::identity`].
    pub async fn identity(&self) -> Result<CallerIdentity, IamError> {
        self.session.identity().await
    }

    /// IAM of this account. `identity` comes from [`identity`](Self::identity).
    pub fn iam(&self, identity: &CallerIdentity) -> AwsIam {
        let Open { client, gate, .. } = self.open(identity);
        AwsIam::new(client, gate)
    }

    /// Lists of the whole account, for the command line. `identity` comes from [`identity`](Self::identity).
    pub fn inventory(&self, identity: &CallerIdentity) -> Inventory {
        let Open { client, gate, .. } = self.open(identity);
        Inventory::new(client, gate)
    }

    fn open(&self, identity: &CallerIdentity) -> Open {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match &*open {
            Some(open) if open.account == identity.account => open.clone(),
            _ => {
                let opened = Open {
                    account: identity.account.clone(),
                    client: sdk::iam(&self.session.client_config(&identity.account)),
                    gate: Arc::new((self.make_gate)(identity)),
                };
                *open = Some(opened.clone());
                opened
            }
        }
    }

    /// Call this after a failed call: if AWS rejected the credentials, they are fetched again.
    pub async fn credentials_failed(&self, error: &IamError) {
        if error.class == ErrorClass::CredentialsInvalid {
            self.session.invalidate().await;
        }
    }

    /// True if the account has the service-linked role of RDS; `None` if that is not known. Read at most once an hour.
    pub async fn service_linked_role(&self, iam: &AwsIam) -> Option<bool> {
        let name = RoleName::parse(SERVICE_LINKED_ROLE).ok()?;
        // Boxed to keep the future of a reconcile small: this call is rare.
        let ask = Box::pin(async { Ok(iam.role(&name).await?.is_some()) });
        self.service_linked_role.get(Instant::now(), ask).await
    }
}
