//! One sweep: pages are judged as they come and dropped; of an object only two bits are kept.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::is_judged_by_sweeps;
use crate::api::policy::Access;
use crate::api::{TAG_CLUSTER_UID, TAG_MANAGED_BY, TAG_OWNER};
use crate::aws::details::ScannedPolicy;
use crate::aws::rate_limit::{Caller, Priority};
use crate::model::names::Owner;
use crate::model::object::Object;
use crate::model::settings::{AccountFacts, Cluster};
use crate::operator::reconcile::Context;
use crate::operator::reconcile::memory::Shown;
use crate::operator::workqueue::Lane;
use crate::pipeline::desired::desired;
use crate::pipeline::observe::ObservedRole;
use crate::pipeline::orphans::is_orphan;
use crate::pipeline::plan::Part;
use crate::pipeline::port::IamError;
use crate::pipeline::verdict;

/// A page that was asked for before, or this shortly after, an object's last write says nothing about it.
const SETTLING: Duration = Duration::from_secs(5);

/// What a sweep came to.
pub(super) struct Swept {
    /// Pages, that is calls.
    pub(super) pages: usize,
    /// Objects of the account that a sweep can judge.
    pub(super) objects: usize,
    /// Those that are worth a fresh look.
    pub(super) suspects: Vec<Owner>,
}

/// What pages have said about an object so far.
#[derive(Clone, Copy, Default)]
struct Seen {
    role: bool,
    policy: bool,
}

struct Sweep<'a> {
    context: &'a Context,
    lane: &'a Lane,
    facts: AccountFacts,
    /// The facts, hashed.
    under: Shown,
    seen: HashMap<Owner, Seen>,
    orphans: u64,
    /// Names of roles, ours and others', hashed.
    taken: Vec<u64>,
    /// When the page at hand was asked for.
    asked: Instant,
}

