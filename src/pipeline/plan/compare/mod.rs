//! The differences, property by property, and the write that repairs each. Ownership is decided elsewhere.

mod tags;

use super::action::{Action, Finding, Part, Plan, Repair, Step};
use crate::api::Field;
use crate::model::documents::Meaning;
use crate::model::ownership::Tags;
use crate::pipeline::desired::{Desired, DesiredPolicy};
use crate::pipeline::observe::{Content, Observed, ObservedPolicy};
use crate::pipeline::port::{NewPolicy, NewRole, ObservedRole, version_number};
use tags::TagDifferences;

/// IAM keeps at most this many versions of a managed policy.
const MAX_VERSIONS: usize = 5;

/// Shown in findings for a missing value.
pub const NONE: &str = "(none)";

struct Comparison<'a> {
    desired: &'a Desired,
    former_tag_keys: &'a [String],
    plan: Plan,
}

/// All differences, and the write that repairs each. [`super::order`] sorts the writes.
pub(super) fn compare(desired: &Desired, observed: &Observed, former_tag_keys: &[String]) -> Plan {
    let mut comparison = Comparison { desired, former_tag_keys, plan: Plan::default() };
    let (policy, role) = (observed.policy.as_ref(), observed.role.as_ref());
    let (knows_policy, knows_role) = (observed.knows_policy(), observed.knows_role(&desired.identity.ownership));
    let needs_no_policy = desired.policy.is_none();
    let creates = knows_role && (knows_policy || needs_no_policy);
    match (&desired.policy, policy) {
        (Some(wanted), _) if policy.is_some() || creates => comparison.policy(wanted, policy),
        // It is not known whether it is still in use.
        (None, Some(policy)) if knows_role && observed.knows_attachments() && observed.knows_versions() => {
            comparison.superseded_policy(policy);
        }
        _ => {}
    }
    match role {
        Some(role) if knows_role => {
            comparison.role_properties(role);
            if observed.knows_attachments() {
                comparison.attachments(role, knows_policy || needs_no_policy);
            }
            comparison.inline_policies(role);
        }
        None if creates => comparison.missing_role(),
        _ => {}
    }
    comparison.plan
}

/// The differences of a role, without its policy.
pub(super) fn compare_role(desired: &Desired, observed: &ObservedRole, former_tag_keys: &[String]) -> Plan {
    let mut comparison = Comparison { desired, former_tag_keys, plan: Plan::default() };
    comparison.role_properties(observed);
    comparison.attachments(observed, true);
    comparison.inline_policies(observed);
    comparison.plan
}

