//! An object that is to be: the pipeline from spec to AWS.

use std::sync::Arc;
use std::time::Instant;

use super::memory::Memory;
use super::refusal::{clash, failed, identity_changed, other_account, refused_by_aws};
use super::{Again, Conclusion, Context, View, claims, conclude};
use crate::api::policy::{AuroraLogExportPolicySpec, ManagementPolicy};
use crate::api::{EventReason, PolicyStatus, Reason, RoleStatus};
use crate::aws::account::Account;
use crate::aws::credentials::CallerIdentity;
use crate::aws::iam::AwsIam;
use crate::aws::rate_limit::Caller;
use crate::kubernetes::KubernetesError;
use crate::model::object::Object;
use crate::model::settings::AccountFacts;
use crate::pipeline::apply::{Applied, ApplyError, apply};
use crate::pipeline::desired::{Desired, desired};
use crate::pipeline::observe::{Observed, observe, observe_new};
use crate::pipeline::plan::{Action, Finding, Part, Plan, Repair, plan};
use crate::pipeline::port::{ErrorClass, IamError};
use crate::pipeline::status::{Affected, Look, Outcome, is_ready};
use crate::telemetry::metrics::ReconcileResult;

type Result<T> = std::result::Result<T, KubernetesError>;

/// One object at work: what all steps share.
struct Work<'a> {
    context: &'a Context,
    object: &'a Object,
    memory: &'a mut Memory,
    account: &'a Account,
    caller: CallerIdentity,
    desired: Desired,
    iam: AwsIam,
    /// Was it in sync for this generation before?
    was_ready: bool,
}

/// Makes AWS as the spec says.
///
/// # Errors
/// Only those of Kubernetes; what AWS says becomes an outcome.
pub(super) async fn ensure(
    context: &Context,
    object: &Object,
    memory: &mut Memory,
    caller: Caller,
) -> Result<Conclusion> {
    let spec = match &object.spec {
        Ok(spec) => spec,
        Err(error) => return Ok(failed(Reason::InvalidSpec, error.to_string(), Affected::ALL)),
    };
    if spec.suspend == Some(true) {
        let result = ReconcileResult::NotReady(Reason::Suspended);
        return Ok(Conclusion { outcome: Some(Outcome::Suspended), again: Again::OnChange, result });
    }
    let was_ready = is_ready(&object.status, object.generation());
    let Prepared { account, caller: identity, desired } = match prepare(context.view(), object, spec).await {
        Ok(prepared) => prepared,
        Err(Unprepared::Aws(error)) => return Ok(refused_by_aws(context, object, memory, &error, was_ready)),
        Err(Unprepared::Refused(reason, message, affected)) => return Ok(failed(reason, message, affected)),
    };
    let iam = account.iam(&identity, caller);
    let work = Work { context, object, memory, account: &account, caller: identity, desired, iam, was_ready };
    work.pipeline().await
}

/// The account that an object works in, and what must be there.
pub(super) struct Prepared {
    pub(super) account: Arc<Account>,
    pub(super) caller: CallerIdentity,
    pub(super) desired: Desired,
}

/// Why an object does not get as far as being looked at in AWS.
pub(super) enum Unprepared {
    /// AWS does not let us in.
    Aws(IamError),
    /// The spec, the account or the guardrails stand against it.
    Refused(Reason, String, Affected),
}

/// Spec + account → what must be in AWS. Asks AWS for nothing but the caller's identity.
pub(super) async fn prepare(
    view: View<'_>,
    object: &Object,
    spec: &AuroraLogExportPolicySpec,
) -> std::result::Result<Prepared, Unprepared> {
    let refused = |reason, message| Unprepared::Refused(reason, message, Affected::default());
    let key = object.key();
    let resolved = view
        .accounts
        .resolve(object.account_ref(), &key.namespace, false)
        .map_err(|error| refused(error.reason, error.message))?;
    let caller = resolved.account.identity().await.map_err(Unprepared::Aws)?;
    if let Some(message) = other_account(object, &caller) {
        return Err(refused(Reason::AccountNotReady, message));
    }
    let facts = AccountFacts { id: caller.account.clone(), partition: caller.partition.clone(), via: resolved.via };
    let desired = desired(&key, spec, view.settings, &facts)
        .map_err(|error| Unprepared::Refused(error.reason(), error.to_string(), Affected::ALL))?;
    if let Some(message) = identity_changed(object, &desired.identity) {
        return Err(refused(Reason::IdentityChanged, message));
    }
    Ok(Prepared { account: resolved.account, caller, desired })
}