/// Sweeps one account.
pub(super) async fn sweep(context: &Context, lane: &Lane) -> Result<Swept, IamError> {
    let account = match lane {
        None => context.accounts.own().clone(),
        Some(name) => match context.accounts.named(name) {
            Some(account) => account,
            None => {
                return Ok(Swept { pages: 0, objects: 0, suspects: Vec::new() });
            }
        },
    };
    let identity = account.identity().await?;
    let caller = Caller { namespace: Arc::from(""), object: Arc::from("scan"), priority: Priority::Periodic };
    let iam = account.iam(&identity, caller);
    let facts = AccountFacts {
        id: identity.account.clone(),
        partition: identity.partition.clone(),
        via: context.accounts.via(lane.as_deref()),
    };
    let began = Instant::now();
    let under = context.memories.shown(format!("{facts:?}"));
    let mut sweep =
        Sweep { context, lane, facts, under, seen: HashMap::new(), orphans: 0, taken: Vec::new(), asked: began };
    let (mut pages, mut marker) = (0, None);
    loop {
        sweep.asked = Instant::now();
        let page = match iam.account_details(marker.take()).await {
            Ok(page) => page,
            Err(error) => {
                account.note(&error).await;
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
    context.taken.swept(&identity.account, began, std::mem::take(&mut sweep.taken));
    context.metrics.scanned(identity.account.as_str(), Instant::now());
    context.metrics.orphans(identity.account.as_str(), sweep.orphans);
    Ok(sweep.conclude(pages, began))
}

impl Sweep<'_> {
    fn role(&mut self, role: &ObservedRole) {
        self.taken.extend(role.arn.rsplit('/').next().map(|name| self.context.taken.hash(name)));
        let cluster = &self.context.settings.cluster;
        // Namespaces that others watch are theirs to judge.
        let exists = |owner: &Owner| !self.context.watches(&owner.namespace) || self.context.index.get(owner).is_some();
        self.orphans += u64::from(is_orphan(cluster, &role.tags, exists));
        let Some(owner) = owner_here(role, cluster) else { return };
        let Some(object) = self.context.index.get(&owner) else {
            return;
        };
        if !self.concerns(&object) {
            return;
        }
        let Ok(spec) = &object.spec else { return };
        let verdict = self.verdict(&owner, &object, Part::Role, role, || {
            let desired = desired(&owner, spec, &self.context.settings, &self.facts).ok()?;
            Some(verdict::role_in_sync(&desired, &object.status, role))
        });
        let Some(in_sync) = verdict else { return };
        let seen = self.seen.entry(owner).or_default();
        seen.role = in_sync;
        // It manages no policy that a page could show.
        seen.policy |= spec.access == Some(Access::FullAccess);
    }

    /// Is a part of an object in sync? What a page showed before, when it was, still is: then what must be there is not
    /// worked out again. `None`: the page says nothing about it.
    fn verdict(
        &self,
        owner: &Owner,
        object: &Object,
        part: Part,
        shown: impl Hash,
        judge: impl FnOnce() -> Option<bool>,
    ) -> Option<bool> {
        let memories = &self.context.memories;
        let shown = memories.shown((self.under, object.uid(), &object.metadata.resource_version, shown));
        if memories.knows_right(owner, part, shown) {
            return Some(true);
        }
        let verdict = judge();
        if verdict == Some(true) {
            memories.remember_right(owner, part, shown);
        }
        verdict
    }

    fn policy(&mut self, policy: &ScannedPolicy) {
        let Some(name) = policy.arn.rsplit('/').next() else {
            return;
        };
        for owner in self.context.index.claiming(name) {
            let Some(object) = self.context.index.get(&owner).filter(|object| self.concerns(object)) else {
                continue;
            };
            // A version's document never changes.
            let shown = (&policy.arn, &policy.id, &policy.default_version);
            let judge = || self.judge_policy(&owner, &object, policy);
            if let Some(in_sync) = self.verdict(&owner, &object, Part::Policy, shown, judge) {
                self.seen.entry(owner).or_default().policy = in_sync;
            }
        }
    }

    fn judge_policy(&self, owner: &Owner, object: &Object, policy: &ScannedPolicy) -> Option<bool> {
        let spec = object.spec.as_ref().ok()?;
        let desired = desired(owner, spec, &self.context.settings, &self.facts).ok()?;
        let wanted = desired.policy.as_ref()?.fingerprint;
        if desired.identity.policy_arn.as_str() != policy.arn {
            return None;
        }
        let known = self.context.memories.knows_version(owner, &policy.id, &policy.default_version, wanted);
        Some(verdict::policy_in_sync(&object.status, wanted, &policy.id, known, || policy.document()))
    }

    /// Is it an object of this account that a sweep can judge?
    fn concerns(&self, object: &Object) -> bool {
        object.account_ref() == self.lane.as_deref() && is_judged_by_sweeps(object)
    }

    fn conclude(self, pages: usize, began: Instant) -> Swept {
        let (mut suspects, mut in_sync, mut objects) = (Vec::new(), Vec::new(), 0);
        for object in self.context.index.all() {
            if !self.concerns(&object) {
                continue;
            }
            objects += 1;
            let key = object.key();
            let seen = self.seen.get(&key).copied().unwrap_or_default();
            if seen.role && seen.policy {
                in_sync.push(key);
            } else if self.context.memories.last_write(&key).is_none_or(|written| began > written + SETTLING) {
                suspects.push(key);
            }
        }
        self.context.memories.seen_in_sync(&in_sync, began);
        Swept { pages, objects, suspects }
    }
}

/// The owner that a role's tags name, if it is an object of this cluster.
fn owner_here(role: &ObservedRole, cluster: &Cluster) -> Option<Owner> {
    let here = role.tags.get(TAG_MANAGED_BY).is_some_and(|name| name == cluster.name.as_str())
        && role.tags.get(TAG_CLUSTER_UID).is_some_and(|uid| *uid == cluster.uid);
    here.then(|| Owner::from_tag(role.tags.get(TAG_OWNER)?)).flatten()
}
