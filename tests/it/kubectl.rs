//! What a person with kubectl sees, and what GitOps tools meet: the operator writes nothing but status and finalizer,
//! and nothing at all where nothing changed.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aurora_test_support::environment::Environment;
use aurora_test_support::iam_model::call_log::CallRecord;
use aurora_test_support::iam_model::http::Server;
use aurora_test_support::moto;
use aurora_test_support::operator::{Operator, OperatorOptions};
use aurora_test_support::wait::wait_for;
use serde_json::{Value, json};

use crate::emulators::aws;
use crate::environment;

const ACCOUNT: &str = "111122223333";
const MANAGER: &str = "aurora-log-export-operator";

/// An operator with an account and a namespace of its own.
struct Stage {
    env: &'static Environment,
    namespace: String,
    server: Server,
    operator: Operator,
}

impl Stage {
    async fn start(flags: &[&str]) -> Result<Self> {
        let env = environment().await?;
        let namespace = env.namespace().await?;
        let server = aws()?;
        server.world().add_key(moto::ACCESS_KEY, ACCOUNT);
        let (watch, name) = (format!("--watch-namespace={namespace}"), format!("--cluster-name={namespace}"));
        let options = OperatorOptions::new(env!("CARGO_BIN_EXE_aurora-log-export-operator"))
            .arguments([watch.as_str(), name.as_str()])
            .arguments(flags.iter().copied())
            .aws_endpoint(&server.url());
        let operator = Operator::start(env, options).await?;
        Ok(Self { env, namespace, server, operator })
    }

    fn manifest(&self, name: &str, labels: &str, spec: &str) -> String {
        format!(
            "apiVersion: auroralogexport.dev/v1alpha1\nkind: AuroraLogExportPolicy\n\
             metadata: {{name: {name}, namespace: {}, labels: {labels}}}\nspec: {spec}\n",
            self.namespace
        )
    }