impl Comparison<'_> {
    fn differs(
        &mut self,
        part: Part,
        field: Field,
        item: Option<&str>,
        expected: &str,
        actual: &str,
        actions: Vec<Action>,
    ) {
        self.plan.findings.push(Finding {
            part,
            field,
            item: item.map(str::to_owned),
            expected: expected.to_owned(),
            actual: actual.to_owned(),
            repair: Repair::Done,
        });
        self.plan.steps.extend(actions.into_iter().map(|action| Step::new(action, part, field)));
    }

    fn reported(&mut self, part: Part, field: Field, expected: &str, actual: &str, repair: Repair) {
        self.plan.findings.push(Finding {
            part,
            field,
            item: None,
            expected: expected.to_owned(),
            actual: actual.to_owned(),
            repair,
        });
    }

    fn policy(&mut self, wanted: &DesiredPolicy, observed: Option<&ObservedPolicy>) {
        let desired = self.desired;
        let identity = &desired.identity;
        let Some(policy) = observed else {
            let new = NewPolicy {
                name: identity.policy_name.clone(),
                path: identity.policy_path.clone(),
                document: wanted.document.to_json(),
                description: desired.description.clone(),
                tags: desired.tags.clone(),
            };
            self.differs(
                Part::Policy,
                Field::Existence,
                None,
                identity.policy_arn.as_str(),
                NONE,
                vec![Action::CreatePolicy(new)],
            );
            return;
        };
        self.tags(Part::Policy, &policy.tags);
        if let Content::Differs { text } = &policy.content {
            self.document(wanted, policy, text);
        }
        if policy.description != desired.description {
            let (expected, actual) = (&desired.description, &policy.description);
            self.reported(Part::Policy, Field::Description, expected, actual, Repair::Impossible);
        }
    }

    fn tags(&mut self, part: Part, actual: &Tags) {
        let identity = &self.desired.identity;
        let (arn, role) = (identity.policy_arn.clone(), identity.role_name.clone());
        let TagDifferences { wrong, removed } = tags::compare(part, &self.desired.tags, actual, self.former_tag_keys);
        let found = |key: &String| actual.get(key).map_or(NONE, String::as_str);
        for (key, value) in &wrong {
            self.differs(part, Field::Tags, Some(key), value, found(key), Vec::new());
        }
        for key in &removed {
            self.differs(part, Field::Tags, Some(key), NONE, found(key), Vec::new());
        }
        let mut push = |action| self.plan.steps.push(Step::new(action, part, Field::Tags));
        if !removed.is_empty() {
            push(match part {
                Part::Policy => Action::UntagPolicy { arn: arn.clone(), keys: removed },
                Part::Role => Action::UntagRole { role: role.clone(), keys: removed },
            });
        }
        if !wrong.is_empty() {
            push(match part {
                Part::Policy => Action::TagPolicy { arn, tags: wrong },
                Part::Role => Action::TagRole { role, tags: wrong },
            });
        }
    }

    fn document(&mut self, wanted: &DesiredPolicy, policy: &ObservedPolicy, text: &str) {
        let arn = self.desired.identity.policy_arn.clone();
        if let Some(version) = &policy.matching_version {
            let set = Action::SetDefaultPolicyVersion { arn, version: version.clone() };
            if version_number(&policy.default_version) < version_number(version) {
                self.differs(Part::Policy, Field::DefaultVersion, None, version, &policy.default_version, vec![set]);
            } else {
                self.differs(Part::Policy, Field::Document, None, &wanted.document.to_json(), text, vec![set]);
            }
            return;
        }
        let mut actions = Vec::new();
        if policy.versions.len() >= MAX_VERSIONS
            && let Some(oldest) = policy
                .versions
                .iter()
                .filter(|version| !version.is_default)
                .min_by_key(|version| version_number(&version.id))
        {
            actions.push(Action::DeletePolicyVersion { arn: arn.clone(), version: oldest.id.clone() });
        }
        actions.push(Action::CreatePolicyVersion { arn, document: wanted.document.to_json() });
        self.differs(Part::Policy, Field::Document, None, &wanted.document.to_json(), text, actions);
    }

    /// Deletes our policy of `Minimal`, which is superseded: its versions, then the policy.
    fn superseded_policy(&mut self, policy: &ObservedPolicy) {
        let identity = &self.desired.identity;
        let ownership = &identity.ownership;
        if !ownership.judge(&policy.tags).is_ours() || ownership.is_offered_to_another(&policy.tags) {
            return;
        }
        let arn = identity.policy_arn.clone();
        let mut actions: Vec<_> = policy
            .versions
            .iter()
            .filter(|version| !version.is_default)
            .map(|version| Action::DeletePolicyVersion { arn: arn.clone(), version: version.id.clone() })
            .collect();
        actions.push(Action::DeletePolicy { arn: arn.clone() });
        self.differs(Part::Policy, Field::Existence, None, NONE, arn.as_str(), actions);
    }

    fn missing_role(&mut self) {
        let desired = self.desired;
        let identity = &desired.identity;
        let new = NewRole {
            name: identity.role_name.clone(),
            path: identity.role_path.clone(),
            trust: desired.trust.to_json(),
            description: desired.description.clone(),
            boundary: desired.boundary.clone(),
            tags: desired.tags.clone(),
        };
        let (arn, wanted) = (identity.role_arn.as_str(), desired.attachment().as_str());
        let attach = Action::Attach { role: identity.role_name.clone(), policy: wanted.to_owned() };
        self.differs(Part::Role, Field::Existence, None, arn, NONE, vec![Action::CreateRole(new)]);
        self.differs(Part::Role, Field::Attachments, None, wanted, NONE, vec![attach]);
    }

    fn role_properties(&mut self, actual: &ObservedRole) {
        let desired = self.desired;
        let role = desired.identity.role_name.clone();
        self.tags(Part::Role, &actual.tags);
        if actual.boundary != desired.boundary {
            let action = match &desired.boundary {
                Some(boundary) => Action::PutBoundary { role: role.clone(), boundary: boundary.clone() },
                None => Action::DeleteBoundary { role: role.clone() },
            };
            let (expected, found) =
                (desired.boundary.as_deref().unwrap_or(NONE), actual.boundary.as_deref().unwrap_or(NONE));
            self.differs(Part::Role, Field::PermissionsBoundary, None, expected, found, vec![action]);
        }
        if Meaning::of(&actual.trust) != desired.trust.meaning() {
            let document = desired.trust.to_json();
            let action = Action::UpdateTrust { role: role.clone(), document: document.clone() };
            self.differs(Part::Role, Field::Trust, None, &document, &actual.trust, vec![action]);
        }
        if let Some(description) = &actual.description
            && *description != desired.description
        {
            let action = Action::UpdateDescription { role, description: desired.description.clone() };
            self.differs(Part::Role, Field::Description, None, &desired.description, description, vec![action]);
        }
    }

    /// `may_attach`: the policy to attach is known to be ours, or AWS's.
    fn attachments(&mut self, actual: &ObservedRole, may_attach: bool) {
        let desired = self.desired;
        let role = &desired.identity.role_name;
        let (wanted, superseded) = (desired.attachment().as_str(), desired.superseded_attachment().as_str());
        let attachments = &desired.identity.attachments;
        let detach = |arn: &str| Action::Detach { role: role.clone(), policy: arn.to_owned() };
        let is_others = |arn: &&String| *arn != wanted && *arn != superseded;
        for arn in actual.attached.iter().filter(is_others) {
            if attachments.detaches(arn) {
                self.differs(Part::Role, Field::Attachments, None, NONE, arn, vec![detach(arn)]);
            } else {
                self.reported(Part::Role, Field::Attachments, NONE, arn, Repair::LeftToOthers);
            }
        }
        let is_missing = !actual.attached.iter().any(|arn| arn == wanted);
        if is_missing && may_attach {
            let attach = Action::Attach { role: role.clone(), policy: wanted.to_owned() };
            self.differs(Part::Role, Field::Attachments, None, wanted, NONE, vec![attach]);
        }
        if actual.attached.iter().any(|arn| arn == superseded) && (may_attach || !is_missing) {
            self.differs(Part::Role, Field::Attachments, None, NONE, superseded, vec![detach(superseded)]);
        }
    }

    fn inline_policies(&mut self, actual: &ObservedRole) {
        let role = &self.desired.identity.role_name;
        let attachments = &self.desired.identity.attachments;
        for policy in &actual.inline {
            if attachments.exclusive {
                let delete = Action::DeleteInlinePolicy { role: role.clone(), policy: policy.clone() };
                self.differs(Part::Role, Field::InlinePolicies, None, NONE, policy, vec![delete]);
            } else {
                self.reported(Part::Role, Field::InlinePolicies, NONE, policy, Repair::LeftToOthers);
            }
        }
    }
}
