//! The operator as users of kubectl and GitOps tools see it: it writes status and finalizer only, and nothing where nothing
//! has changed.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aurora_test_support::apply;
use aurora_test_support::iam_model::call_log::CallRecord;
use aurora_test_support::wait::wait_for;
use serde_json::{Value, json};

use crate::environment;
use crate::fixture::{ACCOUNT, Fixture, LIMIT, PATH};

const MANAGER: &str = "aurora-log-export-operator";
/// Nothing is reconciled without a request.
const STILL: &str = "--drift-check-interval=1h";

fn manifest(fixture: &Fixture<'_>, labels: &str, spec: &str) -> String {
    let labels = format!("metadata: {{labels: {labels}, ");
    apply::manifest(fixture.namespace(), "orders", spec).replace("metadata: {", &labels)
}

impl Fixture<'_> {
    /// `kubectl apply --server-side`.
    async fn apply_as(&self, manager: &str, manifest: &str) -> Result<()> {
        let manager = format!("--field-manager={manager}");
        let arguments = ["apply", "--server-side", &manager, "-f", "-"];
        let applied = self.env.kubectl_with(self.env.kubeconfig(), &arguments, Some(manifest));
        applied.await.map(drop)
    }

    /// `kubectl wait`. A new generation clears the condition only with the operator's first write, so the generation is
    /// waited for as well.
    async fn wait_ready(&self, name: &str) -> Result<()> {
        let object = format!("alep/{name}");
        let generation = self.with_managed_fields(name).await?["metadata"]["generation"].to_string();
        let observed = format!("--for=jsonpath={{.status.observedGeneration}}={generation}");
        for condition in [observed.as_str(), "--for=condition=Ready"] {
            self.kubectl(&["wait", condition, &object, "--timeout=30s"]).await.with_context(|| self.log())?;
        }
        Ok(())
    }

    async fn with_managed_fields(&self, name: &str) -> Result<Value> {
        let text = self.kubectl(&["get", "alep", name, "-o", "json", "--show-managed-fields"]).await?;
        Ok(serde_json::from_str(&text)?)
    }

    /// The operator's writes in the namespace, as `verb resource/subresource`, in order.
    async fn kubernetes_writes(&self) -> Result<Vec<String>> {
        let access = self.env.install_rbac().await?;
        let user = format!("system:serviceaccount:{}:{}", access.namespace, access.service_account);
        let events = self.env.audit_events()?;
        let ours = events.iter().filter(|event| {
            event["user"]["username"] == *user
                && event["objectRef"]["namespace"] == *self.namespace()
                && ["create", "update", "patch", "delete", "deletecollection"].map(Value::from).contains(&event["verb"])
        });
        Ok(ours
            .map(|event| {
                let of = |key: &str| event["objectRef"][key].as_str().map(str::to_owned);
                let verb = event["verb"].as_str().unwrap_or_default();
                let resource = of("resource").unwrap_or_default();
                let subresource = of("subresource").map(|it| format!("/{it}")).unwrap_or_default();
                format!("{verb} {resource}{subresource}")
            })
            .collect())
    }

    async fn reconciles(&self) -> Result<f64> {
        self.metric("auroralogexport_reconcile_total", &[]).await
    }

    async fn wait_for_reconciles(&self, more_than: f64) -> Result<()> {
        wait_for("another reconcile", LIMIT, async || {
            let count = self.reconciles().await?;
            ensure!(count > more_than, "{count} so far");
            Ok(())
        })
        .await
    }
}

fn is_read(call: &CallRecord) -> bool {
    call.action.starts_with("Get") || call.action.starts_with("List")
}

const STATUS_WRITE: &str = "patch auroralogexportpolicies/status";
const FINALIZER_WRITE: &str = "patch auroralogexportpolicies";

fn count(writes: &[String], what: &str) -> usize {
    writes.iter().filter(|write| *write == what).count()
}

fn headers(table: &str) -> Vec<&str> {
    table.lines().next().unwrap_or_default().split_whitespace().collect()
}

