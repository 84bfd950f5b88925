//! Reads what IAM has for an object. Nothing is written.
//!
//! Reads are few: a role with its attachments and inline policies, and a policy. Versions of a managed policy are
//! immutable and their ids are never reused, so each document is read once and its fingerprint is kept.

use crate::api::policy::AdoptionPolicy;
use crate::model::documents::Meaning;
use crate::model::documents::meaning::Fingerprint;
use crate::model::names::PolicyArn;
use crate::model::ownership::{Ownership, OwnershipVerdict, Tags};
use crate::pipeline::desired::Desired;
use crate::pipeline::port::{ErrorClass, Iam, IamError, ObservedRole, Operation, Policy, PolicyVersion, Result, Role};

/// What IAM has for one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The role of that name, under any path.
    pub role: Option<ObservedRole>,
    /// The policy of that ARN.
    pub policy: Option<ObservedPolicy>,
    /// The reads that AWS denied. What they would have shown is not known, and is not planned.
    pub denied: Vec<IamError>,
}

impl Observed {
    fn is_denied(&self, operation: Operation) -> bool {
        self.denied.iter().any(|error| error.operation == operation)
    }

    /// True if the policy was read, or is absent.
    pub fn knows_policy(&self) -> bool {
        !self.is_denied(Operation::GetPolicy)
    }

    /// True if the role was read, or is absent. To adopt a role, the policies on it must be known as well.
    pub fn knows_role(&self, ownership: &Ownership) -> bool {
        let is_ours = |role: &ObservedRole| ownership.judge(&role.tags).is_ours();
        !self.is_denied(Operation::GetRole)
            && (self.knows_attachments() && self.knows_inline() || self.role.as_ref().is_none_or(is_ours))
    }

    /// True if the policies attached to the role were read.
    pub fn knows_attachments(&self) -> bool {
        !self.is_denied(Operation::ListAttachedRolePolicies)
    }

    /// True if the versions of the policy were read, where they are needed.
    pub fn knows_versions(&self) -> bool {
        !self.is_denied(Operation::ListPolicyVersions)
    }

    /// True if the names of the role's inline policies were read.
    pub fn knows_inline(&self) -> bool {
        !self.is_denied(Operation::ListRolePolicies)
    }

    /// The value of a read; `None` if AWS denied it. Other errors are returned.
    fn allowed<T>(&mut self, read: Result<T>) -> Result<Option<T>> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.class == ErrorClass::AccessDenied => {
                self.denied.push(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// A managed policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedPolicy {
    /// ARN as AWS returned it.
    pub arn: String,
    /// Stable id.
    pub id: String,
    /// Description.
    pub description: String,
    /// Tags.
    pub tags: Tags,
    /// Id of the default version.
    pub default_version: String,
    /// The default version's document, compared with the wanted one.
    pub content: Content,
    /// All versions, if a plan may need them.
    pub versions: Vec<PolicyVersion>,
    /// A version other than the default whose document matches the wanted one.
    pub matching_version: Option<String>,
}

/// The default version's document, compared with the wanted one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// It has the same meaning.
    Matches,
    /// It has another meaning.
    Differs {
        /// The decoded document.
        text: String,
    },
    /// No document is wanted (`FullAccess`), so none was read.
    NotCompared,
}

/// Fingerprints of a policy's versions, kept between reconciles: a version's document never changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownVersions {
    policy_id: String,
    /// Read from IAM, or created, by this process.
    read: Vec<(String, Fingerprint)>,
    /// From the object's status. It may save a read, but no write is based on it.
    from_status: Option<(String, Fingerprint)>,
}

impl KnownVersions {
    /// The policy's default version according to a status.
    pub fn from_status(policy_id: &str, version: &str, fingerprint: Fingerprint) -> Self {
        let from_status = Some((version.to_owned(), fingerprint));
        Self { policy_id: policy_id.to_owned(), read: Vec::new(), from_status }
    }

