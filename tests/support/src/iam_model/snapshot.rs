//! The whole account as JSON in a stable order and without timestamps, so that two snapshots can be compared.

use super::account::Iam;
use serde_json::{Map, Value, json};

impl Iam {
    /// All entities except bystanders, visible or not: `policies`, `roles`, `users`, `instanceProfiles`, each by name.
    /// Ids are included, so a resource that was deleted and created again differs. Documents are text, byte for byte.
    pub fn snapshot(&self) -> Value {
        let mut snapshot = self.everything();
        for kind in ["policies", "roles", "instanceProfiles"] {
            if let Some(entries) = snapshot[kind].as_object_mut() {
                entries.retain(|name, _| !self.is_bystander(name));
            }
        }
        snapshot
    }

    /// All entities, including bystanders.
    pub(super) fn everything(&self) -> Value {
        let policies: Map<String, Value> = self
            .policies
            .values()
            .map(|entry| {
                let policy = &entry.policy;
                let versions: Map<String, Value> =
                    entry.versions.iter().map(|held| (held.id.clone(), json!(held.document.as_str()))).collect();
                let value = json!({
                    "arn": policy.arn, "id": policy.id, "path": policy.path, "description": policy.description,
                    "defaultVersion": policy.default_version, "versions": versions, "tags": policy.tags,
                });
                (policy.name.clone(), value)
            })
            .collect();
        let roles: Map<String, Value> = self
            .roles
            .values()
            .map(|entry| {
                let role = &entry.role;
                let inline: Map<String, Value> =
                    entry.inline.iter().map(|(name, held)| (name.clone(), json!(held.as_str()))).collect();
                let value = json!({
                    "arn": role.arn, "id": role.id, "path": role.path, "description": role.description,
                    "trust": role.trust.as_str(), "maxSessionSeconds": role.max_session_seconds,
                    "boundary": role.boundary, "tags": role.tags, "attached": entry.attached, "inline": inline,
                });
                (role.name.clone(), value)
            })
            .collect();
        let users: Map<String, Value> = self
            .users
            .values()
            .map(|entry| {
                let value = json!({"arn": entry.user.arn, "id": entry.user.id, "attached": entry.attached,
                                   "boundary": entry.boundary});
                (entry.user.name.clone(), value)
            })
            .collect();
        let profiles: Map<String, Value> = self
            .profiles
            .values()
            .map(|entry| {
                let profile = &entry.profile;
                (profile.name.clone(), json!({"arn": profile.arn, "id": profile.id, "role": entry.role}))
            })
            .collect();
        json!({
            "account": self.account_id(), "partition": self.partition(), "policies": policies, "roles": roles,
            "users": users, "instanceProfiles": profiles,
        })
    }
}
