//! The commands of each page, run in order as one session, by a reader who has checked the source tree out, has an EKS
//! cluster `my-cluster`, an Aurora cluster `orders`, and administers both.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use aurora_test_support::calls;
use aurora_test_support::controlplane::ControlPlaneOptions;
use aurora_test_support::environment::Environment;
use aurora_test_support::iam_model::http::Server;
use aurora_test_support::operator::{Operator, OperatorOptions};
use aurora_test_support::paths::workspace;
use aurora_test_support::supervisor;
use aurora_test_support::tools::aws_cli;

use super::BINARY;
use super::commands::{Step, agree, steps};
use super::markdown::{Block, Mark, Page, pages};
use super::tools;

const ACCOUNT: &str = "111122223333";
const KEY: &str = "docs";
const LIMIT: Duration = Duration::from_mins(4);

/// Languages that are neither run nor applied, and what holds them instead.
fn by_rule(block: &Block) -> Option<Result<&'static str>> {
    match block.language.as_str() {
        "yaml" | "yml" => Some(Ok("applied as a dry run by the tests of manifests")),
        "json" => {
            Some(serde_json::from_str::<serde_json::Value>(&block.text).map(|_| "valid JSON").map_err(Into::into))
        }
        "hcl" => Some(tools::hcl(&block.text).map(|()| "its outline and variables exist")),
        "mermaid" => Some(Ok("a picture")),
        "text" if !block.text.lines().any(|line| line.starts_with("$ ")) => Some(Ok("a picture or output")),
        _ => None,
    }
}

