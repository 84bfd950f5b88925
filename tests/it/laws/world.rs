//! One object and its account: the operator's pipeline without Kubernetes, step by step.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use aurora_log_export_operator::api::RESERVED_TAG_PREFIX;
use aurora_log_export_operator::api::policy::AuroraLogExportPolicySpec;
use aurora_log_export_operator::model::documents::Meaning;
use aurora_log_export_operator::model::names::{AccountId, ClusterName, IamPath, Owner, Partition};
use aurora_log_export_operator::model::settings::{AccountFacts, Cluster, Settings};
use aurora_log_export_operator::pipeline::apply::{Applied, apply};
use aurora_log_export_operator::pipeline::desired::{Desired, desired};
use aurora_log_export_operator::pipeline::leftovers::observe_leftovers;
use aurora_log_export_operator::pipeline::observe::{KnownVersions, Observed, observe, observe_new};
use aurora_log_export_operator::pipeline::plan::deletion::plan_deletion;
use aurora_log_export_operator::pipeline::plan::{Conflict, EarlierClaims, Plan, Step, plan};
use aurora_log_export_operator::pipeline::port::{ErrorClass, IamError};
use aurora_log_export_operator::pipeline::status::Shortfall;
use aurora_test_support::iam_model::handle::Shared;
use aurora_test_support::iam_model::{Action, CreatePolicy, CreateRole, Iam, PageRequest, PolicyVersion};
use serde_json::Value;

use super::model_iam::ModelIam;
use super::strategies::Foreigner;

/// The account of all laws; each has its own model of it.
pub(super) const ACCOUNT: &str = "123456789012";
/// Policies that exist for use as boundaries.
pub(super) const BOUNDARIES: &[&str] = &["boundary-a", "boundary-b"];
/// A document that means something that no spec means.
pub(super) const OTHER_DOCUMENT: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"logs:*","Resource":"*"}}"#;
/// A trust policy that no spec means.
pub(super) const OTHER_TRUST: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}}"#;

/// The model answers at once, so its futures are ready when first polled.
pub(super) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("a call of the model waits for nothing"),
    }
}

/// What must be for this spec, or `None` where it is refused (too large).
pub(super) fn wanted(spec: &AuroraLogExportPolicySpec) -> Option<Desired> {
    let settings = Settings::lenient(
        Cluster { name: ClusterName::parse("laws").ok()?, uid: "uid-1".into(), previous_uids: Vec::new() },
        IamPath::parse("/aurora/").ok()?,
    );
    let account =
        AccountFacts { id: AccountId::parse(ACCOUNT).ok()?, partition: Partition::parse("aws").ok()?, binding: None };
    desired(&Owner::new("shop", "orders"), spec, &settings, &account).ok()
}

/// What one reconcile came to.
#[derive(Debug)]
pub(super) enum Pass {
    InSync(Plan),
    Changed(Plan),
    Failed(IamError),
    Conflict(Conflict),
}

/// An object at work in an account.
pub(super) struct World {
    pub(super) iam: ModelIam,
    pub(super) desired: Desired,
    former: Vec<String>,
    known: KnownVersions,
}

impl World {
    /// The world after each of these specs was in sync, one after the other; `None` without a spec.
    pub(super) fn converged(stages: impl IntoIterator<Item = Desired>, foreigners: &[Foreigner]) -> Option<Self> {
        let mut world: Option<Self> = None;
        for stage in stages {
            let world = world.get_or_insert_with(|| Self::new(stage.clone(), foreigners));
            world.edit(stage);
            world.converge();
        }
        world
    }

