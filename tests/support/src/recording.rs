//! A recording of every state of the operator's objects that the API server told of during a run of the tests.
//!
//! What judges statuses elsewhere (kstatus, Argo CD's health script) is then shown the statuses of a real run, not ones
//! made up for it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result};
use futures::{StreamExt, stream};
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, TypeMeta};
use kube::core::GroupVersionKind;
use kube::runtime::{WatchStreamExt, watcher};

use crate::controlplane::ControlPlane;
use crate::environment::Environment;
use crate::iam_model::handle::lock;
use crate::paths::target_dir;
use crate::{calls, kubeconfig, tools};

/// Environment variable that has a run of a few tests recorded as well.
pub const EVEN_FEW: &str = "AURORA_TEST_RECORD";

const KINDS: [&str; 2] = ["AuroraLogExportPolicy", "AwsAccount"];

/// The newest recording: one object a line, as JSON, without `managedFields`.
pub fn path() -> PathBuf {
    target_dir().join("kstatus-recording.jsonl")
}

/// Which run the newest recording is of, see [`identity`].
pub fn identity_path() -> PathBuf {
    target_dir().join("kstatus-recording.of")
}

/// Says which build of the tests a recording is of. They contain the operator's code, so a change of either shows.
pub fn identity(tests: &Path) -> Result<String> {
    let built = std::fs::metadata(tests).with_context(|| format!("cannot read {}", tests.display()))?.modified()?;
    Ok(format!("{} {}\n", tests.display(), built.duration_since(UNIX_EPOCH)?.as_nanos()))
}

/// The API server's audit log of the run that [`path`] is of.
pub fn audit_path() -> PathBuf {
    target_dir().join("audit-recording.jsonl")
}

/// Records from now to the end of this process (statuses, requests to the API server, calls to AWS), if it runs all tests
/// of its binary: a recording of a few would take the place of a whole one. [`EVEN_FEW`] records those as well.
pub fn start(environment: &Environment) -> Result<()> {
    let few = std::env::args().skip(1).any(|argument| !argument.starts_with('-'));
    if few && std::env::var_os(EVEN_FEW).is_none() {
        return Ok(());
    }
    // Of no whole run until the end of this function, and of none at all if these are few.
    let _ = std::fs::remove_file(identity_path());
    calls::start()?;
    let _ = std::fs::remove_file(audit_path());
    if let Some(log) = environment.control_plane().ok().and_then(ControlPlane::audit_log) {
        // A second name of the same file: it outlives the directory of the run.
        std::fs::hard_link(&log, audit_path()).with_context(|| format!("cannot link {}", audit_path().display()))?;
    }
    let file = File::create(path()).with_context(|| format!("cannot write {}", path().display()))?;
    if !few {
        std::fs::write(identity_path(), identity(&std::env::current_exe()?)?)?;
    }
    watch(environment, Some(file))
}

/// Records what the API server of this environment tells of objects, once, as far as the calls of their operators need it.
pub(crate) fn objects(environment: &Environment) -> Result<()> {
    watch(environment, None)
}

fn watch(environment: &Environment, mut statuses: Option<File>) -> Result<()> {
    static WATCHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    let mut watched = lock(&WATCHED);
    if watched.iter().any(|dir| dir == environment.dir()) {
        return Ok(());
    }
    watched.push(environment.dir().to_owned());
    let admin = kubeconfig::read(environment.kubeconfig())?;
    // A thread with a runtime of its own: each test's runtime ends with the test.
    std::thread::Builder::new().name("recording".to_owned()).spawn(move || {
        let recorded = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Into::into);
        let recorded = recorded.and_then(|runtime: tokio::runtime::Runtime| {
            runtime.block_on(async { record(kubeconfig::client(admin).await?, statuses.as_mut()).await })
        });
        if let Err(error) = recorded {
            tools::progress(&format!("the recording of objects has ended: {error:#}"));
        }
    })?;
    Ok(())
}

async fn record(client: kube::Client, mut statuses: Option<&mut File>) -> Result<()> {
    let watches = KINDS.map(|kind| {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("auroralogexport.dev", "v1alpha1", kind));
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let types = TypeMeta { api_version: resource.api_version, kind: resource.kind };
        watcher(api, watcher::Config::default())
            .default_backoff()
            .touched_objects()
            .map(move |event| (types.clone(), event))
            .boxed()
    });
    let mut events = stream::select_all(watches);
    while let Some((types, event)) = events.next().await {
        // An error here is a watch that broke off; the watcher begins another.
        let Ok(mut object) = event else { continue };
        object.managed_fields_mut().clear();
        object.types = Some(types);
        calls::object(&object);
        if let Some(file) = &mut statuses {
            let line = serde_json::to_string(&object)? + "\n";
            file.write_all(line.as_bytes()).context("cannot write the recording")?;
        }
    }
    Ok(())
}
