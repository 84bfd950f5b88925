//! The meaning of a policy document. Documents are compared by meaning, not by text.
//!
//! A document is parsed and expanded into the set of (effect, principal, action, resource, condition). Sids, order,
//! grouping into statements, scalar or one-element list, the case of action names and condition keys, operators that IAM
//! treats alike, and what another grant contains do not matter. Unknown elements of a statement are kept verbatim, so
//! that they count as a difference. Whatever is in doubt is a difference.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::condition::Condition;
use super::pattern;
use crate::model::names::hex;

/// The service that assumes the role.
pub const PRINCIPAL: &str = "rds.amazonaws.com";
/// The most grants that a document is expanded into: a document of 6,144 characters can contain half a million. The
/// operator's own documents, which have long resource names, stay below a thousand.
const MAX_GRANTS: usize = 20_000;

/// The most grants that are compared with each other. The operator's own documents have less than a thousand.
const MAX_COMPARED: usize = 2_000;

/// The version of the policy language that the guide's document declares.
pub const LANGUAGE_VERSION: &str = "2012-10-17";

/// The language version that IAM assumes for a document without one. It differs from [`LANGUAGE_VERSION`] only in policy
/// variables.
const UNDECLARED_VERSION: &str = "2008-10-17";

/// The meaning of a document. Documents with equal meanings have equal values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A policy document, expanded into its grants.
    Grants {
        /// Version of the policy language, where it makes a difference.
        version: String,
        /// Every single grant that no other contains.
        grants: BTreeSet<Grant>,
    },
    /// Not a policy document, or too large to expand. Equal only to the same text.
    Opaque(String),
}

/// One effect on one action, for one principal, on one resource, under one condition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// `Allow` or `Deny`.
    pub effect: String,
    /// `Service:rds.amazonaws.com`, `AWS:*`, …; none in a permissions policy.
    pub principal: Option<String>,
    /// Lower case; `Not:` before a `NotAction`, whose items are one.
    pub action: Option<String>,
    /// `Not:` before a `NotResource`; none in a trust policy.
    pub resource: Option<String>,
    /// Canonical JSON of the condition and of any unknown element; empty when there is none.
    pub condition: String,
}

impl Meaning {
    /// The meaning of a decoded document. Never fails: text that is not a policy document is [`Meaning::Opaque`].
    pub fn of(text: &str) -> Self {
        Self::parse(text).unwrap_or_else(|| Self::Opaque(text.to_owned()))
    }

    fn parse(text: &str) -> Option<Self> {
        let Value::Object(root) = serde_json::from_str(text).ok()? else {
            return None;
        };
        if root.keys().any(|key| !matches!(key.as_str(), "Version" | "Statement" | "Id")) {
            return None;
        }
        let version = match root.get("Version") {
            None => UNDECLARED_VERSION,
            Some(version) => version.as_str()?,
        };
        let version =
            if version == UNDECLARED_VERSION && !pattern::has_variable(&Value::Object(root.clone()).to_string()) {
                LANGUAGE_VERSION
            } else {
                version
            };
        let statements = match root.get("Statement")? {
            Value::Array(statements) => statements.iter().collect(),
            statement => vec![statement],
        };
        let parts = statements.into_iter().map(|statement| Parts::read(statement.as_object()?));
        Self::expanded(version, parts)
    }

    /// Expands statements into grants; `None` if a statement cannot be parsed, or if there are too many grants.
    pub(super) fn expanded(version: &str, statements: impl Iterator<Item = Option<Parts>>) -> Option<Self> {
        let mut terms = BTreeSet::new();
        for parts in statements {
            parts?.expand(&mut terms)?;
        }
        let grants = terms.iter().filter(|term| !term.is_contained(&terms)).map(Term::grant).collect::<Option<_>>()?;
        Some(Self::Grants { version: version.to_owned(), grants })
    }

    /// SHA-256 of the meaning. Equal meanings have equal fingerprints.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        let mut field = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        match self {
            Self::Opaque(text) => {
                field("opaque");
                field(text);
            }
            Self::Grants { version, grants } => {
                field(version);
                for Grant { effect, principal, action, resource, condition } in grants {
                    field(effect);
                    // A principal, action or resource is never empty, so "" stands for none.
                    for part in [principal, action, resource] {
                        field(part.as_deref().unwrap_or_default());
                    }
                    field(condition);
                }
            }
        }
        Fingerprint(hash.finalize().into())
    }

    /// True if a trust policy allows only the service `rds.amazonaws.com`.
    pub fn trusts_only_rds(&self) -> bool {
        let expected = format!("Service:{PRINCIPAL}");
        match self {
            Self::Opaque(_) => false,
            Self::Grants { grants, .. } => {
                !grants.is_empty()
                    && grants
                        .iter()
                        .filter(|grant| grant.effect != "Deny")
                        .all(|grant| grant.principal.as_deref() == Some(expected.as_str()))
            }
        }
    }
}

/// SHA-256 of a [`Meaning`]; displayed in hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Parses a fingerprint in hex.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// The parts of a statement, each in the form that a [`Grant`] has.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) effect: String,
    pub(super) principals: Vec<String>,
    pub(super) actions: Vec<String>,
    pub(super) resources: Vec<String>,
    pub(super) condition: Condition,
    /// The unknown elements.
    pub(super) rest: BTreeMap<String, Value>,
}

