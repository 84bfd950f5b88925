//! What IAM has, read fresh and read-only.
//!
//! Reads are few: a role with its attachments and inline policies, and a policy. Versions of a managed policy are
//! immutable and their ids are never reused, so a document is read once and remembered by its fingerprint.

use crate::model::documents::Meaning;
use crate::model::documents::meaning::Fingerprint;
use crate::model::names::PolicyArn;
use crate::model::ownership::{Ownership, Standing, Tags};
use crate::pipeline::desired::Desired;
use crate::pipeline::port::{Iam, Policy, PolicyVersion, Result, Role};

/// What IAM has of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The role of that name, whatever its path.
    pub role: Option<ObservedRole>,
    /// The policy of that ARN.
    pub policy: Option<ObservedPolicy>,
}

/// A role. `None` in a field: not looked at (an account scan does not say).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObservedRole {
    /// ARN as AWS says it.
    pub arn: String,
    /// Stable id.
    pub id: String,
    /// Description.
    pub description: Option<String>,
    /// Trust policy, decoded.
    pub trust: String,
    /// Permissions boundary.
    pub boundary: Option<String>,
    /// Tags.
    pub tags: Tags,
    /// ARNs of attached policies.
    pub attached: Vec<String>,
    /// Names of inline policies.
    pub inline: Vec<String>,
}

/// A managed policy. `None` in a field: not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedPolicy {
    /// ARN as AWS says it.
    pub arn: String,
    /// Stable id.
    pub id: String,
    /// Description.
    pub description: Option<String>,
    /// Tags.
    pub tags: Option<Tags>,
    /// Id of the default version.
    pub default_version: String,
    /// What the default version says.
    pub content: Content,
    /// All versions, where a plan may need them.
    pub versions: Vec<PolicyVersion>,
    /// A version other than the default that says what is wanted.
    pub matching_version: Option<String>,
}

/// What the default version says, compared with what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The same.
    Matches,
    /// Something else.
    Differs {
        /// The decoded document.
        text: String,
    },
    /// No document is wanted (`FullAccess`), so none was read.
    NotCompared,
}

/// Fingerprints of a policy's versions, remembered between looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionMemory {
    policy_id: String,
    /// Read from IAM by this process.
    read: Vec<(String, Fingerprint)>,
    /// As a status says. It may save a read, but never licenses a write.
    hinted: Option<(String, Fingerprint)>,
}

impl VersionMemory {
    /// What a status says of a policy's default version.
    pub fn hinted(policy_id: &str, version: &str, fingerprint: Fingerprint) -> Self {
        Self { policy_id: policy_id.to_owned(), read: Vec::new(), hinted: Some((version.to_owned(), fingerprint)) }
    }

    /// Remembers a version that IAM returned or that we made.
    pub fn remember(&mut self, policy_id: &str, version: &str, fingerprint: Fingerprint) {
        if self.policy_id != policy_id {
            *self = Self { policy_id: policy_id.to_owned(), ..Self::default() };
        }
        self.read.retain(|(known, _)| known != version);
        // Most policies have one version for ever.
        self.read.reserve_exact(1);
        self.read.push((version.to_owned(), fingerprint));
    }

    fn known(&self, policy_id: &str, version: &str) -> Option<Fingerprint> {
        let hinted = self.hinted.iter().chain(&self.read);
        (self.policy_id == policy_id)
            .then(|| hinted.filter(|(id, _)| id == version).map(|(_, print)| *print).next_back())?
    }

    /// Does a look say that the policy's default version is the wanted one?
    pub fn says(&self, policy_id: &str, version: &str, wanted: Fingerprint) -> bool {
        self.known(policy_id, version) == Some(wanted)
    }

    fn read_before(&self, policy_id: &str, version: &str) -> Option<Fingerprint> {
        (self.policy_id == policy_id)
            .then(|| self.read.iter().find(|(id, _)| id == version).map(|(_, print)| *print))?
    }

    fn forget_missing(&mut self, versions: &[PolicyVersion]) {
        self.read.retain(|(id, _)| versions.iter().any(|version| version.id == *id));
    }
}

/// Is a resource worth a closer look, or somebody else's business?
pub fn concerns_us(ownership: &Ownership, tags: &Tags, desired: &Desired) -> bool {
    use crate::api::policy::AdoptionPolicy;
    match ownership.judge(tags) {
        Standing::Ours | Standing::OursBeforeRestore => true,
        Standing::Unowned => match desired.adoption {
            AdoptionPolicy::Never => false,
            AdoptionPolicy::Tagged => ownership.has_consent(tags),
            AdoptionPolicy::Always => true,
        },
        Standing::Others { .. } => desired.adoption != AdoptionPolicy::Never && ownership.has_consent(tags),
    }
}

/// Reads everything that a plan needs.
///
/// # Errors
/// Any error of a reading call.
pub async fn observe<I: Iam>(iam: &I, desired: &Desired, memory: &mut VersionMemory) -> Result<Observed> {
    let role = match iam.role(&desired.identity.role_name).await? {
        Some(role) => Some(observe_role(iam, desired, role).await?),
        None => None,
    };
    let policy = match iam.policy(&desired.identity.policy_arn).await? {
        Some(policy) => Some(observe_policy(iam, desired, policy, memory).await?),
        None => None,
    };
    Ok(Observed { role, policy })
}

