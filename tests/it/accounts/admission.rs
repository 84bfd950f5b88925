//! The `ValidatingAdmissionPolicies` that `deploy/` offers, on the real API server.

use anyhow::{Context, Result, ensure};
use aurora_log_export_operator::api::{ABANDON, AuroraLogExportPolicy, AwsAccount};
use aurora_test_support::paths::workspace;
use aurora_test_support::wait::wait_for;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use super::objects::of_account;
use crate::fixture::{Fixture, LIMIT};

/// Installs `deploy/admission/bindings`. The cluster is shared: the rules for teams are bound to one namespace only, and by
/// one test only, since applying a binding replaces it as a whole. The rules for the operator's ServiceAccount are bound as
/// shipped, and hold in every other test.
async fn install(fixture: &Fixture<'_>, teams: bool) -> Result<()> {
    let dir = workspace().join("deploy/admission/bindings");
    let rendered = fixture.env.kubectl(&["kustomize", &dir.display().to_string()]).await?;
    let here = json!({ "key": "kubernetes.io/metadata.name", "operator": "In", "values": [fixture.namespace()] });
    let mut documents = Vec::new();
    for document in rendered.split("\n---\n") {
        let mut object: Value = serde_saphyr::from_str(document).context("kustomize writes YAML")?;
        if object["kind"] == "ValidatingAdmissionPolicyBinding"
            && let Some(expressions) =
                object["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"].as_array_mut()
        {
            if !teams {
                continue;
            }
            expressions.push(here.clone());
        }
        documents.push(object.to_string());
    }
    fixture.env.apply_yaml(&documents.join("\n---\n")).await?;
    Ok(())
}

#[tokio::test]
async fn the_platform_teams_rules_are_refused_at_admission_once_bound() -> Result<()> {
    let fixture = Fixture::with(&[]).namespaces(2).start().await?;
    let (ns, free) = (fixture.namespace(), format!("{}/new", fixture.namespaces[1]));
    // An object that exists before the binding stays, and may be edited.
    fixture.apply("old", json!({ "access": "FullAccess", "adoptionPolicy": "Tagged" })).await?;
    install(&fixture, true).await?;
    let attempts = [
        (json!({ "access": "FullAccess" }), "spec.access: FullAccess is not allowed here"),
        (json!({ "adoptionPolicy": "Always" }), "spec.adoptionPolicy: Always is not allowed here"),
        (json!({ "policyName": "team-orders" }), "spec.policyName must begin with"),
        (json!({ "roleName": "team-orders" }), "spec.roleName must begin with"),
        (json!({ "policyName": format!("team-{ns}-eu.orders") }), "spec.policyName must begin with team-"),
        (json!({ "policyName": format!("{ns}.orders") }), "spec.policyName must begin with team-"),
        (json!({ "roleName": format!("{ns}.orders") }), "spec.roleName must begin with team-"),
    ];
    for (spec, expected) in attempts {
        // The API server takes up a new policy within seconds.
        wait_for(expected, LIMIT, async || {
            let object = json!({ "apiVersion": "auroralogexport.dev/v1alpha1", "kind": "AuroraLogExportPolicy",
                                 "metadata": { "name": "new", "namespace": ns }, "spec": spec });
            let params = PatchParams::apply("aurora-test").dry_run();
            match fixture.api().patch("new", &params, &Patch::Apply(&object)).await {
                Ok(_) => anyhow::bail!("let in: {spec}"),
                Err(error) => ensure!(error.to_string().contains(expected), "{error}"),
            }
            Ok(())
        })
        .await?;
        // The other namespace is not bound.
        fixture.apply(&free, json!({ "suspend": true })).await?;
    }
    let account = fixture.account("prod", "111111111111", json!({ "guardrails": { "namePrefix": "team-" } })).await?;
    let fits = json!({ "accountRef": { "name": account }, "roleName": format!("team-{ns}.export") });
    fixture.apply("fits", fits).await?;
    fixture.applied("old", json!({ "access": "FullAccess", "description": "edited" })).await?;
    fixture.ready("fits").await?;
    fixture.deleted("old").await
}

