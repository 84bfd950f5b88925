//! What a plan that was carried out in part is told as.

use crate::api::{Field, Reason};
use crate::pipeline::apply::{Applied, ApplyError, Skipped};
use crate::pipeline::observe::Observed;
use crate::pipeline::plan::tests::{in_sync, wanted};
use crate::pipeline::plan::{Action, Part, Step};
use crate::pipeline::port::{ErrorClass, IamError, Operation};
use crate::pipeline::status::{PartState, Shortfall};
use serde_json::json;

fn error(operation: Operation, class: ErrorClass) -> IamError {
    IamError { class, operation, resource: "x".into(), code: format!("{class:?}"), message: String::new() }
}

fn step(part: Part, field: Field, action: Action) -> Step {
    Step { action, part, field, needs: Vec::new() }
}

fn trust() -> Step {
    let role = wanted(json!({})).identity.role_name;
    step(Part::Role, Field::Trust, Action::UpdateTrust { role, document: "{}".into() })
}

fn policy_tags() -> Step {
    let arn = wanted(json!({})).identity.policy_arn;
    step(Part::Policy, Field::Tags, Action::UntagPolicy { arn, keys: vec!["a".into()] })
}

fn attach() -> Step {
    let role = wanted(json!({})).identity.role_name;
    step(Part::Role, Field::Attachments, Action::Attach { role, policy: "arn".into() })
}

fn failed(steps: &[(Step, ErrorClass)], skipped: &[(Step, usize)]) -> Applied {
    let failed = steps
        .iter()
        .map(|(step, class)| ApplyError { step: step.clone(), error: error(step.action.operation(), *class) });
    let skipped = skipped.iter().map(|(step, cause)| Skipped { step: step.clone(), cause: *cause });
    Applied { failed: failed.collect(), skipped: skipped.collect(), ..Applied::default() }
}

fn shortfall(denied: &[Operation], applied: &Applied) -> Shortfall {
    let denied = denied.iter().map(|operation| error(*operation, ErrorClass::AccessDenied)).collect();
    let desired = wanted(json!({}));
    let observed = Observed { denied, ..in_sync(&desired) };
    Shortfall::of(&desired, &observed, applied).unwrap()
}

fn reason(state: &PartState) -> Option<Reason> {
    match state {
        PartState::Failed(reason, _) => Some(*reason),
        _ => None,
    }
}

#[test]
fn a_plan_that_was_carried_out_leaves_nothing_to_tell() {
    assert_eq!(Shortfall::of(&wanted(json!({})), &Observed::default(), &Applied::default()), None);
}

#[test]
fn the_most_dangerous_difference_comes_first_and_the_others_follow() {
    use ErrorClass::{AccessDenied, LimitExceeded};
    let told = shortfall(&[], &failed(&[(policy_tags(), AccessDenied), (trust(), LimitExceeded)], &[]));
    assert_eq!(told.error.operation, Operation::UpdateAssumeRolePolicy);
    assert!(told.message.starts_with("iam:UpdateAssumeRolePolicy on x failed"), "{}", told.message);
    let end = "; also failed: iam:UntagPolicy; also not repaired: policy tags";
    assert!(told.message.ends_with(end), "{}", told.message);
    assert_eq!(reason(&told.parts.policy), Some(Reason::AccessDenied));
    assert_eq!(reason(&told.parts.role), Some(Reason::LimitExceeded));
    assert_eq!(told.parts.attachment, PartState::InSync);
    assert!(!told.retry_soon);
}

#[test]
fn a_failure_is_as_dangerous_as_what_it_prevents() {
    use ErrorClass::{AccessDenied, Throttled};
    let applied = failed(&[(attach(), AccessDenied), (policy_tags(), Throttled)], &[(trust(), 1)]);
    let told = shortfall(&[], &applied);
    assert_eq!(told.error.class, Throttled);
    assert!(told.message.contains("also not repaired: role trust, role attachments"), "{}", told.message);
    assert_eq!(reason(&told.parts.role), Some(Reason::Throttled));
    assert_eq!(reason(&told.parts.attachment), Some(Reason::AccessDenied));
    assert!(told.retry_soon, "throttling passes by itself");
}

#[test]
fn an_error_of_the_account_comes_before_every_difference() {
    let applied = failed(&[(trust(), ErrorClass::AccessDenied), (policy_tags(), ErrorClass::CredentialsInvalid)], &[]);
    assert_eq!(shortfall(&[], &applied).error.class, ErrorClass::CredentialsInvalid);
}

#[test]
fn a_denied_read_hides_its_part() {
    let told = shortfall(&[Operation::GetPolicyVersion], &Applied::default());
    assert_eq!(reason(&told.parts.policy), Some(Reason::AccessDenied));
    assert_eq!((&told.parts.role, &told.parts.attachment), (&PartState::InSync, &PartState::InSync));
    let told = shortfall(&[Operation::GetRole], &Applied::default());
    assert_eq!(told.parts.policy, PartState::InSync);
    assert_eq!([&told.parts.role, &told.parts.attachment].map(reason), [Some(Reason::AccessDenied); 2]);
    // It is less dangerous than a trust policy that is known to be wrong.
    let told = shortfall(&[Operation::GetPolicy], &failed(&[(trust(), ErrorClass::AccessDenied)], &[]));
    assert_eq!(told.error.operation, Operation::UpdateAssumeRolePolicy);
    assert!(told.message.contains("also failed: iam:GetPolicy"), "{}", told.message);
}
