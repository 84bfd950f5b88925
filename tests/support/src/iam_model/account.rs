//! The account: its entities, quotas and settings, and the lookups that all operations share.

use super::document::Document;
use super::error::ApiError;
use super::grammar::{self, Kind};
use super::managed;
use super::rng::Rng;
use super::types::{InstanceProfile, Policy, PolicyVersion, Role, User};
use super::validate;
use std::collections::{BTreeMap, BTreeSet};

/// The account's quotas; the defaults are those of AWS.
#[derive(Clone, Debug)]
pub struct Quotas {
    /// Roles per account.
    pub roles: usize,
    /// Customer-managed policies per account.
    pub policies: usize,
    /// Managed policies attached to one role.
    pub attached_per_role: usize,
    /// Versions of a managed policy.
    pub versions: usize,
    /// Characters of a managed policy, white space not counted.
    pub policy_size: usize,
    /// Characters of a trust policy, white space not counted.
    pub trust_size: usize,
    /// Characters of all inline policies of a role, white space not counted.
    pub inline_size: usize,
    /// Tags per entity.
    pub tags: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            roles: 1000,
            policies: 1500,
            attached_per_role: 10,
            versions: 5,
            policy_size: 6144,
            trust_size: 2048,
            inline_size: 10_240,
            tags: 50,
        }
    }
}

impl Quotas {
    /// No limit on roles and policies, for benchmarks; the other quotas are those of AWS.
    pub fn without_entity_limits() -> Self {
        Self { roles: usize::MAX, policies: usize::MAX, ..Self::default() }
    }
}

/// The account's behavior where AWS does not define it. It can be changed at any time.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// A role or policy is not found for this long after its creation, while creating it again fails because it exists.
    pub visibility_delay_ms: u64,
    /// Maximum length of a page, for any `MaxItems`.
    pub page_cap: Option<usize>,
    /// Probability that a page is shorter than possible. It may be empty.
    pub short_page_probability: f64,
    /// Whether a role is found by a name in another case. AWS does not document it; `false` is stricter.
    pub lookup_ignores_case: bool,
    /// The results of `SimulatePrincipalPolicy`, for every principal; `None`: the call is denied.
    pub simulation: Option<Simulation>,
}

/// The results of the IAM policy simulator: everything is allowed except this.
#[derive(Clone, Debug, Default)]
pub struct Simulation {
    /// Actions such as `iam:CreateRole` that are denied.
    pub denied: Vec<String>,
    /// Actions that are denied unless the request has this context key, which is otherwise reported as missing.
    pub needs: Vec<(String, String)>,
}

/// One result of the simulator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulated {
    /// The action.
    pub action: String,
    /// Whether it is allowed.
    pub allowed: bool,
    /// Context keys that the decision needs and the request does not have.
    pub missing: Vec<String>,
}

/// One AWS account.
#[derive(Clone, Debug)]
pub struct Iam {
    /// The quotas in force.
    pub quotas: Quotas,
    /// The settings in force.
    pub settings: Settings,
    account_id: String,
    partition: String,
    now_ms: u64,
    ids: Rng,
    pub(super) page_rng: Rng,
    /// By name in lower case.
    pub(super) roles: BTreeMap<String, RoleEntry>,
    /// By name in lower case.
    pub(super) policies: BTreeMap<String, PolicyEntry>,
    /// By ARN.
    pub(super) aws_policies: BTreeMap<String, PolicyEntry>,
    /// By name in lower case.
    pub(super) users: BTreeMap<String, UserEntry>,
    /// By name in lower case; the name of the role is in `role`.
    pub(super) profiles: BTreeMap<String, ProfileEntry>,
    /// By policy ARN.
    pub(super) holders: BTreeMap<String, Holders>,
    /// By name, as they were created.
    pub(super) bystanders: BTreeMap<String, serde_json::Value>,
}

#[derive(Clone, Debug)]
pub(super) struct RoleEntry {
    pub(super) role: Role,
    pub(super) attached: BTreeSet<String>,
    pub(super) inline: BTreeMap<String, Document>,
    pub(super) protected: bool,
    pub(super) visible_at_ms: u64,
}

#[derive(Clone, Debug)]
pub(super) struct PolicyEntry {
    /// The counts in it are stale: [`Iam::described`] fills them in.
    pub(super) policy: Policy,
    /// Oldest first.
    pub(super) versions: Vec<PolicyVersion>,
    pub(super) next_version: u32,
    pub(super) visible_at_ms: u64,
}

