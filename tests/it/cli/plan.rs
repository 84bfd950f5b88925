//! `plan` says what the operator then does.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use aurora_test_support::apply::manifest;
use aurora_test_support::iam_model::http::Server;
use aurora_test_support::iam_model::{Action, CreatePolicy, CreateRole, Iam, Tags};
use aurora_test_support::operator::{Operator, OperatorOptions};
use aurora_test_support::wait::wait_for;
use fastrand::Rng;
use serde_json::{Value, json};

use super::{ACCOUNT, BINARY, Cli, LIMIT, directory, iam, write_manifest};
use crate::environment;
use crate::fixture::tags;

const CLUSTER: &str = "planned";
const CASES: usize = 100;

/// The operations on AWS by object, in order.
type Writes = BTreeMap<String, Vec<String>>;

struct Stage {
    namespace: String,
    uid: String,
    server: Server,
    rng: Rng,
}

impl Stage {
    fn name(&self, case: usize) -> String {
        format!("{}.c{case}", self.namespace)
    }

    fn ownership(&self, case: usize) -> Tags {
        tags(&[
            ("auroralogexport.dev/managed-by", CLUSTER),
            ("auroralogexport.dev/cluster-uid", &self.uid),
            ("auroralogexport.dev/owner", &format!("{}/c{case}", self.namespace)),
        ])
    }

    fn some<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.rng.usize(..items.len())].clone()
    }

    fn percent(&mut self, percent: u8) -> bool {
        self.rng.u8(..100) < percent
    }

    fn spec(&mut self) -> Value {
        // Never empty: a server-side apply that takes the last field away leaves `spec: null`, which is refused.
        let mut spec = json!({ "deletionPolicy": "Delete" });
        if self.percent(20) {
            spec["access"] = json!("FullAccess");
        } else if self.percent(60) {
            spec["scope"] = json!({ "regions": self.some(&[vec!["*"], vec!["eu-west-1"], vec!["eu-west-1", "us-east-1"]]),
                                    "groupCreation": self.some(&["Any", "LogGroups"]) });
        }
        if self.percent(30) {
            spec["trust"] = json!({ "protection": "None" });
        }
        if self.percent(40) {
            spec["tags"] = json!({ "team": self.some(&["a", "b"]), self.some(&["stage", "cost"]): "x" });
        }
        if self.percent(30) {
            spec["description"] = json!(self.some(&["", "one", "two"]));
        }
        if self.percent(60) {
            spec["adoptionPolicy"] = json!("Tagged");
        }
        if self.percent(30) {
            spec["attachmentPolicy"] = json!("Exclusive");
        }
        if self.percent(10) {
            spec["managementPolicy"] = json!("Observe");
        }
        if self.percent(5) {
            spec["suspend"] = json!(true);
        }
        spec
    }

    /// Nothing, something of somebody else's, something handed over, or something that we left behind.
    fn plant(&mut self, case: usize) -> Result<()> {
        let name = self.name(case);
        let mut tags = || match self.rng.u8(..4) {
            0 => None,
            1 => Some(Tags::new()),
            2 => Some(Tags::from([(
                "auroralogexport.dev/adoptable-by".to_owned(),
                format!("{CLUSTER}/{}/c{case}", self.namespace),
            )])),
            _ => Some(self.ownership(case)),
        };
        let (policy_tags, role_tags) = (tags(), tags());
        let account = self.server.world().account(ACCOUNT);
        let mut iam = account.lock();
        if let Some(tags) = policy_tags {
            iam.create_policy(&CreatePolicy {
                name: name.clone(),
                path: Some("/aurora-log-export/".into()),
                document: document(self.rng.bool()),
                description: Some("planted".into()),
                tags,
            })?;
        }
        if let Some(tags) = role_tags {
            let path = if self.rng.u8(..5) == 0 { "/" } else { "/aurora-log-export/" };
            iam.create_role(&CreateRole {
                name: name.clone(),
                path: Some(path.into()),
                trust: trust("rds.amazonaws.com"),
                tags,
                ..CreateRole::default()
            })?;
            if self.rng.bool() {
                iam.attach_role_policy(&name, "arn:aws:iam::aws:policy/CloudWatchLogsFullAccess")?;
            }
        }
        Ok(())
    }

    /// What a hand might do in AWS to an object's policy and role.
    fn meddle(&mut self, case: usize) -> Result<()> {
        let name = self.name(case);
        let arn = format!("arn:aws:iam::{ACCOUNT}:policy/aurora-log-export/{name}");
        let account = self.server.world().account(ACCOUNT);
        let mut iam = account.lock();
        for _ in 0..self.rng.u8(..4) {
            // What is not there cannot be changed: such a hand slips.
            let _ = meddle_once(&mut iam, self.rng.u8(..9), &name, &arn);
        }
        Ok(())
    }

    fn manifest(&self, case: usize, spec: &Value) -> String {
        manifest(&self.namespace, &format!("c{case}"), spec)
    }

    /// The writes that took effect since a mark.
    fn done_since(&self, mark: u64) -> Writes {
        let mut writes = Writes::new();
        for call in self.server.gate().calls_since(mark) {
            let is_write = Action::parse(&call.action).is_some_and(Action::is_write);
            if is_write && call.executed {
                let name = call.resource.rsplit('/').next().unwrap_or_default();
                let object = name.rsplit('.').next().unwrap_or_default().to_owned();
                writes.entry(object).or_default().push(call.action);
            }
        }
        writes
    }
}

