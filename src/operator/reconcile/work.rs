//! One object at work: observe, plan, apply, for an object that is new and for one that is not.

use std::sync::Arc;
use std::time::Instant;

use super::claims;
use super::conclusion::{Conclusion, Requeue};
use super::prepare::Prepared;
use super::refusal::{already_exists, refused_by_aws};
use super::report;
use crate::api::policy::ManagementPolicy;
use crate::api::{ConditionType, Reason};
use crate::aws::account::Account;
use crate::aws::credentials::CallerIdentity;
use crate::aws::iam::AwsIam;
use crate::kubernetes::KubernetesError;
use crate::model::stored::PolicyObject;
use crate::operator::context::Context;
use crate::operator::outputs;
use crate::operator::reconcile_state::ReconcileState;
use crate::operator::workqueue::Priority;
use crate::pipeline::apply::{Applied, ApplyError, apply};
use crate::pipeline::desired::Desired;
use crate::pipeline::observe::{KnownVersions, Observed, observe, observe_new};
use crate::pipeline::plan::{Conflict, EarlierClaims, Finding, Part, Plan, plan};
use crate::pipeline::port::ErrorClass;
use crate::pipeline::status::{Outcome, PartState, Parts, Shortfall, SyncState, condition, tag_keys_on_record};
use crate::telemetry::metrics::ReconcileResult;

type Result<T> = std::result::Result<T, KubernetesError>;

/// One object at work: what all steps share.
pub(super) struct Work<'a> {
    context: &'a Context,
    object: &'a PolicyObject,
    state: &'a mut ReconcileState,
    account: Arc<Account>,
    caller: CallerIdentity,
    desired: Desired,
    iam: AwsIam,
    claims: EarlierClaims,
}

impl<'a> Work<'a> {
    pub(super) fn new(
        context: &'a Context,
        object: &'a PolicyObject,
        state: &'a mut ReconcileState,
        prepared: Prepared<Desired>,
        priority: Priority,
    ) -> Self {
        let Prepared { account, caller, derived: desired } = prepared;
        let claims = claims::earlier_claims(context.view(), object, &desired.identity, &caller);
        let iam = account.iam(&caller);
        let iam = if priority == Priority::Resync { iam.in_background() } else { iam };
        Self { context, object, state, account, caller, desired, iam, claims }
    }

    /// True if nothing was ever written to AWS for the object, and may be now.
    pub(super) fn never_reached_aws(&self) -> bool {
        !self.object.has_finalizer()
            && self.object.status.role.is_none()
            && self.desired.management == ManagementPolicy::Enforce
    }

    /// Creates policy and role with one read: IAM itself refuses a name that is taken. `None`: a name was taken, and the
    /// object needs the full read of [`Self::reconcile_existing`].
    pub(super) async fn create_new(&mut self) -> Result<Option<Conclusion>> {
        let observed = match observe_new(&self.iam, &self.desired, &mut self.state.versions).await {
            Ok(observed) => observed,
            Err(error) => return Ok(Some(self.aws_failed(Shortfall::from(&error)).await)),
        };
        let plan = match self.plan(&observed) {
            Ok(plan) => plan,
            Err(conflict) => return Ok(Some(conflicting(&conflict))),
        };
        match self.carry_out(&observed, &plan).await? {
            Err(shortfall) if shortfall.error.class == ErrorClass::AlreadyExists => Ok(None),
            Err(shortfall) => Ok(Some(self.aws_failed(shortfall).await)),
            Ok(sync) => self.in_sync(sync).await.map(Some),
        }
    }

    /// Brings policy and role in line with the spec, or reports how they differ.
    pub(super) async fn reconcile_existing(mut self) -> Result<Conclusion> {
        let observed = match observe(&self.iam, &self.desired, &mut self.state.versions).await {
            Ok(observed) => observed,
            Err(error) => return Ok(self.aws_failed(Shortfall::from(&error)).await),
        };
        let plan = match self.plan(&observed) {
            Ok(plan) => plan,
            Err(conflict) => return Ok(conflicting(&conflict)),
        };
        if self.desired.management == ManagementPolicy::Observe {
            return self.observed_only(&observed, &plan).await;
        }
        match self.carry_out(&observed, &plan).await? {
            Err(shortfall) if shortfall.error.class == ErrorClass::AlreadyExists => {
                Ok(already_exists(self.object, &self.desired, self.state, &shortfall.error))
            }
            Err(shortfall) => Ok(self.aws_failed(shortfall).await),
            Ok(sync) => self.in_sync(sync).await,
        }
    }

    fn plan(&self, observed: &Observed) -> std::result::Result<Plan, Conflict> {
        plan(&self.desired, observed, &self.claims, &self.object.status.tag_keys)
    }

    /// Puts the finalizer on the object, then executes the plan as far as AWS allows it. An empty plan needs the finalizer
    /// too: resources that were retained before belong to the object again, and must be deleted with it.
    async fn carry_out(
        &mut self,
        observed: &Observed,
        plan: &Plan,
    ) -> Result<std::result::Result<SyncState, Shortfall>> {
        if !plan.is_empty() {
            self.announce(observed).await?;
        }
        // Where nothing is written and a read was denied, it is not known that anything in AWS is the object's own.
        if !plan.is_empty() || observed.denied.is_empty() || self.object.status.role.is_some() {
            self.context.ensure_finalizer(self.object).await?;
        }
        let mut applied = Applied::default();
        if !plan.is_empty() {
            applied = self.apply(plan).await;
            report::report_changes(self.context, self.object, &self.desired, observed, plan, &applied);
        }
        if let Some(shortfall) = Shortfall::of(&self.desired, observed, &applied) {
            return Ok(Err(shortfall));
        }
        Ok(Ok(self.sync_state(observed, &applied, plan.unrepaired().cloned().collect())))
    }

