//! The environment itself does what the other tests take for granted.

use std::time::Duration;

use anyhow::{Result, ensure};
use aurora_log_export_operator::api::AuroraLogExportPolicy;
use aurora_test_support::apply::manifest;
use aurora_test_support::controlplane::{ControlPlane, ControlPlaneOptions};
use aurora_test_support::paths::RunDir;
use aurora_test_support::wait::{wait_for, wait_gone};
use aurora_test_support::{kubeconfig, moto};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{Api, DeleteParams, ListParams};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::environment;

#[tokio::test]
async fn an_empty_spec_is_stored_as_written() -> Result<()> {
    let env = environment().await?;
    let namespace = env.namespace().await?;
    env.apply_yaml(&manifest(&namespace, "a", "{}")).await?;
    let stored = env.kubectl(&["get", "alep", "a", "-n", &namespace, "-o", "jsonpath={.spec} {.status}"]).await?;
    assert_eq!(stored, r#"{} {"observedGeneration":-1}"#);
    Ok(())
}

#[tokio::test]
async fn kubectl_explains_the_spec() -> Result<()> {
    let env = environment().await?;
    // The OpenAPI document follows a new CRD within a second or so.
    let text =
        wait_for("kubectl explain", Duration::from_secs(30), async || env.kubectl(&["explain", "alep.spec"]).await)
            .await?;
    assert!(text.contains("deletionPolicy") && text.contains("adoptionPolicy"), "{text}");
    Ok(())
}

#[tokio::test]
async fn the_emulator_knows_its_account() -> Result<()> {
    let env = environment().await?;
    assert_eq!(env.moto().account().await?, moto::ACCOUNT);
    let full_access = "arn:aws:iam::aws:policy/CloudWatchLogsFullAccess";
    let document = env.aws().policy_document(full_access).await?;
    assert!(document["Statement"].is_array(), "{document}");
    Ok(())
}

#[tokio::test]
async fn the_operators_token_may_what_it_needs_and_no_more() -> Result<()> {
    let env = environment().await?;
    let access = env.install_rbac().await?;
    let client = env.client_for(&access.kubeconfig).await?;
    Api::<AuroraLogExportPolicy>::all(client.clone()).list(&ListParams::default()).await?;
    let refused = Api::<Secret>::all(client).list(&ListParams::default()).await;
    assert!(matches!(&refused, Err(kube::Error::Api(status)) if status.code == 403), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn a_deleted_namespace_goes_with_its_content() -> Result<()> {
    let env = environment().await?;
    let name = env.namespace().await?;
    env.apply_yaml(&format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a, namespace: {name}}}\n")).await?;
    let namespaces: Api<Namespace> = Api::all(env.client().await?);
    namespaces.delete(&name, &DeleteParams::default()).await?;
    let config_maps: Api<ConfigMap> = Api::namespaced(env.client().await?, &name);
    wait_gone(&namespaces, &name, Duration::from_mins(1)).await?;
    assert!(config_maps.list(&ListParams::default()).await?.items.is_empty());
    Ok(())
}

#[tokio::test]
async fn the_audit_log_names_who_did_what() -> Result<()> {
    let env = environment().await?;
    env.audit_events()?;
    let namespace = env.namespace().await?;
    wait_for("the request in the audit log", Duration::from_secs(10), async || {
        let events = env.audit_events()?;
        let created = events.iter().any(|event| {
            event["verb"] == "create"
                && event["objectRef"]["name"] == *namespace
                && event["user"]["username"] == "admin"
        });
        ensure!(created, "{} events, not this one", events.len());
        Ok(())
    })
    .await
}

/// A control plane of its own: the others must not notice.
#[tokio::test]
async fn the_api_server_can_be_stopped_frozen_and_started_again() -> Result<()> {
    let run = RunDir::create()?;
    let control_plane = ControlPlane::start(run.path(), ControlPlaneOptions::default()).await?;
    let namespaces: Api<Namespace> = Api::all(kubeconfig::client(control_plane.kubeconfig().clone()).await?);
    let look = async || anyhow::Ok(timeout(Duration::from_millis(500), namespaces.get("default")).await??);
    let uid = look().await?.metadata.uid;

    control_plane.stop_apiserver().await?;
    ensure!(look().await.is_err(), "a stopped server answers");
    control_plane.start_apiserver().await?;
    // The client finds the server again at the same place, with the same data.
    let again = wait_for("the same client to be answered", Duration::from_secs(10), look).await?;
    assert_eq!(again.metadata.uid, uid);

    control_plane.pause_apiserver()?;
    let frozen = look().await.err();
    ensure!(frozen.is_some_and(|error| error.is::<Elapsed>()), "a frozen server answers or refuses");
    control_plane.resume_apiserver()?;
    wait_for("an answer after the freeze", Duration::from_secs(10), look).await?;
    Ok(())
}
