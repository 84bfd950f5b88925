//! `/control/`: the same handles for another process, as JSON.
//!
//! | request | |
//! |---|---|
//! | `GET log?since=SEQ`, `DELETE log` | call records above `SEQ`; forget them |
//! | `GET counts` | `{"actions": {…}, "outcomes": {…}, "lastSeq": n}` |
//! | `GET faults`, `PUT faults`, `DELETE faults` | a [`FaultPlan`](super::super::faults::FaultPlan) |
//! | `GET accounts` | ids |
//! | `PUT accounts/ID` | `{"partition", "keys": […], "visibilityDelayMs", "pageCap", "shortPageProbability", "roles", "policies", "attachedPerRole", "trustSize", "serviceLinkedRole": bool}`, all optional |
//! | `GET snapshot/ID` | [`Iam::snapshot`](super::super::Iam::snapshot) |
//! | `PUT keys/KEY` | `{"state": "active" \| "expired" \| "revoked"}` |
//! | `PUT roles` | `{"arn", "externalId": string or null, "closed": bool}` |
//! | `DELETE sessions` | all assumed sessions expire |
//!
//! Errors are `{"error": "…"}` with status 400 or 404. A proxy has the first three rows only.

use super::gate::Gate;
use super::reply::{self, ReplyBody};
use super::request::Params;
use super::world::{KeyState, World};
use hyper::body::Bytes;
use hyper::{Method, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The body of `PUT accounts/ID`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct AccountChange {
    partition: Option<String>,
    keys: Vec<String>,
    visibility_delay_ms: Option<u64>,
    page_cap: Option<usize>,
    short_page_probability: Option<f64>,
    roles: Option<usize>,
    policies: Option<usize>,
    attached_per_role: Option<usize>,
    trust_size: Option<usize>,
    service_linked_role: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyChange {
    state: KeyState,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RoleChange {
    arn: String,
    #[serde(default)]
    external_id: Option<String>,
    #[serde(default)]
    closed: bool,
}

/// Answers a control request; a proxy has no world.
pub(crate) fn answer(
    gate: &Gate,
    world: Option<&World>,
    method: &Method,
    path: &str,
    query: Option<&str>,
    body: &Bytes,
) -> Response<ReplyBody> {
    let of_gate = gate_request(gate, method, path, query, body);
    let result = of_gate.or_else(|| world.and_then(|world| world_request(world, method, path, body)));
    let (status, value) = match result {
        Some(Ok(value)) => (200, value),
        Some(Err(error)) => (400, json!({"error": error})),
        None => (404, json!({"error": format!("there is no {method} /control/{path}")})),
    };
    reply::whole(status, "application/json", value.to_string())
}

type Outcome = Option<Result<Value, String>>;

fn gate_request(gate: &Gate, method: &Method, path: &str, query: Option<&str>, body: &Bytes) -> Outcome {
    Some(match (method.as_str(), path) {
        ("GET", "log") => {
            let params = Params::parse(query.unwrap_or_default().as_bytes());
            let since = params.get("since").and_then(|seq| seq.parse().ok()).unwrap_or(0);
            to_value(gate.calls_since(since))
        }
        ("DELETE", "log") => {
            gate.clear_log();
            Ok(Value::Null)
        }
        ("GET", "counts") => {
            Ok(json!({"actions": gate.counts(), "outcomes": gate.outcomes(), "lastSeq": gate.last_seq()}))
        }
        ("GET", "faults") => to_value(gate.faults()),
        ("PUT", "faults") => parse(body).map(|plan| {
            gate.set_faults(plan);
            Value::Null
        }),
        ("DELETE", "faults") => {
            gate.clear_faults();
            Ok(Value::Null)
        }
        _ => return None,
    })
}

fn world_request(world: &World, method: &Method, path: &str, body: &Bytes) -> Outcome {
    let (kind, name) = path.split_once('/').unwrap_or((path, ""));
    Some(match (method.as_str(), kind, name) {
        ("GET", "accounts", "") => to_value(world.account_ids()),
        ("PUT", "accounts", id) if !id.is_empty() => parse(body).map(|change| change_account(world, id, &change)),
        ("GET", "snapshot", id) => match world.existing(id) {
            Some(account) => Ok(account.lock().snapshot()),
            None => Err(format!("there is no account {id}")),
        },
        ("PUT", "keys", key) => parse(body).and_then(|change: KeyChange| {
            if world.set_key_state(key, change.state) { Ok(Value::Null) } else { Err(format!("there is no key {key}")) }
        }),
        ("PUT", "roles", "") => parse(body).map(|change: RoleChange| {
            world.require_external_id(&change.arn, change.external_id.as_deref());
            world.close_role(&change.arn, change.closed);
            Value::Null
        }),
        ("DELETE", "sessions", "") => {
            world.expire_sessions();
            Ok(Value::Null)
        }
        _ => return None,
    })
}

fn change_account(world: &World, id: &str, change: &AccountChange) -> Value {
    let account = match &change.partition {
        Some(partition) => world.account_in(id, partition),
        None => world.account(id),
    };
    change.keys.iter().for_each(|key| world.add_key(key, id));
    let mut iam = account.lock();
    let set = |target: &mut usize, value: Option<usize>| *target = value.unwrap_or(*target);
    set(&mut iam.quotas.roles, change.roles);
    set(&mut iam.quotas.policies, change.policies);
    set(&mut iam.quotas.attached_per_role, change.attached_per_role);
    set(&mut iam.quotas.trust_size, change.trust_size);
    let settings = &mut iam.settings;
    settings.visibility_delay_ms = change.visibility_delay_ms.unwrap_or(settings.visibility_delay_ms);
    settings.short_page_probability = change.short_page_probability.unwrap_or(settings.short_page_probability);
    settings.page_cap = change.page_cap.or(settings.page_cap);
    match change.service_linked_role {
        Some(true) => drop(iam.plant_service_linked_role("AWSServiceRoleForRDS", "rds.amazonaws.com")),
        Some(false) => iam.remove_service_linked_role("AWSServiceRoleForRDS"),
        None => (),
    }
    Value::Null
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("the body does not fit: {error}"))
}

fn to_value(value: impl serde::Serialize) -> Result<Value, String> {
    serde_json::to_value(value).map_err(|error| error.to_string())
}