impl Parts {
    fn read(statement: &Map<String, Value>) -> Option<Self> {
        let mut parts = Self::default();
        let mut effect = None;
        for (key, value) in statement {
            match key.as_str() {
                "Sid" => {}
                "Effect" => effect = Some(value.as_str()?.to_owned()),
                "Principal" => parts.principals.extend(principals_of(value)?),
                "NotPrincipal" => parts.principals.push(none_of(principals_of(value)?, |one, other| one == other)?),
                "Action" => parts.actions.extend(strings(value)?.iter().map(|action| normal_action(action))),
                "NotAction" => {
                    let actions = strings(value)?.iter().map(|action| normal_action(action)).collect();
                    parts.actions.push(none_of(actions, pattern::contains)?);
                }
                "Resource" => parts.resources.extend(strings(value)?.iter().map(|it| pattern::normal(it))),
                "NotResource" => {
                    let resources = strings(value)?.iter().map(|it| pattern::normal(it)).collect();
                    parts.resources.push(none_of(resources, pattern::contains_arn)?);
                }
                "Condition" => parts.condition = Condition::of(value)?,
                _ => {
                    parts.rest.insert(key.clone(), value.clone());
                }
            }
        }
        Some(Self { effect: effect?, ..parts })
    }

    fn expand(self, terms: &mut BTreeSet<Term>) -> Option<()> {
        let Self { effect, principals, actions, resources, condition, rest } = self;
        let rest = if rest.is_empty() { String::new() } else { serde_json::to_string(&rest).ok()? };
        let conditions = condition.split(MAX_GRANTS)?;
        let count = [principals.len(), actions.len(), resources.len(), conditions.len()]
            .into_iter()
            .try_fold(1_usize, |product, items| product.checked_mul(items.max(1)))?;
        if terms.len().checked_add(count)? > MAX_GRANTS {
            return None;
        }
        for principal in optional(&principals) {
            for action in optional(&actions) {
                for resource in optional(&resources) {
                    terms.extend(conditions.iter().map(|condition| Term {
                        effect: effect.clone(),
                        principal: principal.cloned(),
                        action: action.cloned(),
                        resource: resource.cloned(),
                        condition: condition.clone(),
                        rest: rest.clone(),
                    }));
                }
            }
        }
        Some(())
    }
}

/// A grant whose condition can be compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Term {
    effect: String,
    principal: Option<String>,
    action: Option<String>,
    resource: Option<String>,
    condition: Condition,
    /// The unknown elements.
    rest: String,
}

impl Term {
    /// True if another of these grants contains this one; of two that contain each other, the first one stays.
    fn is_contained(&self, terms: &BTreeSet<Self>) -> bool {
        terms.len() <= MAX_COMPARED
            && terms.iter().any(|other| {
                !std::ptr::eq(other, self) && other.contains(self) && (!self.contains(other) || other < self)
            })
    }

    /// True if the other grant changes nothing beside this one. Principals are not patterns, and unknown elements are not
    /// understood.
    fn contains(&self, other: &Self) -> bool {
        let part = |one: &Option<String>, other: &Option<String>, contains: fn(&str, &str) -> bool| match (one, other) {
            (Some(one), Some(other)) => one == other || !is_none_of(one) && !is_none_of(other) && contains(one, other),
            (one, other) => one == other,
        };
        self.effect == other.effect
            && self.rest == other.rest
            && self.principal == other.principal
            && part(&self.action, &other.action, pattern::contains)
            && part(&self.resource, &other.resource, pattern::contains_arn)
            && self.condition.contains(&other.condition)
    }

    fn grant(&self) -> Option<Grant> {
        let Self { effect, principal, action, resource, condition, rest } = self.clone();
        let mut elements: Map<String, Value> = serde_json::from_str(&rest).unwrap_or_default();
        if !condition.is_empty() {
            elements.insert("Condition".to_owned(), serde_json::to_value(&condition).ok()?);
        }
        let condition = if elements.is_empty() { String::new() } else { serde_json::to_string(&elements).ok()? };
        Some(Grant { effect, principal, action, resource, condition })
    }
}

/// The items, or one `None` if there are none, so that the product is never empty.
fn optional(items: &[String]) -> Vec<Option<&String>> {
    if items.is_empty() { vec![None] } else { items.iter().map(Some).collect() }
}

/// Everything but these items, which is one condition and not one for each item.
fn none_of(items: Vec<String>, contains: fn(&str, &str) -> bool) -> Option<String> {
    let items: BTreeSet<String> = items.into_iter().collect();
    let is_contained = |item: &String| items.iter().any(|other| other != item && contains(other, item));
    let items: Vec<&String> = items.iter().filter(|item| !is_contained(item)).collect();
    match items.as_slice() {
        [only] => Some(format!("{NONE_OF}{only}")),
        items => Some(format!("{NONE_OF}{}", serde_json::to_string(items).ok()?)),
    }
}

const NONE_OF: &str = "Not:";

fn is_none_of(part: &str) -> bool {
    part.starts_with(NONE_OF)
}

fn normal_action(action: &str) -> String {
    pattern::normal(&action.to_lowercase())
}

fn strings(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(many) => many.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// `AWS:*` for everybody; an account by its id, which AWS also writes as the ARN of its root.
fn principals_of(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(anyone) if anyone == "*" => Some(vec!["AWS:*".to_owned()]),
        Value::Object(kinds) => {
            let mut principals = Vec::new();
            for (kind, names) in kinds {
                let names = strings(names)?;
                principals.extend(names.iter().map(|name| format!("{kind}:{}", account_of_root(name).unwrap_or(name))));
            }
            Some(principals)
        }
        _ => None,
    }
}

fn account_of_root(arn: &str) -> Option<&str> {
    let (partition, rest) = arn.strip_prefix("arn:")?.split_once(":iam::")?;
    let id = rest.strip_suffix(":root")?;
    let is_id = id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit());
    (is_id && partition.starts_with("aws") && !partition.contains(':')).then_some(id)
}
