//! `status.drift`: findings in the form that users see.

use crate::api::DriftEntry;
use crate::pipeline::plan::Finding;

/// Longer messages are cut. metav1 allows 32,768 characters, which is more than a user reads.
pub(super) const MAX_MESSAGE: usize = 2048;

/// `maxItems` of `status.drift`.
pub const MAX_ENTRIES: usize = 32;
const MAX_VALUE: usize = 256;

/// At most [`MAX_ENTRIES`] entries.
pub(super) fn entries(findings: &[Finding]) -> Vec<DriftEntry> {
    findings.iter().take(MAX_ENTRIES).map(entry).collect()
}

/// A finding in `status.drift`, with values cut at 256 characters.
pub fn entry(finding: &Finding) -> DriftEntry {
    DriftEntry {
        resource: finding.part.as_str().to_owned(),
        field: field(finding),
        expected: cut(&finding.expected, MAX_VALUE),
        actual: cut(&finding.actual, MAX_VALUE),
    }
}

/// `role trust, policy document`.
pub(super) fn summary(findings: &[Finding]) -> String {
    let mut names = Vec::new();
    for finding in findings {
        let name = format!("{} {}", finding.part.noun(), finding.field.as_str());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}

fn field(finding: &Finding) -> String {
    match &finding.item {
        Some(item) => format!("{}.{item}", finding.field.as_str()),
        None => finding.field.as_str().to_owned(),
    }
}

/// At most `limit` characters. A text that was cut ends with `…`.
pub(super) fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}