fn meddle_once(iam: &mut Iam, what: u8, name: &str, arn: &str) -> Result<()> {
    match what {
        0 => iam.update_assume_role_policy(name, &trust("ec2.amazonaws.com"))?,
        1 => iam.detach_role_policy(name, arn)?,
        2 => iam.attach_role_policy(name, "arn:aws:iam::aws:policy/CloudWatchLogsFullAccess")?,
        3 => iam.untag_role(name, &["team".into()])?,
        4 => drop(iam.create_policy_version(arn, &document(false), true)?),
        5 => drop(iam.update_role_description(name, "by hand")?),
        6 => iam.put_role_policy(name, "inline", &document(true))?,
        7 => iam.tag_policy(arn, &Tags::from([("team".into(), "other".into())]))?,
        _ => {
            iam.detach_role_policy(name, arn)?;
            for version in iam.list_policy_versions(arn, &aurora_test_support::iam_model::PageRequest::default())?.items
            {
                if !version.is_default {
                    iam.delete_policy_version(arn, &version.id)?;
                }
            }
            iam.delete_policy(arn)?;
        }
    }
    Ok(())
}

fn document(wide: bool) -> String {
    let resource = if wide { "*" } else { "arn:aws:logs:*:*:log-group:/x" };
    json!({ "Version": "2012-10-17",
            "Statement": { "Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": resource } })
    .to_string()
}

fn trust(service: &str) -> String {
    json!({ "Version": "2012-10-17",
            "Statement": { "Effect": "Allow", "Principal": { "Service": service }, "Action": "sts:AssumeRole" } })
    .to_string()
}

/// The writes that a plan announces.
fn announced(plan: &Value) -> Result<Writes> {
    let mut writes = Writes::new();
    for object in plan["objects"].as_array().context("no objects")? {
        let actions: Vec<String> = object["actions"]
            .as_array()
            .context("no actions")?
            .iter()
            .filter_map(|action| Some(action["operation"].as_str()?.to_owned()))
            .collect();
        if !actions.is_empty() {
            writes.insert(object["name"].as_str().context("no name")?.to_owned(), actions);
        }
    }
    Ok(writes)
}

