//! Situations and their conditions, one test each, and the rules that hold in all of them.

mod rules;
mod shortfall;
mod situations;

use crate::api::Field;
use jiff::Timestamp;

use super::{Failure, Outcome, PartState, Parts, SyncState, condition, next};
use crate::api::{AuroraLogExportPolicyStatus as Status, ConditionType, PolicyStatus, Reason, RoleStatus};
use crate::pipeline::plan::{Finding, Part, Repair};
use crate::pipeline::port::LastUse;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn sync_state(findings: Vec<Finding>) -> SyncState {
    SyncState {
        account_id: "123456789012".into(),
        partition: "aws".into(),
        policy: Some(PolicyStatus {
            name: "shop.orders".into(),
            arn: "arn:aws:iam::123456789012:policy/shop.orders".into(),
            id: Some("ANPA1".into()),
            version_id: Some("v1".into()),
            document_sha256: Some("00".repeat(32)),
        }),
        role: RoleStatus {
            name: "shop.orders".into(),
            arn: "arn:aws:iam::123456789012:role/shop.orders".into(),
            id: Some("AROA1".into()),
        },
        findings,
        tag_keys: vec!["team".into()],
        last_use: LastUse::Never,
    }
}

fn finding(part: Part, field: Field, repair: Repair) -> Finding {
    Finding { part, field, item: None, expected: "wanted".into(), actual: "found".into(), repair }
}

fn failed(reason: Reason) -> Outcome {
    Outcome::Failed(Failure { reason, message: format!("{reason} happened"), parts: Parts::default() })
}

fn progressing() -> Outcome {
    Outcome::Progressing { message: "at work".into(), tag_keys: Some(vec!["team".into()]) }
}

/// `True InSync`, or `-` where the condition is absent.
fn shown(status: &Status, type_: ConditionType) -> String {
    condition(status, type_)
        .map_or_else(|| "-".to_owned(), |condition| format!("{} {}", condition.status, condition.reason))
}

/// The status that Argo CD, Flux and `kubectl wait` compute: kstatus's algorithm for custom resources.
fn kstatus(status: &Status, generation: i64) -> &'static str {
    let is_true = |type_| condition(status, type_).is_some_and(|condition| condition.status == "True");
    if status.observed_generation != generation || is_true(ConditionType::Reconciling) {
        "InProgress"
    } else if is_true(ConditionType::Stalled) {
        "Failed"
    } else if is_true(ConditionType::Ready) {
        "Current"
    } else {
        "InProgress"
    }
}