    /// Adds a version that IAM returned or that we created.
    pub fn add(&mut self, policy_id: &str, version: &str, fingerprint: Fingerprint) {
        if self.policy_id != policy_id {
            *self = Self { policy_id: policy_id.to_owned(), ..Self::default() };
        }
        self.read.retain(|(known, _)| known != version);
        // Most policies never have a second version.
        self.read.reserve_exact(1);
        self.read.push((version.to_owned(), fingerprint));
    }

    /// True if this version of the policy is known to match the wanted document.
    pub fn has(&self, policy_id: &str, version: &str, wanted: Fingerprint) -> bool {
        let known = self.from_status.iter().chain(&self.read).rfind(|(id, _)| id == version);
        self.policy_id == policy_id && known.is_some_and(|(_, fingerprint)| *fingerprint == wanted)
    }

    fn read_version(&self, policy_id: &str, version: &str) -> Option<Fingerprint> {
        let known = self.read.iter().find(|(id, _)| id == version).map(|(_, fingerprint)| *fingerprint);
        known.filter(|_| self.policy_id == policy_id)
    }

    fn retain(&mut self, versions: &[PolicyVersion]) {
        self.read.retain(|(id, _)| versions.iter().any(|version| version.id == *id));
    }
}

/// True if the object owns the resource or may adopt it.
fn is_ours_or_adoptable(desired: &Desired, tags: &Tags) -> bool {
    let ownership = &desired.identity.ownership;
    if desired.adoption != AdoptionPolicy::Never && ownership.has_consent(tags) {
        return true;
    }
    match ownership.judge(tags) {
        OwnershipVerdict::Unowned => desired.adoption == AdoptionPolicy::Always,
        verdict => verdict.is_ours(),
    }
}

/// Reads everything that a plan needs, as far as AWS allows it.
///
/// # Errors
/// Any error of a reading call but a denied one.
pub async fn observe<I: Iam>(iam: &I, desired: &Desired, known: &mut KnownVersions) -> Result<Observed> {
    let mut observed = Observed::default();
    observe_role(iam, desired, &mut observed).await?;
    observe_policy(iam, desired, known, &mut observed).await?;
    Ok(observed)
}

/// Reads for an object that has never reached AWS. If its role does not exist, its policy is not read, because
/// `CreatePolicy` itself refuses a name that is in use.
///
/// # Errors
/// As [`observe`].
pub async fn observe_new<I: Iam>(iam: &I, desired: &Desired, known: &mut KnownVersions) -> Result<Observed> {
    let mut observed = Observed::default();
    observe_role(iam, desired, &mut observed).await?;
    if observed.role.is_some() || desired.policy.is_none() {
        observe_policy(iam, desired, known, &mut observed).await?;
    }
    Ok(observed)
}

async fn observe_role<I: Iam>(iam: &I, desired: &Desired, observed: &mut Observed) -> Result<()> {
    let identity = &desired.identity;
    let Some(role) = observed.allowed(iam.role(&identity.role_name).await)?.flatten() else { return Ok(()) };
    let (mut attached, mut inline) = (Vec::new(), Vec::new());
    if role.arn == identity.role_arn.as_str() && is_ours_or_adoptable(desired, &role.tags) {
        attached = observed.allowed(iam.attached_policies(&identity.role_name).await)?.unwrap_or_default();
        inline = observed.allowed(iam.inline_policies(&identity.role_name).await)?.unwrap_or_default();
    }
    let Role { arn, id, description, trust, boundary, tags, last_use } = role;
    observed.role = Some(ObservedRole {
        arn,
        id,
        description: Some(description),
        trust,
        boundary,
        tags,
        attached,
        inline,
        last_use,
    });
    Ok(())
}

