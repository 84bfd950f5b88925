//! The account of an object, as Kubernetes names it.

use std::fmt;

/// An `AwsAccount` by its name, or the account of the operator's own credentials.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountKey {
    /// The account of the operator's own credentials.
    Own,
    /// The `AwsAccount` of this name.
    Named(String),
}

impl AccountKey {
    /// The account that `spec.accountRef.name` refers to.
    pub fn from_ref(account_ref: Option<&str>) -> Self {
        account_ref.map_or(Self::Own, |name| Self::Named(name.to_owned()))
    }

    /// Name of the `AwsAccount`.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Own => None,
            Self::Named(name) => Some(name),
        }
    }
}

/// As logs and traces show it.
impl fmt::Display for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().unwrap_or("own"))
    }
}
