//! Which policies block the deletion of an account.

use std::sync::Arc;

use crate::model::stored::PolicyObject;

/// At most this many are named in the message; the rest are counted.
const NAMED: usize = 5;

/// The policies that block the account's deletion: those that own AWS resources through it, and those in a namespace that
/// may use it. Any other policy can refer to the account without blocking its deletion.
pub fn holders(users: &[Arc<PolicyObject>], allowed: impl Fn(&str) -> bool) -> Vec<Arc<PolicyObject>> {
    let holds = |object: &&Arc<PolicyObject>| {
        (object.has_finalizer() && object.status.role.is_some())
            || allowed(object.metadata.namespace.as_deref().unwrap_or_default())
    };
    users.iter().filter(holds).cloned().collect()
}

/// The sentence that names them; `None` if there are none.
pub fn in_use(holders: &[Arc<PolicyObject>]) -> Option<String> {
    if holders.is_empty() {
        return None;
    }
    let mut keys: Vec<_> = holders.iter().map(|object| object.key().to_string()).collect();
    keys.sort_unstable();
    let more = match keys.len().checked_sub(NAMED) {
        Some(more @ 1..) => format!(" and {more} more"),
        _ => String::new(),
    };
    keys.truncate(NAMED);
    Some(format!("the account is to be deleted, but policies use it: {}{more}; delete them first", keys.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::FINALIZER;
    use serde_json::{Value, json};

    fn object(namespace: &str, name: &str, owns: bool) -> Arc<PolicyObject> {
        let (finalizers, status) = if owns {
            (json!([FINALIZER]), json!({ "observedGeneration": 1, "role": { "name": "r", "arn": "a" } }))
        } else {
            (json!([]), Value::Null)
        };
        Arc::new(
            serde_json::from_value(json!({
                "metadata": { "namespace": namespace, "name": name, "finalizers": finalizers },
                "spec": { "accountRef": { "name": "prod" } },
                "status": status,
            }))
            .unwrap(),
        )
    }

    #[test]
    fn a_stranger_without_resources_holds_up_nothing() {
        let users = [object("stranger", "a", false), object("stranger", "owner", true), object("team", "b", false)];
        let held = holders(&users, |namespace| namespace == "team");
        let keys: Vec<_> = held.iter().map(|object| object.key().to_string()).collect();
        assert_eq!(keys, ["stranger/owner", "team/b"]);
        assert_eq!(in_use(&holders(&users[..1], |_| false)), None);
    }

    #[test]
    fn few_are_named_and_many_are_counted() {
        let users: Vec<_> = (0..7).map(|n| object("team", &format!("p{n}"), true)).collect();
        let message = in_use(&users).unwrap();
        assert!(message.contains("team/p0, team/p1, team/p2, team/p3, team/p4 and 2 more"), "{message}");
        let message = in_use(&users[..5]).unwrap();
        assert!(message.contains("team/p4; delete"), "{message}");
    }
}