    /// An account with boundaries and these foreigners, and nothing of ours.
    pub(super) fn new(desired: Desired, foreigners: &[Foreigner]) -> Self {
        let mut iam = Iam::new(ACCOUNT);
        for name in BOUNDARIES {
            let request = CreatePolicy {
                name: (*name).to_owned(),
                document: OTHER_DOCUMENT.to_owned(),
                ..CreatePolicy::default()
            };
            iam.create_policy(&request).map(drop).unwrap_or_default();
        }
        // Names that IAM takes for one another's are refused: the fewer the merrier.
        for Foreigner { name, path, tags } in foreigners {
            let role = CreateRole {
                name: name.clone(),
                path: Some(path.clone()),
                trust: OTHER_TRUST.to_owned(),
                description: Some("not ours".to_owned()),
                tags: tags.clone(),
                ..CreateRole::default()
            };
            let policy = CreatePolicy {
                name: name.clone(),
                path: Some(path.clone()),
                document: OTHER_DOCUMENT.to_owned(),
                tags: tags.clone(),
                ..CreatePolicy::default()
            };
            let made = iam.create_policy(&policy).map(|policy| policy.arn);
            let role = iam.create_role(&role).map(drop);
            if let (Ok(arn), Ok(())) = (made, role) {
                iam.attach_role_policy(name, &arn).unwrap_or_default();
            }
        }
        // Lists come in pages of two, so that every list is also read in several.
        iam.settings.page_cap = Some(2);
        Self { iam: ModelIam(Shared::new(iam)), desired, former: Vec::new(), known: KnownVersions::default() }
    }

    /// The spec was edited.
    pub(super) fn edit(&mut self, desired: Desired) {
        self.desired = desired;
    }

    /// The process ended and another goes on: what stands in the status is all it knows.
    pub(super) fn restart(&mut self) {
        self.known = KnownVersions::default();
    }

    pub(super) fn observe(&mut self) -> Result<Observed, IamError> {
        now(observe(&self.iam, &self.desired, &mut self.known))
    }

    /// The plan for what is observed.
    pub(super) fn plan(&self, observed: &Observed) -> Result<Plan, Conflict> {
        plan(&self.desired, observed, &EarlierClaims::default(), &self.former)
    }

    /// Executes steps as the driver does: what may be written is on record first, and an error forgets what was read.
    pub(super) fn run(&mut self, steps: &[Step]) -> Result<Applied, IamError> {
        for key in own_tag_keys(&self.desired) {
            if !self.former.contains(&key) {
                self.former.push(key);
            }
        }
        let applied = now(apply(&self.iam, steps, |_| {}));
        match applied.failed.first() {
            None => Ok(applied),
            Some(failure) => {
                self.known = KnownVersions::default();
                Err(failure.error.clone())
            }
        }
    }

    /// One reconcile of which AWS denies some calls; what it tells of it.
    pub(super) fn pass_denied(&mut self) -> Result<Option<Shortfall>, String> {
        let observed = self.observe().map_err(|error| error.to_string())?;
        let plan = self.plan(&observed).map_err(|conflict| conflict.message())?;
        let applied = now(apply(&self.iam, &plan.steps, |_| {}));
        self.known = KnownVersions::default();
        Ok(Shortfall::of(&self.desired, &observed, &applied))
    }

    /// One reconcile.
    pub(super) fn pass(&mut self) -> Pass {
        match self.observe() {
            Ok(observed) => self.conclude(&observed),
            Err(error) => Pass::Failed(error),
        }
    }

    /// The first reconcile of an object that never reached AWS.
    pub(super) fn first_pass(&mut self) -> Pass {
        let observed = match now(observe_new(&self.iam, &self.desired, &mut self.known)) {
            Ok(observed) => observed,
            Err(error) => return Pass::Failed(error),
        };
        match self.conclude(&observed) {
            Pass::Failed(error) if error.class == ErrorClass::AlreadyExists => self.pass(),
            pass => pass,
        }
    }

    fn conclude(&mut self, observed: &Observed) -> Pass {
        let plan = match self.plan(observed) {
            Ok(plan) => plan,
            Err(conflict) => return Pass::Conflict(conflict),
        };
        if let (true, Some(error)) = (plan.is_empty(), observed.denied.first()) {
            return Pass::Failed(error.clone());
        }
        if plan.is_empty() {
            self.former = own_tag_keys(&self.desired);
            return Pass::InSync(plan);
        }
        match self.run(&plan.steps) {
            Ok(_) if !observed.denied.is_empty() => Pass::Failed(observed.denied[0].clone()),
            Ok(_) => {
                self.former = own_tag_keys(&self.desired);
                Pass::Changed(plan)
            }
            Err(error) => Pass::Failed(error),
        }
    }

    /// Reconciles until nothing is left to do; panics if that takes too long.
    pub(super) fn converge(&mut self) {
        let mut passes = Vec::new();
        for _ in 0..4 {
            match self.pass() {
                Pass::InSync(_) => return self.assert_as_the_spec_says(),
                pass => passes.push(pass),
            }
        }
        unreachable!("it does not converge: {passes:#?}\n{:#}", self.snapshot());
    }

