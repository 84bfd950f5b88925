//! What may not change once an object exists, and what may.

use anyhow::{Result, ensure};
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use super::{create, policies_path, policy};
use crate::environment;
use aurora_log_export_operator::api::{AuroraLogExportPolicy, AwsAccount};

/// The immutable fields, a value of each and another.
fn immutable() -> [(&'static str, Value, Value); 5] {
    [
        ("policyName", json!("first"), json!("second")),
        ("roleName", json!("first"), json!("second")),
        ("policyPath", json!("/first/"), json!("/second/")),
        ("rolePath", json!("/first/"), json!("/second/")),
        ("accountRef", json!({ "name": "first" }), json!({ "name": "second" })),
    ]
}

/// The API server's message, if it refuses the change.
async fn refusal(client: &Client, namespace: &str, name: &str, spec: &Value) -> Result<Option<String>> {
    let api: Api<AuroraLogExportPolicy> = Api::namespaced(client.clone(), namespace);
    let changed = api.patch(name, &PatchParams::default(), &Patch::Merge(json!({ "spec": spec }))).await;
    match changed {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}

#[tokio::test]
async fn a_rename_of_role_or_policy_alone_or_of_anything_immutable_is_refused() -> Result<()> {
    let env = environment().await?;
    let namespace = env.namespace().await?;
    let (client, path) = (env.client().await?, policies_path(&namespace));
    let all: Value = immutable().into_iter().map(|(field, value, _)| (field.to_owned(), value)).collect();
    create(&client, &path, &policy(&namespace, "unset", "{}"), false).await?;
    create(&client, &path, &policy(&namespace, "set", &all.to_string()), false).await?;
    for (field, value, other) in immutable() {
        for (name, what, change) in [("set", "changed", other), ("set", "unset", Value::Null), ("unset", "set", value)]
        {
            let message = refusal(&client, &namespace, name, &json!({ field: change })).await?;
            let message = message.unwrap_or_else(|| panic!("{field} was {what}"));
            let words = format!("spec.{field}: Forbidden: {field} cannot be changed, set or unset");
            assert!(message.contains(&words), "{field} {what}: {message}");
            for (another, _, _) in immutable().iter().filter(|(another, _, _)| *another != field) {
                assert!(!message.contains(&format!("spec.{another}:")), "{field} {what}: {message}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn leaving_an_immutable_field_out_of_an_apply_is_refused() -> Result<()> {
    let env = environment().await?;
    let namespace = env.namespace().await?;
    env.apply_yaml(&policy(&namespace, "a", "roleName: exports\ndescription: one")).await?;
    env.apply_yaml(&policy(&namespace, "a", "roleName: exports\ndescription: two")).await?;
    let error = env.apply_yaml(&policy(&namespace, "a", "description: two")).await.err();
    let message = error.map(|error| format!("{error:#}")).unwrap_or_default();
    assert!(message.contains("spec.roleName: Forbidden"), "{message}");
    Ok(())
}

#[tokio::test]
async fn everything_else_may_be_set_changed_and_unset() -> Result<()> {
    let env = environment().await?;
    let namespace = env.namespace().await?;
    let (client, path) = (env.client().await?, policies_path(&namespace));
    create(&client, &path, &policy(&namespace, "a", "roleName: exports"), false).await?;
    for spec in [
        json!({ "description": "x", "tags": { "team": "a" }, "scope": { "regions": ["eu-west-1"] } }),
        json!({ "description": "y", "tags": { "team": null, "Team": "b" }, "scope": { "regions": ["*"] } }),
        json!({ "scope": null, "access": "FullAccess", "suspend": true, "deletionPolicy": "Retain" }),
        json!({ "access": null, "suspend": null, "deletionPolicy": null, "description": null, "tags": null }),
    ] {
        let refused = refusal(&client, &namespace, "a", &spec).await?;
        assert_eq!(refused, None, "{spec}");
    }
    let narrowed = json!({ "access": "FullAccess", "scope": { "regions": ["eu-west-1"] } });
    let message = refusal(&client, &namespace, "a", &narrowed).await?.unwrap_or_default();
    assert!(message.contains("spec.scope: Forbidden"), "{message}");
    Ok(())
}

#[tokio::test]
async fn the_id_of_an_account_cannot_be_changed() -> Result<()> {
    let env = environment().await?;
    // Unique, as accounts have no namespace; a role that nobody may assume keeps it out of other tests' way.
    let name = env.namespace().await?;
    let yaml = |id: &str| super::account(&name, &format!("accountId: '{id}'"));
    env.apply_yaml(&yaml("123456789012")).await?;
    let message = env.apply_yaml(&yaml("210987654321")).await.err().map(|error| format!("{error:#}"));
    let accounts: Api<AwsAccount> = Api::all(env.client().await?);
    accounts.delete(&name, &kube::api::DeleteParams::default()).await?;
    let message = message.unwrap_or_default();
    ensure!(message.contains("spec.accountId: Forbidden: accountId cannot be changed"), "{message}");
    Ok(())
}
