//! Places on disk: everything written goes under the workspace's `target/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};

/// Run directories kept for a look at their logs after the fact.
const KEPT_RUNS: usize = 5;

/// The root of the source tree.
pub fn workspace() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        here.ancestors().nth(2).unwrap_or(here).to_owned()
    });
    &ROOT
}

/// The files of a directory with this extension, sorted; an error if there are none.
pub fn files(dir: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    ensure!(!paths.is_empty(), "{} holds no .{extension}", dir.display());
    Ok(paths)
}

/// Cargo's target directory, wherever it was told to put it: the one that holds this executable and cargo's marker.
pub fn target_dir() -> &'static Path {
    static TARGET: LazyLock<PathBuf> = LazyLock::new(|| {
        let executable = std::env::current_exe().unwrap_or_default();
        let marked = executable.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file());
        marked.map_or_else(|| workspace().join("target"), Path::to_owned)
    });
    &TARGET
}

/// Where this crate keeps its binaries, virtual environment and runs.
pub fn environment_dir() -> PathBuf {
    target_dir().join("aurora-env")
}

/// A directory for one run of the environment; locked while its process lives, removed by a later run.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    _lock: File,
}

impl RunDir {
    /// Makes a new one and clears away old ones.
    pub fn create() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let runs = environment_dir().join("run");
        fs::create_dir_all(&runs).with_context(|| format!("cannot create {}", runs.display()))?;
        prune(&runs, KEPT_RUNS);
        let path = runs.join(format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        // Left over by an earlier process of the same number.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let lock = File::create(path.join("lock"))?;
        lock.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(Self { path, _lock: lock })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Removes all but the newest `keep` run directories that no living process holds. Best effort: a leftover costs disk
/// space only.
fn prune(runs: &Path, keep: usize) {
    let Ok(entries) = fs::read_dir(runs) else { return };
    let mut dirs: Vec<_> =
        entries.flatten().filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    dirs.sort();
    dirs.reverse();
    for (_, dir) in dirs.into_iter().skip(keep) {
        if File::open(dir.join("lock")).is_ok_and(|lock| lock.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(&dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_the_root_package() {
        assert!(workspace().join("xtask/Cargo.toml").is_file());
        assert!(target_dir().join("CACHEDIR.TAG").is_file());
    }

    #[test]
    fn pruning_spares_the_newest_and_the_living() {
        let runs = environment_dir().join("unit").join(format!("prune-{}", std::process::id()));
        let mut locks = Vec::new();
        for (name, living) in [("a", true), ("b", false), ("c", false)] {
            let dir = runs.join(name);
            fs::create_dir_all(&dir).expect("a directory under target/");
            let lock = File::create(dir.join("lock")).expect("a file under target/");
            if living {
                lock.lock().expect("nobody else locks it");
                locks.push(lock);
            }
        }
        prune(&runs, 0);
        assert!(runs.join("a").is_dir());
        assert!(!runs.join("b").exists() && !runs.join("c").exists());
        let _ = fs::remove_dir_all(&runs);
    }
}