    /// Deletes what is left, once.
    pub(super) fn delete(&self) -> Result<(), Vec<String>> {
        let failed = |error: IamError| vec![error.to_string()];
        let identity = &self.desired.identity;
        let leftovers = now(observe_leftovers(&self.iam, identity)).map_err(failed)?;
        let steps = plan_deletion(identity, &leftovers)?;
        let applied = now(apply(&self.iam, &steps, |_| {}));
        applied.failed.first().map_or(Ok(()), |failure| Err(failed(failure.error.clone())))
    }

    pub(super) fn snapshot(&self) -> Value {
        self.iam.0.lock().snapshot()
    }

    /// Writes that AWS executed after the call with that number.
    pub(super) fn writes_since(&self, seq: u64) -> Vec<String> {
        let calls = self.iam.0.calls_since(seq).into_iter();
        calls.filter(|call| Action::parse(&call.action).is_some_and(Action::is_write)).map(|call| call.action).collect()
    }

    pub(super) fn versions(&self) -> usize {
        let mut iam = self.iam.0.lock();
        all_versions(&mut iam, self.desired.identity.policy_arn.as_str()).len()
    }

    /// The account as it stands, read past the operator's own code.
    pub(super) fn assert_as_the_spec_says(&self) {
        let snapshot = self.snapshot();
        let identity = &self.desired.identity;
        let role = &snapshot["roles"][identity.role_name.as_str()];
        assert_eq!(role["arn"], identity.role_arn.as_str());
        assert_eq!(Meaning::of(role["trust"].as_str().unwrap_or_default()), self.desired.trust.meaning(), "trust");
        assert_eq!(role["boundary"].as_str(), self.desired.boundary.as_deref(), "boundary");
        assert_eq!(role["description"].as_str().unwrap_or_default(), self.desired.description);
        let attached = |arn: &str| role["attached"].as_array().is_some_and(|arns| arns.iter().any(|held| held == arn));
        assert!(attached(self.desired.attachment().as_str()), "attachment");
        assert!(!attached(self.desired.superseded_attachment().as_str()), "superseded");
        let policy = &snapshot["policies"][identity.policy_name.as_str()];
        let mut tagged = vec![role];
        match &self.desired.policy {
            Some(wanted) => {
                let version = policy["defaultVersion"].as_str().unwrap_or_default();
                let document = policy["versions"][version].as_str().unwrap_or_default();
                assert_eq!(Meaning::of(document), wanted.document.meaning(), "document");
                assert_eq!(policy["arn"], identity.policy_arn.as_str());
                tagged.push(policy);
            }
            None => assert!(policy.is_null(), "FullAccess leaves no policy of ours"),
        }
        for resource in tagged {
            for (key, value) in &self.desired.tags {
                assert_eq!(resource["tags"][key], value.as_str(), "tag {key:?}");
            }
        }
    }
}

/// All versions of a policy, newest first; none where there is no policy.
pub(super) fn all_versions(iam: &mut Iam, arn: &str) -> Vec<PolicyVersion> {
    let (mut versions, mut request) = (Vec::new(), PageRequest::default());
    while let Ok(page) = iam.list_policy_versions(arn, &request) {
        versions.extend(page.items);
        if page.marker.is_none() {
            break;
        }
        request = PageRequest::after(page.marker);
    }
    versions
}

/// Keys of the tags that we put on resources, those of ownership aside: what the driver keeps in the status.
fn own_tag_keys(desired: &Desired) -> Vec<String> {
    let keys = desired.tags.keys().filter(|key| !key.starts_with(RESERVED_TAG_PREFIX));
    keys.cloned().collect()
}

/// The account without ids and version numbers, which differ between two ways to the same state.
pub(super) fn without_ids(mut snapshot: Value) -> Value {
    for kind in ["policies", "roles"] {
        let Some(resources) = snapshot[kind].as_object_mut() else {
            continue;
        };
        for resource in resources.values_mut() {
            let default = resource["defaultVersion"].as_str().unwrap_or_default();
            let document =
                resource["versions"][default].as_str().map(|text| Meaning::of(text).fingerprint().to_string());
            resource["id"] = Value::Null;
            if let Some(document) = document {
                resource["defaultVersion"] = document.into();
                resource["versions"] = Value::Null;
            }
        }
    }
    snapshot
}
