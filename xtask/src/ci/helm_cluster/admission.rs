//! Pod security admission of the real API server. It never refuses a Deployment, so the Pods of the ReplicaSet controller are
//! checked; a variant of the same template with `SYS_ADMIN` is refused.

use anyhow::{Context, Result, bail, ensure};
use aurora_test_support::environment::Environment;
use aurora_test_support::wait::wait_for;
use serde_json::{Value, json};

use super::super::SHORT;
use super::list;

/// Waits for the Pods of every Deployment in a namespace that enforces the restricted standard; gives their number.
pub(super) async fn pods_are_admitted(env: &Environment, namespace: &str) -> Result<usize> {
    enforces_restricted(env, namespace).await?;
    let deployments = list(env, "deployments", namespace).await?;
    ensure!(!deployments.is_empty(), "namespace {namespace} has no Deployment");
    let mut admitted = 0;
    for deployment in &deployments {
        let name = deployment["metadata"]["name"].as_str().unwrap_or_default();
        let wanted = usize::try_from(deployment["spec"]["replicas"].as_u64().unwrap_or(1))?;
        ensure!(wanted > 0, "Deployment {name} wants no Pods");
        wait_for(&format!("{wanted} Pods of Deployment {name}"), SHORT, async || {
            let pods = pods_of(env, namespace, deployment).await?;
            for pod in &pods {
                call_ready(env, pod).await?;
            }
            ensure!(pods.len() == wanted, "{} Pods; {}", pods.len(), refusals(env, namespace).await?);
            Ok(())
        })
        .await?;
        admitted += wanted;
        more_rights_are_refused(env, namespace, deployment).await?;
    }
    Ok(admitted)
}

/// The Pods that a Deployment's selector finds, those of its newest template only.
pub(super) async fn pods_of(env: &Environment, namespace: &str, deployment: &Value) -> Result<Vec<Value>> {
    let revision = |object: &Value| object["metadata"]["annotations"]["deployment.kubernetes.io/revision"].clone();
    let name = deployment["metadata"]["name"].as_str().unwrap_or_default();
    let sets = list(env, "replicasets", namespace).await?;
    let owned_by = |object: &Value, uid: &Value| {
        object["metadata"]["ownerReferences"].as_array().into_iter().flatten().any(|owner| owner["uid"] == *uid)
    };
    // Read again: the caller's copy may be older than the controller's first status.
    let current = list(env, "deployments", namespace).await?;
    let current = current.iter().find(|it| it["metadata"]["name"] == name).context("the Deployment is gone")?;
    ensure!(
        current["status"]["observedGeneration"] == current["metadata"]["generation"],
        "the Deployment controller has written no status yet"
    );
    let newest = sets
        .iter()
        .find(|set| owned_by(set, &current["metadata"]["uid"]) && revision(set) == revision(current))
        .context("no ReplicaSet yet")?;
    let mut pods = list(env, "pods", namespace).await?;
    pods.retain(|pod| owned_by(pod, &newest["metadata"]["uid"]) && pod["metadata"]["deletionTimestamp"].is_null());
    Ok(pods)
}

/// No kubelet is here to do it, and a rollout waits for it.
async fn call_ready(env: &Environment, pod: &Value) -> Result<()> {
    let conditions = pod["status"]["conditions"].as_array();
    if conditions.into_iter().flatten().any(|it| it["type"] == "Ready" && it["status"] == "True") {
        return Ok(());
    }
    let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
    let (name, namespace) = (text(&pod["metadata"]["name"]), text(&pod["metadata"]["namespace"]));
    let ready = json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
    let patch = format!("--patch={ready}");
    let arguments = ["patch", "pod", &name, "--namespace", &namespace, "--subresource=status", "--type=merge", &patch];
    env.kubectl(&arguments).await.map(|_| ())
}

async fn enforces_restricted(env: &Environment, namespace: &str) -> Result<()> {
    let text = env.kubectl(&["get", "namespace", namespace, "--output=json"]).await?;
    let object: Value = serde_json::from_str(&text)?;
    let level = &object["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
    ensure!(level == "restricted", "namespace {namespace} enforces {level}, so that Pods in it prove nothing");
    Ok(())
}

/// Why the ReplicaSet controller could not make Pods, in the API server's words.
async fn refusals(env: &Environment, namespace: &str) -> Result<String> {
    let sets = list(env, "replicasets", namespace).await?;
    let conditions = sets.iter().flat_map(|set| set["status"]["conditions"].as_array().into_iter().flatten());
    let messages: Vec<_> = conditions.filter_map(|condition| condition["message"].as_str()).collect();
    Ok(if messages.is_empty() { String::from("none was refused") } else { messages.join("; ") })
}

/// A namespace without enforcement would take this one as well.
async fn more_rights_are_refused(env: &Environment, namespace: &str, deployment: &Value) -> Result<()> {
    let mut spec = deployment["spec"]["template"]["spec"].clone();
    // Not `privileged`: that an API server refuses by a flag of its own, before any standard.
    spec["hostNetwork"] = json!(true);
    spec["containers"][0]["securityContext"] = json!({ "capabilities": { "add": ["SYS_ADMIN"] } });
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "more-rights", "namespace": namespace },
                      "spec": spec });
    let arguments = ["create", "--dry-run=server", "--filename=-"];
    match env.kubectl_with(env.kubeconfig(), &arguments, Some(&pod.to_string())).await {
        Ok(_) => bail!("namespace {namespace} takes a Pod with SYS_ADMIN: pod security admission is not at work"),
        Err(error) => {
            let said = format!("{error:#}");
            ensure!(
                said.contains("violates PodSecurity"),
                "the Pod with SYS_ADMIN was refused for another reason: {said}"
            );
            Ok(())
        }
    }
}
