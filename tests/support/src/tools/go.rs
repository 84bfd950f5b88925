//! Programs built from pinned Go modules.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Stamp, build_step, progress};
use crate::supervisor;

/// The first Go that fetches by itself the newer Go that a `go.mod` asks for.
const OLDEST: (u32, u32) = (1, 21);

/// A program to build: its name, its package, what the build takes on two cores with nothing cached.
struct Program {
    name: &'static str,
    package: &'static str,
    cold: &'static str,
}

/// In the order in which they share most of what was compiled before.
const CONTROL_PLANE: [Program; 4] = [
    Program { name: "etcd", package: "go.etcd.io/etcd/server/v3", cold: "about 1 minute" },
    Program { name: "kube-apiserver", package: "k8s.io/kubernetes/cmd/kube-apiserver", cold: "about 5 minutes" },
    Program { name: "kubectl", package: "k8s.io/kubernetes/cmd/kubectl", cold: "about 1 minute" },
    Program {
        name: "kube-controller-manager",
        package: "k8s.io/kubernetes/cmd/kube-controller-manager",
        cold: "about 2 minutes",
    },
];

/// One of the control plane's programs, built from the `go.mod` in `module` into `out`, unless it is there already.
pub(super) fn control_plane_binary(module: &Path, out: &Path, name: &str) -> Result<PathBuf> {
    let program = CONTROL_PLANE.iter().find(|program| program.name == name);
    let program = program.with_context(|| format!("{name} is not a program of the control plane"))?;
    let go_mod = read(&module.join("go.mod"))?;
    let owner = if name == "etcd" { program.package } else { "k8s.io/kubernetes" };
    let version = required_version(&go_mod, owner).with_context(|| format!("go.mod does not require {owner}"))?;
    build(&Build {
        module,
        out,
        name,
        package: program.package,
        version,
        ldflags: &if name == "etcd" { String::from("-s -w") } else { kubernetes_ldflags(version) },
        cold: program.cold,
    })
}

/// What to build, and how.
#[derive(Clone, Copy, Debug)]
pub struct Build<'a> {
    /// Directory of the `go.mod` and `go.sum` that pin it.
    pub module: &'a Path,
    /// Directory for the result.
    pub out: &'a Path,
    /// File name of the result.
    pub name: &'a str,
    /// The main package.
    pub package: &'a str,
    /// Its version, for the progress line.
    pub version: &'a str,
    /// For `go build -ldflags`.
    pub ldflags: &'a str,
    /// How long it takes with nothing cached, for the progress line.
    pub cold: &'a str,
}

/// Builds one program unless the same inputs built it before. The caller sees to it that nobody else builds into the
/// same place.
pub fn build(build: &Build<'_>) -> Result<PathBuf> {
    let Build { module, out, name, package, version, ldflags, cold } = *build;
    let binary = out.join(name);
    let inputs = [&read(&module.join("go.mod"))?, &read(&module.join("go.sum"))?, ldflags];
    let stamp = Stamp::new(out.join(format!("{name}.built-from")), &inputs.map(|input| input as &str));
    if binary.is_file() && stamp.matches() {
        return Ok(binary);
    }
    check_go(Command::new("go").args(["env", "GOVERSION"]).output().ok().map(|output| output.stdout))?;
    fs::create_dir_all(out)?;
    progress(&format!("building {name} {version} (first time: {cold}) …"));
    let unfinished = out.join(format!("{name}.new"));
    let mut command = supervisor::command("go");
    command.current_dir(module).args(["build", "-ldflags", ldflags, "-o"]).arg(&unfinished).arg(package);
    build_step(&format!("building {name}"), command)?;
    fs::rename(&unfinished, &binary)?;
    stamp.write()?;
    Ok(binary)
}

/// What `kubectl version` and the API server's `/version` say comes from here; without it they say `v0.0.0-master`.
fn kubernetes_ldflags(version: &str) -> String {
    let number: Vec<&str> = version.trim_start_matches('v').split('.').collect();
    let (major, minor) = (number.first().unwrap_or(&"0"), number.get(1).unwrap_or(&"0"));
    let package = "k8s.io/component-base/version";
    format!(
        "-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor} -X {package}.gitTreeState=clean"
    )
}

/// The version that a `go.mod` requires of a module.
fn required_version<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let mut words = line.trim().trim_start_matches("require ").split_whitespace();
        (words.next() == Some(module)).then(|| words.next()).flatten().filter(|word| word.starts_with('v'))
    })
}

/// `found` is what `go env GOVERSION` printed, if there is a `go` at all.
fn check_go(found: Option<Vec<u8>>) -> Result<()> {
    const INSTALL: &str = "install it with `apt-get install golang-go` (Debian 13 or later) or from https://go.dev/dl/";
    let Some(found) = found else {
        bail!("Go is missing, and the test environment builds etcd and kube-apiserver with it: {INSTALL}");
    };
    let found = String::from_utf8_lossy(&found);
    let mut numbers = found.trim().trim_start_matches("go").split('.').map(str::parse::<u32>);
    if let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next())
        && (major, minor) < OLDEST
    {
        bail!("Go {major}.{minor} is too old, the test environment needs {}.{}: {INSTALL}", OLDEST.0, OLDEST.1);
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_or_old_go_is_named_with_the_command_that_installs_it() {
        for found in [None, Some(b"go1.19.8\n".to_vec())] {
            let error = check_go(found).expect_err("not usable").to_string();
            assert!(error.contains("apt-get install golang-go") && !error.contains('\n'), "{error}");
        }
        check_go(Some(b"go1.26.8\n".to_vec())).expect("new enough");
    }

    #[test]
    fn every_program_has_a_pinned_version() {
        let go_mod = read(&crate::paths::workspace().join("tests/support/controlplane/go.mod")).expect("it is there");
        for module in ["go.etcd.io/etcd/server/v3", "k8s.io/kubernetes"] {
            assert!(required_version(&go_mod, module).is_some(), "{module}");
        }
    }

    #[test]
    fn versions_are_read_from_both_forms_of_require() {
        assert_eq!(required_version("require a.b/c v1.2.3\n", "a.b/c"), Some("v1.2.3"));
        assert_eq!(required_version("tool a.b/c\nrequire (\n\ta.b/c v1.2.3 // indirect\n)", "a.b/c"), Some("v1.2.3"));
        assert_eq!(required_version("require a.b/cd v1.2.3\n", "a.b/c"), None);
    }
}
