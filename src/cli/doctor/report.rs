//! What the checks found, as data: the form of `-o json`, which scripts rely on.

use serde::Serialize;

/// The names of the checks: what `--ignore` takes, and what stands before each finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Check {
    /// The API server answers.
    ApiServer,
    /// The CustomResourceDefinitions are those of this version.
    Crds,
    /// The rights in the cluster.
    Rbac,
    /// An operator holds the Lease.
    Leader,
    /// AwsAccounts are ready.
    Accounts,
    /// No object waits for a person, or for nobody.
    Objects,
    /// AWS accepts the credentials, and they belong to the right account.
    Credentials,
    /// The rights in AWS.
    Permissions,
    /// This machine's clock, against the API server's and AWS's.
    Clock,
    /// IAM's quotas.
    Quotas,
    /// `AWSServiceRoleForRDS`, which overrides the roles.
    ServiceLinkedRole,
    /// Roles and policies with our tags and no object.
    Orphans,
}

impl Check {
    pub(super) fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Severity {
    /// Something does not work, or soon will not: the exit code says so.
    Error,
    /// Something to know, with which everything works as it should.
    Warning,
}

/// Something to act on, or to know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) check: Check,
    /// What is wrong.
    pub(super) message: String,
    /// What to do.
    pub(super) fix: String,
}

/// All checks.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) healthy: bool,
    pub(super) findings: Vec<Finding>,
    /// What is as it must be.
    pub(super) passed: Vec<(Check, String)>,
    /// What could not be checked, and why.
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

    /// Sorts, and leaves out what nobody wants to hear of.
    pub(super) fn finish(mut self, ignored: &[Check]) -> Self {
        self.findings.retain(|finding| !ignored.contains(&finding.check));
        self.findings.sort();
        self.findings.dedup();
        self.healthy = self.findings.iter().all(|finding| finding.severity == Severity::Warning);
        self
    }
}
