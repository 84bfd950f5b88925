//! Faults by seeded probability or by script, and a rate limit that throttles as AWS does.
//!
//! A [`FaultPlan`] is data; [`Faults`] is a plan in use. Rules are asked in order: latencies add up, the first rule with another effect that fires decides.

use super::action::name_is_read;
use super::call_log::CallInfo;
use super::rng::Rng;
use std::collections::BTreeMap;

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// `Throttling`/400 "Rate exceeded", not executed.
    Throttle,
    /// `ServiceFailure`/500, not executed.
    ServiceFailure,
    /// 503 with an HTML body, as a load balancer answers; not executed.
    Unavailable,
    /// `AccessDenied`/403, not executed.
    AccessDenied,
    /// Any other error, not executed.
    Error {
        /// `Code`.
        code: String,
        /// HTTP status.
        status: u16,
        /// `Message`.
        message: String,
    },
    /// The connection is closed before the call is executed.
    DropConnection,
    /// Executed, then the connection is closed without an answer.
    LoseAnswer,
    /// Executed, then the answer breaks off in the middle.
    TruncateBody,
    /// Executed, and the answer is whole but no XML.
    MalformedBody,
    /// Executed, and answered by a server whose clock is wrong.
    ClockAhead {
        /// Seconds; negative where it is behind.
        seconds: i64,
    },
    /// Executed after a pause, even if the caller is gone by then.
    Latency {
        /// How long.
        ms: u64,
    },
}

/// When an effect strikes.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Names of operations, `read`, `write`, or `*`; `!Name` leaves one out.
    pub actions: Vec<String>,
    /// Only calls in this account.
    pub account: Option<String>,
    /// Only calls signed with this access key id.
    pub access_key: Option<String>,
    /// Only calls about a resource whose name or ARN contains this.
    pub resource_contains: Option<String>,
    /// How often a matching call is struck, 0.0–1.0.
    pub probability: f64,
    /// Strikes so often and then never again; none: no end.
    pub times: Option<u64>,
    /// What happens.
    pub effect: Effect,
}

impl Rule {
    /// A rule for every matching call.
    pub fn new(effect: Effect, actions: &[&str]) -> Self {
        Self {
            actions: actions.iter().map(|&name| name.to_owned()).collect(),
            account: None,
            access_key: None,
            resource_contains: None,
            probability: 1.0,
            times: None,
            effect,
        }
    }

    /// With this probability only.
    #[must_use]
    pub fn with_probability(self, probability: f64) -> Self {
        Self { probability, ..self }
    }

    /// So often only.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }

    /// In this account only.
    #[must_use]
    pub fn in_account(self, account: &str) -> Self {
        Self { account: Some(account.to_owned()), ..self }
    }

    /// About resources whose name or ARN contains this only.
    #[must_use]
    pub fn about(self, part: &str) -> Self {
        Self { resource_contains: Some(part.to_owned()), ..self }
    }

    fn matches(&self, call: &CallInfo) -> bool {
        let named = |pattern: &String| match pattern.as_str() {
            "*" => true,
            "read" => name_is_read(&call.action),
            "write" => !name_is_read(&call.action),
            name => name == call.action,
        };
        let excluded = |pattern: &String| pattern.strip_prefix('!').is_some_and(|name| name == call.action);
        self.actions.iter().any(named)
            && !self.actions.iter().any(excluded)
            && self.account.as_ref().is_none_or(|account| *account == call.account)
            && self.access_key.as_ref().is_none_or(|key| *key == call.access_key)
            && self.resource_contains.as_ref().is_none_or(|part| call.resource.contains(part.as_str()))
    }
}

/// A token bucket for reads and one for writes, for each account by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// Reads refilled a second.
    pub reads_per_second: f64,
    /// Reads that may come at once.
    pub read_burst: f64,
    /// Writes refilled a second.
    pub writes_per_second: f64,
    /// Writes that may come at once.
    pub write_burst: f64,
}

/// Faults as data.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    /// The same seed and the same calls give the same faults.
    pub seed: u64,
    /// Asked in order.
    pub rules: Vec<Rule>,
    /// Throttles, independently of the rules.
    pub rate_limit: Option<RateLimit>,
}

impl FaultPlan {
    /// No faults.
    pub fn none() -> Self {
        Self::default()
    }

    /// Rules with a seed.
    pub fn of(seed: u64, rules: Vec<Rule>) -> Self {
        Self { seed, rules, rate_limit: None }
    }
}

/// What to do with one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Wait this long first.
    pub delay_ms: u64,
    /// The effect instead of or after the execution; never a latency.
    pub effect: Option<Effect>,
}

/// A plan in use: its generator, the counts of its rules and the buckets.
#[derive(Debug)]
pub struct Faults {
    plan: FaultPlan,
    rng: Rng,
    /// For each rule: how often it struck.
    struck: Vec<u64>,
    buckets: BTreeMap<(String, bool), Bucket>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at_ms: u64,
}

impl Faults {
    /// Starts a plan.
    pub fn new(plan: FaultPlan) -> Self {
        let struck = vec![0; plan.rules.len()];
        Self { rng: Rng::new(plan.seed), struck, plan, buckets: BTreeMap::new() }
    }

    /// How often each rule struck, in the plan's order.
    pub fn struck(&self) -> Vec<u64> {
        self.struck.clone()
    }

    /// Decides about one call at this time (milliseconds, any origin).
    pub fn decide(&mut self, call: &CallInfo, now_ms: u64) -> Decision {
        let mut decision = Decision::default();
        if !self.within_rate_limit(call, now_ms) {
            decision.effect = Some(Effect::Throttle);
            return decision;
        }
        for (rule, struck) in self.plan.rules.iter().zip(&mut self.struck) {
            if !rule.matches(call) {
                continue;
            }
            let spent = rule.times.is_some_and(|times| *struck >= times);
            if spent || !self.rng.chance(rule.probability) {
                continue;
            }
            *struck += 1;
            match &rule.effect {
                Effect::Latency { ms } => decision.delay_ms += ms,
                effect => {
                    decision.effect = Some(effect.clone());
                    return decision;
                }
            }
        }
        decision
    }

    fn within_rate_limit(&mut self, call: &CallInfo, now_ms: u64) -> bool {
        let Some(limit) = self.plan.rate_limit else { return true };
        let read = name_is_read(&call.action);
        let (rate, burst) = if read {
            (limit.reads_per_second, limit.read_burst)
        } else {
            (limit.writes_per_second, limit.write_burst)
        };
        let bucket =
            self.buckets.entry((call.account.clone(), read)).or_insert(Bucket { tokens: burst, at_ms: now_ms });
        #[allow(clippy::cast_precision_loss)] // milliseconds between two calls
        let elapsed = now_ms.saturating_sub(bucket.at_ms) as f64 / 1000.0;
        bucket.tokens = (bucket.tokens + elapsed * rate).min(burst);
        bucket.at_ms = now_ms;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }
}
