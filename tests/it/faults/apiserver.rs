//! The API server restarts, forgets, refuses, or does not know our kinds yet: each is said plainly, and tried again.
//!
//! These tests have a control plane of their own: the others must not notice.

use anyhow::{Result, ensure};
use aurora_test_support::controlplane::ControlPlaneOptions;
use aurora_test_support::environment::Environment;
use aurora_test_support::operator::Operator;
use aurora_test_support::wait::wait_for;
use serde_json::json;

use super::site::{LIMIT, Site, logged};

async fn own_environment() -> Result<Environment> {
    Environment::start(ControlPlaneOptions::default()).await
}

#[tokio::test]
async fn missing_kinds_are_named_and_waited_for_and_a_restart_of_the_api_server_is_survived() -> Result<()> {
    let env = own_environment().await?;
    env.install_rbac().await?;
    let site = Site::within(&env).await?;
    let mut operator = site.operator(&["--drift-check-interval=1s"]).await?;
    logged(&operator, &["install the CRDs", "retrying"]).await?;
    operator.check_alive()?;
    env.install_crds().await?;
    site.apply("patient", json!({})).await?;
    site.ready("patient").await?;

    let control_plane = env.control_plane()?;
    let before = site.object("patient").await?;
    // As a crash would; an orderly end waits a minute for open watches.
    control_plane.kill_apiserver()?;
    // Drift is noticed and repaired meanwhile: AWS has not gone.
    let role = site.name("patient");
    site.by_hand(|iam| iam.update_role_description(&role, "by hand"))?;
    wait_for("the description to be put back", LIMIT, async || {
        let description = site.iam().get_role(&role)?.description;
        ensure!(description.as_deref() != Some("by hand"), "{description:?}");
        Ok(())
    })
    .await?;
    control_plane.start_apiserver().await?;
    operator.check_alive()?;
    site.apply("late", json!({})).await?;
    site.ready("late").await?;
    let after = site.object("patient").await?;
    assert_eq!(before.data["status"], after.data["status"]);
    site.delete("patient").await?;
    site.gone("patient").await?;
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn missing_rights_are_named_by_verb_and_resource_and_waited_for() -> Result<()> {
    let site = Site::start().await?;
    let (env, namespace) = (site.env, &site.namespace);
    env.apply_yaml(&format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: nobody, namespace: {namespace}}}\n"
    ))
    .await?;
    let mut options = site.options(&["--drift-check-interval=1s"]);
    options.kubeconfig = Some(env.kubeconfig_for(namespace, "nobody").await?);
    let mut operator = Operator::start(env, options).await?;
    site.apply("a", json!({})).await?;
    logged(&operator, &["cannot get resource", "namespaces", "retrying"]).await?;

    // Some rights: the next thing that is missing is named.
    bind(&site, "some", "{apiGroups: [''], resources: [namespaces], verbs: [get, list, watch]}").await?;
    for words in [
        ["cannot list resource", "auroralogexportpolicies", "ClusterRole"],
        ["cannot list resource", "awsaccounts", "ClusterRole"],
    ] {
        logged(&operator, &words).await?;
    }
    operator.check_alive()?;

    let kinds = "{apiGroups: [auroralogexport.dev], resources: [auroralogexportpolicies, awsaccounts], verbs: [get, list, watch]}";
    bind(&site, "kinds", kinds).await?;
    logged(&operator, &["cannot patch resource", "auroralogexportpolicies"]).await?;
    // Before the finalizer is in place, nothing may be written to AWS.
    let writes = site.writes(0);
    ensure!(writes.is_empty(), "{writes:?}");

    let writes = "{apiGroups: [auroralogexport.dev], resources: [auroralogexportpolicies, auroralogexportpolicies/status], verbs: [get, patch, update]}";
    bind(&site, "writes", writes).await?;
    site.ready("a").await?;
    operator.stop().await?;
    Ok(())
}

/// Lets the ServiceAccount `nobody` do one thing more, anywhere.
async fn bind(site: &Site<'_>, what: &str, rule: &str) -> Result<()> {
    let (namespace, name) = (&site.namespace, format!("{}-{what}", site.namespace));
    site.env
        .apply_yaml(&format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: {name}}}\nrules: [{rule}]\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: {name}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {name}}}\n\
             subjects: [{{kind: ServiceAccount, name: nobody, namespace: {namespace}}}]\n"
        ))
        .await?;
    Ok(())
}
