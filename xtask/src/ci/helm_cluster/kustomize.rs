//! `kubectl apply -k` of the base and of every overlay, each with an operator that runs as its Deployment says.

use std::path::Path;

use anyhow::{Context, Result};
use aurora_test_support::paths::workspace;
use aurora_test_support::wait::wait_for;

use super::super::delivery::{NAMESPACE, overlays};
use super::super::{SHORT, say};
use super::deployed::Deployed;
use super::{Sample, Site, admission};

/// The namespace that the overlay for a single one watches.
const WATCHED: &str = "databases";

pub(super) async fn check(site: &Site) -> Result<()> {
    site.env.kubectl(&["create", "namespace", WATCHED]).await?;
    let base = workspace().join("deploy/kustomize/base");
    // What Helm left: the same object goes on under the base, whose names and labels are the chart's.
    let sample = Sample { namespace: String::from("default"), name: String::from("orders") };
    apply(site, &base).await?;
    let operator = started(site).await?;
    sample.edit(site, "from-helm-to-kustomize").await.with_context(|| operator.log_end())?;
    sample.delete(site).await.with_context(|| operator.log_end())?;
    operator.stop().await?;
    remove(site, &base).await?;
    say(
        "kubectl apply -k base: takes over what Helm left, Pods pass the restricted standard, an object comes and goes",
    );
    for overlay in overlays()? {
        let name = overlay.file_name().unwrap_or_default().to_string_lossy().into_owned();
        check_overlay(site, &overlay, &name).await.with_context(|| format!("overlay {name}"))?;
    }
    Ok(())
}

async fn check_overlay(site: &Site, overlay: &Path, name: &str) -> Result<()> {
    apply(site, overlay).await?;
    let pods = admission::pods_are_admitted(&site.env, NAMESPACE).await?;
    let operator = started(site).await?;
    let sample =
        wait_for("the API server to serve the CRD", SHORT, async || Sample::create(site, WATCHED, name).await).await?;
    sample.until_ready(site).await.with_context(|| operator.log_end())?;
    sample.delete(site).await.with_context(|| operator.log_end())?;
    operator.stop().await?;
    remove(site, overlay).await?;
    say(&format!(
        "kubectl apply -k overlays/{name}: {pods} Pods pass the restricted standard, an object comes and goes"
    ));
    Ok(())
}

async fn started(site: &Site) -> Result<Deployed> {
    admission::pods_are_admitted(&site.env, NAMESPACE).await?;
    wait_for("the Deployment's Pods", SHORT, async || Deployed::start(site, NAMESPACE).await).await
}

async fn apply(site: &Site, kustomization: &Path) -> Result<()> {
    let path = kustomization.display().to_string();
    // A CRD that was just removed may still be on its way out.
    wait_for(&format!("kubectl apply -k {path}"), SHORT, async || {
        site.env.kubectl(&["apply", "--server-side", "-k", &path]).await
    })
    .await?;
    Ok(())
}

async fn remove(site: &Site, kustomization: &Path) -> Result<()> {
    site.env.kubectl(&["delete", "-k", &kustomization.display().to_string(), "--timeout=100s"]).await?;
    Ok(())
}