    /// kubectl in the namespace.
    async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let mut all = vec!["-n", self.namespace.as_str()];
        all.extend(arguments);
        self.env.kubectl(&all).await
    }

    async fn apply_as(&self, manager: &str, manifest: &str) -> Result<()> {
        let manager = format!("--field-manager={manager}");
        let arguments = ["apply", "--server-side", &manager, "-f", "-"];
        let applied = self.env.kubectl_with(self.env.kubeconfig(), &arguments, Some(manifest));
        applied.await.map(drop)
    }

    /// `kubectl wait`, and the operator's log if it waits in vain. A new generation clears the condition only with the
    /// operator's first write: the generation is waited for as well.
    async fn wait_ready(&self, name: &str) -> Result<()> {
        let object = format!("alep/{name}");
        let get = async || self.object(name).await;
        let generation = get().await?["metadata"]["generation"].to_string();
        let observed = format!("--for=jsonpath={{.status.observedGeneration}}={generation}");
        for condition in [observed.as_str(), "--for=condition=Ready"] {
            self.kubectl(&["wait", condition, &object, "--timeout=30s"])
                .await
                .with_context(|| self.operator.log_text().unwrap_or_default())?;
        }
        Ok(())
    }

    async fn object(&self, name: &str) -> Result<Value> {
        let text = self.kubectl(&["get", "alep", name, "-o", "json", "--show-managed-fields"]).await?;
        Ok(serde_json::from_str(&text)?)
    }

    /// The operator's writes in the namespace, as `verb resource/subresource`, in order.
    async fn writes(&self) -> Result<Vec<String>> {
        let access = self.env.install_rbac().await?;
        let user = format!("system:serviceaccount:{}:{}", access.namespace, access.service_account);
        let events = self.env.audit_events()?;
        let ours = events.iter().filter(|event| {
            event["user"]["username"] == *user
                && event["objectRef"]["namespace"] == *self.namespace
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

    /// IAM calls after the mark, without the look-ups of identity and service-linked role.
    fn calls_since(&self, seq: u64) -> Vec<CallRecord> {
        let mut calls = self.server.gate().calls_since(seq);
        calls.retain(|call| call.action != "GetCallerIdentity" && call.resource != "AWSServiceRoleForRDS");
        calls
    }

    async fn reconciles(&self) -> Result<f64> {
        self.operator.metric("auroralogexport_reconcile_total", &[]).await
    }

    async fn wait_for_reconciles(&self, more_than: f64) -> Result<()> {
        wait_for("another reconcile", Duration::from_mins(1), async || {
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
    let stage = Stage::start(&[]).await?;
    stage.env.apply_yaml(&stage.manifest("orders", "{}", "{}")).await?;
    stage.wait_ready("orders").await?;
    let arn = |kind: &str| format!("arn:aws:iam::{ACCOUNT}:{kind}/aurora-log-export/{}.orders", stage.namespace);

    let table = stage.kubectl(&["get", "alep"]).await?;
    assert_eq!(headers(&table), ["NAME", "READY", "REASON", "ROLE", "AGE"]);
    let row: Vec<_> = table.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!(row[..4], ["orders", "True", "InSync", arn("role").as_str()]);

    let wide = stage.kubectl(&["get", "alep", "-o", "wide"]).await?;
    assert_eq!(headers(&wide), ["NAME", "READY", "REASON", "ROLE", "AGE", "POLICY", "ACCOUNT", "DRIFTED", "EFFECTIVE"]);
    let row: Vec<_> = wide.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!(row[5..], [arn("policy").as_str(), ACCOUNT, "False", "True"]);

    for category in ["aws", "aurora"] {
        let listed = stage.kubectl(&["get", category, "-o", "name"]).await?;
        assert!(listed.contains("auroralogexportpolicy.auroralogexport.dev/orders"), "{category}: {listed}");
    }

    let events = ["PolicyCreated", "RoleCreated", "PolicyAttached", "InSync"];
    let description = wait_for("the events", Duration::from_secs(30), async || {
        let text = stage.kubectl(&["describe", "alep", "orders"]).await?;
        let (_, listed) = text.split_once("Events:").context("no events")?;
        for reason in events {
            ensure!(listed.contains(reason), "no {reason} in {listed}");
        }
        Ok(text)
    })
    .await?;
    assert!(description.contains(&arn("role")), "{description}");
    assert!(!description.contains("Warning"), "{description}");
    stage.operator.stop().await?;
    Ok(())
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
    let stage = Stage::start(&[]).await?;
    stage.env.apply_yaml(&stage.manifest("orders", "{}", "{}")).await?;
    stage.wait_ready("orders").await?;
    let done = stage.reconciles().await?;
    // Nothing follows by itself: what comes next was asked for.
    let at = format!("auroralogexport.dev/reconcile-at={done}");
    stage.kubectl(&["annotate", "alep/orders", &at]).await?;
    stage.wait_for_reconciles(done).await?;

    let writes = stage.writes().await?;
    assert_eq!(count(&writes, FINALIZER_WRITE), 1, "{writes:?}");
    assert!((1..=2).contains(&count(&writes, STATUS_WRITE)), "{writes:?}");
    let known = [FINALIZER_WRITE, STATUS_WRITE, "create events"];
    assert!(writes.iter().all(|write| known.contains(&write.as_str())), "{writes:?}");

    let calls = stage.calls_since(0);
    let changes: Vec<_> = calls.iter().filter(|call| !is_read(call)).map(|call| call.action.as_str()).collect();
    assert_eq!(changes, ["CreatePolicy", "CreateRole", "AttachRolePolicy"]);
    let last = calls.iter().rposition(|call| !is_read(call)).unwrap_or_default();
    let reads = calls[..last].iter().filter(|call| is_read(call)).count();
    assert!(reads <= 4, "{calls:?}");
    stage.operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn looking_again_at_an_unchanged_object_writes_nothing_anywhere() -> Result<()> {
    let stage = Stage::start(&["--drift-check-interval=1s"]).await?;
    let spec = "{tags: {team: a}, scope: {regions: [eu-west-1]}, description: for the audit}";
    stage.env.apply_yaml(&stage.manifest("orders", "{app: shop}", spec)).await?;
    stage.wait_ready("orders").await?;
    // The reconcile that made it ready may still be telling so.
    stage.wait_for_reconciles(stage.reconciles().await?).await?;
    let version = stage.object("orders").await?["metadata"]["resourceVersion"].clone();
    let (writes, mark) = (stage.writes().await?, stage.server.gate().last_seq());
    let logged = stage.operator.log_text()?;

    stage.wait_for_reconciles(stage.reconciles().await? + 2.0).await?;
    assert_eq!(stage.object("orders").await?["metadata"]["resourceVersion"], version);
    stage.kubectl(&["annotate", "alep/orders", "auroralogexport.dev/reconcile-at=now"]).await?;
    stage.wait_for_reconciles(stage.reconciles().await? + 2.0).await?;

    assert_eq!(stage.writes().await?, writes);
    let calls = stage.calls_since(mark);
    assert!(!calls.is_empty(), "it looked");
    assert!(calls.iter().all(is_read), "{calls:?}");
    assert_eq!(stage.operator.log_text()?, logged, "in sync is nothing to log");
    stage.operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn gitops_tools_and_the_operator_never_conflict() -> Result<()> {
    let stage = Stage::start(&["--drift-check-interval=1s"]).await?;
    let mut last = String::new();
    for round in 0..4 {
        let spec = format!("{{tags: {{round: '{round}'}}, description: round {round}, suspend: {}}}", round == 1);
        last = stage.manifest("orders", &format!("{{round: '{round}', app: shop}}"), &spec);
        stage.apply_as("argocd-controller", &last).await?;
        // The same again, as a tool that reconciles does, while the operator is at work.
        for _ in 0..3 {
            stage.apply_as("argocd-controller", &last).await?;
        }
        if round != 1 {
            stage.wait_ready("orders").await?;
        }
    }
    let object = stage.object("orders").await?;
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
    assert_eq!(managers, BTreeSet::from(["argocd-controller", MANAGER]), "nobody writes under another name");

    assert_eq!(object["status"]["observedGeneration"], json!(4), "each round is one generation");
    stage.operator.stop().await?;
    Ok(())
}
