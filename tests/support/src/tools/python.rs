//! Programs from a virtual environment of Python whose packages are pinned by hash.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

use super::{Stamp, build_step, progress};
use crate::supervisor;

const OLDEST: (u32, u32) = (3, 10);

/// A virtual environment in `dir` with exactly what `requirements` locks; gives the path of its Python. `about` says to
/// the user what it is for.
pub(super) fn virtual_environment(about: &str, dir: &Path, requirements: &Path) -> Result<PathBuf> {
    let python = dir.join("bin/python");
    let locked = fs::read_to_string(requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let stamp = Stamp::new(dir.join("built-from"), &[&locked]);
    // A Python upgrade leaves an environment behind that no longer starts.
    let starts = || Command::new(&python).arg("--version").output().is_ok_and(|output| output.status.success());
    if stamp.matches() && starts() {
        return Ok(python);
    }
    check_python(
        Command::new("python3")
            .args(["-c", "import sys; print(*sys.version_info[:2]); import ensurepip"])
            .output()
            .ok(),
    )?;
    progress(&format!("installing {about} (first time: about 1 minute) …"));
    let _ = fs::remove_dir_all(dir);
    let mut create = supervisor::command("python3");
    create.args(["-m", "venv"]).arg(dir);
    build_step("creating the virtual environment", create)?;
    let mut install = supervisor::command(&python);
    install
        .args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--require-hashes"])
        .args(["--only-binary", ":all:", "-r"])
        .arg(requirements);
    let name = dir.file_name().unwrap_or_default().display().to_string();
    build_step(&format!("installing {name}"), install)?;
    stamp.write()?;
    Ok(python)
}

/// `found` is the answer of a Python that prints its version and then imports what `venv` needs.
fn check_python(found: Option<Output>) -> Result<()> {
    let Some(found) = found else {
        bail!(
            "Python 3 is missing, and the emulator of IAM runs on it: install it with `apt-get install python3 python3-venv`"
        );
    };
    let version = String::from_utf8_lossy(&found.stdout);
    let mut numbers = version.split_whitespace().map(str::parse::<u32>);
    if let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next())
        && (major, minor) < OLDEST
    {
        bail!(
            "Python {major}.{minor} is too old, the emulator of IAM needs {}.{}: install a newer one with `apt-get install python3 python3-venv`",
            OLDEST.0,
            OLDEST.1
        );
    }
    if !found.status.success() {
        bail!(
            "Python's venv module is missing, and the emulator of IAM is installed with it: `apt-get install python3-venv`"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(script: &str) -> Option<Output> {
        Command::new("/bin/sh").args(["-c", script]).output().ok()
    }

    #[test]
    fn what_is_missing_is_named_with_the_command_that_installs_it() {
        for (found, package) in [
            (None, "apt-get install python3 python3-venv"),
            (answer("echo 3 9"), "apt-get install python3 python3-venv"),
            (answer("echo 3 13; exit 1"), "apt-get install python3-venv"),
        ] {
            let error = check_python(found).expect_err("not usable").to_string();
            assert!(error.contains(package) && !error.contains('\n'), "{error}");
        }
        check_python(answer("echo 3 11")).expect("usable");
    }
}
