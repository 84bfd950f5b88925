//! Compares clocks by the `Date` header of responses.

use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use jiff::Timestamp;

use super::report::{Check, Report};

/// AWS rejects signatures that are more than 5 minutes off. A smaller difference already shows a wrong clock.
const TOLERATED_SECONDS: i64 = 60;

/// Reads the `Date` header of responses of AWS.
#[derive(Clone, Debug, Default)]
pub(super) struct DateOf(Arc<Mutex<Option<String>>>);

impl DateOf {
    pub(super) fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Intercept for DateOf {
    fn name(&self) -> &'static str {
        "DateOf"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date").map(str::to_owned);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date;
        Ok(())
    }
}

/// Compares this machine's clock with the clock of `who`, by its `Date` header.
pub(super) fn compare(report: &mut Report, who: &str, date: Option<&str>, now: Timestamp) {
    let Some(theirs) = date.and_then(parse) else {
        report.skip(Check::Clock, format!("the response of {who} has no valid Date header"));
        return;
    };
    let seconds = now.duration_since(theirs).as_secs();
    if seconds.abs() <= TOLERATED_SECONDS {
        report.pass(Check::Clock, format!("this machine and {who} agree on the time"));
        return;
    }
    let which = if seconds > 0 { "ahead of" } else { "behind" };
    report.find(
        Check::Clock,
        format!("this machine's clock is {} s {which} that of {who}", seconds.abs()),
        "synchronise the clock (chrony, systemd-timesyncd): AWS rejects signatures that are more than 5 minutes off",
    );
}

fn parse(date: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(date).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(now: &str) -> Vec<String> {
        let mut report = Report::default();
        let date = Some("Sun, 06 Nov 2026 08:49:37 GMT").map(|date| date.replace("Sun", "Fri"));
        compare(&mut report, "AWS", date.as_deref(), now.parse().unwrap());
        assert!(report.skipped.is_empty(), "the header can be parsed");
        report.findings.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_minute_is_tolerated_and_more_is_not() {
        assert!(findings("2026-11-06T08:50:37Z").is_empty());
        assert!(findings("2026-11-06T08:48:37Z").is_empty());
        assert_eq!(findings("2026-11-06T08:59:37Z"), ["this machine's clock is 600 s ahead of that of AWS"]);
        assert_eq!(findings("2026-11-06T08:39:37Z"), ["this machine's clock is 600 s behind that of AWS"]);
    }

    #[test]
    fn without_a_date_the_check_is_skipped() {
        let mut report = Report::default();
        compare(&mut report, "AWS", None, Timestamp::UNIX_EPOCH);
        assert!(report.findings.is_empty() && report.skipped.len() == 1);
    }
}
