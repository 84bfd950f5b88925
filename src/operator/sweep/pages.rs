//! One sweep: pages are judged as they arrive and dropped; of an object only two bits are kept.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::api::policy::Access;
use crate::api::{TAG_CLUSTER_UID, TAG_MANAGED_BY, TAG_OWNER};
use crate::aws::details::{PolicyDetails, account_details};
use crate::model::account_key::AccountKey;
use crate::model::names::Owner;
use crate::model::settings::{AccountFacts, Cluster};
use crate::model::stored::PolicyObject;
use crate::operator::context::Context;
use crate::pipeline::desired::{Desired, desired};
use crate::pipeline::orphans::{is_orphan, may_have};
use crate::pipeline::port::{IamError, ObservedRole};
use crate::pipeline::verdict::{is_checked_by_sweeps, policy_in_sync, role_in_sync};

/// A sweep that began before, or this shortly after, an object's last write says nothing about it.
const SETTLING: Duration = Duration::from_secs(5);

/// What a sweep came to.
#[derive(Default)]
pub(super) struct Swept {
    /// Pages, that is calls.
    pub(super) pages: usize,
    /// Objects of the account that a sweep can judge.
    pub(super) objects: usize,
    /// Objects that need a fresh read.
    pub(super) suspects: Vec<Owner>,
}

/// Which parts of an object the pages have shown in sync so far.
#[derive(Clone, Copy, Default)]
struct InSync {
    role: bool,
    policy: bool,
}

struct Sweep<'a> {
    context: &'a Context,
    account: &'a AccountKey,
    facts: AccountFacts,
    in_sync: HashMap<Owner, InSync>,
    orphans: u64,
}

/// Sweeps one account.
pub(super) async fn sweep(context: &Context, key: &AccountKey) -> Result<Swept, IamError> {
    let Some(account) = context.accounts.account(key) else {
        return Ok(Swept::default());
    };
    let identity = account.identity().await?;
    let iam = account.iam(&identity).in_background();
    let facts = AccountFacts {
        id: identity.account.clone(),
        partition: identity.partition.clone(),
        binding: context.accounts.binding(key.name()),
    };
    let mut sweep = Sweep { context, account: key, facts, in_sync: HashMap::new(), orphans: 0 };
    let began = Instant::now();
    let (mut pages, mut marker) = (0, None);
    loop {
        let page = match account_details(&iam, marker.take()).await {
            Ok(page) => page,
            Err(error) => {
                account.credentials_failed(&error).await;
                return Err(error);
            }
        };
        pages += 1;
        page.roles.iter().for_each(|role| sweep.role(role));
        page.policies.iter().for_each(|policy| sweep.policy(policy));
        match page.next {
            Some(next) => marker = Some(next),
            None => break,
        }
    }
    context.metrics.swept(identity.account.as_str(), Instant::now());
    context.metrics.orphans(identity.account.as_str(), sweep.orphans);
    context.modes.set_orphans(key, sweep.orphans);
    Ok(sweep.conclude(pages, began))
}

impl Sweep<'_> {
    fn role(&mut self, role: &ObservedRole) {
        let cluster = &self.context.settings.cluster;
        let Context { index, removed, .. } = self.context;
        // Objects in namespaces that this operator does not watch count as existing.
        let exists = |owner: &Owner| {
            let has = |object: Arc<PolicyObject>| may_have(&object.status, &role.arn);
            !self.context.watches(&owner.namespace) || removed.has(owner) || index.get(owner).is_some_and(has)
        };
        self.orphans += u64::from(is_orphan(cluster, &role.tags, exists));
        let Some(owner) = owner_here(role, cluster) else { return };
        let Some(object) = self.object(&owner) else { return };
        let Some(desired) = self.desired(&object) else { return };
        let in_sync = self.in_sync.entry(owner).or_default();
        in_sync.role = role_in_sync(&desired, &object.status, role, Timestamp::now());
        // FullAccess manages no policy that a page could show.
        in_sync.policy |= object.spec.as_ref().is_ok_and(|spec| spec.access == Some(Access::FullAccess));
    }

    fn policy(&mut self, policy: &PolicyDetails) {
        let Some(name) = policy.arn.rsplit('/').next() else {
            return;
        };
        for owner in self.context.index.claiming(name) {
            let Some(object) = self.object(&owner) else { continue };
            let Some(desired) = self.desired(&object) else { continue };
            let Some(wanted) = desired.policy.as_ref().map(|policy| policy.fingerprint) else { continue };
            if desired.identity.policy_arn.as_str() != policy.arn {
                continue;
            }
            let known = self.context.states.knows_version(&owner, &policy.id, &policy.default_version, wanted);
            let in_sync = policy_in_sync(&object.status, wanted, &policy.id, known, || policy.document());
            self.in_sync.entry(owner).or_default().policy = in_sync;
        }
    }

    /// The object of that name, if it works in this account and a sweep can judge it.
    fn object(&self, owner: &Owner) -> Option<Arc<PolicyObject>> {
        self.context.index.get(owner).filter(|object| self.judges(object))
    }

    fn judges(&self, object: &PolicyObject) -> bool {
        object.account_key() == *self.account && is_checked_by_sweeps(object)
    }

    fn desired(&self, object: &PolicyObject) -> Option<Desired> {
        desired(&object.key(), object.spec.as_ref().ok()?, &self.context.settings, &self.facts).ok()
    }

    fn conclude(self, pages: usize, began: Instant) -> Swept {
        let (mut swept, mut in_sync) = (Swept { pages, ..Swept::default() }, Vec::new());
        for object in self.context.index.all() {
            if !self.judges(&object) {
                continue;
            }
            swept.objects += 1;
            let key = object.key();
            let seen = self.in_sync.get(&key).copied().unwrap_or_default();
            if seen.role && seen.policy {
                in_sync.push(key);
            } else if self.context.states.last_write(&key).is_none_or(|written| began > written + SETTLING) {
                swept.suspects.push(key);
            }
        }
        self.context.states.in_sync(&in_sync, began);
        swept
    }
}

/// The owner that a role's tags name, if it is an object of this cluster.
fn owner_here(role: &ObservedRole, cluster: &Cluster) -> Option<Owner> {
    let here = role.tags.get(TAG_MANAGED_BY).is_some_and(|name| name == cluster.name.as_str())
        && role.tags.get(TAG_CLUSTER_UID).is_some_and(|uid| *uid == cluster.uid);
    here.then(|| Owner::from_tag(role.tags.get(TAG_OWNER)?)).flatten()
}
