//! Alerts and dashboard: expressions that Prometheus can read, of metrics that the reference documents, and alerts that
//! fire when they should.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use aurora_test_support::apply;
use aurora_test_support::paths::workspace;
use serde_json::{Value, json};

use super::process::{self, fresh_dir, read};
use super::{say, tools};

const PREFIX: &str = "auroralogexport_";

pub(super) async fn check() -> Result<()> {
    let promtool = tools::require("promtool", "prometheus")?;
    let root = workspace();
    let rules = alert_rules(&read(&root.join("deploy/monitoring/prometheusrule.yaml"))?)?;
    let dashboard: Value = serde_json::from_str(&read(&root.join("deploy/monitoring/dashboard.json"))?)
        .context("deploy/monitoring/dashboard.json is not JSON")?;
    let panels = panel_expressions(&dashboard);
    ensure!(!panels.is_empty(), "the dashboard has no expressions");

    let dir = fresh_dir("promtool")?;
    process::write(&dir.join("rules.json"), rules.to_string())?;
    process::write(&dir.join("panels.json"), as_rules(&panels).to_string())?;
    for file in ["rules.json", "panels.json"] {
        let path = dir.join(file);
        let said = process::output(&promtool, |command| {
            command.args(["check", "rules", "--lint=all", "--lint-fatal"]).arg(&path);
        });
        say(&format!("promtool check rules {file}: {}", last_line(&said.await?)));
    }
    let tests = read(&root.join("tests/support/promtool/alerts.yaml"))?;
    let path = dir.join("alerts.yaml");
    process::write(&path, &tests)?;
    process::output(&promtool, |command| {
        command.args(["test", "rules"]).arg(&path).current_dir(&dir);
    })
    .await?;
    let alerts = every_alert_is_tested(&rules, &tests)?;
    say(&format!("promtool test rules: every one of {alerts} alerts fires when it should"));
    let metrics = every_metric_is_documented(&rules, &panels, &root.join("docs/reference.md"))?;
    say(&format!("{} expressions of the dashboard; the {metrics} metrics in use are all documented", panels.len()));
    Ok(())
}

/// The `spec` of the PrometheusRule: a rule file as Prometheus itself reads it.
fn alert_rules(yaml: &str) -> Result<Value> {
    let object = apply::parse(yaml)?.into_iter().next().context("prometheusrule.yaml holds no object")?;
    Ok(object.data["spec"].clone())
}

/// Every expression anywhere in the dashboard, with Grafana's variables filled in.
fn panel_expressions(dashboard: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(dashboard, &mut found);
    found
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_str() {
                    Some(expression) if name == "expr" => found.push(filled(expression)),
                    _ => collect(field, found),
                }
            }
        }
        _ => {}
    }
}

fn filled(expression: &str) -> String {
    expression.replace("$__rate_interval", "5m").replace("$__interval", "1m").replace("$__range", "1h")
}

/// Expressions dressed up as recording rules, the form in which promtool checks them.
fn as_rules(expressions: &[String]) -> Value {
    let distinct: BTreeSet<&String> = expressions.iter().collect();
    let rule = |(number, expr): (usize, &String)| json!({ "record": format!("panel:{number}"), "expr": expr });
    let rules: Vec<Value> = distinct.into_iter().enumerate().map(rule).collect();
    json!({ "groups": [{ "name": "dashboard", "rules": rules }] })
}

fn rules_of(rules: &Value) -> impl Iterator<Item = &Value> {
    let groups = rules["groups"].as_array().into_iter().flatten();
    groups.flat_map(|group| group["rules"].as_array().into_iter().flatten())
}

/// How many alerts there are, each of which some test expects to fire.
fn every_alert_is_tested(rules: &Value, tests: &str) -> Result<usize> {
    let alerts: Vec<&str> = rules_of(rules).filter_map(|rule| rule["alert"].as_str()).collect();
    ensure!(!alerts.is_empty(), "the PrometheusRule has no alerts");
    for alert in &alerts {
        // A test that expects it to fire spans lines; one that expects silence is a line in braces.
        let fires = tests.contains(&format!("        alertname: {alert}\n        exp_alerts:"));
        ensure!(fires, "tests/support/promtool/alerts.yaml never expects {alert} to fire");
    }
    Ok(alerts.len())
}

/// How many of our metrics the expressions name, all of which stand in the reference.
fn every_metric_is_documented(rules: &Value, panels: &[String], reference: &Path) -> Result<usize> {
    let documented = metrics_in(&read(reference)?);
    let expressions = rules_of(rules).filter_map(|rule| rule["expr"].as_str()).chain(panels.iter().map(String::as_str));
    let used: BTreeSet<String> = expressions.flat_map(metrics_in).collect();
    ensure!(!used.is_empty(), "no expression names a metric that begins with {PREFIX}");
    for name in &used {
        // The series of a histogram.
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let known = documented.contains(name) || family.is_some_and(|family| documented.contains(family));
        ensure!(known, "{name} is in an alert or the dashboard, and not in {}", reference.display());
    }
    Ok(used.len())
}

/// Every word of a text that begins with our prefix.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    words.filter(|word| word.starts_with(PREFIX)).map(String::from).collect()
}

fn last_line(text: &str) -> &str {
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_found_at_any_depth_with_variables_filled_in() {
        let dashboard = json!({ "panels": [{ "panels": [{ "targets": [{ "expr": "rate(a[$__rate_interval])" }] }] }] });
        assert_eq!(panel_expressions(&dashboard), ["rate(a[5m])"]);
    }

    #[test]
    fn an_undocumented_metric_and_an_untested_alert_are_told() {
        let rules = json!({ "groups": [{ "rules": [{ "alert": "A", "expr": "auroralogexport_made_up > 0" }] }] });
        let reference = workspace().join("docs/reference.md");
        let error = every_metric_is_documented(&rules, &[], &reference).expect_err("made up").to_string();
        assert!(error.contains("auroralogexport_made_up"), "{error}");
        let error = every_alert_is_tested(&rules, "alertname: A").expect_err("untested").to_string();
        assert!(error.contains("never expects A to fire"), "{error}");
    }
}