fn same(announced: &Writes, done: &Writes) -> Result<()> {
    let mut differences = String::new();
    for key in announced.keys().chain(done.keys()) {
        if announced.get(key) != done.get(key) {
            writeln!(differences, "{key}: announced {:?}, done {:?}", announced.get(key), done.get(key))?;
        }
    }
    ensure!(differences.is_empty(), "{differences}");
    Ok(())
}

#[tokio::test]
async fn plan_equals_what_the_operator_then_does_in_a_hundred_random_cases() -> Result<()> {
    let env = environment().await?;
    let namespace = env.namespace().await?;
    let server = iam()?;
    let uid = env.kubectl(&["get", "ns", "kube-system", "-o", "jsonpath={.metadata.uid}"]).await?;
    let cli = Cli::new(env, &server.url()).env("ALEP_CLUSTER_NAME", CLUSTER);
    let seed = 20_200_910;
    let mut stage = Stage { namespace: namespace.clone(), uid, server, rng: Rng::with_seed(seed) };
    let dir = directory(env, &namespace)?;
    let file = dir.join("all.yaml").display().to_string();
    let options = || {
        OperatorOptions::new(BINARY)
            .arguments([
                format!("--watch-namespace={namespace}").as_str(),
                &format!("--cluster-name={CLUSTER}"),
                // A sweep does not show everything that a plan does.
                "--drift-scan=per-resource",
                "--iam-reads-per-second=10000",
                "--iam-writes-per-second=10000",
            ])
            .aws_endpoint(&stage.server.url())
    };
    let options = options();

    // Manifests that no cluster has seen, in an account with all kinds of leftovers.
    let mut manifests = String::new();
    for case in 0..CASES {
        stage.plant(case)?;
        let spec = stage.spec();
        manifests += &stage.manifest(case, &spec);
    }
    std::fs::write(&file, &manifests)?;
    let plan = cli.json(&["plan", "-f", &file, "-o", "json"]).await?;
    let created = announced(&plan)?;
    ensure!(created.len() > CASES / 3, "too few cases change anything: {}", created.len());
    ensure!(plan["summary"]["refused"].as_u64() > Some(5), "too few are refused: {plan}");
    let mark = stage.server.gate().last_seq();
    let operator = Operator::start(env, options.clone()).await?;
    env.apply_yaml(&manifests).await?;
    settled(&cli, &namespace).await?;
    operator.stop().await?;
    same(&created, &stage.done_since(mark)).context("after the first apply")?;

    // The same objects after hands in AWS and in the manifests, as the cluster has them.
    let mut edited = String::new();
    for case in 0..CASES {
        stage.meddle(case)?;
        if stage.percent(40) {
            let spec = stage.spec();
            edited += &stage.manifest(case, &spec);
        }
    }
    env.apply_yaml(&edited).await?;
    let repaired = announced(&cli.json(&["plan", "--all", "-n", &namespace, "-o", "json"]).await?)?;
    ensure!(repaired.len() > CASES / 4, "too few cases change anything: {}", repaired.len());
    let mark = stage.server.gate().last_seq();
    let operator = Operator::start(env, options.clone()).await?;
    settled(&cli, &namespace).await?;
    operator.stop().await?;
    same(&repaired, &stage.done_since(mark)).context("after the edits")?;

    // Their deletion.
    env.kubectl(&["delete", "alep", "--all", "-n", &namespace, "--wait=false"]).await?;
    let removed = announced(&cli.json(&["plan", "--all", "-n", &namespace, "-o", "json"]).await?)?;
    ensure!(removed.len() > CASES / 4, "too few cases remove anything: {}", removed.len());
    let mark = stage.server.gate().last_seq();
    let operator = Operator::start(env, options).await?;
    settled(&cli, &namespace).await?;
    operator.stop().await?;
    same(&removed, &stage.done_since(mark)).context("after the deletion")?;
    Ok(())
}

