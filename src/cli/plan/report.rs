//! Plans as data. Scripts depend on their form, which `-o json` prints.

use serde::Serialize;

use crate::api::Reason;
use crate::model::documents::differences::Sign;
use crate::model::settings::Cluster;
use crate::model::stored::PolicyObject;
use crate::operator::reconcile::preview::{Planned, Preview};
use crate::pipeline::desired::Identity;
use crate::pipeline::plan::{Action, Finding, NONE, Part, Repair, Step};

/// The plans of several objects.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// The cluster for which ownership was determined.
    pub(super) cluster: ClusterEntry,
    /// What could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) notes: Vec<String>,
    pub(super) objects: Vec<Entry>,
    pub(super) summary: Summary,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct ClusterEntry {
    pub(super) name: String,
    pub(super) uid: String,
}

/// Counts of policies and roles by change, and of objects without changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    /// Policies and roles to create.
    pub(super) create: usize,
    /// Policies and roles to change.
    pub(super) change: usize,
    /// Policies and roles to delete.
    pub(super) delete: usize,
    /// Objects for which nothing would be written.
    pub(super) unchanged: usize,
    /// Objects that are refused, or for which AWS does not answer.
    pub(super) refused: usize,
}

/// The result for one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Result {
    /// AWS would be changed.
    Changes,
    /// AWS matches the object.
    NoChanges,
    /// AWS differs, and `managementPolicy: Observe` forbids changes.
    Observed,
    /// AWS would not be called.
    LeftAlone,
    /// The object would not become ready.
    Refused,
}

/// The plan of one object.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) result: Result,
    /// Reason of the condition `Ready`, if the object is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) policy_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role_arn: Option<String>,
    /// Existing resources that would be adopted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) adopted: Vec<String>,
    /// The writes, in order.
    pub(super) actions: Vec<ActionEntry>,
    /// Everything that differs.
    pub(super) differences: Vec<Difference>,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ActionEntry {
    /// AWS's name of the call.
    pub(super) operation: &'static str,
    /// ARN of the policy, or name of the role.
    pub(super) resource: String,
    /// `Policy` or `Role`.
    pub(super) part: &'static str,
    /// The difference that causes it.
    pub(super) field: &'static str,
}

/// One difference.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Difference {
    /// `Policy` or `Role`.
    pub(super) part: &'static str,
    pub(super) field: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) item: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) actual: Option<String>,
    /// `Repaired`, `LeftToOthers` or `Impossible`.
    pub(super) repair: &'static str,
}

impl Report {
    pub(super) fn new(cluster: &Cluster, notes: Vec<String>) -> Self {
        Self {
            cluster: ClusterEntry { name: cluster.name.to_string(), uid: cluster.uid.clone() },
            notes,
            objects: Vec::new(),
            summary: Summary::default(),
        }
    }

    /// True if anything would be written.
    pub(super) fn has_changes(&self) -> bool {
        self.objects.iter().any(|entry| entry.result == Result::Changes)
    }

    pub(super) fn add(&mut self, object: &PolicyObject, preview: &Preview) {
        let key = object.key();
        let mut entry = Entry {
            namespace: key.namespace.to_string(),
            name: key.name.to_string(),
            result: Result::NoChanges,
            reason: None,
            message: None,
            account_id: None,
            policy_arn: None,
            role_arn: None,
            adopted: Vec::new(),
            actions: Vec::new(),
            differences: Vec::new(),
        };
        match preview {
            Preview::Planned(planned) => entry.planned(planned),
            Preview::Removal { caller, identity, steps } => {
                entry.account_id = Some(caller.account.to_string());
                entry.policy_arn = Some(identity.policy_arn.to_string());
                entry.role_arn = Some(identity.role_arn.to_string());
                entry.message = Some("the object is being deleted".into());
                entry.actions = steps.iter().map(|step| action(step, identity)).collect();
                if !steps.is_empty() {
                    entry.result = Result::Changes;
                }
            }
            Preview::LeftAlone(message) => {
                entry.result = Result::LeftAlone;
                entry.message = Some(message.clone());
            }
            Preview::Refused(reason, message) => entry.refused(*reason, message.clone()),
            Preview::Aws(error) => entry.refused(error.class.reason(), error.user_message()),
        }
        self.count(&entry);
        self.objects.push(entry);
    }

