//! `Effective`: whether anything uses the role, by what IAM says of its last use.

use jiff::{SignedDuration, Timestamp};

use crate::api::Reason;
use crate::pipeline::port::LastUse;

/// A role that was assumed within this time is in use.
const RECENT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Status and reason of the condition.
pub fn judge(last_use: LastUse, now: Timestamp) -> (&'static str, Reason) {
    match last_use {
        LastUse::At(at) if now.duration_since(at) <= RECENT => ("True", Reason::RoleAssumed),
        LastUse::At(_) | LastUse::Never => ("Unknown", Reason::NotAssumed),
        LastUse::NotTold => ("Unknown", Reason::Unknown),
    }
}

/// The message: the same until the reason changes, so that an unchanged object needs no write.
pub(super) fn message(reason: Reason, role: &str) -> String {
    match reason {
        Reason::RoleAssumed => format!("IAM reports that {role} was assumed within the last 7 days"),
        Reason::NotAssumed => format!(
            "IAM reports no use of {role} within the last 7 days. RDS uses it for a cluster that has it associated and whose \
             parameters are server_audit_logging=1, server_audit_events (not empty), server_audit_logs_upload=1 and \
             aws_default_logs_role={role}. Log exports (EnabledCloudwatchLogsExports) use AWSServiceRoleForRDS instead"
        ),
        _ => format!("IAM did not report the last use of {role}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_effective_for_seven_days_after_its_last_use() {
        let now = Timestamp::from_second(10_000_000).unwrap();
        let days_ago = |days: i64| LastUse::At(now - SignedDuration::from_hours(24 * days));
        for (last_use, expected) in [
            (days_ago(0), ("True", Reason::RoleAssumed)),
            (days_ago(7), ("True", Reason::RoleAssumed)),
            (days_ago(8), ("Unknown", Reason::NotAssumed)),
            // A clock that is slow.
            (days_ago(-1), ("True", Reason::RoleAssumed)),
            (LastUse::Never, ("Unknown", Reason::NotAssumed)),
            (LastUse::NotTold, ("Unknown", Reason::Unknown)),
        ] {
            assert_eq!(judge(last_use, now), expected, "{last_use:?}");
        }
    }
}