#[tokio::test]
async fn get_describe_and_wait_read_well() -> Result<()> {
    let fixture = Fixture::with(&[STILL]).start().await?;
    fixture.apply("orders", json!({})).await?;
    fixture.wait_ready("orders").await?;
    let arn = |kind: &str| format!("arn:aws:iam::{ACCOUNT}:{kind}{PATH}{}", fixture.name("orders"));

    let table = fixture.kubectl(&["get", "alep"]).await?;
    assert_eq!(headers(&table), ["NAME", "READY", "REASON", "ROLE", "AGE"]);
    let row: Vec<_> = table.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!(row[..4], ["orders", "True", "InSync", arn("role").as_str()]);

    let wide = fixture.kubectl(&["get", "alep", "-o", "wide"]).await?;
    assert_eq!(headers(&wide), ["NAME", "READY", "REASON", "ROLE", "AGE", "POLICY", "ACCOUNT", "DRIFTED", "EFFECTIVE"]);
    let row: Vec<_> = wide.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!(row[5..], [arn("policy").as_str(), ACCOUNT, "False", "Unknown"]);

    for category in ["aws", "aurora"] {
        let listed = fixture.kubectl(&["get", category, "-o", "name"]).await?;
        assert!(listed.contains("auroralogexportpolicy.auroralogexport.dev/orders"), "{category}: {listed}");
    }

    let events = ["PolicyCreated", "RoleCreated", "PolicyAttached", "InSync"];
    let description = wait_for("the events", Duration::from_secs(30), async || {
        let text = fixture.kubectl(&["describe", "alep", "orders"]).await?;
        let (_, listed) = text.split_once("Events:").context("no events")?;
        for reason in events {
            ensure!(listed.contains(reason), "no {reason} in {listed}");
        }
        Ok(text)
    })
    .await?;
    assert!(description.contains(&arn("role")), "{description}");
    assert!(!description.contains("Warning"), "{description}");
    fixture.finish().await
}

