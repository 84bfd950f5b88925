//! The image: built as users build it, small, without a shell, not root; and its binary at work in that root and nothing
//! else, where it has to resolve names and to verify certificates with what the image brings.

mod dns;
mod empty_root;
mod tls;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use aurora_test_support::paths::{target_dir, workspace};
use serde_json::Value;

use super::process::{self, fresh_dir};
use super::{say, tools};
use crate::operator_binary;

const MEGABYTE: f64 = 1e6;
const IMAGE_LIMIT: u64 = 25_000_000;
const BINARY_LIMIT: u64 = 16_000_000;
const BINARY: &str = "/aurora-log-export-operator";
const USER: &str = "65532:65532";

pub(super) async fn check() -> Result<()> {
    let buildah = Buildah::new()?;
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => bail!("the image is for amd64 and arm64, and this machine is {other}"),
    };
    say(&format!("compiling the static binary for {arch} (first time: about 15 minutes)"));
    let script = workspace().join("deploy/image/build.sh");
    process::run("building the image's root", "bash", |command| {
        command.arg(script).args([arch, &format!("target/image/{arch}")]).env("CARGO_TARGET_DIR", target_dir());
        operator_binary::remove_package_variables(command);
    })
    .await?;
    let tag = "aurora-log-export-operator:ci";
    buildah
        .run(&["bud", "--isolation=chroot", "--target=prebuilt", &format!("--build-arg=TARGETARCH={arch}"), "-t", tag])
        .await?;
    config_is_right(&buildah.inspect(tag).await?)?;
    let root = buildah.extract(tag).await?;
    contents_are_right(&root)?;
    empty_root::check(&root).await
}

/// What a container runtime is told.
fn config_is_right(image: &Value) -> Result<()> {
    let config = &image["OCIv1"]["config"];
    ensure!(config["User"] == USER, "the image's user is {}, not {USER}", config["User"]);
    ensure!(config["Entrypoint"] == serde_json::json!([BINARY]), "the image's entry point is {}", config["Entrypoint"]);
    ensure!(config["Cmd"] == serde_json::json!(["run"]), "the image's command is {}", config["Cmd"]);
    let env = config["Env"].to_string();
    ensure!(env.contains("SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"), "the image's environment is {env}");
    Ok(())
}

/// The binary, root certificates, the resolver's order; no shell, nothing that is written by others.
fn contents_are_right(root: &Path) -> Result<()> {
    let mut files = Vec::new();
    collect(root, root, &mut files)?;
    let names: BTreeSet<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let wanted = [BINARY, "/etc/nsswitch.conf", "/etc/ssl/certs/ca-certificates.crt"];
    ensure!(names == BTreeSet::from(wanted), "the image holds {names:?} instead of {wanted:?}");
    let image: u64 = files.iter().map(|(_, size)| size).sum();
    let binary = files.iter().find(|(name, _)| name == BINARY).map(|(_, size)| *size).unwrap_or_default();
    ensure!(image < IMAGE_LIMIT, "the image has {image} bytes, {IMAGE_LIMIT} are the limit");
    ensure!(binary < BINARY_LIMIT, "the binary has {binary} bytes, {BINARY_LIMIT} are the limit");
    // Sizes for people to read.
    #[allow(clippy::cast_precision_loss)]
    let megabytes = |size: u64| size as f64 / MEGABYTE;
    say(&format!(
        "the image has {:.2} MB (limit {:.0}), the binary {:.2} MB (limit {:.0}); user {USER}, no shell, {} files",
        megabytes(image),
        megabytes(IMAGE_LIMIT),
        megabytes(binary),
        megabytes(BINARY_LIMIT),
        files.len()
    ));
    Ok(())
}

/// Paths, as seen from inside, and sizes of everything that is not a directory.
fn collect(root: &Path, dir: &Path, files: &mut Vec<(String, u64)>) -> Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(root, &entry.path(), files)?;
        } else {
            let name = format!("/{}", entry.path().strip_prefix(root)?.display());
            files.push((name, entry.metadata()?.len()));
        }
    }
    Ok(())
}

/// buildah with a store of its own, so that no other images are changed and nothing is left in root's store.
struct Buildah {
    program: PathBuf,
    store: PathBuf,
}

impl Buildah {
    fn new() -> Result<Self> {
        let program = tools::require("buildah", "buildah")?;
        Ok(Self { program, store: fresh_dir("buildah")? })
    }

    fn prepare(&self, command: &mut Command) {
        command.current_dir(workspace()).args(["--storage-driver=vfs", "--root"]).arg(self.store.join("root"));
        command.arg("--runroot").arg(self.store.join("run"));
    }

    async fn run(&self, arguments: &[&str]) -> Result<()> {
        let what = format!("buildah {}", arguments.first().unwrap_or(&""));
        let action = arguments.to_vec();
        process::run(&what, &self.program, |command| {
            self.prepare(command);
            command.args(action).arg(".");
        })
        .await?;
        Ok(())
    }

    async fn output(&self, arguments: &[&str]) -> Result<String> {
        process::output(&self.program, |command| {
            self.prepare(command);
            command.args(arguments);
        })
        .await
    }

    async fn inspect(&self, tag: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.output(&["inspect", "--type=image", tag]).await?)?)
    }

    /// The image's files, in a directory that may be written to.
    async fn extract(&self, tag: &str) -> Result<PathBuf> {
        let container = self.output(&["from", "--pull-never", tag]).await?.trim().to_owned();
        let mounted = PathBuf::from(self.output(&["mount", &container]).await?.trim());
        let root = fresh_dir("image-root")?;
        process::output("cp", |command| {
            command.arg("--archive").arg(format!("{}/.", mounted.display())).arg(&root);
        })
        .await?;
        self.output(&["rm", &container]).await?;
        Ok(root)
    }
}
