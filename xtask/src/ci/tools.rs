//! The programs that the steps run: built from pinned sources into `target/ci-tools/`, or found on this machine.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use aurora_test_support::paths::{target_dir, workspace};

use super::process;

/// helm, kustomize and kubeconform as `tests/support/delivery/go.mod` pins them.
#[derive(Clone, Debug)]
pub(super) struct DeliveryTools {
    pub(super) helm: PathBuf,
    pub(super) kustomize: PathBuf,
    pub(super) kubeconform: PathBuf,
}

/// Builds them; Go's own cache makes that seconds when nothing changed.
pub(super) async fn delivery() -> Result<DeliveryTools> {
    require("go", "golang-go")?;
    let dir = tools_dir().join("delivery");
    let script = workspace().join("tests/support/delivery/build.sh");
    process::run("building helm, kustomize and kubeconform", "bash", |command| {
        command.arg(script).arg(&dir);
    })
    .await?;
    Ok(DeliveryTools { helm: dir.join("helm"), kustomize: dir.join("kustomize"), kubeconform: dir.join("kubeconform") })
}

/// Where `.ci/run` and the steps put programs.
pub(super) fn tools_dir() -> PathBuf {
    target_dir().join("ci-tools")
}

/// The path of a program in `target/ci-tools/bin` or of this machine; an error that names the Debian package that has
/// it otherwise.
pub(super) fn require(name: &str, package: &str) -> Result<PathBuf> {
    // Administrators' programs such as chroot are not on everybody's PATH.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = vec![tools_dir().join("bin")];
    places.extend(std::env::split_paths(&path));
    places.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = places.iter().map(|dir| dir.join(name)).find(|candidate| is_program(candidate));
    ensure!(
        found.is_some(),
        "{name} is missing: on Debian, `.ci/run` installs it, or `apt-get install --no-install-recommends {package}`"
    );
    Ok(found.unwrap_or_default())
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        assert!(require("sh", "dash").is_ok());
        let error = require("no-such-program", "some-package").expect_err("missing").to_string();
        assert!(error.contains("apt-get install --no-install-recommends some-package"), "{error}");
    }
}
