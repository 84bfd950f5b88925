use super::super::call_log::CallInfo;
use super::super::faults::{Decision, Effect, FaultPlan, Faults, RateLimit, Rule};
use super::super::handle::{CallError, Fault, Shared};
use super::super::{Action, ApiError};
use super::{account, policy, role};

fn call(action: &str) -> CallInfo {
    CallInfo { account: "1".into(), action: action.into(), resource: "name".into(), ..CallInfo::default() }
}

#[test]
fn the_same_seed_gives_the_same_faults() {
    let plan = |seed| FaultPlan::of(seed, vec![Rule::new(Effect::Throttle, &["*"]).with_probability(0.3)]);
    let run = |seed| {
        let mut faults = Faults::new(plan(seed));
        (0..1000).map(|at| faults.decide(&call("GetRole"), at).effect.is_some()).collect::<Vec<_>>()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
    let struck = run(7).into_iter().filter(|struck| *struck).count();
    assert!((250..350).contains(&struck), "{struck} of 1000 at 30 %");
}

#[test]
fn a_rule_strikes_so_often_and_then_never_again() {
    let rule = Rule::new(Effect::LoseAnswer, &["CreateRole"]).times(2);
    let mut faults = Faults::new(FaultPlan::of(0, vec![rule]));
    let mut effects = Vec::new();
    for action in ["CreateRole", "GetRole", "CreateRole", "CreateRole"] {
        effects.push(faults.decide(&call(action), 0).effect.is_some());
    }
    assert_eq!(effects, [true, false, true, false]);
    assert_eq!(faults.struck(), [2]);
}

#[test]
fn rules_select_by_kind_account_and_resource() {
    let strikes = |rule: Rule, action: &str| Faults::new(FaultPlan::of(0, vec![rule])).decide(&call(action), 0).effect;
    let rule = |actions: &[&str]| Rule::new(Effect::AccessDenied, actions);
    assert!(strikes(rule(&["read"]), "ListRoles").is_some());
    assert!(strikes(rule(&["read"]), "TagRole").is_none());
    assert!(strikes(rule(&["write"]), "TagRole").is_some());
    assert!(strikes(rule(&["*", "!TagRole"]), "TagRole").is_none());
    assert!(strikes(rule(&["read"]), "DescribeDBClusters").is_some());
    assert!(strikes(rule(&["*"]).in_account("2"), "TagRole").is_none());
    assert!(strikes(rule(&["*"]).about("nam"), "TagRole").is_some());
    assert!(strikes(rule(&["*"]).about("other"), "TagRole").is_none());
}

#[test]
fn latency_adds_to_what_follows() {
    let rules = vec![Rule::new(Effect::Latency { ms: 10 }, &["*"]), Rule::new(Effect::Throttle, &["*"])];
    let decision = Faults::new(FaultPlan::of(0, rules)).decide(&call("GetRole"), 0);
    assert_eq!(decision, Decision { delay_ms: 10, effect: Some(Effect::Throttle) });
}

#[test]
fn the_rate_limit_throttles_and_refills() {
    let limit = RateLimit { reads_per_second: 10.0, read_burst: 2.0, writes_per_second: 1.0, write_burst: 1.0 };
    let mut faults = Faults::new(FaultPlan { rate_limit: Some(limit), ..FaultPlan::none() });
    let mut throttled = |action: &str, at| faults.decide(&call(action), at).effect == Some(Effect::Throttle);
    assert_eq!([throttled("GetRole", 0), throttled("GetRole", 0), throttled("GetRole", 0)], [false, false, true]);
    assert!(!throttled("TagRole", 0), "writes have a bucket of their own");
    assert!(throttled("TagRole", 999));
    assert!(!throttled("GetRole", 100));
    assert!(throttled("GetRole", 100));
}

#[test]
fn the_hook_strikes_before_or_after() {
    let shared = Shared::new(account());
    shared.set_hook(|call| match call.seq {
        1 => Fault::FailBefore(ApiError::throttling()),
        2 => Fault::LoseAnswerAfter,
        _ => Fault::None,
    });
    let create = |name: &str| shared.call(Action::CreateRole, name, |iam| iam.create_role(&role(name)));
    assert_eq!(create("a"), Err(CallError::Api(ApiError::throttling())));
    assert_eq!(shared.lock().counts().0, 0);
    assert_eq!(create("b"), Err(CallError::AnswerLost));
    assert_eq!(shared.lock().counts().0, 1);
    assert!(create("c").is_ok());
    let made = shared.call(Action::CreatePolicy, "p", |iam| iam.create_policy(&policy("p/")));
    assert!(matches!(made, Err(CallError::Api(error)) if error.code == "ValidationError"));
    let log = shared.calls_since(0);
    let seen: Vec<_> = log.iter().map(|record| (record.outcome.as_str(), record.executed)).collect();
    assert_eq!(seen, [("Throttling", false), ("ConnectionLost", true), ("OK", true), ("ValidationError", false)]);
    assert_eq!(shared.calls_since(3).len(), 1);
}
