//! The programs the environment consists of: found, or built once into `target/`, never skipped.
//!
//! A missing prerequisite is an error of one sentence with the command that installs it.

pub mod go;
pub mod python;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::paths::{environment_dir, workspace};
use crate::supervisor::{Supervised, tail};

/// The programs of a Kubernetes control plane.
#[derive(Clone, Debug)]
pub struct ControlPlaneTools {
    /// etcd.
    pub etcd: PathBuf,
    /// kube-apiserver.
    pub apiserver: PathBuf,
    /// kubectl.
    pub kubectl: PathBuf,
}

/// Environment variable of envtest's convention: a directory with `etcd`, `kube-apiserver` and `kubectl`.
const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// etcd, kube-apiserver and kubectl: from `KUBEBUILDER_ASSETS` if that is set, otherwise built with Go.
pub async fn control_plane() -> Result<ControlPlaneTools> {
    blocking(|| {
        Ok(ControlPlaneTools { etcd: find("etcd")?, apiserver: find("kube-apiserver")?, kubectl: find("kubectl")? })
    })
    .await
}

/// kube-controller-manager, which envtest's directory does not have.
pub async fn controller_manager() -> Result<PathBuf> {
    blocking(|| find("kube-controller-manager")).await
}

/// kubectl alone, for a cluster that is not ours.
pub async fn kubectl() -> Result<PathBuf> {
    blocking(|| find("kubectl")).await
}

/// The virtual environment with moto; gives the path of its Python.
pub async fn moto() -> Result<PathBuf> {
    blocking(|| {
        let dir = environment_dir();
        let _lock = BuildLock::take(&dir, "moto")?;
        let about = "moto, the emulator of IAM, STS and RDS";
        python::virtual_environment(about, &dir.join("moto"), &workspace().join("tests/support/moto/requirements.txt"))
    })
    .await
}

/// The aws command line, in a virtual environment of its own; gives the path of the program.
pub async fn aws_cli() -> Result<PathBuf> {
    blocking(|| {
        let dir = environment_dir();
        let _lock = BuildLock::take(&dir, "awscli")?;
        let requirements = workspace().join("tests/support/awscli/requirements.txt");
        let python = python::virtual_environment("the aws command line", &dir.join("awscli"), &requirements)?;
        Ok(python.with_file_name("aws"))
    })
    .await
}

fn find(name: &str) -> Result<PathBuf> {
    if let Some(assets) = std::env::var_os(ASSETS) {
        let path = Path::new(&assets).join(name);
        if path.is_file() {
            return Ok(path);
        }
        if name != "kube-controller-manager" {
            bail!("{ASSETS} is set, but {} does not exist: unset it to build {name} with Go", path.display());
        }
    }
    let dir = environment_dir();
    let _lock = BuildLock::take(&dir, "go")?;
    go::control_plane_binary(&workspace().join("tests/support/controlplane"), &dir.join("bin"), name)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.context("a task that prepares tools was cancelled")?
}

/// Says what is going on, also where a test harness captures the output of `eprintln!`: a first build takes minutes.
pub fn progress(message: &str) {
    let _ = writeln!(std::io::stderr(), "{message}");
}

/// Held while something is built, so that processes that start at the same time build it once.
struct BuildLock {
    _file: File,
}

impl BuildLock {
    fn take(dir: &Path, what: &str) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let path = dir.join(format!("{what}.lock"));
        let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        if file.try_lock().is_err() {
            progress("waiting for another process that prepares the same tools …");
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(Self { _file: file })
    }
}

/// Runs a build step to its end. It dies with this process, prints into a log file, and says now and then that it is
/// still at work.
fn build_step(what: &str, command: Command) -> Result<()> {
    const SIGN_OF_LIFE: Duration = Duration::from_secs(30);
    let logs = environment_dir().join("logs");
    fs::create_dir_all(&logs)?;
    let log = logs.join(format!("{}.log", what.replace(' ', "-")));
    let _ = fs::remove_file(&log);
    let mut step = Supervised::spawn(what, command, &log)?;
    let start = Instant::now();
    let mut next = SIGN_OF_LIFE;
    let status = loop {
        if let Some(status) = step.exited()? {
            break status;
        }
        if start.elapsed() > next {
            progress(&format!("  … {what}: {} s", start.elapsed().as_secs()));
            next += SIGN_OF_LIFE;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    if !status.success() {
        bail!("{what} failed ({status}); the end of {}:\n{}", log.display(), tail(&log, 15));
    }
    Ok(())
}

/// Remembers from what something was built, to build it again when that changes.
struct Stamp {
    path: PathBuf,
    content: String,
}

impl Stamp {
    fn new(path: PathBuf, parts: &[&str]) -> Self {
        Self { path, content: parts.join("\n") }
    }

    fn matches(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|old| old == self.content)
    }

    fn write(&self) -> Result<()> {
        fs::write(&self.path, &self.content).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_step_shows_the_end_of_its_log() {
        let mut command = crate::supervisor::command("sh");
        command.args(["-c", "echo the reason; exit 3"]);
        let error = build_step("a failing step", command).expect_err("exit 3").to_string();
        assert!(error.contains("a failing step") && error.contains("the reason"), "{error}");
    }

    #[test]
    fn a_stamp_changes_with_its_parts() {
        let path = environment_dir().join("unit").join(format!("stamp-{}", std::process::id()));
        fs::create_dir_all(path.parent().expect("it has one")).expect("a directory under target/");
        let stamp = Stamp::new(path.clone(), &["a", "b"]);
        assert!(!stamp.matches());
        stamp.write().expect("a file under target/");
        assert!(stamp.matches());
        assert!(!Stamp::new(path.clone(), &["a", "c"]).matches());
        let _ = fs::remove_file(path);
    }
}
