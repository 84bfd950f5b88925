//! etcd is restored from a backup under a running operator: revisions go back, and a watch that continues would stay blind.

use anyhow::{Result, ensure};
use aurora_test_support::controlplane::ControlPlaneOptions;
use aurora_test_support::environment::Environment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::fixture::Fixture;

/// Far more revisions than the API server writes while it starts.
const WRITES: usize = 300;

/// Makes the revisions grow.
async fn grow(fixture: &Fixture<'_>) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(fixture.client.clone(), fixture.namespace());
    for count in 0..WRITES {
        let patch = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "count" }, "data": { "count": count.to_string() } });
        api.patch("count", &PatchParams::apply("grow").force(), &Patch::Apply(&patch)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_restored_etcd_is_noticed_and_everything_is_listed_again() -> Result<()> {
    let env = Environment::start(ControlPlaneOptions::default()).await?;
    env.install_crds().await?;
    let control_plane = env.control_plane()?;
    let mut fixture = Fixture::with(&["--leader-elect=true"]).within(&env).prepare().await?;
    fixture.start_operator().await?;
    fixture.applied("kept", json!({})).await?;
    fixture.apply("lost", json!({ "suspend": true })).await?;
    fixture.not_ready("lost", "Suspended").await?;
    control_plane.back_up_etcd().await?;
    fixture.client = env.client().await?;
    // The operator works with revisions that are lost.
    fixture.apply("kept", json!({ "scope": { "regions": ["eu-west-1"] } })).await?;
    fixture.ready("kept").await?;
    ensure!(fixture.document("kept")?.contains("eu-west-1"), "the change was missed");
    fixture.deleted("lost").await?;
    fixture.applied("after", json!({})).await?;
    grow(&fixture).await?;
    fixture.applied("last", json!({})).await?;

    control_plane.restore_etcd().await?;
    fixture.client = env.client().await?;
    fixture
        .eventually_true("the policy of the restored spec", || Ok(!fixture.document("kept")?.contains("eu-west-1")))
        .await?;
    fixture.ready("kept").await?;
    fixture.apply("lost", json!({})).await?;
    fixture.ready("lost").await?;
    fixture.applied("new", json!({})).await?;
    fixture.logged(&["etcd was restored"]).await?;
    fixture.finish().await
}