#[tokio::test]
async fn explain_teaches_what_a_field_means() -> Result<()> {
    let env = environment().await?;
    for (field, words) in [
        ("alep", vec!["IAM policy and role for Aurora log export"]),
        ("alep.spec", vec!["Every field is optional", "driftCheckInterval"]),
        ("alep.spec.access", vec!["CloudWatchLogsFullAccess", "Minimal", "FullAccess"]),
        ("alep.spec.deletionPolicy", vec!["--default-deletion-policy", "ENUM: Delete Retain"]),
        ("alep.spec.scope.regions", vec!["The guide's *Region*"]),
        ("alep.status.conditions", vec!["kstatus"]),
        ("awsaccount.spec.guardrails.requiredTags", vec!["Tags of all policies"]),
    ] {
        // The OpenAPI document follows a new CRD within a second or so.
        let text =
            wait_for("kubectl explain", Duration::from_secs(30), async || env.kubectl(&["explain", field]).await)
                .await?;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for words in words {
            assert!(text.contains(words), "{field}: {words:?} is not in {text}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn creating_one_object_costs_three_iam_writes_one_finalizer_and_two_status_writes() -> Result<()> {
    let fixture = Fixture::with(&[STILL]).start().await?;
    fixture.apply("orders", json!({})).await?;
    fixture.wait_ready("orders").await?;
    let done = fixture.reconciles().await?;
    // The next reconcile is the requested one.
    let at = format!("auroralogexport.dev/reconcile-at={done}");
    fixture.kubectl(&["annotate", "alep/orders", &at]).await?;
    fixture.wait_for_reconciles(done).await?;

    let writes = fixture.kubernetes_writes().await?;
    assert_eq!(count(&writes, FINALIZER_WRITE), 1, "{writes:?}");
    assert!((1..=2).contains(&count(&writes, STATUS_WRITE)), "{writes:?}");
    let known = [FINALIZER_WRITE, STATUS_WRITE, "create events"];
    assert!(writes.iter().all(|write| known.contains(&write.as_str())), "{writes:?}");

    let calls = fixture.iam_calls(0);
    let changes: Vec<_> = calls.iter().filter(|call| !is_read(call)).map(|call| call.action.as_str()).collect();
    assert_eq!(changes, ["CreatePolicy", "CreateRole", "AttachRolePolicy"]);
    let last = calls.iter().rposition(|call| !is_read(call)).unwrap_or_default();
    let reads = calls[..last].iter().filter(|call| is_read(call)).count();
    assert!(reads <= 4, "{calls:?}");
    fixture.finish().await
}

#[tokio::test]
async fn a_resync_of_an_unchanged_object_writes_nothing() -> Result<()> {
    let fixture = Fixture::with(&["--log-filter=info"]).start().await?;
    let spec = "{tags: {team: a}, scope: {regions: [eu-west-1]}, description: for the audit}";
    fixture.env.apply_yaml(&manifest(&fixture, "{app: shop}", spec)).await?;
    fixture.wait_ready("orders").await?;
    // The reconcile that made it ready may not have ended.
    fixture.wait_for_reconciles(fixture.reconciles().await?).await?;
    let version = fixture.with_managed_fields("orders").await?["metadata"]["resourceVersion"].clone();
    let (writes, mark) = (fixture.kubernetes_writes().await?, fixture.mark());
    let logged = fixture.operator()?.log_text()?;

    fixture.wait_for_reconciles(fixture.reconciles().await? + 2.0).await?;
    assert_eq!(fixture.with_managed_fields("orders").await?["metadata"]["resourceVersion"], version);
    fixture.kubectl(&["annotate", "alep/orders", "auroralogexport.dev/reconcile-at=now"]).await?;
    fixture.wait_for_reconciles(fixture.reconciles().await? + 2.0).await?;

    assert_eq!(fixture.kubernetes_writes().await?, writes);
    let calls = fixture.iam_calls(mark);
    assert!(!calls.is_empty(), "there was no resync");
    assert!(calls.iter().all(is_read), "{calls:?}");
    assert_eq!(fixture.operator()?.log_text()?, logged, "an object in sync is logged");
    fixture.finish().await
}

#[tokio::test]
async fn gitops_tools_and_the_operator_never_conflict() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let mut last = String::new();
    for round in 0..4 {
        let spec = format!("{{tags: {{round: '{round}'}}, description: round {round}, suspend: {}}}", round == 1);
        last = manifest(&fixture, &format!("{{round: '{round}', app: shop}}"), &spec);
        fixture.apply_as("argocd-controller", &last).await?;
        // The same again, as a tool that reconciles does, while the operator works.
        for _ in 0..3 {
            fixture.apply_as("argocd-controller", &last).await?;
        }
        if round != 1 {
            fixture.wait_ready("orders").await?;
        }
    }
    let object = fixture.with_managed_fields("orders").await?;
    let wanted: Value = serde_saphyr::from_str(&last)?;
    assert_eq!(object["spec"], wanted["spec"]);
    assert_eq!(object["metadata"]["labels"], wanted["metadata"]["labels"]);

    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let ours: Vec<_> = entries.iter().filter(|entry| entry["manager"] == MANAGER).collect();
    let subresources: BTreeSet<_> = ours.iter().map(|entry| entry["subresource"].to_string()).collect();
    assert_eq!(subresources, BTreeSet::from([r#""status""#.to_owned(), "null".to_owned()]), "{ours:?}");
    for entry in ours {
        let fields = entry["fieldsV1"].as_object().cloned().unwrap_or_default();
        let names: Vec<_> = fields.keys().map(String::as_str).collect();
        if entry["subresource"] == "status" {
            assert_eq!(names, ["f:status"], "{entry}");
        } else {
            assert_eq!(names, ["f:metadata"], "{entry}");
            let metadata: Vec<_> = fields["f:metadata"].as_object().into_iter().flat_map(|it| it.keys()).collect();
            assert_eq!(metadata, ["f:finalizers"], "{entry}");
        }
    }
    let managers: BTreeSet<_> = entries.iter().filter_map(|entry| entry["manager"].as_str()).collect();
    assert_eq!(managers, BTreeSet::from(["argocd-controller", MANAGER]), "another field manager");

    assert_eq!(object["status"]["observedGeneration"], json!(4), "each round is one generation");
    fixture.finish().await
}