#[test]
fn every_block_has_a_rule_or_a_reason() -> Result<()> {
    let (mut wrong, mut not_run) = (Vec::new(), Vec::new());
    for page in pages()?.values() {
        for block in &page.blocks {
            let at = page.at(block.line);
            match (&block.mark, by_rule(block)) {
                (Some(Mark::NotRun(reason)), _) => not_run.push(format!("  {at} ({}): {reason}", block.language)),
                (_, Some(Ok(_))) => {}
                (_, Some(Err(error))) => wrong.push(format!("{at}: {error:#}")),
                (_, None) if is_shell(block) => {
                    if let Err(error) = steps(&block.language, &block.text) {
                        wrong.push(format!("{at}: {error:#}"));
                    }
                }
                (_, None) => wrong.push(format!(
                    "{at}: no rule for a block of {:?}: name its language, or mark it `<!-- docs-test: not run, REASON -->`",
                    block.language
                )),
            }
        }
    }
    println!("{} blocks are not run:\n{}", not_run.len(), not_run.join("\n"));
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn is_shell(block: &Block) -> bool {
    ["sh", "bash", "console"].contains(&block.language.as_str())
}

/// One after the other in a cluster of their own: pages install CRDs, use the same names, and uninstall everything. Takes
/// a minute, mostly the starts of some fifty `aws` and `kubectl`: that is what it is to follow all pages.
#[tokio::test]
async fn the_commands_of_every_page_work_in_the_order_of_the_page() -> Result<()> {
    supervisor::end_with_parent();
    let aws = aws_cli().await?;
    let env = Environment::start(ControlPlaneOptions { controller_manager: true, audit: false }).await?;
    env.control_plane()?;
    let only = std::env::var("DOCS_TEST_PAGE").unwrap_or_default();
    let mut wrong = Vec::new();
    for page in pages()?.values().filter(|page| page.path.display().to_string().contains(&only)) {
        let runs = page.blocks.iter().any(|block| is_shell(block) && !matches!(block.mark, Some(Mark::NotRun(_))));
        if !runs {
            continue;
        }
        let began = Instant::now();
        match run(&env, &aws, page).await {
            Ok(said) => println!("{}: {said} in {:.1} s", page.path.display(), began.elapsed().as_secs_f64()),
            Err(error) => wrong.push(format!("{}: {error:#}", page.path.display())),
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    Ok(())
}

/// What a page takes for granted beside clusters and tools.
fn before(page: &Path) -> &'static str {
    match page.to_str().unwrap_or_default() {
        "docs/operations.md" => include_str!("before/operations.sh"),
        "docs/installation.md" => {
            concat!(include_str!("before/stand-in-kinds.sh"), include_str!("before/installation.sh"))
        }
        "docs/getting-started-eks.md" => include_str!("before/getting-started-eks.sh"),
        "docs/migrating.md" => concat!(include_str!("before/stand-in-kinds.sh"), include_str!("before/migrating.sh")),
        "deploy/aws/README.md" => include_str!("before/eks.sh"),
        _ => "",
    }
}

/// Where its reader stands.
fn directory(page: &Path) -> &Path {
    if page.starts_with("deploy") { page.parent().unwrap_or(page) } else { Path::new("") }
}

async fn run(env: &Environment, aws: &Path, page: &Page) -> Result<String> {
    env.install_crds().await?;
    let namespaces = ["shop", "aurora-log-export-system"]
        .map(|it| format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {it}}}\n---\n"));
    env.apply_yaml(&namespaces.concat()).await?;
    let server = crate::emulators::aws(ACCOUNT)?;
    server.world().add_key(KEY, ACCOUNT);
    let name = page.path.display().to_string().replace(['/', '.'], "-");
    let dir = env.dir().join(&name);
    let tree = dir.join("tree");
    fs::create_dir_all(&tree)?;
    for part in ["deploy", "examples", "crds", "docs"] {
        copy(&workspace().join(part), &tree.join(part))?;
    }
    tools::install(env, &dir.join("bin"), aws)?;
    let operator = OperatorOptions::new(BINARY)
        .arguments(["--cluster-name=my-cluster", "--drift-check-interval=2s", "--leader-elect=true"])
        .env("AWS_ACCESS_KEY_ID", KEY)
        .aws_endpoint(&server.url());
    // With every right: pages change the operator's own as well, and what it needs is proven elsewhere.
    let operator = OperatorOptions { kubeconfig: Some(env.kubeconfig().to_owned()), ..operator };
    let operator = Operator::start(env, operator).await?;
    let session = Session { env, server: &server, dir: &dir, cwd: tree.join(directory(&page.path)) };
    let outcome = session.run(page).await.with_context(|| format!("its files: {}", dir.display()));
    let left = clean_up(env).await;
    operator.stop().await?;
    let said = outcome?;
    left?;
    Ok(said)
}

async fn clean_up(env: &Environment) -> Result<()> {
    let crds = env.kubectl(&["get", "crds", "-o", "name"]).await?;
    if crds.contains("auroralogexportpolicies") {
        env.kubectl(&["delete", "alep", "--all", "-A", "--timeout=60s"]).await?;
        env.kubectl(&["delete", "awsaccounts", "--all", "--timeout=60s"]).await?;
    }
    // The next page's reader has not bound the rules for teams.
    env.kubectl(&["delete", "validatingadmissionpolicybindings", "--all"]).await?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

struct Session<'a> {
    env: &'a Environment,
    server: &'a Server,
    dir: &'a Path,
    cwd: PathBuf,
}

impl Session<'_> {
    /// One shell for the whole page, so that variables and directories live on; each step in a file of its own.
    async fn run(&self, page: &Page) -> Result<String> {
        let mut script = String::from("set -euo pipefail\n");
        let mut all: Vec<(usize, Step)> = Vec::new();
        let mut add = |line: usize, step: Step| -> Result<()> {
            let file = self.dir.join(format!("step-{}", all.len()));
            fs::write(file.with_extension("sh"), &step.script)?;
            let file = file.display();
            // Not a subshell: what it exports is for the next ones.
            writeln!(script, "{{ . '{file}.sh'; }} >'{file}.out' 2>'{file}.err'\necho done >'{file}.done'")?;
            all.push((line, step));
            Ok(())
        };
        let plain = |script: String| Step { script, expected: Vec::new() };
        add(0, plain(before(&page.path).to_owned()))?;
        for block in &page.blocks {
            match &block.mark {
                Some(Mark::NotRun(_)) => {}
                Some(Mark::File(name)) => {
                    let saved = self.dir.join(format!("file-{}", block.line));
                    fs::write(&saved, &block.text)?;
                    add(block.line, plain(format!("cp '{}' '{name}'\n", saved.display())))?;
                }
                None if is_shell(block) => {
                    for step in steps(&block.language, &block.text)? {
                        add(block.line, step)?;
                    }
                }
                None => {}
            }
        }
        fs::write(self.dir.join("session.sh"), script)?;
        self.bash().await?;
        for (index, (line, step)) in all.iter().enumerate() {
            let read = |extension: &str| {
                fs::read_to_string(self.dir.join(format!("step-{index}.{extension}"))).unwrap_or_default()
            };
            if read("done").is_empty() {
                bail!("line {line} failed:\n{}\n{}{}", step.script.trim_end(), read("out"), read("err"));
            }
            agree(&step.expected, &read("out")).with_context(|| format!("line {line}: {}", step.script.trim_end()))?;
        }
        let mut said = format!("{} steps", all.len() - 1);
        for call in tools::calls(&tools::log(self.dir))? {
            let shown = format!("{} {}", call.program, call.arguments.join(" "));
            let rule = tools::check(&call).with_context(|| shown.clone())?;
            write!(said, "\n  not executed, but {rule}: {shown}")?;
        }
        Ok(said)
    }

    async fn bash(&self) -> Result<()> {
        let moto = self.env.moto().endpoint();
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.dir.join("bin").display());
        let mut command = tokio::process::Command::new("bash");
        command
            .env_clear()
            .envs([
                ("PATH", path.as_str()),
                ("LANG", "C.UTF-8"),
                ("NO_COLOR", "1"),
                ("AWS_ENDPOINT_URL", &moto),
                ("AWS_ENDPOINT_URL_IAM", &self.server.url()),
                ("AWS_ENDPOINT_URL_STS", &self.server.url()),
                ("AWS_ACCESS_KEY_ID", KEY),
                ("AWS_SECRET_ACCESS_KEY", KEY),
                ("AWS_REGION", "eu-west-1"),
                ("AWS_DEFAULT_REGION", "eu-west-1"),
                ("AWS_PAGER", ""),
                ("AWS_EC2_METADATA_DISABLED", "true"),
                ("ALEP_IAM_READS_PER_SECOND", "10000"),
                (calls::APPLICATION_ID, calls::COMMAND_LINE),
            ])
            .env("HOME", self.dir)
            .env("KUBECONFIG", self.env.kubeconfig())
            .env("DOCS_CALLS", tools::log(self.dir))
            .arg(self.dir.join("session.sh"))
            .current_dir(&self.cwd)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        // The steps say by themselves how far it came.
        tokio::time::timeout(LIMIT, command.output()).await.context("the session is still running")?.context("bash")?;
        Ok(())
    }
}
