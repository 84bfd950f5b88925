//! A Prometheus that scrapes the operator, and its HTTP API.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aurora_test_support::http;
use aurora_test_support::ports::free_port;
use aurora_test_support::supervisor::{self, Supervised};
use aurora_test_support::wait::wait_for;
use serde_json::Value;

/// Between scrapes. Grafana's `$__rate_interval` is four of them.
pub(super) const SCRAPE_SECONDS: u64 = 5;

/// One line of a graph.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) labels: BTreeMap<String, String>,
    /// Seconds since 1970, value.
    pub(super) points: Vec<(f64, f64)>,
}

/// A running Prometheus. Dropping it kills it.
pub(super) struct Prometheus {
    address: String,
    _server: Supervised,
}

impl Prometheus {
    /// Scrapes `target`, an operator in the namespace that the label says.
    pub(super) async fn start(dir: &Path, target: &str) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let config = format!(
            "global: {{scrape_interval: {SCRAPE_SECONDS}s}}\nscrape_configs:\n- job_name: aurora-log-export-operator\n  \
             static_configs:\n  - targets: ['{target}']\n    labels: {{namespace: aurora-log-export-system}}\n"
        );
        std::fs::write(dir.join("prometheus.yml"), config)?;
        let mut command = supervisor::command("prometheus");
        command.current_dir(dir).args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
        command.arg(format!("--web.listen-address={address}"));
        let mut server = Supervised::spawn("prometheus", command, &dir.join("prometheus.log"))
            .context("is Prometheus installed? `apt-get install prometheus`")?;
        wait_for("prometheus", Duration::from_mins(1), async || {
            server.check_alive()?;
            http::get(&address, "/-/ready").await?.ok()
        })
        .await
        .context("is Prometheus installed? `apt-get install prometheus`")?;
        Ok(Self { address, _server: server })
    }

    /// The values at one moment.
    pub(super) async fn at(&self, expression: &str, time: f64) -> Result<Vec<Series>> {
        self.ask(&format!("/api/v1/query?query={}&time={time}", encoded(expression))).await
    }

    /// The values between two moments.
    pub(super) async fn between(&self, expression: &str, start: f64, end: f64) -> Result<Vec<Series>> {
        let path =
            format!("/api/v1/query_range?query={}&start={start}&end={end}&step={SCRAPE_SECONDS}", encoded(expression));
        self.ask(&path).await
    }

    async fn ask(&self, path: &str) -> Result<Vec<Series>> {
        let answer: Value = serde_json::from_str(&http::get(&self.address, path).await?.body)?;
        ensure!(answer["status"] == "success", "{}: {}", answer["errorType"], answer["error"]);
        let result = answer["data"]["result"].as_array().context("no result")?;
        Ok(result.iter().map(series).collect())
    }
}

fn series(of: &Value) -> Series {
    let labels = of["metric"].as_object().into_iter().flatten();
    let point = |pair: &Value| Some((pair[0].as_f64()?, pair[1].as_str()?.parse::<f64>().ok()?));
    let many = of["values"].as_array().into_iter().flatten().filter_map(point);
    Series {
        labels: labels.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect(),
        // What a quantile of nothing gives.
        points: many.chain(point(&of["value"])).filter(|(_, value)| value.is_finite()).collect(),
    }
}

fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
