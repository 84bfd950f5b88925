//! Programs run to their end, silent when they succeed; a failure carries what they printed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aurora_test_support::paths::target_dir;
use aurora_test_support::supervisor::{self, Supervised, tail};

/// A build on a busy machine; anything longer hangs.
const LIMIT: Duration = Duration::from_hours(1);
const SHOWN_LINES: usize = 60;

/// Where this command keeps what it makes on the way.
pub(super) fn work_dir() -> Result<PathBuf> {
    let dir = target_dir().join("ci");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}

/// An empty directory under [`work_dir`].
pub(super) fn fresh_dir(name: &str) -> Result<PathBuf> {
    let dir = work_dir()?.join(name);
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}

/// Runs something that may take minutes; it dies with this process. What it prints goes to `target/ci/<what>.log`.
/// `prepare` adds arguments, directory and environment.
pub(super) async fn run(what: &str, program: impl AsRef<OsStr>, prepare: impl FnOnce(&mut Command)) -> Result<PathBuf> {
    let log = work_dir()?.join(format!("{}.log", what.replace([' ', '/'], "-")));
    let _ = std::fs::remove_file(&log);
    let mut command = supervisor::command(program);
    prepare(&mut command);
    let status = Supervised::spawn(what, command, &log)?.wait(LIMIT).await?;
    if !status.success() {
        bail!("{what} failed ({status}); the end of {}:\n{}", log.display(), tail(&log, SHOWN_LINES));
    }
    Ok(log)
}

/// Runs something short and gives what it printed to its standard output.
pub(super) async fn output(program: impl AsRef<OsStr>, prepare: impl FnOnce(&mut Command)) -> Result<String> {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    prepare(&mut command);
    let shown = format!("{command:?}");
    let mut command = tokio::process::Command::from(command);
    let output = command.kill_on_drop(true).output().await.with_context(|| format!("cannot run {shown}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{shown} failed ({}):\n{stdout}{stderr}", output.status);
    }
    Ok(stdout.into_owned())
}

/// Writes a file and the directories above it.
pub(super) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// Reads a file of the source tree.
pub(super) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Copies a file, or a directory with all that is in it.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        return write(to, std::fs::read(from).with_context(|| format!("cannot read {}", from.display()))?);
    }
    for entry in std::fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        // Installed, and as large as all the rest.
        if entry.file_name() != "node_modules" {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