#[derive(Clone, Debug)]
pub(super) struct UserEntry {
    pub(super) user: User,
    pub(super) attached: BTreeSet<String>,
    pub(super) boundary: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct ProfileEntry {
    pub(super) profile: InstanceProfile,
    pub(super) role: Option<String>,
}

/// The entities that use a managed policy: stored separately, so that counting is cheap.
#[derive(Clone, Debug, Default)]
pub(super) struct Holders {
    pub(super) roles: BTreeSet<String>,
    pub(super) users: BTreeSet<String>,
    pub(super) bounded_roles: BTreeSet<String>,
    pub(super) bounded_users: BTreeSet<String>,
}

impl Iam {
    /// `SimulatePrincipalPolicy` of these actions, with these context keys.
    pub fn simulate(
        &self,
        principal: &str,
        actions: &[String],
        context: &[String],
    ) -> Result<Vec<Simulated>, ApiError> {
        let Some(simulation) = &self.settings.simulation else {
            return Err(ApiError::access_denied(format!(
                "User is not authorized to perform: iam:SimulatePrincipalPolicy on resource: {principal}"
            )));
        };
        let answer = |action: &String| {
            let needed = simulation.needs.iter().filter(|(of, key)| of == action && !context.contains(key));
            let missing: Vec<String> = needed.map(|(_, key)| key.clone()).collect();
            let allowed = missing.is_empty() && !simulation.denied.contains(action);
            Simulated { action: action.clone(), allowed, missing }
        };
        Ok(actions.iter().map(answer).collect())
    }

    /// An empty account in partition `aws` with AWS's default quotas. The same `account_id` gives the same ids.
    pub fn new(account_id: impl Into<String>) -> Self {
        Self::in_partition(account_id, "aws")
    }

    /// An empty account in this partition (`aws`, `aws-cn`, `aws-us-gov`, …).
    pub fn in_partition(account_id: impl Into<String>, partition: impl Into<String>) -> Self {
        let (account_id, partition) = (account_id.into(), partition.into());
        let seed = account_id.parse().unwrap_or(0);
        let aws_policies = managed::policies(&partition);
        Self {
            quotas: Quotas::default(),
            settings: Settings::default(),
            now_ms: 1_700_000_000_000,
            ids: Rng::new(seed),
            page_rng: Rng::new(seed ^ 0xa5a5),
            account_id,
            partition,
            roles: BTreeMap::new(),
            policies: BTreeMap::new(),
            aws_policies,
            users: BTreeMap::new(),
            profiles: BTreeMap::new(),
            holders: BTreeMap::new(),
            bystanders: BTreeMap::new(),
        }
    }

    /// The account's 12 digits.
    pub fn account_id(&self) -> &str {
        &self.account_id
    }

    /// The account's partition.
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// The model's clock, milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Sets the clock.
    pub fn set_now_ms(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// Moves the clock forward.
    pub fn advance_ms(&mut self, by: u64) {
        self.now_ms += by;
    }

    /// How many roles and customer policies exist, visible or not, bystanders aside.
    pub fn counts(&self) -> (usize, usize) {
        let roles = self.roles.values().filter(|entry| !self.is_bystander(&entry.role.name));
        let policies = self.policies.values().filter(|entry| !self.is_bystander(&entry.policy.name));
        (roles.count(), policies.count())
    }

    /// `arn:{partition}:iam::{account}:{resource}`.
    pub(super) fn arn(&self, resource: &str) -> String {
        format!("arn:{}:iam::{}:{resource}", self.partition, self.account_id)
    }

    pub(super) fn new_id(&mut self, prefix: &str) -> String {
        self.ids.id(prefix, 17)
    }

    pub(super) fn visible_at(&self) -> u64 {
        self.now_ms + self.settings.visibility_delay_ms
    }

    /// The role of this name, with any path.
    pub(super) fn role(&self, name: &str) -> Result<&RoleEntry, ApiError> {
        validate::name(name, "roleName", 64)?;
        self.roles
            .get(&fold(name))
            .filter(|entry| self.settings.lookup_ignores_case || entry.role.name == name)
            .filter(|entry| entry.visible_at_ms <= self.now_ms)
            .ok_or_else(|| ApiError::no_such_entity(format!("The role with name {name} cannot be found.")))
    }

    /// The role of this name, for a change. Service-linked and reserved roles cannot be changed.
    pub(super) fn role_mut(&mut self, name: &str) -> Result<&mut RoleEntry, ApiError> {
        if self.role(name)?.protected {
            return Err(ApiError::unmodifiable_entity(format!(
                "Cannot perform the operation on the protected role '{name}' - this role is only modifiable by AWS"
            )));
        }
        self.roles
            .get_mut(&fold(name))
            .ok_or_else(|| ApiError::no_such_entity(format!("The role with name {name} cannot be found.")))
    }

    /// The policy with exactly this ARN, including path and case.
    pub(super) fn policy(&self, arn: &str) -> Result<&PolicyEntry, ApiError> {
        let not_found = || ApiError::no_such_entity(format!("Policy {arn} was not found."));
        match self.policy_name(arn)? {
            None => self.aws_policies.get(arn).ok_or_else(not_found),
            Some(name) => self
                .policies
                .get(&fold(name))
                .filter(|entry| entry.policy.arn == arn && entry.visible_at_ms <= self.now_ms)
                .ok_or_else(not_found),
        }
    }

    /// The policy with this ARN, for a change. AWS-managed policies cannot be changed.
    pub(super) fn policy_mut(&mut self, arn: &str) -> Result<&mut PolicyEntry, ApiError> {
        self.policy(arn)?;
        let name = self.policy_name(arn)?.map(fold);
        name.and_then(|name| self.policies.get_mut(&name))
            .ok_or_else(|| ApiError::access_denied(format!("{arn} is managed by AWS and cannot be changed.")))
    }

    /// The name in a policy ARN of this account; `None` for an AWS-managed policy.
    fn policy_name<'a>(&self, arn: &'a str) -> Result<Option<&'a str>, ApiError> {
        let invalid = || ApiError::invalid_input(format!("ARN {arn} is not valid."));
        if arn.len() < 20 || arn.len() > 2048 {
            return Err(ApiError::validation(format!("Invalid length for parameter PolicyArn: {arn:?}")));
        }
        let mut parts = arn.splitn(6, ':');
        if parts.next() != Some("arn") || parts.next() != Some(self.partition.as_str()) {
            return Err(invalid());
        }
        if parts.next() != Some("iam") || parts.next() != Some("") {
            return Err(invalid());
        }
        let account = parts.next();
        let resource = parts.next().and_then(|resource| resource.strip_prefix("policy/")).ok_or_else(invalid)?;
        match account {
            Some("aws") => Ok(None),
            Some(account) if account == self.account_id => Ok(Some(resource.rsplit('/').next().unwrap_or(resource))),
            _ => Err(invalid()),
        }
    }

