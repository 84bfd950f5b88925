//! The recording of a run, read back: operators, what was asked of them, and what they asked AWS for.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};

use super::process;

/// What `tests/support/src/calls.rs` wrote.
#[derive(Debug, Default)]
pub(super) struct Recording {
    /// By application id.
    pub(super) runs: BTreeMap<String, Run>,
    /// By namespace and name: each spec that the object has had.
    pub(super) policies: BTreeMap<(String, String), Vec<Value>>,
    /// By name: the same of accounts.
    pub(super) accounts: BTreeMap<String, Vec<Value>>,
    /// In the order in which they were made, each different one once.
    pub(super) calls: Vec<Call>,
}

/// One operator.
#[derive(Debug)]
pub(super) struct Run {
    /// The test that started it.
    pub(super) test: String,
    /// What it was started with.
    flags: Vec<String>,
    /// UID of `kube-system`, which is the cluster's name where none is given.
    cluster_uid: String,
}

/// One request for leave.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// The application id of who made it.
    pub(super) run: String,
    pub(super) account: String,
    pub(super) partition: String,
    pub(super) action: String,
    pub(super) resource: String,
    /// Whether the role or policy existed.
    pub(super) exists: bool,
    pub(super) context: Map<String, Value>,
}

impl Run {
    /// The last value given to a flag.
    fn flag(&self, name: &'static str) -> Option<&str> {
        self.values(name).last()
    }

    fn values(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.flags.iter().filter_map(move |flag| flag.strip_prefix(name)?.strip_prefix('='))
    }

    /// Its `--iam-path`.
    pub(super) fn iam_path(&self) -> &str {
        self.flag("--iam-path").unwrap_or("/aurora-log-export/")
    }

    /// Its `--cluster-name`.
    pub(super) fn cluster_name(&self) -> &str {
        self.flag("--cluster-name").unwrap_or(&self.cluster_uid)
    }

    /// True if it watches objects of this namespace.
    pub(super) fn watches(&self, namespace: &str) -> bool {
        let mut watched = self.values("--watch-namespace").peekable();
        watched.peek().is_none() || watched.any(|it| it == namespace)
    }
}

impl Call {
    /// A tag of what it is about, or that it sets.
    pub(super) fn tag(&self, of: &str, name: &str) -> Option<&str> {
        self.context.get(&format!("aws:{of}/auroralogexport.dev/{name}"))?.as_str()
    }

    /// True if it changes IAM.
    pub(super) fn is_write(&self) -> bool {
        let name = self.action.split_once(':').map_or("", |(_, name)| name);
        !["Get", "List", "Simulate", "Assume", "TagSession"].iter().any(|prefix| name.starts_with(prefix))
    }
}

/// Reads a recording.
pub(super) fn read(path: &Path) -> Result<Recording> {
    let text = process::read(path)?;
    let mut recording = Recording::default();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| format!("{}: {line}", path.display()))?;
        if let Some(run) = line.get("run") {
            let flags = run["flags"].as_array().into_iter().flatten().map(text_of).collect();
            let read = Run { test: text_of(&run["test"]), flags, cluster_uid: text_of(&run["clusterUid"]) };
            recording.runs.insert(text_of(&run["id"]), read);
        } else if let Some(object) = line.get("object") {
            let (name, spec) = (text_of(&object["name"]), object["spec"].clone());
            if object["kind"] == "AwsAccount" {
                recording.accounts.entry(name).or_default().push(spec);
            } else {
                recording.policies.entry((text_of(&object["namespace"]), name)).or_default().push(spec);
            }
        } else if let Some(call) = line.get("call") {
            recording.calls.push(Call {
                run: text_of(&call["run"]),
                account: text_of(&call["account"]),
                partition: text_of(&call["partition"]),
                action: text_of(&call["action"]),
                resource: text_of(&call["resource"]),
                exists: call["exists"] == true,
                context: call["context"].as_object().cloned().unwrap_or_default(),
            });
        }
    }
    ensure!(!recording.calls.is_empty() && !recording.runs.is_empty(), "{} holds no calls", path.display());
    Ok(recording)
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