    /// Before the first write of a generation: `Ready` of the old generation must not count for the new one, and every
    /// tag key that is about to be written must be on record.
    async fn announce(&self, observed: &Observed) -> Result<()> {
        let status = &self.object.status;
        let tag_keys = tag_keys_on_record(&status.tag_keys, &self.desired.own_tag_keys(), observed);
        let ready_before = condition(status, ConditionType::Ready)
            .is_some_and(|ready| ready.status == "True" && ready.observed_generation != Some(self.object.generation()));
        if !ready_before && tag_keys == status.tag_keys {
            return Ok(());
        }
        let message = format!("bringing the policy and role {} in line with the spec", self.desired.identity.role_name);
        let outcome = Outcome::Progressing { message, tag_keys: Some(tag_keys) };
        report::write_status(self.context, self.object, &outcome, self.object.generation()).await.map(drop)
    }

    async fn apply(&mut self, plan: &Plan) -> Applied {
        let before = (self.state.policy_created, self.state.role_created);
        let state = &mut *self.state;
        let applied = apply(&self.iam, &plan.steps, |step| {
            state.last_write = Some(Instant::now());
            if step.action.creates() {
                *state.created(step.part) = Some(Instant::now());
            }
        })
        .await;
        for ApplyError { step, error } in &applied.failed {
            // A definite refusal means that nothing was created; anything else may have been executed.
            let refused =
                error.class.is_terminal() || matches!(error.class, ErrorClass::Throttled | ErrorClass::NotLeader);
            if refused && step.action.creates() {
                *state.created(step.part) = if step.part == Part::Policy { before.0 } else { before.1 };
            }
            state.versions = KnownVersions::default();
        }
        applied
    }

    async fn in_sync(&mut self, sync: SyncState) -> Result<Conclusion> {
        self.state.already_exists_since = None;
        self.state.not_found_since = None;
        let conclusion = Conclusion {
            outcome: Some(Outcome::InSync(sync.clone())),
            requeue: Requeue::InSync,
            result: ReconcileResult::Success,
        };
        self.publish_outputs(sync, conclusion).await
    }

    /// `managementPolicy: Observe`: the differences are reported, and nothing is written to AWS.
    async fn observed_only(&mut self, observed: &Observed, plan: &Plan) -> Result<Conclusion> {
        if let Some(shortfall) = Shortfall::of(&self.desired, observed, &Applied::default()) {
            return Ok(self.aws_failed(shortfall).await);
        }
        let sync = self.sync_state(observed, &Applied::default(), plan.findings.clone());
        if plan.is_repairable() {
            let result = ReconcileResult::NotReady(Reason::DriftDetected);
            return Ok(Conclusion { outcome: Some(Outcome::Drifted(sync)), requeue: Requeue::Interval, result });
        }
        self.in_sync(sync).await
    }

    /// `spec.outputs`, once AWS is in sync.
    async fn publish_outputs(&mut self, sync: SyncState, conclusion: Conclusion) -> Result<Conclusion> {
        let name = self.object.spec.as_ref().ok().and_then(|spec| {
            let outputs = spec.outputs.as_ref()?;
            Some(outputs.config_map_ref.as_ref()?.name.as_str())
        });
        let concerned = name.is_some() || self.object.status.outputs.is_some();
        if !concerned || !self.context.settings.enable_outputs {
            return Ok(conclusion);
        }
        let values = outputs::Values {
            role_arn: sync.role.arn.clone(),
            role_name: sync.role.name.clone(),
            policy_arn: self.desired.attachment().to_string(),
            account_id: sync.account_id.clone(),
        };
        let publication =
            outputs::publish(&self.context.kubernetes, self.object, name, &values, &self.context.states.outputs)
                .await?;
        let (requeue, result) = match &publication.refused {
            Some((reason, _)) => (Requeue::Slowly, ReconcileResult::NotReady(*reason)),
            None => (conclusion.requeue, conclusion.result),
        };
        Ok(Conclusion { outcome: Some(Outcome::Published(sync, publication)), requeue, result })
    }

    fn sync_state(&mut self, observed: &Observed, applied: &Applied, findings: Vec<Finding>) -> SyncState {
        self.state.last_in_sync = Some(Instant::now());
        let former_tag_keys = &self.object.status.tag_keys;
        let sync = SyncState {
            account_id: self.caller.account.to_string(),
            partition: self.caller.partition.to_string(),
            ..SyncState::of(&self.desired, observed, applied, findings, former_tag_keys)
        };
        if let (Some(policy), Some(wanted)) = (&sync.policy, &self.desired.policy)
            && let (Some(id), Some(version), Some(_)) = (&policy.id, &policy.version_id, &policy.document_sha256)
        {
            self.state.versions.add(id, version, wanted.fingerprint);
        }
        sync
    }

    async fn aws_failed(&mut self, shortfall: Shortfall) -> Conclusion {
        let error = &shortfall.error;
        self.account.credentials_failed(error).await;
        // The credentials were good a moment ago: they may have been rotated, and the next try fetches new ones.
        if error.class == ErrorClass::CredentialsInvalid && self.state.failures == 0 {
            return Conclusion::unchanged(Requeue::Soon, ReconcileResult::NotReady(error.class.reason()));
        }
        refused_by_aws(self.context, self.object, self.state, shortfall)
    }
}

fn conflicting(conflict: &Conflict) -> Conclusion {
    let state = |message: &Option<String>| {
        message.clone().map_or(PartState::Unknown, |message| PartState::Failed(Reason::Conflict, message))
    };
    let parts = Parts { policy: state(&conflict.policy), role: state(&conflict.role), ..Parts::default() };
    Conclusion::failed(Reason::Conflict, conflict.message(), parts)
}
