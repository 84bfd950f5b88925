//! The life of a Helm release: installed from the previous chart, upgraded, rolled back, upgraded again, uninstalled.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use aurora_test_support::apply;
use aurora_test_support::paths::workspace;
use aurora_test_support::wait::wait_for;
use kube::ResourceExt;
use serde_json::Value;

use super::super::delivery::{CHART, NAMESPACE, RELEASE};
use super::super::process::{self, fresh_dir};
use super::super::{SHORT, say};
use super::deployed::Deployed;
use super::{Sample, Site, admission, previous, restricted_namespace};

pub(super) async fn check(site: &Site) -> Result<()> {
    let dir = fresh_dir("helm-cluster")?;
    let before = previous::chart(&dir).await?;
    say(&format!("upgrading from: {}", before.origin));
    let now = workspace().join(CHART);
    restricted_namespace(&site.env, NAMESPACE).await?;

    helm(site, &["install", RELEASE], Some(&before.path), &["--set=replicaCount=3"]).await?;
    let pods = admission::pods_are_admitted(&site.env, NAMESPACE).await?;
    ensure!(pods == 3, "{pods} Pods instead of 3");
    say(&format!("helm install: {pods} Pods pass the restricted standard, one with SYS_ADMIN is refused"));
    let sample = served(site).await?;
    let first = Deployed::start(site, NAMESPACE).await?;
    sample.until_ready(site).await.with_context(|| first.log_end())?;
    say("an object is ready with the chart's ServiceAccount and roles");

    helm(
        site,
        &["upgrade", RELEASE],
        Some(&now),
        &["--reset-then-reuse-values", "--set=operator.driftCheckInterval=5s"],
    )
    .await?;
    crds_are_current(site).await?;
    let second = succeeded(site, first, &sample, "upgraded").await?;
    let pods = admission::pods_are_admitted(&site.env, NAMESPACE).await?;
    ensure!(pods == 3, "{pods} Pods instead of 3: the upgrade has forgotten what was set before");
    say(&format!(
        "helm upgrade: CRDs are the present ones, {pods} Pods, the object is still ready and follows an edit"
    ));

    helm(site, &["rollback", RELEASE, "1"], None, &[]).await?;
    let third = succeeded(site, second, &sample, "rolled-back").await?;
    say("helm rollback: the same with the first revision's arguments, roles and CRDs");

    helm(site, &["rollback", RELEASE, "2"], None, &[]).await?;
    crds_are_current(site).await?;
    let fourth = succeeded(site, third, &sample, "forward-again").await?;
    fourth.stop().await?;

    let before = sample.get(site).await?;
    helm(site, &["uninstall", RELEASE], None, &["--wait"]).await?;
    let crds = site.env.kubectl(&["get", "crds", "--output=name"]).await?;
    for crd in ["auroralogexportpolicies.auroralogexport.dev", "awsaccounts.auroralogexport.dev"] {
        ensure!(crds.contains(crd), "helm uninstall removed the CRD {crd}");
    }
    let after = sample.get(site).await?;
    ensure!(after.metadata.uid == before.metadata.uid, "the object is another one after helm uninstall");
    ensure!(after.metadata.deletion_timestamp.is_none(), "helm uninstall deletes the object");
    ensure!(!sample.role(site).is_null(), "helm uninstall removed the role from IAM");
    let left = site.env.kubectl(&["get", "deployments,services,roles,serviceaccounts", "-n", NAMESPACE, "-o=name"]);
    let left = left.await?;
    ensure!(!left.contains(RELEASE), "helm uninstall left behind:\n{left}");
    say("helm uninstall: CRDs, object and role stay, everything else is gone");
    Ok(())
}

/// The sample of this step; the first one has to wait until the new CRD is served.
async fn served(site: &Site) -> Result<Sample> {
    wait_for("the API server to serve the CRD", SHORT, async || Sample::create(site, "default", "orders").await).await
}

/// Starts what the cluster says now beside the old operator, ends that one, and sees to it that the new one works: as
/// in a rolling update, the Lease goes from one to the other.
async fn succeeded(site: &Site, old: Deployed, sample: &Sample, team: &str) -> Result<Deployed> {
    // The controller needs a moment until the new template has its Pods.
    let new = wait_for("Pods of the new template", SHORT, async || Deployed::start(site, NAMESPACE).await).await?;
    old.stop().await?;
    sample.edit(site, team).await.with_context(|| new.log_end())?;
    Ok(new)
}

/// What the API server stores is what `crds/` says.
async fn crds_are_current(site: &Site) -> Result<()> {
    for wanted in apply::shipped_crds()? {
        let name = wanted.name_any();
        let stored = site.env.kubectl(&["get", "crd", &name, "--output=json"]).await?;
        let stored: Value = serde_json::from_str(&stored)?;
        let schema = |spec: &Value| spec["versions"][0]["schema"].clone();
        if let Some(place) = first_difference(&schema(&stored["spec"]), &schema(&wanted.data["spec"]), "") {
            bail!("the CRD {name} in the cluster differs from crds/ at {place}");
        }
    }
    Ok(())
}

/// Where two values differ, as a path with both sides.
fn first_difference(left: &Value, right: &Value, path: &str) -> Option<String> {
    let (Some(ours), Some(theirs)) = (left.as_object(), right.as_object()) else {
        // 1000 and 1000.0 are one number in a schema.
        let same_number = left.is_number() && left.as_f64() == right.as_f64();
        return (left != right && !same_number).then(|| format!("{path}: {left} instead of {right}"));
    };
    let keys: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    keys.into_iter().find_map(|key| first_difference(&left[key], &right[key], &format!("{path}/{key}")))
}

async fn helm(site: &Site, action: &[&str], chart: Option<&Path>, more: &[&str]) -> Result<String> {
    let home = site.env.dir().join("helm");
    process::output(&site.tools.helm, |command| {
        command.env_clear().env("HOME", home).env("KUBECONFIG", site.env.kubeconfig());
        command.args(action).args(chart).args(["--namespace", NAMESPACE]).args(more);
    })
    .await
}