#[tokio::test]
async fn the_operators_token_changes_finalizers_and_status_and_nothing_else() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    install(&fixture, false).await?;
    let account = fixture.account("prod", "111111111111", json!({})).await?;
    fixture.applied("orders", of_account(&account)).await?;
    let stolen = fixture.env.install_rbac().await?.kubeconfig.clone();
    let thief = fixture.env.client_for(&stolen).await?;
    let policies = Api::<AuroraLogExportPolicy>::namespaced(thief.clone(), fixture.namespace());
    let accounts = Api::<AwsAccount>::all(thief);
    let owner = json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "b" }]);
    let attempts = [
        (json!({ "spec": { "suspend": true } }), "may not change a spec"),
        (json!({ "metadata": { "labels": { "a": "b" } } }), "may not change labels"),
        (json!({ "metadata": { "annotations": { ABANDON: "true" } } }), "may not change annotations"),
        (json!({ "metadata": { "ownerReferences": owner } }), "may not change owner references"),
    ];
    let params = PatchParams::default().dry_run();
    for (patch, expected) in attempts {
        // The API server takes up a new policy within seconds.
        wait_for(expected, LIMIT, async || {
            let answer = policies.patch("orders", &params, &Patch::Merge(&patch)).await;
            let error = answer.err().map(|error| error.to_string()).unwrap_or_default();
            ensure!(error.contains(expected), "{patch}: {error:?}");
            Ok(())
        })
        .await?;
    }
    let open = json!({ "spec": { "allowedNamespaces": { "selector": {} } } });
    let answer = accounts.patch(&account, &params, &Patch::Merge(&open)).await;
    let error = answer.err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(error.contains("may not change a spec"), "{error:?}");
    for arguments in [
        &["get", "secrets", "-A"][..],
        &["get", "pods", "-A"],
        &["delete", "alep/orders", "-n", fixture.namespace()],
        &["create", "namespace", "x"],
        &["create", "token", "default", "-n", "kube-system"],
        &["delete", "awsaccount", &account],
        &["create", "clusterrolebinding", "x", "--clusterrole=cluster-admin", "--user=x"],
    ] {
        let answer = fixture.env.kubectl_with(&stolen, arguments, None).await;
        let error = answer.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(error.contains("forbidden"), "{arguments:?}: {error}");
    }
    // With these rights it can still delete.
    fixture.deleted("orders").await?;
    assert_eq!(fixture.holds("111111111111"), (0, 0));
    fixture.account_deleted(&account).await
}

/// A release of another name has a ServiceAccount of another name.
#[tokio::test]
async fn an_operator_of_any_name_changes_no_spec() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    install(&fixture, false).await?;
    fixture.applied("orders", json!({})).await?;
    let ns = fixture.namespace();
    fixture.kubectl(&["create", "serviceaccount", "prod-aurora-log-expor"]).await?;
    fixture.kubectl(&["create", "serviceaccount", "deployer"]).await?;
    for (role, account) in [("", "prod-aurora-log-expor"), ("-editor", "deployer")] {
        let (name, role) = (format!("{ns}{role}"), format!("--clusterrole=aurora-log-export-operator{role}"));
        let account = format!("--serviceaccount={ns}:{account}");
        fixture.kubectl(&["create", "rolebinding", &name, &role, &account]).await?;
    }
    let edit = async |account: &str| {
        let client = fixture.env.client_for(&fixture.env.kubeconfig_for(ns, account).await?).await?;
        let edited = Patch::Merge(json!({ "spec": { "description": "edited" } }));
        let policies = Api::<AuroraLogExportPolicy>::namespaced(client, ns);
        policies.patch("orders", &PatchParams::default().dry_run(), &edited).await?;
        anyhow::Ok(())
    };
    wait_for("the policy to hold", LIMIT, async || {
        let error = edit("prod-aurora-log-expor").await.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(error.contains("the operator may not change a spec"), "{error:?}");
        Ok(())
    })
    .await?;
    edit("deployer").await?;
    fixture.finish().await
}

#[tokio::test]
async fn the_operators_token_writes_no_config_map_but_those_that_our_kind_owns() -> Result<()> {
    let mut fixture = Fixture::with(&["--enable-outputs=true"]).prepare().await?;
    fixture.install_outputs().await?;
    fixture.start_operator().await?;
    fixture.kubectl(&["create", "configmap", "aws-auth", "--from-literal=mapRoles=[]"]).await?;
    fixture.applied("orders", json!({ "outputs": { "configMapRef": { "name": "orders" } } })).await?;
    let stolen = fixture.env.install_rbac().await?.kubeconfig.clone();
    let attempts = [
        (
            &["patch", "configmap", "aws-auth", "--type=merge", "-p", r#"{"data":{"mapRoles":"[admin]"}}"#][..],
            "no AuroraLogExportPolicy controls this one",
        ),
        (&["delete", "configmap", "aws-auth"], "no AuroraLogExportPolicy controls this one"),
        (&["create", "configmap", "new", "--from-literal=roleArn=x"], "that an AuroraLogExportPolicy controls"),
        (
            &["patch", "configmap", "orders", "--type=merge", "-p", r#"{"data":{"mapRoles":"[admin]"}}"#],
            "may only write the keys",
        ),
        (
            &["patch", "configmap", "orders", "--type=merge", "-p", r#"{"metadata":{"ownerReferences":null}}"#],
            "that an AuroraLogExportPolicy controls",
        ),
    ];
    for (arguments, expected) in attempts {
        wait_for(expected, LIMIT, async || {
            let mut arguments = arguments.to_vec();
            arguments.extend(["-n", fixture.namespace(), "--dry-run=server"]);
            let answer = fixture.env.kubectl_with(&stolen, &arguments, None).await;
            let error = answer.err().map(|error| format!("{error:#}")).unwrap_or_default();
            ensure!(error.contains(expected), "{arguments:?}: {error}");
            Ok(())
        })
        .await?;
    }
    fixture.deleted("orders").await
}
