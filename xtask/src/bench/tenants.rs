//! What one namespace does to another: each attack of `tests/it/tenants` at its full size, beside an object of a bystander.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aurora_test_support::controlplane::ControlPlaneOptions;
use aurora_test_support::environment::Environment;
use aurora_test_support::http;
use aurora_test_support::iam_model::http::{Server, ServerOptions};
use aurora_test_support::operator::{Operator, OperatorOptions};
use aurora_test_support::paths::workspace;
use aurora_test_support::wait::wait_for;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::measure::usage;
use super::rig::{ACCOUNT, api, is_ready};

/// The chart's memory limit, in MiB.
const MEMORY_LIMIT: f64 = 128.0;
const PATIENCE: Duration = Duration::from_mins(3);
/// Requests of an attacker that are under way at once.
const AT_ONCE: usize = 10;

/// One measured figure.
struct Figure {
    what: &'static str,
    value: f64,
    /// What it must not exceed; infinite where the API server decides it.
    limit: f64,
    unit: &'static str,
}

/// Runs every attack, prints the figures, and fails if one exceeds its limit.
pub(super) async fn run(binary: &Path) -> Result<()> {
    for admission in [false, true] {
        println!("── admission policies {} ──", if admission { "bound" } else { "not bound" });
        let mut figures = Vec::new();
        figures.extend(quiet(&Stage::start(binary, admission).await?).await?);
        figures.extend(deletions(&Stage::start(binary, admission).await?).await?);
        figures.extend(account_names(&Stage::start(binary, admission).await?).await?);
        figures.extend(metadata(Stage::start(binary, admission).await?).await?);
        figures.extend(connections(&Stage::start(binary, admission).await?).await?);
        match claims(&Stage::start(binary, admission).await?).await? {
            Some(claims) => figures.extend(claims),
            None => println!("many objects that claim one role: refused at admission"),
        }
        println!("| figure | measured | limit |\n|---|---:|---:|");
        for Figure { what, value, limit, unit } in &figures {
            let limit = if limit.is_finite() { format!("{limit} {unit}") } else { "–".to_owned() };
            println!("| {what} | {value:.2} {unit} | {limit} |");
        }
        let broken: Vec<_> = figures.iter().filter(|figure| figure.value > figure.limit).collect();
        ensure!(broken.is_empty(), "{}", broken.iter().map(|figure| figure.what).collect::<Vec<_>>().join(", "));
    }
    Ok(())
}

/// An operator with its default flags, and an object of the bystander in sync.
struct Stage {
    env: Environment,
    _aws: Server,
    operator: Operator,
    options: OperatorOptions,
    attacker: Api<DynamicObject>,
    bystander: Api<DynamicObject>,
}

impl Stage {
    async fn start(binary: &Path, admission: bool) -> Result<Self> {
        let env = Environment::start(ControlPlaneOptions { controller_manager: false, audit: false }).await?;
        env.install_crds().await?;
        env.install_rbac().await?;
        if admission {
            let dir = workspace().join("deploy/admission/bindings");
            env.apply_yaml(&env.kubectl(&["kustomize", &dir.display().to_string()]).await?).await?;
        }
        let aws = Server::start(ServerOptions { log_capacity: 0, ..ServerOptions::default() })?;
        aws.world().add_key("test", ACCOUNT);
        let client = env.client().await?;
        let (attacker, bystander) = (api(&client, &env.namespace().await?), api(&client, &env.namespace().await?));
        let flags = ["--cluster-name=bench", "--log-filter=warn"];
        let options = OperatorOptions::new(binary).arguments(flags).aws_endpoint(&aws.url());
        let operator = Operator::start(&env, options.clone()).await?;
        let stage = Self { env, _aws: aws, operator, options, attacker, bystander };
        stage.edit("created").await?;
        Ok(stage)
    }

