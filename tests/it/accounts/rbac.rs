//! The operator's rights in Kubernetes are those that it uses, and no others.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aurora_test_support::paths::workspace;
use aurora_test_support::wait::wait_for;
use serde_json::{Value, json};

use super::bench::Bench;

/// One right: group, resource, verb, and the object's name where the rule has one.
type Right = (String, String, String, Option<String>);

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

/// The operator's own requests (not those of whoever tries its token): what was let in, and what was refused.
fn requests(events: &[Value]) -> (BTreeSet<Right>, Vec<String>) {
    let (mut allowed, mut refused) = (BTreeSet::new(), Vec::new());
    let ours = |event: &&Value| {
        let agent = event["userAgent"].as_str().unwrap_or_default();
        let user = event["user"]["username"].as_str().unwrap_or_default();
        agent.starts_with("aurora-log-export-operator/") && user.ends_with(":aurora-log-export-operator")
    };
    for event in events.iter().filter(ours) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = &event["objectRef"];
        let resource = match object["subresource"].as_str() {
            Some(subresource) => format!("{}/{subresource}", text(&object["resource"])),
            None => text(&object["resource"]),
        };
        let right = (text(&object["apiGroup"]), resource, text(&event["verb"]));
        if event["responseStatus"]["code"] == 403 {
            refused.push(format!("{right:?} {}", event["responseStatus"]["message"]));
            continue;
        }
        let name = object["name"].as_str().map(str::to_owned);
        allowed.insert((right.0.clone(), right.1.clone(), right.2.clone(), None));
        allowed.insert((right.0, right.1, right.2, name));
    }
    (allowed, refused)
}

#[tokio::test]
async fn the_operator_uses_every_right_it_has_and_asks_for_no_other() -> Result<()> {
    let bench = Bench::start(1, &["--leader-elect=true", "--enable-outputs=true"]).await?;
    for file in ["clusterrole.yaml", "clusterrolebinding.yaml", "admission.yaml"] {
        let path = workspace().join("deploy/kustomize/components/outputs").join(file);
        bench.env.apply_yaml(&std::fs::read_to_string(path)?).await?;
    }
    let ns = bench.ns().to_owned();
    let account = bench.account("prod", "111111111111", json!({})).await?;
    let spec =
        |output: &str| json!({ "accountRef": { "name": account }, "outputs": { "configMapRef": { "name": output } } });
    bench.policy(&ns, "orders", spec("one")).await?;
    bench.wait_policy(&ns, "orders", "InSync").await?;
    bench.policy(&ns, "orders", spec("two")).await?;
    bench.wait_policy(&ns, "orders", "InSync").await?;
    bench.delete_policy(&ns, "orders").await?;
    bench.delete_account(&account).await?;

    let mut rights = granted("base/clusterrole.yaml")?;
    rights.extend(granted("base/role.yaml")?);
    rights.extend(granted("components/outputs/clusterrole.yaml")?);
    // Checked by the API server within other requests: an apply that creates, and an owner reference that blocks.
    rights.retain(|(_, resource, verb, _)| {
        !(resource == "configmaps" && verb == "create") && resource != "auroralogexportpolicies/finalizers"
    });
    ensure!(rights.len() > 10, "{rights:?}");
    wait_for("every right in the audit log", Duration::from_mins(1), async || {
        let (used, refused) = requests(&bench.env.audit_events()?);
        ensure!(refused.is_empty(), "refused: {refused:#?}");
        let idle: Vec<_> = rights.difference(&used).collect();
        ensure!(idle.is_empty(), "granted and not used: {idle:#?}");
        Ok(())
    })
    .await
}
