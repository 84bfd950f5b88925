//! The results of the checks as data. Scripts depend on its form, which `-o json` prints.

use serde::Serialize;

/// The checks. `--ignore` accepts their names, and the name is printed before each finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Check {
    /// The API server answers.
    ApiServer,
    /// The CustomResourceDefinitions are those of this version.
    Crds,
    /// The permissions in the cluster.
    Rbac,
    /// An operator holds the Lease.
    Leader,
    /// AwsAccounts are ready.
    Accounts,
    /// Objects are ready, and their deletions end.
    Objects,
    /// AWS accepts the credentials, and they belong to the expected account.
    Credentials,
    /// The permissions in AWS.
    Permissions,
    /// This machine's clock agrees with the API server and AWS.
    Clock,
    /// The IAM quotas of the account.
    Quotas,
    /// AWSServiceRoleForRDS, which log exports use.
    ServiceLinkedRole,
    /// Roles and policies with this cluster's tags that belong to no object.
    Orphans,
}

impl Check {
    pub(super) fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Severity {
    /// Something does not work or will soon fail. The exit code is 1.
    Error,
    /// Information. Everything works, and the exit code is 0.
    Warning,
}

/// One problem or warning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) check: Check,
    /// What is wrong.
    pub(super) message: String,
    /// What to do.
    pub(super) fix: String,
}

/// The results of all checks.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) healthy: bool,
    pub(super) findings: Vec<Finding>,
    /// The checks that passed.
    pub(super) passed: Vec<(Check, String)>,
    /// What could not be checked, and the reason.
    pub(super) skipped: Vec<(Check, String)>,
}

impl Report {
    pub(super) fn find(&mut self, check: Check, message: impl Into<String>, fix: impl Into<String>) {
        let severity = Severity::Error;
        self.findings.push(Finding { severity, check, message: message.into(), fix: fix.into() });
    }

    pub(super) fn warn(&mut self, check: Check, message: impl Into<String>, fix: impl Into<String>) {
        let severity = Severity::Warning;
        self.findings.push(Finding { severity, check, message: message.into(), fix: fix.into() });
    }

    pub(super) fn pass(&mut self, check: Check, what: impl Into<String>) {
        self.passed.push((check, what.into()));
    }

    pub(super) fn skip(&mut self, check: Check, why: impl Into<String>) {
        self.skipped.push((check, why.into()));
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.passed.extend(other.passed);
        self.skipped.extend(other.skipped);
    }

    /// Sorts the findings and removes those of ignored checks.
    pub(super) fn finish(mut self, ignored: &[Check]) -> Self {
        self.findings.retain(|finding| !ignored.contains(&finding.check));
        self.findings.sort();
        self.findings.dedup();
        self.healthy = self.findings.iter().all(|finding| finding.severity == Severity::Warning);
        self
    }
}