/// Until the operator has nothing left to do.
async fn settled(cli: &Cli, namespace: &str) -> Result<()> {
    wait_for("the operator to have done everything", LIMIT * 2, async || {
        let plan = cli.json(&["plan", "--all", "-n", namespace, "-o", "json"]).await?;
        let left = announced(&plan)?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn plan_shows_each_statement_and_tells_changes_by_its_exit_code() -> Result<()> {
    let env = environment().await?;
    let namespace = env.namespace().await?;
    let server = iam()?;
    // Without the cluster, told whose the resources would be.
    let cli = Cli::new(env, &server.url())
        .without("KUBECONFIG")
        .env("ALEP_CLUSTER_NAME", CLUSTER)
        .env("ALEP_CLUSTER_UID", "uid");
    let dir = directory(env, &namespace)?;
    let file = |name: &str, spec: &str| write_manifest(&dir, name, manifest("shop", name, spec));
    let good = file("orders", "{}")?;
    let shown = cli.ok(&["plan", "-f", &good]).await?;
    for part in [
        "shop/orders in account 123456789012",
        "  + policy arn:aws:iam::123456789012:policy/aurora-log-export/shop.orders",
        "      + document EnableCreationAndManagementOfRDSCloudwatchLogEvents",
        "          + Allow logs:GetLogEvents, logs:PutLogEvents on arn:aws:logs:*:*:log-group:/aws/rds/*:log-stream:*",
        "          + Allow sts:AssumeRole for Service:rds.amazonaws.com if StringEquals aws:sourceaccount 123456789012",
        "      + tag auroralogexport.dev/owner: \"shop/orders\"",
        "      + attached policy arn:aws:iam::123456789012:policy/aurora-log-export/shop.orders",
        "Plan: 2 to create, 0 to change, 0 to delete (1 object; as cluster planned).",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    assert!(!shown.contains('\u{1b}'), "no colours where nobody sees them");
    assert_eq!(server.world().account(ACCOUNT).lock().snapshot()["roles"], json!({}));

    assert_eq!(cli.run(&["plan", "-f", &good, "--exit-code"]).await?.code, 2);
    let idle = file("idle", "{suspend: true}")?;
    assert_eq!(cli.run(&["plan", "-f", &idle, "--exit-code"]).await?.code, 0);
    let bad = file("bad", "{scope: {regions: [nowhere]}}")?;
    let refused = cli.run(&["plan", "-f", &bad, "--exit-code"]).await?;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("AuroraLogExportPolicy bad: spec.scope.regions[0]"), "{refused:?}");

    let yaml = cli.ok(&["plan", "-f", &good, "-o", "yaml"]).await?;
    assert!(yaml.contains("operation: CreatePolicy"), "{yaml}");

    let lost = cli.without("ALEP_CLUSTER_UID").run(&["plan", "-f", &good]).await?;
    assert_eq!(lost.code, 1);
    assert!(lost.stderr.contains("give --cluster-name and --cluster-uid"), "{lost:?}");
    Ok(())
}

#[tokio::test]
async fn two_new_manifests_that_claim_one_name_are_told_apart() -> Result<()> {
    let env = environment().await?;
    let namespace = env.namespace().await?;
    let server = iam()?;
    let cli = Cli::new(env, &server.url()).env("ALEP_CLUSTER_NAME", CLUSTER);
    env.apply_yaml(&manifest(&namespace, "z", json!({ "roleName": format!("{namespace}-one") }))).await?;
    let late = manifest(&namespace, "a", json!({ "roleName": format!("{namespace}-ONE") }));
    let file = write_manifest(&directory(env, &namespace)?, "late.yaml", late)?;
    let plan = cli.json(&["plan", "-f", &file, "-o", "json"]).await?;
    assert_eq!(plan["objects"][0]["reason"], "Conflict", "{plan}");
    let message = plan["objects"][0]["message"].as_str().unwrap_or_default();
    assert!(message.contains(&format!("{namespace}/z")), "{message}");
    Ok(())
}
