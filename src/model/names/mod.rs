//! AWS and cluster names as types: every value of such a type is valid.
//!
//! The limits are those of botocore's IAM model: `PolicyName` 1–128, `RoleName` 1–64 of `[\w+=,.@-]`, unique per
//! account regardless of path and case; `Path` 1–512 of `((/[A-Za-z0-9\.,\+@=_-]+)*)/`.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// Why a name was refused. The message is a predicate: "… has 65 characters; 1 to 64 are allowed".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Too short or too long.
    #[error("has {actual} characters; {min} to {max} are allowed")]
    Length {
        /// The actual length.
        actual: usize,
        /// The shortest allowed length.
        min: usize,
        /// The longest allowed length.
        max: usize,
    },
    /// A character that is not allowed.
    #[error("contains {found:?}; allowed are {allowed}")]
    Character {
        /// The first offending character.
        found: char,
        /// The allowed characters.
        allowed: &'static str,
    },
    /// The form is not allowed.
    #[error("{0}")]
    Form(&'static str),
}

fn check(
    value: &str,
    min: usize,
    max: usize,
    allowed: &'static str,
    accept: fn(char) -> bool,
) -> Result<(), NameError> {
    let actual = value.chars().count();
    if actual < min || actual > max {
        return Err(NameError::Length { actual, min, max });
    }
    match value.chars().find(|c| !accept(*c)) {
        Some(found) => Err(NameError::Character { found, allowed }),
        None => Ok(()),
    }
}

/// A string type with a checked constructor `parse` and read-only access.
macro_rules! checked_string {
    ($(#[$doc:meta])* $name:ident, |$value:ident| $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Checks the text.
            pub fn parse(value: impl Into<String>) -> Result<Self, NameError> {
                let value = value.into();
                let $value: &str = &value;
                $check?;
                Ok(Self(value))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(value: &str) -> Result<Self, NameError> {
                Self::parse(value)
            }
        }
    };
}

const NAME_CHARACTERS: &str = "letters, digits and _+=,.@-";

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_+=,.@-".contains(c)
}

checked_string!(
    /// Name of a customer-managed policy.
    PolicyName,
    |value| check(value, 1, 128, NAME_CHARACTERS, is_name_character)
);

checked_string!(
    /// Name of a role.
    RoleName,
    |value| check(value, 1, 64, NAME_CHARACTERS, is_name_character)
);

checked_string!(
    /// An AWS account id: 12 digits.
    AccountId,
    |value| check(value, 12, 12, "digits", |c| c.is_ascii_digit())
);

checked_string!(
    /// An AWS partition: `aws`, `aws-cn`, `aws-us-gov`, …
    Partition,
    |value| check(value, 1, 32, "lower-case letters and -", |c| c.is_ascii_lowercase() || c == '-')
);

checked_string!(
    /// The cluster's name in ownership tags: `[A-Za-z0-9._-]{1,63}`.
    ClusterName,
    |value| check(value, 1, 63, "letters, digits and ._-", |c| c.is_ascii_alphanumeric() || "._-".contains(c))
);

checked_string!(
    /// An IAM path: `/`, or `/x/…/`.
    IamPath,
    |value| check_path(value)
);

fn check_path(value: &str) -> Result<(), NameError> {
    check(value, 1, 512, "letters, digits and /.,+@=_-", |c| c.is_ascii_alphanumeric() || "/.,+@=_-".contains(c))?;
    if !value.starts_with('/') || !value.ends_with('/') {
        return Err(NameError::Form("must begin and end with /, as in /aurora/"));
    }
    if value.contains("//") {
        return Err(NameError::Form("must not contain //"));
    }
    Ok(())
}

impl IamPath {
    /// True for the paths of AWS service roles and of IAM Identity Center, which the operator never uses.
    pub fn is_reserved_for_aws(&self) -> bool {
        ["/aws-service-role/", "/aws-reserved/"].iter().any(|reserved| self.0.starts_with(reserved))
    }
}

/// ARN of a managed policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyArn(String);

/// ARN of a role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleArn(String);

impl PolicyArn {
    /// `arn:{partition}:iam::{account}:policy{path}{name}`.
    pub fn derive(partition: &Partition, account: &AccountId, path: &IamPath, name: &PolicyName) -> Self {
        Self(format!("arn:{partition}:iam::{account}:policy{path}{name}"))
    }

    /// The AWS-managed `CloudWatchLogsFullAccess` of the partition.
    pub fn cloud_watch_logs_full_access(partition: &Partition) -> Self {
        Self(format!("arn:{partition}:iam::aws:policy/CloudWatchLogsFullAccess"))
    }

