//! Plans as tables: what is observed, what differs, and which writes follow in which order.

mod deletion;
mod drift;
mod leftovers;
mod order;
mod tags;
mod verdicts;

use crate::api::Field;
use serde_json::{Value, json};

use super::{Action, Conflict, EarlierClaims, Part, Plan, plan};
use crate::model::names::{AccountId, ClusterName, IamPath, Owner, Partition};
use crate::model::ownership::Tags;
use crate::model::settings::{AccountFacts, Cluster, Settings};
use crate::pipeline::desired::{Desired, desired};
use crate::pipeline::observe::{Content, Observed, ObservedPolicy};
use crate::pipeline::port::{LastUse, ObservedRole};

const OTHERS_POLICY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";

pub(in crate::pipeline) fn wanted(spec: Value) -> Desired {
    let settings = Settings::lenient(
        Cluster { name: ClusterName::parse("prod").unwrap(), uid: "uid-1".into(), previous_uids: vec!["uid-0".into()] },
        IamPath::parse("/x/").unwrap(),
    );
    let account = AccountFacts {
        id: AccountId::parse("123456789012").unwrap(),
        partition: Partition::parse("aws").unwrap(),
        binding: None,
    };
    let spec = serde_json::from_value(spec).unwrap();
    desired(&Owner::new("shop", "orders"), &spec, &settings, &account).unwrap()
}

/// A policy exactly as wanted, `v1` its only version.
fn policy(desired: &Desired) -> ObservedPolicy {
    ObservedPolicy {
        arn: desired.identity.policy_arn.to_string(),
        id: "ANPA1".into(),
        description: desired.description.clone(),
        tags: desired.tags.clone(),
        default_version: "v1".into(),
        content: Content::Matches,
        versions: Vec::new(),
        matching_version: None,
    }
}

/// A role exactly as wanted.
pub(in crate::pipeline) fn role(desired: &Desired) -> ObservedRole {
    ObservedRole {
        arn: desired.identity.role_arn.to_string(),
        id: "AROA1".into(),
        description: Some(desired.description.clone()),
        trust: desired.trust.to_json(),
        boundary: desired.boundary.clone(),
        tags: desired.tags.clone(),
        attached: vec![desired.attachment().to_string()],
        inline: Vec::new(),
        last_use: LastUse::NotTold,
    }
}

/// AWS exactly as wanted.
pub(in crate::pipeline) fn in_sync(desired: &Desired) -> Observed {
    Observed {
        role: Some(role(desired)),
        policy: desired.policy.as_ref().map(|_| policy(desired)),
        ..Observed::default()
    }
}

fn plan_for(desired: &Desired, observed: &Observed) -> Result<Plan, Conflict> {
    plan(desired, observed, &EarlierClaims::default(), &[])
}

/// The writes in their order, by name and subject.
fn writes(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| write(&step.action)).collect()
}

fn write(action: &Action) -> String {
    match action {
        Action::CreatePolicy(new) => format!("CreatePolicy {}", new.name),
        Action::CreatePolicyVersion { .. } => "CreatePolicyVersion".into(),
        Action::SetDefaultPolicyVersion { version, .. } => format!("SetDefaultPolicyVersion {version}"),
        Action::DeletePolicyVersion { version, .. } => format!("DeletePolicyVersion {version}"),
        Action::TagPolicy { tags, .. } => format!("TagPolicy {}", keys(tags)),
        Action::UntagPolicy { keys, .. } => format!("UntagPolicy {}", keys.join(",")),
        Action::DeletePolicy { .. } => "DeletePolicy".into(),
        Action::CreateRole(new) => format!("CreateRole {}", new.name),
        Action::PutBoundary { boundary, .. } => format!("PutBoundary {boundary}"),
        Action::DeleteBoundary { .. } => "DeleteBoundary".into(),
        Action::TagRole { tags, .. } => format!("TagRole {}", keys(tags)),
        Action::UntagRole { keys, .. } => format!("UntagRole {}", keys.join(",")),
        Action::UpdateTrust { .. } => "UpdateTrust".into(),
        Action::UpdateDescription { description, .. } => format!("UpdateDescription {description}"),
        Action::Attach { policy, .. } => format!("Attach {policy}"),
        Action::Detach { policy, .. } => format!("Detach {policy}"),
        Action::DeleteInlinePolicy { policy, .. } => format!("DeleteInlinePolicy {policy}"),
        Action::DeleteRole { .. } => "DeleteRole".into(),
    }
}

fn keys(tags: &Tags) -> String {
    tags.keys().cloned().collect::<Vec<_>>().join(",")
}

fn found(plan: &Plan) -> Vec<(Part, Field, Option<&str>)> {
    let findings = plan.findings.iter();
    findings.map(|finding| (finding.part, finding.field, finding.item.as_deref())).collect()
}

#[test]
fn nothing_is_planned_when_aws_matches() {
    for spec in [json!({}), json!({ "access": "FullAccess" }), json!({ "tags": { "a": "b" } })] {
        let desired = wanted(spec);
        let plan = plan_for(&desired, &in_sync(&desired)).unwrap();
        assert_eq!(plan, Plan::default());
        assert!(plan.is_empty());
    }
    assert!(!plan_for(&wanted(json!({})), &Observed::default()).unwrap().is_empty());
}