/// The first look at an object that never reached AWS: is its role there? Nothing more is read if not, because
/// `CreatePolicy` itself tells whether the policy's name is free. `free`: an account scan has told that the role is not
/// there, and nothing is read.
///
/// # Errors
/// Any error of a reading call.
pub async fn observe_new<I: Iam>(
    iam: &I,
    desired: &Desired,
    memory: &mut VersionMemory,
    free: bool,
) -> Result<Observed> {
    if desired.policy.is_none() {
        return observe(iam, desired, memory).await;
    }
    if free {
        return Ok(Observed::default());
    }
    let Some(role) = iam.role(&desired.identity.role_name).await? else {
        return Ok(Observed::default());
    };
    let role = observe_role(iam, desired, role).await?;
    let policy = match iam.policy(&desired.identity.policy_arn).await? {
        Some(policy) => Some(observe_policy(iam, desired, policy, memory).await?),
        None => None,
    };
    Ok(Observed { role: Some(role), policy })
}

async fn observe_role<I: Iam>(iam: &I, desired: &Desired, role: Role) -> Result<ObservedRole> {
    let identity = &desired.identity;
    let ours = role.arn == identity.role_arn.as_str() && concerns_us(&identity.ownership, &role.tags, desired);
    let (attached, inline) = if ours {
        (iam.attached_policies(&identity.role_name).await?, iam.inline_policies(&identity.role_name).await?)
    } else {
        (Vec::new(), Vec::new())
    };
    let Role { arn, id, description, trust, boundary, tags } = role;
    Ok(ObservedRole { arn, id, description: Some(description), trust, boundary, tags, attached, inline })
}

async fn observe_policy<I: Iam>(
    iam: &I,
    desired: &Desired,
    policy: Policy,
    memory: &mut VersionMemory,
) -> Result<ObservedPolicy> {
    let arn = &desired.identity.policy_arn;
    let Policy { arn: found, id, description, default_version, tags } = policy;
    let mut observed = ObservedPolicy {
        arn: found,
        id,
        description: Some(description),
        default_version,
        content: Content::NotCompared,
        versions: Vec::new(),
        matching_version: None,
        tags: None,
    };
    let ours = concerns_us(&desired.identity.ownership, &tags, desired);
    observed.tags = Some(tags);
    if !ours {
        return Ok(observed);
    }
    let Some(wanted) = &desired.policy else {
        // It must go: its versions have to be deleted first.
        observed.versions = iam.policy_versions(arn).await?;
        return Ok(observed);
    };
    if memory.says(&observed.id, &observed.default_version, wanted.fingerprint) {
        observed.content = Content::Matches;
        return Ok(observed);
    }
    let text = iam.policy_document(arn, &observed.default_version).await?.unwrap_or_default();
    let fingerprint = Meaning::of(&text).fingerprint();
    memory.remember(&observed.id, &observed.default_version, fingerprint);
    if fingerprint == wanted.fingerprint {
        observed.content = Content::Matches;
        return Ok(observed);
    }
    observed.content = Content::Differs { text };
    find_matching_version(iam, desired, wanted.fingerprint, &mut observed, memory).await?;
    Ok(observed)
}

/// An existing version that says what is wanted saves a new one. What this process has read before is not read
/// again, nor listed: if the version has gone meanwhile, making it the default fails with `NoSuchEntity`, and the
/// next look knows better because the memory is dropped with the error.
async fn find_matching_version<I: Iam>(
    iam: &I,
    desired: &Desired,
    wanted: Fingerprint,
    observed: &mut ObservedPolicy,
    memory: &mut VersionMemory,
) -> Result<()> {
    let arn = &desired.identity.policy_arn;
    let remembered = memory.read.iter().find(|(id, print)| *print == wanted && *id != observed.default_version);
    if let Some((version, _)) = remembered {
        observed.matching_version = Some(version.clone());
        return Ok(());
    }
    // What the status says was right is most likely there; it is read all the same, for the status licenses no write.
    let hinted = memory.hinted.clone().filter(|(id, print)| *print == wanted && *id != observed.default_version);
    if let Some((version, _)) = hinted
        && fingerprint_of(iam, arn, &observed.id, &version, memory).await? == Some(wanted)
    {
        observed.matching_version = Some(version);
        return Ok(());
    }
    observed.versions = iam.policy_versions(arn).await?;
    memory.forget_missing(&observed.versions);
    for version in &observed.versions {
        if version.id == observed.default_version {
            continue;
        }
        if fingerprint_of(iam, arn, &observed.id, &version.id, memory).await? == Some(wanted) {
            observed.matching_version = Some(version.id.clone());
            return Ok(());
        }
    }
    Ok(())
}

/// What a version says, read once; `None` if it is gone.
async fn fingerprint_of<I: Iam>(
    iam: &I,
    arn: &PolicyArn,
    policy: &str,
    version: &str,
    memory: &mut VersionMemory,
) -> Result<Option<Fingerprint>> {
    if let Some(print) = memory.read_before(policy, version) {
        return Ok(Some(print));
    }
    let Some(text) = iam.policy_document(arn, version).await? else { return Ok(None) };
    let print = Meaning::of(&text).fingerprint();
    memory.remember(policy, version, print);
    Ok(Some(print))
}
