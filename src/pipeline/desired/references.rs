//! Checks of the fields about Kubernetes: names, references, intervals.

use super::problem::Problem;
use crate::api::AuroraLogExportPolicySpec;
use crate::model::names::Owner;

/// The longest `metadata.name`: with the namespace, the owner tag stays within IAM's 256 characters.
const MAX_OBJECT_NAME: usize = 128;

/// The shortest `driftCheckInterval`.
const MIN_DRIFT_CHECK_INTERVAL: std::time::Duration = std::time::Duration::from_secs(30);

/// Checks fields that do not concern AWS. An object may have been stored before the API server had these rules.
pub(super) fn check(owner: &Owner, spec: &AuroraLogExportPolicySpec, problems: &mut Vec<Problem>) {
    if owner.name.len() > MAX_OBJECT_NAME {
        let length = owner.name.len();
        problems.push(Problem::invalid(
            "metadata.name",
            format!("has {length} characters; at most {MAX_OBJECT_NAME} are allowed, so that the owner tag fits"),
        ));
    }
    if spec.drift_check_interval.is_some_and(|interval| interval < MIN_DRIFT_CHECK_INTERVAL) {
        problems.push(Problem::invalid("spec.driftCheckInterval", "must be at least 30s"));
    }
    let account = spec.account_ref.as_ref().map(|reference| &reference.name);
    let outputs = spec.outputs.as_ref().and_then(|outputs| outputs.config_map_ref.as_ref());
    for (field, name) in [
        ("spec.accountRef.name", account),
        ("spec.outputs.configMapRef.name", outputs.map(|reference| &reference.name)),
    ] {
        if name.is_some_and(|name| !is_object_name(name)) {
            problems.push(Problem::invalid(
                field,
                "must be the name of a Kubernetes object: at most 253 lower-case letters, digits, - and .",
            ));
        }
    }
}

/// A DNS subdomain.
fn is_object_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    name.len() <= 253 && name.split('.').all(label)
}