async fn observe_policy<I: Iam>(
    iam: &I,
    desired: &Desired,
    known: &mut KnownVersions,
    observed: &mut Observed,
) -> Result<()> {
    let read = iam.policy(&desired.identity.policy_arn).await;
    let Some(policy) = observed.allowed(read)?.flatten() else { return Ok(()) };
    let Policy { arn, id, description, default_version, tags } = policy;
    let ours = is_ours_or_adoptable(desired, &tags);
    let found = observed.policy.insert(ObservedPolicy {
        arn,
        id,
        description,
        tags,
        default_version,
        content: Content::NotCompared,
        versions: Vec::new(),
        matching_version: None,
    });
    let read = if ours { observe_content(iam, desired, found, known).await } else { Ok(()) };
    observed.allowed(read).map(drop)
}

/// Reads the document, and the versions if a plan needs them.
async fn observe_content<I: Iam>(
    iam: &I,
    desired: &Desired,
    observed: &mut ObservedPolicy,
    known: &mut KnownVersions,
) -> Result<()> {
    let arn = &desired.identity.policy_arn;
    let Some(wanted) = &desired.policy else {
        // It has to be deleted, and its versions have to be deleted first.
        observed.versions = iam.policy_versions(arn).await?;
        return Ok(());
    };
    if known.has(&observed.id, &observed.default_version, wanted.fingerprint) {
        observed.content = Content::Matches;
        return Ok(());
    }
    let text = iam.policy_document(arn, &observed.default_version).await?.unwrap_or_default();
    let fingerprint = Meaning::of(&text).fingerprint();
    known.add(&observed.id, &observed.default_version, fingerprint);
    if fingerprint == wanted.fingerprint {
        observed.content = Content::Matches;
        return Ok(());
    }
    observed.content = Content::Differs { text };
    find_matching_version(iam, desired, wanted.fingerprint, observed, known).await
}

/// Finds an existing version that matches, which saves a new one. A matching version that this process has read before
/// is neither read nor listed again: if it was deleted meanwhile, setting it as the default fails with `NoSuchEntity`,
/// the known versions are dropped, and the next attempt reads them again.
async fn find_matching_version<I: Iam>(
    iam: &I,
    desired: &Desired,
    wanted: Fingerprint,
    observed: &mut ObservedPolicy,
    known: &mut KnownVersions,
) -> Result<()> {
    let arn = &desired.identity.policy_arn;
    let remembered = known.read.iter().find(|(id, print)| *print == wanted && *id != observed.default_version);
    if let Some((version, _)) = remembered {
        observed.matching_version = Some(version.clone());
        return Ok(());
    }
    // The version in the status most likely exists. It is read anyway, because no write is based on the status.
    let hinted = known.from_status.clone().filter(|(id, print)| *print == wanted && *id != observed.default_version);
    if let Some((version, _)) = hinted
        && fingerprint_of(iam, arn, &observed.id, &version, known).await? == Some(wanted)
    {
        observed.matching_version = Some(version);
        return Ok(());
    }
    observed.versions = iam.policy_versions(arn).await?;
    known.retain(&observed.versions);
    for version in &observed.versions {
        if version.id == observed.default_version {
            continue;
        }
        if fingerprint_of(iam, arn, &observed.id, &version.id, known).await? == Some(wanted) {
            observed.matching_version = Some(version.id.clone());
            return Ok(());
        }
    }
    Ok(())
}

/// The fingerprint of a version, read once; `None` if the version does not exist.
async fn fingerprint_of<I: Iam>(
    iam: &I,
    arn: &PolicyArn,
    policy: &str,
    version: &str,
    known: &mut KnownVersions,
) -> Result<Option<Fingerprint>> {
    if let Some(print) = known.read_version(policy, version) {
        return Ok(Some(print));
    }
    let Some(text) = iam.policy_document(arn, version).await? else { return Ok(None) };
    let print = Meaning::of(&text).fingerprint();
    known.add(policy, version, print);
    Ok(Some(print))
}
