//! Permissions in one namespace only: no namespace, no AwsAccount and no object of another namespace can be read.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use aurora_test_support::operator::OperatorOptions;
use aurora_test_support::wait::wait_for;
use serde_json::json;

use super::Cli;
use crate::fixture::{Fixture, LIMIT};

/// What the operator and the commands need in the namespace that they work in.
fn rights(namespace: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: limited, namespace: {namespace}}}\n\
         ---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: limited, namespace: {namespace}}}\n\
         rules:\n\
         - {{apiGroups: [auroralogexport.dev], resources: [auroralogexportpolicies], verbs: [get, list, watch, patch]}}\n\
         - {{apiGroups: [auroralogexport.dev], resources: [auroralogexportpolicies/status], verbs: [patch]}}\n\
         - {{apiGroups: [events.k8s.io], resources: [events], verbs: [create, list]}}\n\
         - {{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create, get, update]}}\n\
         ---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: limited, namespace: {namespace}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: limited}}\n\
         subjects: [{{kind: ServiceAccount, name: limited, namespace: {namespace}}}]\n"
    )
}

/// A fixture without an operator, and the kubeconfig of an account with these rights.
async fn limited() -> Result<(Fixture<'static>, PathBuf)> {
    let fixture = Fixture::with(&[]).prepare().await?;
    fixture.env.apply_yaml(&rights(fixture.namespace())).await?;
    let kubeconfig = fixture.env.kubeconfig_for(fixture.namespace(), "limited").await?;
    Ok((fixture, kubeconfig))
}

fn cli(fixture: &Fixture<'_>, kubeconfig: &Path) -> Cli {
    Cli::new(fixture.env, &fixture.aws.url())
        .env("KUBECONFIG", &kubeconfig.display().to_string())
        .env("ALEP_NAMESPACE", fixture.namespace())
}

impl Fixture<'_> {
    async fn start_limited(&mut self, kubeconfig: &Path, flags: &[&str]) -> Result<()> {
        let options = self.options(flags).env("POD_NAMESPACE", self.namespace());
        self.start_operator_with(OperatorOptions { kubeconfig: Some(kubeconfig.to_owned()), ..options }).await
    }
}

#[tokio::test]
async fn an_operator_that_may_not_read_kube_system_needs_a_flag_and_says_which() -> Result<()> {
    let (fixture, kubeconfig) = limited().await?;
    let watch = format!("--watch-namespace={}", fixture.namespace());
    let run = ["run", &watch, "--leader-elect=false", "--http-addr=127.0.0.1:0"];
    let ended = cli(&fixture, &kubeconfig).run(&run).await?;
    assert_eq!(ended.code, 1, "{ended:?}");
    for part in ["kube-system", "--cluster-uid", "--cluster-name", "operator.clusterUid", "clusterName"] {
        assert!(ended.stderr.contains(part), "{part}: {ended:?}");
    }
    // With the right, a flag for another cluster is an error.
    let other = Cli::new(fixture.env, &fixture.aws.url()).run(&[&run[..], &["--cluster-uid=other"]].concat()).await?;
    assert_eq!(other.code, 1, "{other:?}");
    assert!(other.stderr.contains("--cluster-uid=other is not the UID of this cluster"), "{other:?}");
    Ok(())
}

#[tokio::test]
async fn with_the_uid_of_the_cluster_permissions_in_one_namespace_are_enough() -> Result<()> {
    let (mut fixture, kubeconfig) = limited().await?;
    let uid = fixture.cluster_uid().await?;
    fixture.start_limited(&kubeconfig, &[&format!("--cluster-uid={uid}")]).await?;
    fixture.applied("orders", json!({})).await?;
    let tags = fixture.iam().get_role(&fixture.name("orders"))?.tags;
    assert_eq!(tags, fixture.ownership("orders").await?);
    fixture.apply("other", json!({ "accountRef": { "name": "other" } })).await?;
    let message = fixture.refusal("other", "AccountNotReady").await?;
    ensure!(message.contains("may not list AwsAccounts"), "{message}");

    // What is refused for good is said once.
    for refused in ["awsaccounts", "namespaces"] {
        wait_for(&format!("more attempts to list {refused}"), LIMIT, async || {
            let log = fixture.operator()?.log_text()?;
            let about = || {
                log.lines()
                    .filter(|line| line.contains(&format!("{refused}.")) || line.contains(&format!("{refused} is")))
            };
            let attempts = about().count();
            ensure!(attempts >= 3, "{attempts} so far:\n{log}");
            let warnings: Vec<_> =
                about().filter(|line| line.contains("WARN") && line.contains("cannot list")).collect();
            ensure!(warnings.len() == 1, "{warnings:#?}");
            Ok(())
        })
        .await?;
    }

    // The same for a user.
    let user = cli(&fixture, &kubeconfig).env("ALEP_CLUSTER_NAME", fixture.cluster());
    let informed = user.clone().env("ALEP_CLUSTER_UID", &uid);
    let object = format!("{}/orders", fixture.namespace());
    let plan = informed.json(&["plan", &object, "--exit-code", "-o", "json"]).await?;
    assert_eq!(plan["objects"][0]["actions"], json!([]), "{plan}");
    informed.ok(&["explain", &object]).await?;
    let doctor = informed.json(&["doctor", "-o", "json", "--operator-namespace", fixture.namespace()]).await?;
    let rbac: Vec<_> =
        doctor["findings"].as_array().context("findings")?.iter().filter(|it| it["check"] == "rbac").collect();
    assert!(!rbac.is_empty() && rbac.iter().all(|it| it["severity"] == "warning"), "{doctor:#}");
    // A person sees the warnings, and can hide them.
    let doctor = ["doctor", "--operator-namespace", fixture.namespace(), "--ignore", "leader", "--ignore", "objects"];
    let shown = informed.ok(&doctor).await?;
    let warnings = shown.lines().filter(|line| line.starts_with("! rbac: ")).count();
    assert!(warnings == rbac.len() && shown.contains("healthy: ") && shown.contains("warning"), "{shown}");
    let hidden = informed.ok(&[&doctor[..], &["--ignore", "rbac"]].concat()).await?;
    assert!(hidden.starts_with("healthy: ") && !hidden.contains("warning"), "{hidden}");
    informed.ok(&["import"]).await?;
    // The name alone is not what this operator uses: the plan says so.
    let guess = user.ok(&["plan", &object]).await?;
    assert!(guess.contains("--cluster-uid"), "{guess}");
    fixture.finish().await
}

#[tokio::test]
async fn with_the_cluster_name_alone_the_name_stands_for_the_uid() -> Result<()> {
    let (mut fixture, kubeconfig) = limited().await?;
    fixture.start_limited(&kubeconfig, &[]).await?;
    fixture.applied("orders", json!({})).await?;
    let tags = fixture.iam().get_role(&fixture.name("orders"))?.tags;
    assert_eq!(tags["auroralogexport.dev/cluster-uid"], fixture.cluster());
    let log = fixture.operator()?.log_text()?;
    let said = log.lines().filter(|line| line.contains("kube-system")).collect::<Vec<_>>();
    ensure!(said.len() == 1 && said[0].contains("no other cluster may use this name"), "{said:#?}");
    // An operator that may read the UID later is told what to do.
    fixture.stop_operator().await?;
    fixture.start_operator().await?;
    let message = fixture.refusal("orders", "Conflict").await?;
    let flag = format!("--previous-cluster-uid={}", fixture.cluster());
    ensure!(message.contains(&flag), "{message}");
    fixture.restart_with(&[&flag]).await?;
    fixture.ready("orders").await?;
    fixture.finish().await
}