    /// Checks that a policy can be attached or used as a boundary.
    pub(super) fn attachable(&self, arn: &str, called: &str) -> Result<(), ApiError> {
        self.policy(arn).map(|_| ()).map_err(|error| match error.code.as_str() {
            "NoSuchEntity" => ApiError::no_such_entity(format!("{called} {arn} does not exist or is not attachable.")),
            _ => error,
        })
    }

    /// The policy with its current counts.
    pub(super) fn described(&self, entry: &PolicyEntry) -> Policy {
        let mut policy = entry.policy.clone();
        if let Some(holders) = self.holders.get(&policy.arn) {
            policy.attachment_count = holders.roles.len() + holders.users.len();
            policy.boundary_count = holders.bounded_roles.len() + holders.bounded_users.len();
        }
        policy
    }

    pub(super) fn is_held(&self, arn: &str) -> bool {
        self.holders.get(arn).is_some_and(|holders| !holders.is_empty())
    }

    /// Changes the holders of a policy, and removes an empty entry.
    pub(super) fn hold(&mut self, arn: &str, change: impl FnOnce(&mut Holders)) {
        let holders = self.holders.entry(arn.to_owned()).or_default();
        change(holders);
        if holders.is_empty() {
            self.holders.remove(arn);
        }
    }

    /// Checks a trust policy as `CreateRole` and `UpdateAssumeRolePolicy` do.
    pub(super) fn checked_trust(&self, text: &str) -> Result<Document, ApiError> {
        grammar::check(text, Kind::Trust, &self.partition, &|arn| self.principal_exists(arn))?;
        validate::document_size(text, self.quotas.trust_size, "ACLSizePerRole")?;
        Ok(Document::new(text))
    }

    /// Checks a permissions policy as `CreatePolicy` and `CreatePolicyVersion` do.
    pub(super) fn checked_policy(&self, text: &str) -> Result<Document, ApiError> {
        grammar::check(text, Kind::Permissions, &self.partition, &|_| true)?;
        validate::document_size(text, self.quotas.policy_size, "PolicySize")?;
        Ok(Document::new(text))
    }

    /// Principals of other accounts count as existing: the model does not know them.
    fn principal_exists(&self, arn: &str) -> bool {
        let Some(resource) = arn.strip_prefix(&self.arn("")) else {
            return true;
        };
        let name = resource.rsplit('/').next().unwrap_or_default();
        match resource.split('/').next() {
            Some("role") => self.role(name).is_ok_and(|entry| entry.role.arn == arn),
            Some("user") => self.users.get(&fold(name)).is_some_and(|entry| entry.user.arn == arn),
            Some("root") => true,
            _ => false,
        }
    }
}

impl Holders {
    fn is_empty(&self) -> bool {
        self.roles.is_empty() && self.users.is_empty() && self.bounded_roles.is_empty() && self.bounded_users.is_empty()
    }
}

/// IAM names are case insensitive and ASCII.
pub(super) fn fold(name: &str) -> String {
    name.to_ascii_lowercase()
}