    fn count(&mut self, entry: &Entry) {
        match entry.result {
            Result::Refused => self.summary.refused += 1,
            Result::NoChanges | Result::Observed | Result::LeftAlone => self.summary.unchanged += 1,
            Result::Changes => {
                for part in [Part::Policy, Part::Role] {
                    match entry.change(part) {
                        Some(Sign::Add) => self.summary.create += 1,
                        Some(Sign::Change) => self.summary.change += 1,
                        Some(Sign::Remove) => self.summary.delete += 1,
                        None => {}
                    }
                }
            }
        }
    }
}

impl Entry {
    fn planned(&mut self, planned: &Planned) {
        let Planned { caller, desired, plan } = planned;
        let identity = &desired.identity;
        self.account_id = Some(caller.account.to_string());
        self.policy_arn = Some(desired.attachment().to_string());
        self.role_arn = Some(identity.role_arn.to_string());
        self.adopted = plan.adopted.iter().map(|(_, adopted)| adopted.clone()).collect();
        self.differences = plan.findings.iter().map(difference).collect();
        if planned.only_observed() {
            if plan.is_repairable() {
                self.result = Result::Observed;
                self.message = Some("managementPolicy is Observe: differences are reported and not repaired".into());
            }
            return;
        }
        self.actions = plan.steps.iter().map(|step| action(step, identity)).collect();
        for step in &plan.steps {
            self.explain_creation(step);
        }
        if !plan.is_empty() {
            self.result = Result::Changes;
        }
    }

    /// Adds the values of a new resource as differences, so that the plan shows them.
    fn explain_creation(&mut self, step: &Step) {
        let mut add = |part: Part, field: &'static str, item: Option<&str>, value: &str| {
            self.differences.push(Difference {
                part: part.as_str(),
                field,
                item: item.map(str::to_owned),
                expected: Some(value.to_owned()),
                actual: None,
                repair: repair(Repair::Done),
            });
        };
        match &step.action {
            Action::CreatePolicy(new) => {
                add(Part::Policy, "document", None, &new.document);
                add(Part::Policy, "description", None, &new.description);
                for (key, value) in &new.tags {
                    add(Part::Policy, "tags", Some(key), value);
                }
            }
            Action::CreateRole(new) => {
                add(Part::Role, "trust", None, &new.trust);
                add(Part::Role, "description", None, &new.description);
                if let Some(boundary) = &new.boundary {
                    add(Part::Role, "permissionsBoundary", None, boundary);
                }
                for (key, value) in &new.tags {
                    add(Part::Role, "tags", Some(key), value);
                }
            }
            _ => {}
        }
    }

    fn refused(&mut self, reason: Reason, message: String) {
        self.result = Result::Refused;
        self.reason = Some(reason.as_str());
        self.message = Some(message);
    }

    /// Returns what happens to the policy or the role as a whole.
    pub(super) fn change(&self, part: Part) -> Option<Sign> {
        let mut change = None;
        for action in self.actions.iter().filter(|action| action.part == part.as_str()) {
            match action.operation {
                "CreatePolicy" | "CreateRole" => return Some(Sign::Add),
                "DeletePolicy" | "DeleteRole" => return Some(Sign::Remove),
                _ => change = Some(Sign::Change),
            }
        }
        change
    }
}

fn difference(finding: &Finding) -> Difference {
    let Finding { part, field, item, expected, actual, repair: whether } = finding;
    let value = |text: &String| (text != NONE).then(|| text.clone());
    Difference {
        part: part.as_str(),
        field: field.as_str(),
        item: item.clone(),
        expected: value(expected),
        actual: value(actual),
        repair: repair(*whether),
    }
}

const fn repair(repair: Repair) -> &'static str {
    match repair {
        Repair::Done => "Repaired",
        Repair::LeftToOthers => "LeftToOthers",
        Repair::Impossible => "Impossible",
    }
}

fn action(step: &Step, identity: &Identity) -> ActionEntry {
    let Step { action, part, field, .. } = step;
    let resource = match part {
        Part::Policy => identity.policy_arn.to_string(),
        Part::Role => identity.role_name.to_string(),
    };
    ActionEntry { operation: action.operation().as_str(), resource, part: part.as_str(), field: field.as_str() }
}
