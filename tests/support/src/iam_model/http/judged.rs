//! The authorization requests of a call: action, resource and condition context.

use super::super::account::{Iam, fold};
use super::super::types::Tags;
use super::request::Query;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The role or policy that a call is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entity {
    /// ARN with path. IAM knows the path of existing entities only.
    pub(crate) arn: String,
    /// Its tags before the call.
    pub(crate) tags: Tags,
    /// Its permissions boundary before the call.
    pub(crate) boundary: Option<String>,
}

/// One authorization request; a call may cause several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Judged {
    /// Action with its service: `iam:CreateRole`.
    pub(crate) action: String,
    /// An ARN, or `*`.
    pub(crate) resource: String,
    /// True if the role or policy exists or is to be created.
    pub(crate) exists: bool,
    /// Condition keys and values.
    pub(crate) context: Map<String, Value>,
}

impl Iam {
    /// The role or policy that a call is about, if there is one.
    pub(crate) fn entity(&self, query: &Query) -> Option<Entity> {
        if let Some(name) = query.params.get("RoleName") {
            let role = &self.roles.get(&fold(name))?.role;
            return Some(Entity { arn: role.arn.clone(), tags: role.tags.clone(), boundary: role.boundary.clone() });
        }
        let arn = query.params.get("PolicyArn")?;
        let policies = self.policies.values().chain(self.aws_policies.values());
        let policy = &policies.into_iter().find(|entry| entry.policy.arn == arn)?.policy;
        Some(Entity { arn: policy.arn.clone(), tags: policy.tags.clone(), boundary: None })
    }
}

/// The authorization requests of a call in this account; `entity` is the role or policy before the call.
pub(crate) fn judged(query: &Query, partition: &str, account: &str, entity: Option<Entity>) -> Vec<Judged> {
    let param = |name: &str| query.params.get(name);
    let arn = |kind: &str, path: &str, name: &str| format!("arn:{partition}:iam::{account}:{kind}{path}{name}");
    let mut context = request_context(query);
    let action = query.action.as_str();
    let one = |service: &str, resource: String, exists: bool, context: Map<String, Value>| {
        vec![Judged { action: format!("{service}:{action}"), resource, exists, context }]
    };
    match action {
        "GetCallerIdentity" => return one("sts", "*".to_owned(), true, Map::new()),
        "AssumeRole" | "AssumeRoleWithWebIdentity" => {
            let resource = param("RoleArn").unwrap_or_default().to_owned();
            let mut all = one("sts", resource, true, context);
            if param("Tags.member.1.Key").is_some() {
                all.extend(all.first().cloned().map(|first| Judged { action: "sts:TagSession".into(), ..first }));
            }
            return all;
        }
        "CreateRole" | "CreatePolicy" => {
            let (kind, name) =
                if action == "CreateRole" { ("role", param("RoleName")) } else { ("policy", param("PolicyName")) };
            let created = arn(kind, param("Path").unwrap_or("/"), name.unwrap_or_default());
            return one("iam", created, true, context);
        }
        _ => {}
    }
    let Some(entity) = entity else {
        // IAM does not know the path of an entity that does not exist.
        let absent = match (param("RoleName"), param("PolicyArn"), param("PolicySourceArn")) {
            (Some(role), ..) => arn("role", "/", role),
            (None, Some(policy), _) => policy.to_owned(),
            (None, None, Some(source)) => return one("iam", source.to_owned(), true, context),
            (None, None, None) => return one("iam", "*".to_owned(), true, context),
        };
        return one("iam", absent, false, context);
    };
    for (key, value) in &entity.tags {
        context.insert(format!("aws:ResourceTag/{key}"), json!(value));
        context.insert(format!("iam:ResourceTag/{key}"), json!(value));
    }
    if let (Some(_), Some(policy)) = (param("RoleName"), param("PolicyArn")) {
        context.insert("iam:PolicyARN".into(), json!(policy));
    }
    // If the call sets a boundary, the new one counts.
    if let (None, Some(boundary)) = (param("PermissionsBoundary"), &entity.boundary) {
        context.insert("iam:PermissionsBoundary".into(), json!(boundary));
    }
    one("iam", entity.arn, true, context)
}

/// The condition keys of the request itself.
fn request_context(query: &Query) -> Map<String, Value> {
    let mut context = Map::new();
    let tags = query.params.tags().unwrap_or_default();
    for (key, value) in &tags {
        context.insert(format!("aws:RequestTag/{key}"), json!(value));
    }
    let keys: Vec<String> = tags.into_keys().chain(query.params.list("TagKeys")).collect();
    if !keys.is_empty() {
        context.insert("aws:TagKeys".into(), json!(keys));
    }
    for (name, key) in [
        ("ExternalId", "sts:ExternalId"),
        ("RoleSessionName", "sts:RoleSessionName"),
        ("PermissionsBoundary", "iam:PermissionsBoundary"),
    ] {
        if let Some(value) = query.params.get(name) {
            context.insert(key.to_owned(), json!(value));
        }
    }
    context
}
