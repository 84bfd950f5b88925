//! The API server restarts, refuses requests, or does not know our kinds yet: the log names the cause, and the operator
//! retries.
//!
//! These tests have a control plane of their own: the others must not notice.

use anyhow::Result;
use aurora_test_support::controlplane::ControlPlaneOptions;
use aurora_test_support::environment::Environment;
use aurora_test_support::operator::OperatorOptions;
use serde_json::json;

use crate::fixture::Fixture;

async fn own_environment() -> Result<Environment> {
    Environment::start(ControlPlaneOptions::default()).await
}

#[tokio::test]
async fn missing_kinds_are_named_and_waited_for_and_a_restart_of_the_api_server_is_survived() -> Result<()> {
    let env = own_environment().await?;
    env.install_rbac().await?;
    let mut fixture = Fixture::with(&[]).within(&env).start().await?;
    fixture.logged(&["install the CRDs", "retrying"]).await?;
    fixture.check_alive()?;
    env.install_crds().await?;
    fixture.applied("patient", json!({})).await?;

    let control_plane = env.control_plane()?;
    let before = fixture.object("patient").await?;
    // As a crash would; an orderly end waits a minute for open watches.
    control_plane.kill_apiserver()?;
    // Drift is detected and repaired meanwhile: that takes AWS only.
    fixture.by_hand(|iam| iam.update_role_description(&fixture.name("patient"), "by hand"))?;
    let repaired = || Ok(fixture.role("patient")?.description.as_deref() != Some("by hand"));
    fixture.eventually_true("the description to be repaired", repaired).await?;
    control_plane.start_apiserver().await?;
    fixture.check_alive()?;
    fixture.applied("late", json!({})).await?;
    let after = fixture.object("patient").await?;
    assert_eq!(before.data["status"], after.data["status"]);
    fixture.deleted("patient").await?;
    fixture.finish().await
}

#[tokio::test]
async fn missing_rights_are_named_by_verb_and_resource_and_waited_for() -> Result<()> {
    let mut fixture = Fixture::with(&[]).prepare().await?;
    fixture.kubectl(&["create", "serviceaccount", "nobody"]).await?;
    let kubeconfig = Some(fixture.env.kubeconfig_for(fixture.namespace(), "nobody").await?);
    fixture.start_operator_with(OperatorOptions { kubeconfig, ..fixture.own_options() }).await?;
    fixture.apply("a", json!({})).await?;
    fixture.logged(&["cannot get resource", "namespaces", "the cluster name is used in its place"]).await?;

    // With some rights, the next missing one is named.
    bind(&fixture, "some", "{apiGroups: [''], resources: [namespaces], verbs: [get, list, watch]}").await?;
    for words in [
        ["cannot list resource", "auroralogexportpolicies", "ClusterRole"],
        ["cannot list resource", "awsaccounts", "ClusterRole"],
    ] {
        fixture.logged(&words).await?;
    }
    fixture.check_alive()?;

    let kinds = "{apiGroups: [auroralogexport.dev], resources: [auroralogexportpolicies, awsaccounts], verbs: [get, list, watch]}";
    bind(&fixture, "kinds", kinds).await?;
    fixture.logged(&["cannot patch resource", "auroralogexportpolicies"]).await?;
    // Before the finalizer is in place, nothing may be written to AWS.
    assert_eq!(fixture.writes(0), []);

    let writes = "{apiGroups: [auroralogexport.dev], resources: [auroralogexportpolicies, auroralogexportpolicies/status], verbs: [get, patch, update]}";
    bind(&fixture, "writes", writes).await?;
    fixture.ready("a").await?;
    fixture.finish().await
}

/// Grants the ServiceAccount `nobody` another right, in the whole cluster.
async fn bind(fixture: &Fixture<'_>, what: &str, rule: &str) -> Result<()> {
    let (namespace, name) = (fixture.namespace(), format!("{}-{what}", fixture.namespace()));
    fixture.env
        .apply_yaml(&format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: {name}}}\nrules: [{rule}]\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: {name}}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {name}}}\n\
             subjects: [{{kind: ServiceAccount, name: nobody, namespace: {namespace}}}]\n"
        ))
        .await?;
    Ok(())
}
