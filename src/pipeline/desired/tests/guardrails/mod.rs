//! Each guardrail against each field, default and spelling that could evade it, and in `reach` all fields against all
//! guardrails.

mod documents;
mod names;
mod outside;
mod reach;
mod rights;

use serde_json::{Value, json};

use super::{Refused, guarded, settings, spec, wanted_in};
use crate::api::account::Guardrails;
use crate::pipeline::desired::deletion_policy;
use Cell::{Forbidden, Gives, Invalid};
use outside::outside;

const BOUNDARY: &str = "arn:aws:iam::123456789012:policy/walls/Boundary";
const QUARANTINE: &str = "arn:aws:iam::123456789012:policy/quarantine-1";
const OTHER_POLICY: &str = "arn:aws:iam::aws:policy/ReadOnlyAccess";
const OWN_POLICY: &str = "arn:aws:iam::123456789012:policy/aurora-log-export/shop.orders";

/// What comes of a spec.
#[derive(Debug)]
enum Cell {
    /// Refused by the guardrail: a problem of this field names it.
    Forbidden(&'static str),
    /// Refused without any guardrail: a problem of this field.
    Invalid(&'static str),
    /// Accepted: the result has this value at this JSON pointer; null if it has none.
    Gives(&'static str, Value),
}

/// The result of a spec, which must be within the limits of Regions and log groups, as JSON.
fn produced(guardrails: &Value, value: &Value) -> Result<Value, Refused> {
    let account = guarded(guardrails.clone());
    wanted_in(&account, value.clone()).map(|desired| {
        let parsed = |text: String| serde_json::from_str::<Value>(&text).unwrap();
        let document = desired.policy.as_ref().map_or(Value::Null, |policy| parsed(policy.document.to_json()));
        let Guardrails { allowed_regions, allowed_log_groups, .. } = account.guardrails().unwrap();
        assert_eq!(outside(&document, allowed_regions.as_deref(), allowed_log_groups.as_deref()), [""; 0], "{value}");
        let identity = &desired.identity;
        json!({
            "policy": { "name": identity.policy_name.as_str(), "path": identity.policy_path.as_str() },
            "role": { "name": identity.role_name.as_str(), "path": identity.role_path.as_str() },
            "statement": document["Statement"],
            "trust": parsed(desired.trust.to_json())["Statement"][0]["Condition"],
            "attached": desired.attachment().as_str(),
            "boundary": desired.boundary,
            "tags": desired.tags,
            "adoption": desired.adoption,
            "deletion": deletion_policy(&spec(value.clone()), &settings(), Some(&account)),
            "detaches": {
                "quarantine": identity.attachments.detaches(QUARANTINE),
                "other": identity.attachments.detaches(OTHER_POLICY),
            },
        })
    })
}

/// Checks the cells of a guardrail in an account that has it among `guardrails` and otherwise allows everything.
fn check(guardrail: &str, guardrails: Value, cells: impl IntoIterator<Item = (Value, Cell)>) {
    let mut all = json!({ "allowFullAccess": true, "allowAdoption": true });
    all.as_object_mut().unwrap().extend(guardrails.as_object().unwrap().clone());
    for (spec, cell) in cells {
        match (&cell, produced(&all, &spec)) {
            (Gives(pointer, value), Ok(result)) => {
                assert_eq!(result.pointer(pointer).unwrap_or(&Value::Null), value, "{all} {spec} {pointer}");
            }
            (Forbidden(field), Err(refused)) => {
                let named = refused.0.iter().any(|it| it.field == *field && it.guardrail == Some(guardrail));
                assert!(named, "{all} {spec}: {field} is not in {refused}");
            }
            (Invalid(field), Err(refused)) => {
                let named = refused.0.iter().any(|it| it.field.starts_with(field) && it.guardrail.is_none());
                assert!(named, "{all} {spec}: {field} is not in {refused}");
            }
            (_, result) => panic!("{all} {spec}: {cell:?} is expected, not {result:?}"),
        }
    }
}

fn regions(items: Value) -> Value {
    json!({ "scope": { "regions": items } })
}

fn groups(items: Value) -> Value {
    json!({ "scope": { "logGroups": items } })
}