impl Work<'_> {
    async fn pipeline(mut self) -> Result<Conclusion> {
        // Without our finalizer nothing was ever written: one read is enough to begin, and a name that turns out to be
        // taken is looked at closely. What only reports does not find that out by trying.
        let new = !self.object.has_finalizer()
            && self.object.status.role.is_none()
            && self.desired.management == ManagementPolicy::Enforce;
        let rivals = claims::rivals(self.context.view(), self.object, &self.desired.identity, &self.caller);
        let mut claimed = self.object.has_finalizer();
        for closely in [!new, true] {
            let observed = match self.observed(closely).await {
                Ok(observed) => observed,
                Err(error) => return Ok(self.aws_error(&error).await),
            };
            let plan = match plan(&self.desired, &observed, &rivals, &self.object.status.tag_keys) {
                Ok(plan) => plan,
                Err(conflict) => {
                    let affected = Affected {
                        policy: conflict.policy.is_some(),
                        role: conflict.role.is_some(),
                        attachment: false,
                    };
                    return Ok(failed(Reason::Conflict, conflict.message(), affected));
                }
            };
            if self.desired.management == ManagementPolicy::Observe {
                let conclusion = self.reported(&observed, plan).await;
                return self.published(conclusion).await;
            }
            if plan.is_empty() {
                // What it finds to be its own without a write (retained before, say) must go with it too.
                self.claim(&mut claimed).await?;
                let conclusion = self.in_sync(&observed, &Applied::default(), &plan).await;
                return self.published(conclusion).await;
            }
            self.announce().await?;
            self.claim(&mut claimed).await?;
            let mut applied = Applied::default();
            let result = self.apply(&plan, &mut applied).await;
            self.tell(&plan, &applied).await;
            match result {
                Ok(()) => {
                    let conclusion = self.in_sync(&observed, &applied, &plan).await;
                    return self.published(conclusion).await;
                }
                Err(ApplyError { error, .. }) if error.class == ErrorClass::AlreadyExists => {
                    if closely {
                        return Ok(clash(self.object, &self.desired, self.memory, &error, self.was_ready));
                    }
                }
                Err(ApplyError { error, .. }) => return Ok(self.aws_error(&error).await),
            }
        }
        Ok(Conclusion::leave(Again::Soon, ReconcileResult::Waiting))
    }

    async fn observed(&mut self, closely: bool) -> std::result::Result<Observed, IamError> {
        let versions = &mut self.memory.versions;
        if closely {
            return observe(&self.iam, &self.desired, versions).await;
        }
        let free = self.context.taken.lack(&self.caller.account, &self.desired.identity.role_name);
        observe_new(&self.iam, &self.desired, versions, free).await
    }

    /// Makes sure that deletion passes by here.
    async fn claim(&self, claimed: &mut bool) -> Result<()> {
        if !*claimed {
            let answer = self.context.kubernetes.add_finalizer(self.object).await?;
            self.context.remember_written(answer);
            *claimed = true;
        }
        Ok(())
    }

    async fn apply(&mut self, plan: &Plan, applied: &mut Applied) -> std::result::Result<(), ApplyError> {
        let (policy_before, role_before) = (self.memory.policy_created, self.memory.role_created);
        let memory = &mut *self.memory;
        memory.last_write = Some(Instant::now());
        let result = apply(&self.iam, &plan.steps, applied, |step| match &step.action {
            Action::CreatePolicy(_) => memory.creating(Part::Policy),
            Action::CreateRole(_) => memory.creating(Part::Role),
            _ => {}
        })
        .await;
        if let Err(ApplyError { step, error }) = &result {
            // A definite refusal means that nothing was made; anything else may have been executed.
            let refused =
                error.class.is_terminal() || matches!(error.class, ErrorClass::Throttled | ErrorClass::NotLeader);
            let before = if step.part == Part::Policy { policy_before } else { role_before };
            if refused && matches!(step.action, Action::CreatePolicy(_) | Action::CreateRole(_)) {
                self.memory.not_created(step.part, before);
            }
            self.memory.versions = crate::pipeline::observe::VersionMemory::default();
        }
        result
    }

    /// Before the first write of a new generation: nobody may take the old one's `Ready` for the new one's, and every
    /// tag key that is about to be written is on record.
    async fn announce(&self) -> Result<()> {
        let status = &self.object.status;
        let mut tag_keys = status.tag_keys.clone();
        for key in self.desired.own_tag_keys() {
            if !tag_keys.contains(&key) {
                tag_keys.push(key);
            }
        }
        let ready_before = crate::pipeline::status::condition(status, crate::api::ConditionType::Ready)
            .is_some_and(|ready| ready.status == "True" && ready.observed_generation != Some(self.object.generation()));
        if !ready_before && tag_keys == status.tag_keys {
            return Ok(());
        }
        let message =
            format!("policy and role {} are being brought in line with the spec", self.desired.identity.role_name);
        let outcome = Outcome::Progressing { message, tag_keys };
        conclude::write(self.context, self.object, &outcome, self.object.generation()).await.map(drop)
    }

    async fn in_sync(&mut self, observed: &Observed, applied: &Applied, plan: &Plan) -> Conclusion {
        let now = Instant::now();
        self.memory.last_good_look = Some(now);
        self.memory.clash_since = None;
        self.memory.not_found_since = None;
        let look = self.look(observed, applied, plan.unrepaired().cloned().collect()).await;
        Conclusion { outcome: Some(Outcome::InSync(look)), again: Again::InSync, result: ReconcileResult::Success }
    }

    /// `spec.outputs`, once AWS is in sync.
    async fn published(&mut self, conclusion: Conclusion) -> Result<Conclusion> {
        let wanted = self.object.spec.as_ref().ok().and_then(|spec| {
            let outputs = spec.outputs.as_ref()?;
            Some(outputs.config_map_ref.as_ref()?.name.as_str())
        });
        let concerned = wanted.is_some() || self.object.status.outputs.is_some();
        let look = match &conclusion.outcome {
            Some(Outcome::InSync(look)) if concerned && self.context.settings.enable_outputs => look.clone(),
            _ => return Ok(conclusion),
        };
        let values = crate::operator::outputs::Values {
            role_arn: look.role.arn.clone(),
            role_name: look.role.name.clone(),
            policy_arn: self.desired.attachment().to_string(),
            account_id: look.account_id.clone(),
        };
        let memory = &mut self.memory.outputs;
        let publication =
            crate::operator::outputs::publish(&self.context.kubernetes, self.object, wanted, &values, memory).await?;
        let (again, result) = match &publication.refused {
            Some((reason, _)) => (Again::Slowly, ReconcileResult::NotReady(*reason)),
            None => (conclusion.again, conclusion.result),
        };
        Ok(Conclusion { outcome: Some(Outcome::Published(look, publication)), again, result })
    }

    async fn reported(&mut self, observed: &Observed, plan: Plan) -> Conclusion {
        self.memory.last_good_look = Some(Instant::now());
        let repairable = plan.findings.iter().any(|finding| finding.repair == Repair::Done);
        let look = self.look(observed, &Applied::default(), plan.findings).await;
        let (outcome, again, result) = if repairable {
            let result = ReconcileResult::NotReady(Reason::DriftDetected);
            (Outcome::Drifted(look), Again::Interval, result)
        } else {
            (Outcome::InSync(look), Again::InSync, ReconcileResult::Success)
        };
        Conclusion { outcome: Some(outcome), again, result }
    }

    async fn look(&mut self, observed: &Observed, applied: &Applied, findings: Vec<Finding>) -> Look {
        let identity = &self.desired.identity;
        let policy = self.desired.policy.as_ref().map(|wanted| {
            let created = applied.policy.as_ref();
            let id = created.map(|policy| &policy.id).or(observed.policy.as_ref().map(|policy| &policy.id)).cloned();
            let version = applied
                .version
                .clone()
                .or(created.map(|policy| policy.default_version.clone()))
                .or(observed.policy.as_ref().map(|policy| policy.default_version.clone()));
            let differs = findings.iter().any(|finding| finding.part == Part::Policy && finding.repair == Repair::Done);
            if let (Some(id), Some(version), false) = (&id, &version, differs) {
                self.memory.versions.remember(id, version, wanted.fingerprint);
            }
            PolicyStatus {
                name: identity.policy_name.to_string(),
                arn: identity.policy_arn.to_string(),
                id,
                version_id: version,
                document_sha256: (!differs).then(|| wanted.fingerprint.to_string()),
            }
        });
        let role = RoleStatus {
            name: identity.role_name.to_string(),
            arn: identity.role_arn.to_string(),
            id: applied.role.as_ref().map(|role| &role.id).or(observed.role.as_ref().map(|role| &role.id)).cloned(),
        };
        let tag_keys = match self.desired.management {
            ManagementPolicy::Enforce => self.desired.own_tag_keys(),
            ManagementPolicy::Observe => self.object.status.tag_keys.clone(),
        };
        Look {
            account_id: self.caller.account.to_string(),
            partition: self.caller.partition.to_string(),
            policy,
            role,
            manages_policy: self.desired.policy.is_some(),
            findings,
            tag_keys,
            service_linked_role: self.account.service_linked_role(&self.iam).await,
        }
    }

    /// Events and metrics for what was done: a repair if the object was in sync before, else a change.
    async fn tell(&self, plan: &Plan, applied: &Applied) {
        if applied.done.is_empty() {
            return;
        }
        for adopted in &plan.adopted {
            self.event(
                EventReason::Adopted,
                "Adopt",
                &format!("took over {adopted}, which carries our consent or is nobody's"),
            )
            .await;
        }
        if self.was_ready {
            let mut fields: Vec<_> = applied.done.iter().map(|step| (step.part, step.field)).collect();
            fields.sort_unstable();
            fields.dedup();
            for (_, field) in &fields {
                self.context.metrics.drift_repaired(field.as_str());
            }
            let names: Vec<_> = fields
                .iter()
                .map(|(part, field)| format!("{} {}", part.as_str().to_lowercase(), field.as_str()))
                .collect();
            let note = format!("undid a change made in AWS: {}", names.join(", "));
            tracing::info!(fields = names.join(", "), "drift repaired");
            self.event(EventReason::DriftRepaired, "Repair", &note).await;
            return;
        }
        for step in &applied.done {
            let (reason, action, note) = conclude::describe(&step.action, &self.desired);
            tracing::info!(action, "{note}");
            self.event(reason, action, &note).await;
        }
    }

    async fn event(&self, reason: EventReason, action: &str, note: &str) {
        self.context.kubernetes.event(self.object, false, reason.as_str(), action, note).await;
    }

    async fn aws_error(&mut self, error: &IamError) -> Conclusion {
        self.account.note(error).await;
        // They were good a moment ago: they may just have been exchanged, and the next try takes new ones.
        if error.class == ErrorClass::CredentialsInvalid && self.memory.failures == 0 {
            return Conclusion::leave(Again::Soon, ReconcileResult::NotReady(error.class.reason()));
        }
        refused_by_aws(self.context, self.object, self.memory, error, self.was_ready)
    }
}