    /// Applies the bystander's object; returns how long it takes until it is in sync.
    async fn edit(&self, description: &str) -> Result<f64> {
        let began = Instant::now();
        let object = manifest("orders", json!({ "description": description }));
        self.bystander.patch("orders", &PatchParams::apply("bench").force(), &Patch::Apply(&object)).await?;
        while began.elapsed() < PATIENCE {
            let seen = self.bystander.get("orders").await?;
            if is_ready(&seen) && seen.data["status"]["observedGeneration"] == json!(seen.metadata.generation) {
                return Ok(began.elapsed().as_secs_f64());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::bail!("the bystander's edit was not in sync within {PATIENCE:?}")
    }

    /// The longest of ten probes, in seconds.
    async fn probe(&self) -> Result<f64> {
        let mut longest = Duration::ZERO;
        for _ in 0..10 {
            let began = Instant::now();
            http::get(self.operator.http_address(), "/livez").await?.ok()?;
            longest = longest.max(began.elapsed());
        }
        Ok(longest.as_secs_f64())
    }

    async fn restarted(self) -> Result<Self> {
        self.operator.stop().await?;
        let operator = Operator::start(&self.env, self.options.clone()).await?;
        Ok(Self { operator, ..self })
    }

    fn resident(&self) -> Result<f64> {
        Ok(usage(self.operator.id())?.resident)
    }

    /// Creates objects of the attacker; false if admission refuses them.
    async fn attack(&self, count: usize, object: impl Fn(usize) -> Value) -> Result<bool> {
        let mut creating = JoinSet::new();
        for number in 0..count {
            if creating.len() == AT_ONCE && !created(&mut creating).await? {
                return Ok(false);
            }
            let (api, object) = (self.attacker.clone(), serde_json::from_value(object(number))?);
            creating.spawn(async move { api.create(&PostParams::default(), &object).await });
        }
        while !creating.is_empty() {
            if !created(&mut creating).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

type Creating = JoinSet<kube::Result<DynamicObject>>;

async fn created(creating: &mut Creating) -> Result<bool> {
    match creating.join_next().await.context("nothing is being created")?? {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn manifest(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "auroralogexport.dev/v1alpha1", "kind": "AuroraLogExportPolicy",
        "metadata": { "name": name }, "spec": spec,
    })
}

fn figure(what: &'static str, value: f64, limit: f64, unit: &'static str) -> Figure {
    Figure { what, value, limit, unit }
}

async fn quiet(stage: &Stage) -> Result<[Figure; 3]> {
    Ok([
        figure("an edit, nothing else at work", stage.edit("quiet").await?, 3.0, "s"),
        figure("a probe, nothing else at work", stage.probe().await?, 1.0, "s"),
        figure("resident memory, one object", stage.resident()?, MEMORY_LIMIT, "MiB"),
    ])
}

async fn deletions(stage: &Stage) -> Result<[Figure; 1]> {
    const OBJECTS: usize = 150;
    stage.attack(OBJECTS, |number| manifest(&format!("o{number}"), json!({}))).await?;
    wait_for("every object of the attacker to be ready", PATIENCE, async || {
        let ready = stage.attacker.list(&ListParams::default()).await?.items.iter().filter(|it| is_ready(it)).count();
        ensure!(ready == OBJECTS, "{ready} of {OBJECTS}");
        Ok(())
    })
    .await?;
    stage.attacker.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
    let took = stage.edit("beside deletions").await?;
    let left = stage.attacker.list(&ListParams::default()).await?.items.len();
    ensure!(left > 0, "the deletions were over before the edit: nothing was measured");
    Ok([figure("an edit beside 150 deletions of another namespace", took, 3.0, "s")])
}

async fn account_names(stage: &Stage) -> Result<[Figure; 1]> {
    const NAMES: usize = 3_000;
    const ROUND: usize = 100;
    let before = warmed_up(stage, ROUND).await?;
    for round in 0..NAMES / ROUND {
        name_accounts(stage, &format!("r{round}"), ROUND).await?;
    }
    stage.edit("after names").await?;
    let growth = stage.resident()? - before;
    Ok([figure("memory for 3,000 names of accounts that do not exist", growth, 2.0, "MiB")])
}

/// Resident memory after a few rounds: the allocator has what it needs for one.
async fn warmed_up(stage: &Stage, round: usize) -> Result<f64> {
    for number in 0..3 {
        name_accounts(stage, &format!("warm{number}"), round).await?;
    }
    stage.edit("warmed up").await?;
    stage.resident()
}

/// Objects that name so many accounts come and go.
async fn name_accounts(stage: &Stage, round: &str, count: usize) -> Result<()> {
    let object = |number| {
        manifest(&format!("{round}-{number}"), json!({ "accountRef": { "name": format!("none-{round}-{number}") } }))
    };
    stage.attack(count, object).await?;
    stage.attacker.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
    Ok(())
}

async fn metadata(stage: Stage) -> Result<[Figure; 3]> {
    stage
        .attack(120, |number| {
            let finalizers: Vec<_> = (0..4_000).map(|one| format!("example.com/{}-{one}", "x".repeat(45))).collect();
            let mut object = manifest(&format!("f{number}"), json!({ "suspend": true }));
            // A finalizer has at most 63 characters after the slash: about 250 kB.
            object["metadata"]["finalizers"] = json!(finalizers);
            object["metadata"]["annotations"] = json!({ "example.com/a": "x".repeat(200_000) });
            object
        })
        .await?;
    stage
        .attack(250, |number| {
            let mut object = manifest(&format!("a{number}"), json!({ "suspend": true }));
            object["metadata"]["annotations"] = json!({ "example.com/a": "x".repeat(250_000) });
            object
        })
        .await?;
    let edit = stage.edit("beside metadata").await?;
    let running = usage(stage.operator.id())?.peak;
    let stage = stage.restarted().await?;
    stage.edit("after the restart").await?;
    Ok([
        // The API server's watch delivers the changes of a kind one after the other, and is slow with such objects.
        figure("an edit beside 370 objects with 170 MB of metadata", edit, f64::INFINITY, "s"),
        figure("most memory beside them", running, MEMORY_LIMIT, "MiB"),
        figure("most memory at a restart", usage(stage.operator.id())?.peak, MEMORY_LIMIT, "MiB"),
    ])
}

async fn connections(stage: &Stage) -> Result<[Figure; 2]> {
    let mut held = Vec::new();
    for _ in 0..400 {
        let mut stream = TcpStream::connect(stage.operator.http_address()).await?;
        stream.write_all(b"GET /metrics HT").await?;
        held.push(stream);
    }
    let mut scrapes = JoinSet::new();
    for _ in 0..8 {
        let address = stage.operator.http_address().to_owned();
        scrapes.spawn(async move { while http::get(&address, "/metrics").await.is_ok() {} });
    }
    Ok([
        figure("a probe beside 400 held connections and scrapes in a loop", stage.probe().await?, 1.0, "s"),
        figure("an edit beside them", stage.edit("beside connections").await?, 3.0, "s"),
    ])
}

/// `None`: admission refuses the attack.
async fn claims(stage: &Stage) -> Result<Option<[Figure; 2]>> {
    const OBJECTS: usize = 10_000;
    let object = |number| manifest(&format!("o{number}"), json!({ "policyName": "wanted", "roleName": "wanted" }));
    if !stage.attack(OBJECTS, object).await? {
        return Ok(None);
    }
    let before = usage(stage.operator.id())?.cpu;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let cpu = usage(stage.operator.id())?.cpu - before;
    Ok(Some([
        figure("CPU time in 30 s with 10,000 objects that claim one role", cpu, 5.0, "s"),
        figure("an edit beside them", stage.edit("beside claims").await?, 3.0, "s"),
    ]))
}
