//! The operator's rights in Kubernetes, granted and used: what its roles say, and what the API server's audit log says.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::paths::workspace;

/// One right: group, resource, verb, and the object's name where the rule has one.
pub type Right = (String, String, String, Option<String>);

/// Rights that rules of a file grant.
fn granted(file: &str) -> Result<BTreeSet<Right>> {
    let text = std::fs::read_to_string(workspace().join("deploy/kustomize").join(file))?;
    let role: Value = serde_saphyr::from_str(&text).with_context(|| format!("{file} is YAML"))?;
    let mut rights = BTreeSet::new();
    let items = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    for rule in role["rules"].as_array().into_iter().flatten() {
        let mut names: Vec<_> = items(&rule["resourceNames"]).into_iter().map(Some).collect();
        if names.is_empty() {
            names.push(None);
        }
        for group in items(&rule["apiGroups"]) {
            for resource in items(&rule["resources"]) {
                for verb in items(&rule["verbs"]) {
                    for name in &names {
                        rights.insert((group.clone(), resource.clone(), verb.clone(), name.clone()));
                    }
                }
            }
        }
    }
    Ok(rights)
}

/// What `deploy/` grants the operator: in any namespace, in its own, and with outputs on. Without what the API server asks
/// for within other requests only: an apply that creates, and an owner reference that blocks.
pub fn granted_to_the_operator() -> Result<BTreeSet<Right>> {
    let mut rights = granted("base/clusterrole.yaml")?;
    rights.extend(granted("base/role.yaml")?);
    rights.extend(granted("components/outputs/clusterrole.yaml")?);
    rights.retain(|(_, resource, verb, _)| {
        !(resource == "configmaps" && verb == "create") && resource != "auroralogexportpolicies/finalizers"
    });
    ensure!(rights.len() > 10, "{rights:?}");
    Ok(rights)
}

/// The operator's own requests in an audit log, not those of whoever tries its token.
#[derive(Debug, Default)]
pub struct Requests {
    /// How many.
    pub count: usize,
    /// The rights that they used.
    pub used: BTreeSet<Right>,
    /// Those that lacked a right.
    pub refused: Vec<String>,
    /// How many were allowed by RBAC and refused by admission: the namespace is being deleted, or a quota is used up.
    pub refused_by_admission: usize,
}

/// Reads them from audit events.
pub fn requests<'a>(events: impl IntoIterator<Item = &'a Value>) -> Requests {
    let mut found = Requests::default();
    let ours = |event: &&Value| {
        let agent = event["userAgent"].as_str().unwrap_or_default();
        let user = event["user"]["username"].as_str().unwrap_or_default();
        agent.starts_with("aurora-log-export-operator/") && user.ends_with(":aurora-log-export-operator")
    };
    for event in events.into_iter().filter(ours) {
        found.count += 1;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = &event["objectRef"];
        let resource = match object["subresource"].as_str() {
            Some(subresource) => format!("{}/{subresource}", text(&object["resource"])),
            None => text(&object["resource"]),
        };
        let right = (text(&object["apiGroup"]), resource, text(&event["verb"]));
        if event["responseStatus"]["code"] == 403 {
            if event["annotations"]["authorization.k8s.io/decision"] == "allow" {
                found.refused_by_admission += 1;
            } else {
                found.refused.push(format!("{right:?} {}", text(&event["responseStatus"]["message"])));
            }
            continue;
        }
        let name = object["name"].as_str().map(str::to_owned);
        found.used.insert((right.0.clone(), right.1.clone(), right.2.clone(), None));
        found.used.insert((right.0, right.1, right.2, name));
    }
    found
}
