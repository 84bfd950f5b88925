//! The `ValidatingAdmissionPolicies` that `deploy/` offers, on the real API server.

use anyhow::{Context, Result, ensure};
use aurora_log_export_operator::api::{ABANDON, AuroraLogExportPolicy, AwsAccount};
use aurora_test_support::paths::workspace;
use aurora_test_support::wait::wait_for;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use super::bench::{Bench, LIMIT};

/// Installs `deploy/admission/bindings`. The cluster is shared: the rules for teams are bound to one namespace only, and by
/// one test only, for a binding is replaced whole. What holds the operator's own account is bound as shipped, so that every
/// other test runs under it.
async fn install(bench: &Bench, teams: bool) -> Result<()> {
    let dir = workspace().join("deploy/admission/bindings");
    let rendered = bench.env.kubectl(&["kustomize", &dir.display().to_string()]).await?;
    let here = json!({ "key": "kubernetes.io/metadata.name", "operator": "In", "values": [bench.ns()] });
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
    bench.env.apply_yaml(&documents.join("\n---\n")).await?;
    Ok(())
}

#[tokio::test]
async fn the_platform_teams_rules_are_refused_at_admission_once_bound() -> Result<()> {
    let bench = Bench::start(2, &[]).await?;
    let (ns, free) = (bench.ns().to_owned(), bench.namespaces[1].clone());
    // What was there before is not taken away, and may be edited.
    bench.policy(&ns, "old", json!({ "access": "FullAccess", "adoptionPolicy": "Tagged" })).await?;
    install(&bench, true).await?;
    let attempts = [
        (json!({ "access": "FullAccess" }), "spec.access: FullAccess is not allowed here"),
        (json!({ "adoptionPolicy": "Always" }), "spec.adoptionPolicy: Always is not allowed here"),
        (json!({ "policyName": "team-orders" }), "spec.policyName must contain the namespace"),
        (json!({ "roleName": "team-orders" }), "spec.roleName must contain the namespace"),
        (json!({ "policyName": ns }), "spec.policyName must begin with team-"),
        (json!({ "roleName": ns }), "spec.roleName must begin with team-"),
    ];
    for (spec, expected) in attempts {
        // The API server takes up a new policy within seconds.
        wait_for(expected, LIMIT, async || {
            let object = json!({ "apiVersion": "auroralogexport.dev/v1alpha1", "kind": "AuroraLogExportPolicy",
                                 "metadata": { "name": "new", "namespace": ns }, "spec": spec });
            let params = PatchParams::apply("bench").dry_run();
            match bench.policies(&ns).patch("new", &params, &Patch::Apply(&object)).await {
                Ok(_) => anyhow::bail!("let in: {spec}"),
                Err(error) => ensure!(error.to_string().contains(expected), "{error}"),
            }
            Ok(())
        })
        .await?;
        // Elsewhere nothing is bound.
        bench.policy(&free, "new", json!({ "suspend": true })).await?;
    }
    bench.policy(&ns, "fits", json!({ "roleName": format!("team-{ns}") })).await?;
    bench.policy(&ns, "old", json!({ "access": "FullAccess", "description": "edited" })).await?;
    bench.wait_policy(&ns, "old", "InSync").await?;
    bench.wait_policy(&ns, "fits", "InSync").await?;
    bench.delete_policy(&ns, "old").await
}

#[tokio::test]
async fn the_operators_token_changes_finalizers_and_status_and_nothing_else() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    install(&bench, false).await?;
    let ns = bench.ns().to_owned();
    let account = bench.account("prod", "111111111111", json!({})).await?;
    bench.policy(&ns, "orders", json!({ "accountRef": { "name": account } })).await?;
    bench.wait_policy(&ns, "orders", "InSync").await?;
    let stolen = bench.env.install_rbac().await?.kubeconfig.clone();
    let thief = bench.env.client_for(&stolen).await?;
    let policies = Api::<AuroraLogExportPolicy>::namespaced(thief.clone(), &ns);
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
        &["delete", "alep/orders", "-n", &ns],
        &["create", "namespace", "x"],
        &["create", "token", "default", "-n", "kube-system"],
        &["delete", "awsaccount", &account],
        &["create", "clusterrolebinding", "x", "--clusterrole=cluster-admin", "--user=x"],
    ] {
        let answer = bench.env.kubectl_with(&stolen, arguments, None).await;
        let error = answer.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(error.contains("forbidden"), "{arguments:?}: {error}");
    }
    // And with that it does its work to the end.
    bench.delete_policy(&ns, "orders").await?;
    assert_eq!(bench.holds("111111111111"), (0, 0));
    bench.delete_account(&account).await
}

#[tokio::test]
async fn the_operators_token_writes_no_config_map_but_those_that_our_kind_owns() -> Result<()> {
    let bench = Bench::start(1, &["--enable-outputs=true"]).await?;
    let component = workspace().join("deploy/kustomize/components/outputs");
    for file in ["clusterrole.yaml", "clusterrolebinding.yaml", "admission.yaml"] {
        bench.env.apply_yaml(&std::fs::read_to_string(component.join(file))?).await?;
    }
    let ns = bench.ns().to_owned();
    bench
        .env
        .apply_yaml(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: aws-auth, namespace: {ns}}}\ndata: {{mapRoles: '[]'}}\n"
        ))
        .await?;
    bench.policy(&ns, "orders", json!({ "outputs": { "configMapRef": { "name": "orders" } } })).await?;
    bench.wait_policy(&ns, "orders", "InSync").await?;
    let stolen = bench.env.install_rbac().await?.kubeconfig.clone();
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
            arguments.extend(["-n", &ns, "--dry-run=server"]);
            let answer = bench.env.kubectl_with(&stolen, &arguments, None).await;
            let error = answer.err().map(|error| format!("{error:#}")).unwrap_or_default();
            ensure!(error.contains(expected), "{arguments:?}: {error}");
            Ok(())
        })
        .await?;
    }
    bench.delete_policy(&ns, "orders").await
}