    /// An ARN that AWS returned.
    pub fn from_aws(arn: impl Into<String>) -> Self {
        Self(arn.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RoleArn {
    /// `arn:{partition}:iam::{account}:role{path}{name}`.
    pub fn derive(partition: &Partition, account: &AccountId, path: &IamPath, name: &RoleName) -> Self {
        Self(format!("arn:{partition}:iam::{account}:role{path}{name}"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The Kubernetes object that owns an AWS resource; `<namespace>/<name>` in the owner tag. Cheap to clone: the index,
/// the workqueue and the reconcile state each hold one per object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// Namespace of the object.
    pub namespace: Arc<str>,
    /// Name of the object.
    pub name: Arc<str>,
}

impl Owner {
    /// An owner from its parts.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Parses an owner tag.
    pub fn from_tag(tag: &str) -> Option<Self> {
        let (namespace, name) = tag.split_once('/')?;
        (!namespace.is_empty() && !name.is_empty()).then(|| Self::new(namespace, name))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Default names longer than this are shortened with a hash. Roles allow 64 characters; policies use the same limit,
/// so that both have the same name.
const DEFAULT_NAME_LIMIT: usize = 64;
const KEPT_CHARACTERS: usize = 53;
const HASH_DIGITS: usize = 10;

/// Default name of the policy and the role: `<prefix><namespace>.<name>`. A name of more than 64 characters becomes its
/// first 53 characters, `-`, and 10 hex digits of the SHA-256 of the whole name.
pub fn default_name(prefix: &str, owner: &Owner) -> String {
    let whole = format!("{prefix}{}.{}", owner.namespace, owner.name);
    if whole.chars().count() <= DEFAULT_NAME_LIMIT {
        return whole;
    }
    let kept: String = whole.chars().take(KEPT_CHARACTERS).collect();
    let digest = hex(&Sha256::digest(whole.as_bytes()));
    format!("{kept}-{}", &digest[..HASH_DIGITS])
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])).collect()
}

#[cfg(test)]
mod arbitrary;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_name_joins_namespace_and_name() {
        assert_eq!(default_name("", &Owner::new("shop", "orders")), "shop.orders");
        assert_eq!(default_name("acme-", &Owner::new("shop", "orders")), "acme-shop.orders");
    }

    #[test]
    fn long_default_name_keeps_53_characters_and_ten_hex_digits() {
        let owner = Owner::new("n".repeat(40), "m".repeat(40));
        let name = default_name("", &owner);
        assert_eq!(name.len(), 64);
        assert_eq!(&name[..53], &format!("{}.{}", "n".repeat(40), "m".repeat(12)));
        assert_eq!(&name[53..54], "-");
        let whole = format!("{}.{}", "n".repeat(40), "m".repeat(40));
        assert_eq!(&name[54..], &hex(&Sha256::digest(whole.as_bytes()))[..10]);
        assert!(RoleName::parse(name).is_ok());
    }

    #[test]
    fn a_default_name_of_exactly_64_characters_is_kept() {
        let owner = Owner::new("n".repeat(31), "m".repeat(32));
        assert_eq!(default_name("", &owner), format!("{}.{}", "n".repeat(31), "m".repeat(32)));
    }

    #[test]
    fn names_have_the_limits_of_iam() {
        assert!(RoleName::parse("a".repeat(64)).is_ok());
        assert_eq!(RoleName::parse("a".repeat(65)), Err(NameError::Length { actual: 65, min: 1, max: 64 }));
        assert!(PolicyName::parse("a".repeat(128)).is_ok());
        assert!(PolicyName::parse("a".repeat(129)).is_err());
        assert!(RoleName::parse("").is_err());
        assert!(RoleName::parse("a_+=,.@-Z9").is_ok());
        assert_eq!(
            RoleName::parse("a/b"),
            Err(NameError::Character { found: '/', allowed: "letters, digits and _+=,.@-" })
        );
        assert!(AccountId::parse("123456789012").is_ok());
        assert!(AccountId::parse("12345678901").is_err());
        assert!(AccountId::parse("12345678901a").is_err());
    }

    #[test]
    fn paths_begin_and_end_with_a_slash() {
        for good in ["/", "/a/", "/a/b.c/"] {
            assert!(IamPath::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "/a", "a/", "//", "/a//b/", "/a b/"] {
            assert!(IamPath::parse(bad).is_err(), "{bad}");
        }
        assert!(IamPath::parse("/aws-service-role/rds.amazonaws.com/").is_ok_and(|p| p.is_reserved_for_aws()));
        assert!(IamPath::parse("/aws-services/").is_ok_and(|p| !p.is_reserved_for_aws()));
    }

    #[test]
    fn arns_are_derived_from_partition_account_path_and_name() {
        let (partition, account) = (Partition::parse("aws-cn").unwrap(), AccountId::parse("123456789012").unwrap());
        let path = IamPath::parse("/x/").unwrap();
        assert_eq!(
            PolicyArn::derive(&partition, &account, &path, &PolicyName::parse("p").unwrap()).as_str(),
            "arn:aws-cn:iam::123456789012:policy/x/p"
        );
        assert_eq!(
            RoleArn::derive(&partition, &account, &IamPath::parse("/").unwrap(), &RoleName::parse("r").unwrap())
                .as_str(),
            "arn:aws-cn:iam::123456789012:role/r"
        );
    }

    #[test]
    fn owner_tags_are_read_back() {
        assert_eq!(Owner::from_tag("shop/orders"), Some(Owner::new("shop", "orders")));
        for bad in ["", "shop", "/orders", "shop/"] {
            assert_eq!(Owner::from_tag(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn default_names_are_valid_and_differ_between_namespaces(
            (namespace, other) in ("[a-z0-9-]{1,63}", "[a-z0-9-]{1,63}"),
            name in "[a-z0-9.-]{1,128}",
            prefix in "[a-z-]{0,32}",
        ) {
            let one = default_name(&prefix, &Owner::new(namespace.as_str(), name.as_str()));
            proptest::prop_assert!(RoleName::parse(&one).is_ok() && PolicyName::parse(&one).is_ok());
            proptest::prop_assert!(one.starts_with(&prefix));
            // A namespace has no dot, so the first dot separates it from the name.
            let two = default_name(&prefix, &Owner::new(other.as_str(), name.as_str()));
            proptest::prop_assert_eq!(one == two, namespace == other);
        }
    }
}
