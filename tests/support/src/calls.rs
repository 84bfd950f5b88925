//! A recording of every call to IAM and STS that an operator makes during a run of the tests, with what AWS's policies
//! could judge it by: what `deploy/aws` must allow is then what the whole suite does, not what a test was made up for.
//!
//! The model's server writes it, and the proxy in front of moto. Calls are
//! told from those of the tests themselves by the SDK's user agent, and one operator's from another's by the application
//! id in it. One JSON object a line, each line once: `run` (an operator and its flags), `object` (what a team or the
//! platform team asked for, whenever that changed), `call`.

use std::collections::HashSet;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use anyhow::{Context, Result};
use hyper::header::{HeaderMap, USER_AGENT};
use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::iam_model::handle::lock;
use crate::iam_model::http::judged::Judged;
use crate::paths::target_dir;
use crate::tools;

/// Environment variable of the AWS SDKs: a name in the user agent.
pub const APPLICATION_ID: &str = "AWS_SDK_UA_APP_ID";

/// [`APPLICATION_ID`] of commands that a person runs with credentials of their own.
pub const COMMAND_LINE: &str = "command-line";

static RECORDER: OnceLock<Mutex<Recorder>> = OnceLock::new();

#[derive(Debug)]
struct Recorder {
    file: File,
    /// Hashes of the lines written.
    written: HashSet<u64>,
}

/// The newest recording.
pub fn path() -> PathBuf {
    target_dir().join("iam-recording.jsonl")
}

/// Records from now to the end of this process.
pub fn start() -> Result<()> {
    let file = File::create(path()).with_context(|| format!("cannot write {}", path().display()))?;
    let _ = RECORDER.set(Mutex::new(Recorder { file, written: HashSet::new() }));
    Ok(())
}

/// Are calls being recorded?
pub fn is_on() -> bool {
    RECORDER.get().is_some()
}

fn write(line: &Value) {
    let Some(recorder) = RECORDER.get() else { return };
    let text = line.to_string() + "\n";
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let mut recorder = lock(recorder);
    if recorder.written.insert(hasher.finish())
        && let Err(error) = recorder.file.write_all(text.as_bytes())
    {
        tools::progress(&format!("the recording of calls to IAM lacks a line: {error}"));
    }
}

/// An operator that is about to start; gives its [`APPLICATION_ID`].
pub(crate) fn run(flags: &[String], cluster_uid: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let id = format!("run-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let thread = std::thread::current();
    write(&json!({ "run": { "id": id, "test": thread.name(), "flags": flags, "clusterUid": cluster_uid } }));
    id
}

/// An object of the operator's kinds as the API server told of it.
pub(crate) fn object(object: &DynamicObject) {
    let metadata = &object.metadata;
    let kind = object.types.as_ref().map(|types| types.kind.as_str());
    let told =
        json!({ "kind": kind, "namespace": metadata.namespace, "name": metadata.name, "spec": object.data["spec"] });
    write(&json!({ "object": told }));
}

/// What a call says it was made by.
pub(crate) fn user_agent(headers: &HeaderMap) -> String {
    headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// The application id of a call by one of our programs, if calls are being recorded.
pub(crate) fn caller(headers: &HeaderMap) -> Option<String> {
    RECORDER.get()?;
    let agents = ["user-agent", "x-amz-user-agent"].into_iter().filter_map(|name| headers.get(name)?.to_str().ok());
    let ours = |agent: &&str| agent.contains("aws-sdk-rust/");
    let mut ids = agents.filter(ours).map(|agent| agent.split(' ').find_map(|part| part.strip_prefix("app/")));
    Some(ids.next()?.unwrap_or_default().to_owned())
}

/// What a call of that caller asks leave for, in an account.
pub(crate) fn call(caller: &str, account: &str, partition: &str, asked: Vec<Judged>) {
    for judged in asked {
        let mut line = json!({ "call": judged });
        line["call"]["run"] = json!(caller);
        line["call"]["account"] = json!(account);
        line["call"]["partition"] = json!(partition);
        write(&line);
    }
}
