//! The Grafana dashboard with the data of a real run: the panels' own queries, put to a real Prometheus, drawn here.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use aurora_test_support::paths::workspace;
use serde_json::Value;

use super::panel::{Line, Panel};
use super::prometheus::{Prometheus, SCRAPE_SECONDS, Series};
use super::scenario::Scene;
use super::{chart, terminal};

const WIDTH: f64 = 1200.0;
const ROW: f64 = 32.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 34.0;

pub(super) async fn record(binary: PathBuf, seconds: u64) -> Result<String> {
    let text = std::fs::read_to_string(workspace().join("deploy/monitoring/dashboard.json"))?;
    let dashboard: Value = serde_json::from_str(&text)?;
    let scene = Scene::set(binary).await?;
    let prometheus = Prometheus::start(&scene.env.dir().join("prometheus"), scene.operator.http_address()).await?;
    let start = now()?;
    scene.play(seconds).await?;
    let svg = draw(&dashboard, &prometheus, (start, now()?)).await?;
    scene.operator.stop().await?;
    Ok(svg)
}

fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

async fn draw(dashboard: &Value, prometheus: &Prometheus, (start, end): (f64, f64)) -> Result<String> {
    let title = dashboard["title"].as_str().context("a dashboard without title")?;
    let panels = dashboard["panels"].as_array().context("a dashboard without panels")?;
    let (mut body, mut height) = (String::new(), 0.0_f64);
    for panel in panels {
        let panel = Panel::read(panel, WIDTH, ROW)?;
        height = height.max(panel.y + panel.height);
        let mut lines = Vec::new();
        for target in &panel.targets {
            let expression = target.expression(SCRAPE_SECONDS);
            let found = if target.instant {
                prometheus.at(&expression, end).await
            } else {
                prometheus.between(&expression, start, end).await
            };
            let found = found.with_context(|| format!("panel {:?}: {expression}", panel.title))?;
            lines
                .extend(found.into_iter().map(|Series { labels, points }| Line { name: target.name(&labels), points }));
        }
        println!("{:40} {} series", panel.title, lines.len());
        // Writing to a String cannot fail.
        let _ = write!(body, r#"<g transform="translate({:.0},{:.0})">"#, panel.x, panel.y + TOP);
        body.push_str(&chart::draw(&panel, &lines, (start, end)));
        body.push_str("</g>\n");
    }
    let total = height + TOP + BOTTOM;
    Ok(format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0} {total:.0}" width="{WIDTH:.0}" height="{total:.0}" role="img" aria-label="{title}: the panels of the dashboard with the data of a run">
<style>text {{ font: 12px Inter, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; fill: #ccccdc; }} .t {{ font-weight: 500; font-size: 13px; }} .h {{ font-size: 20px; font-weight: 500; }} .s {{ fill: #9fa2ad; font-size: 11px; }}</style>
<rect width="100%" height="100%" rx="8" fill="#111217"/>
<text x="16" y="34" class="h">{}</text>
{body}<text x="16" y="{:.0}" class="s">Drawn by `cargo xtask record dashboard` from the queries of deploy/monitoring/dashboard.json and the answers of a Prometheus that watched a run of {:.0} minutes; not a screenshot of Grafana.</text>
</svg>
"##,
        terminal::escaped(title),
        total - 13.0,
        (end - start) / 60.0,
    ))
}
