//! `deploy/` by itself: its own tests, helm's lint, and everything that it renders held to the strict schemas of a real
//! API server, so that a misspelt field is found here and not in a cluster that drops it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use aurora_test_support::apply;
use aurora_test_support::controlplane::ControlPlaneOptions;
use aurora_test_support::environment::Environment;
use aurora_test_support::paths::{files, workspace};

use super::process::{self, fresh_dir, read};
use super::say;
use super::tools::{self, DeliveryTools};

pub(super) const CHART: &str = "deploy/helm/aurora-log-export-operator";
pub(super) const NAMESPACE: &str = "aurora-log-export-system";
pub(super) const RELEASE: &str = "aurora-log-export-operator";

/// Kinds of the Prometheus operator, whose schemas no API server has built in. `TestMonitoringObjectsAreStrict` of
/// the Go tests reads them into that operator's own types instead.
const NOT_IN_THE_API_SERVER: &str = "ServiceMonitor,PodMonitor,PrometheusRule";

pub(super) async fn check() -> Result<()> {
    let tools = tools::delivery().await?;
    process::run("the tests of deploy", "go", |command| {
        // Go's cache of results does not look at files outside the module, and deploy/ is outside.
        command.current_dir(workspace().join("tests/support/delivery")).args(["test", "-count=1", "./..."]);
    })
    .await?;
    say("go test tests/support/delivery: passed");
    lint(&tools).await?;
    let dir = fresh_dir("delivery")?;
    let rendered = render(&tools, &dir).await?;
    let schemas = schemas(&dir).await?;
    conform(&tools, &schemas, rendered).await
}

/// The files of values that the chart is checked with, beside its defaults.
fn values() -> Result<Vec<PathBuf>> {
    files(&workspace().join("tests/support/delivery/values"), "yaml")
}

/// The overlays of `deploy/kustomize`.
pub(super) fn overlays() -> Result<Vec<PathBuf>> {
    let dir = workspace().join("deploy/kustomize/overlays");
    let entries = std::fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.retain(|path| path.join("kustomization.yaml").is_file());
    paths.sort();
    ensure!(paths.len() >= 4, "{} has {} overlays, four were known", dir.display(), paths.len());
    Ok(paths)
}

async fn lint(tools: &DeliveryTools) -> Result<()> {
    let chart = workspace().join(CHART);
    let mut ways = vec![None];
    ways.extend(values()?.into_iter().map(Some));
    for way in &ways {
        process::output(&tools.helm, |command| {
            command.args(["lint", "--strict"]).arg(&chart);
            if let Some(values) = way {
                command.arg("--values").arg(values);
            }
        })
        .await?;
    }
    say(&format!("helm lint --strict: passed with {} sets of values", ways.len()));
    Ok(())
}

/// Every way to render into files of `dir`, and the examples.
async fn render(tools: &DeliveryTools, dir: &Path) -> Result<Vec<PathBuf>> {
    let root = workspace();
    let mut rendered = Vec::new();
    let mut ways = vec![None];
    ways.extend(values()?.into_iter().map(Some));
    for way in ways {
        let name = way.as_deref().and_then(Path::file_stem).map_or("defaults".into(), |name| name.to_string_lossy());
        let text = process::output(&tools.helm, |command| {
            command.args(["template", RELEASE]).arg(root.join(CHART)).args(["--namespace", NAMESPACE]);
            if let Some(values) = &way {
                command.arg("--values").arg(values);
            }
        });
        let path = dir.join(format!("helm-{name}.yaml"));
        process::write(&path, text.await?)?;
        rendered.push(path);
    }
    let mut kustomizations: Vec<PathBuf> =
        ["kustomize/base", "kustomize/components/outputs", "monitoring", "admission/policies", "admission/bindings"]
            .map(|name| root.join("deploy").join(name))
            .into();
    kustomizations.extend(overlays()?);
    for kustomization in kustomizations {
        let name = kustomization.strip_prefix(root.join("deploy"))?.display().to_string().replace('/', "-");
        let text = process::output(&tools.kustomize, |command| {
            command.arg("build").arg(&kustomization);
        });
        let path = dir.join(format!("{name}.yaml"));
        process::write(&path, text.await?)?;
        rendered.push(path);
    }
    rendered.extend(files(&root.join("examples"), "yaml")?);
    Ok(rendered)
}

/// The strict schemas of a real API server with our CRDs, as kubeconform reads them.
async fn schemas(dir: &Path) -> Result<PathBuf> {
    let env = Environment::start(ControlPlaneOptions::default()).await?;
    env.install_crds().await?;
    let openapi = dir.join("openapi.json");
    // The document follows the CRDs by a moment.
    let has_ours = "dev.auroralogexport.v1alpha1.AwsAccount";
    let text = aurora_test_support::wait::wait_for("our kinds in the OpenAPI document", super::SHORT, async || {
        let text = env.kubectl(&["get", "--raw", "/openapi/v2"]).await?;
        ensure!(text.contains(has_ours), "no {has_ours} yet");
        Ok(text)
    });
    process::write(&openapi, text.await?)?;
    let schemas = dir.join("schemas");
    let script = workspace().join("tests/support/delivery/schemas.py");
    let stdin = std::fs::File::open(&openapi)?;
    process::output("python3", |command| {
        command.arg(script).arg(&schemas).stdin(stdin);
    })
    .await?;
    Ok(schemas)
}

async fn conform(tools: &DeliveryTools, schemas: &Path, rendered: Vec<PathBuf>) -> Result<()> {
    let location =
        format!("{}/{{{{.Group}}}}/{{{{.ResourceKind}}}}_{{{{.ResourceAPIVersion}}}}.json", schemas.display());
    let kubeconform = async |paths: &[PathBuf]| {
        process::output(&tools.kubeconform, |command| {
            command.args(["-strict", "-summary", "-skip", NOT_IN_THE_API_SERVER, "-schema-location", &location]);
            command.args(paths);
        })
        .await
    };
    let mut objects = 0;
    for path in &rendered {
        objects += apply::parse(&read(path)?).with_context(|| format!("{} is not YAML", path.display()))?.len();
    }
    let summary = kubeconform(&rendered).await?;
    say(&format!("kubeconform -strict: {} renderings, {objects} objects: {}", rendered.len(), summary.trim()));
    // The check itself can fail.
    let first = read(&rendered[0])?;
    let misspelt = first.replacen("automountServiceAccountToken", "automountServiceAccountTokens", 1);
    ensure!(misspelt != first, "there is no field automountServiceAccountToken to misspell in the chart");
    let path = schemas.with_file_name("misspelt.yaml");
    process::write(&path, misspelt)?;
    ensure!(kubeconform(&[path]).await.is_err(), "kubeconform accepts a misspelt field: the schemas are not strict");
    Ok(())
}
