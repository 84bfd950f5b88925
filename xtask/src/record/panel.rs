//! A panel as the dashboard describes it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

/// What a panel looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The heading of a row.
    Row,
    /// One number.
    Stat,
    /// Lines over time.
    Graph,
}

/// Title, place and queries; lengths in pixels.
#[derive(Debug)]
pub(super) struct Panel {
    pub(super) kind: Kind,
    pub(super) title: String,
    pub(super) unit: String,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) targets: Vec<Target>,
    /// The number stands for nothing: its series' name is shown.
    pub(super) shows_name: bool,
    /// From which value on a number has which color.
    pub(super) thresholds: Vec<(Option<f64>, String)>,
}

/// A query.
#[derive(Debug)]
pub(super) struct Target {
    query: String,
    legend: String,
    pub(super) instant: bool,
}

/// A series with the name that the legend gives it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

impl Panel {
    /// For a dashboard so wide, whose grid has 24 columns and rows so high.
    pub(super) fn read(panel: &Value, width: f64, row: f64) -> Result<Self> {
        let title = panel["title"].as_str().context("a panel without title")?;
        let place = |name: &str| panel["gridPos"][name].as_f64().with_context(|| format!("{title}: no {name}"));
        let kind = match panel["type"].as_str() {
            Some("row") => Kind::Row,
            Some("stat") => Kind::Stat,
            _ => Kind::Graph,
        };
        let steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"].as_array().into_iter().flatten();
        let color = |step: &Value| Some((step["value"].as_f64(), step["color"].as_str()?.to_owned()));
        let targets = panel["targets"].as_array().into_iter().flatten();
        let target = |target: &Value| {
            Some(Target {
                query: target["expr"].as_str()?.to_owned(),
                legend: target["legendFormat"].as_str().unwrap_or_default().to_owned(),
                instant: target["instant"] == true,
            })
        };
        Ok(Self {
            kind,
            title: title.to_owned(),
            unit: panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap_or("short").to_owned(),
            x: place("x")? * width / 24.0,
            y: place("y")? * row,
            width: place("w")? * width / 24.0,
            height: place("h")? * row,
            targets: targets.filter_map(target).collect(),
            shows_name: panel["options"]["textMode"] == "name",
            thresholds: steps.filter_map(color).collect(),
        })
    }

    /// The color of a number.
    pub(super) fn color(&self, value: f64) -> &'static str {
        let reached = self.thresholds.iter().rev().find(|(from, _)| from.is_none_or(|from| value >= from));
        match reached.map(|(_, color)| color.as_str()) {
            Some("red") => "#f2495c",
            Some("orange") => "#ff9830",
            Some("yellow") => "#fade2a",
            Some("blue") => "#5794f2",
            Some("text") => "#ccccdc",
            _ => "#73bf69",
        }
    }
}

impl Target {
    /// The query with Grafana's variables put in, as it does with every namespace and account selected.
    pub(super) fn expression(&self, scrape_seconds: u64) -> String {
        let rate = format!("{}s", scrape_seconds * 4);
        self.query.replace("$__rate_interval", &rate).replace("$namespace", ".*").replace("$account", ".*")
    }

    /// The legend of a series.
    pub(super) fn name(&self, labels: &BTreeMap<String, String>) -> String {
        labels.iter().fold(self.legend.clone(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_labels_are_put_in() {
        let target = Target {
            query: "rate(a{n=~\"$namespace\"}[$__rate_interval])".into(),
            legend: "{{x}} ({{y}})".into(),
            instant: false,
        };
        assert_eq!(target.expression(5), "rate(a{n=~\".*\"}[20s])");
        let labels = BTreeMap::from([("x".to_owned(), "1".to_owned()), ("y".to_owned(), "2".to_owned())]);
        assert_eq!(target.name(&labels), "1 (2)");
    }
}
