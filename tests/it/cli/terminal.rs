//! Colours and progress: at a real terminal, and where standard error is a log.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aurora_test_support::iam_model::faults::{Effect, FaultPlan, Rule};
use aurora_test_support::iam_model::http::Server;
use aurora_test_support::iam_model::{CreateRole, Tags};
use aurora_test_support::paths::workspace;
use serde_json::json;

use super::{ACCOUNT, BINARY, Cli, Outcome, directory, iam};
use crate::environment;

const ESCAPE: char = '\u{1b}';

impl Cli {
    /// Runs the binary with standard output and standard error at a terminal; both come in `stdout`.
    async fn at_a_terminal(&self, arguments: &[&str]) -> Result<Outcome> {
        let script = workspace().join("tests/it/cli/terminal.py").display().to_string();
        let python = self.clone().env("TERM", self.variable("TERM").unwrap_or("xterm-256color")).program("python3");
        python.run(&[&[script.as_str(), BINARY], arguments].concat()).await
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The lines that a terminal shows after all this was written to it, without colours.
fn screen(written: &str) -> Result<Vec<String>> {
    let mut lines = vec![Vec::new()];
    let mut column = 0;
    let mut rest = written.chars();
    while let Some(character) = rest.next() {
        let line = lines.last_mut().context("there is always a line")?;
        match character {
            '\r' => column = 0,
            '\n' => lines.push(Vec::new()),
            ESCAPE => {
                ensure!(rest.next() == Some('['), "a sequence that this terminal does not know in {written:?}");
                let sequence: String = rest.by_ref().take_while(|it| !it.is_ascii_alphabetic()).collect();
                let end = written[..written.len() - rest.as_str().len()].chars().next_back();
                match (sequence.as_str(), end) {
                    ("", Some('K')) => line.truncate(column),
                    (_, Some('m')) => {}
                    other => anyhow::bail!("a sequence that this terminal does not know: {other:?}"),
                }
            }
            character => {
                line.resize(column.max(line.len()), ' ');
                line.splice(column..(column + 1).min(line.len()), [character]);
                column += 1;
            }
        }
    }
    Ok(lines.into_iter().map(|line: Vec<char>| line.into_iter().collect()).collect())
}

/// Every call of this action takes so long.
fn slow(server: &Server, action: &str, ms: u64) {
    let rule = Rule::new(Effect::Latency { ms, jitter_ms: 0 }, &[action]);
    server.gate().set_faults(FaultPlan::of(1, vec![rule]));
}

/// A file with so many manifests.
fn manifests(dir: &std::path::Path, count: usize) -> Result<String> {
    let one = |number| {
        format!(
            "---\napiVersion: auroralogexport.dev/v1alpha1\nkind: AuroraLogExportPolicy\nmetadata: {{name: o{number}, namespace: shop}}\nspec: {{}}\n"
        )
    };
    let path = dir.join(format!("{count}.yaml"));
    std::fs::write(&path, (0..count).map(one).collect::<String>())?;
    Ok(path.display().to_string())
}

/// A command line that plans without a cluster.
async fn alone(server: &Server) -> Result<Cli> {
    let cli = Cli::new(environment().await?, &server.url());
    Ok(cli.without("KUBECONFIG").env("ALEP_CLUSTER_NAME", "seen").env("ALEP_CLUSTER_UID", "uid"))
}

#[tokio::test]
async fn a_terminal_gets_colours_unless_it_or_its_user_wants_none() -> Result<()> {
    let env = environment().await?;
    let server = iam()?;
    let dir = directory(env, &env.namespace().await?)?;
    let cli = alone(&server).await?;
    let file = manifests(&dir, 1)?;
    let plan = ["plan", "-f", &file];

    let shown = cli.at_a_terminal(&plan).await?;
    ensure!(shown.code == 0, "{shown:?}");
    for part in ["\u{1b}[32m+\u{1b}[0m policy", "\u{1b}[32m+ Allow logs:GetLogEvents"] {
        assert!(shown.stdout.contains(part), "{part:?}: {}", shown.stdout);
    }
    let piped = cli.ok(&plan).await?;
    assert!(!piped.contains(ESCAPE), "{piped:?}");
    let text_of = |outcome: &Outcome| outcome.stdout.replace("\r\n", "\n");
    for (variable, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let shown = cli.clone().env(variable, value).at_a_terminal(&plan).await?;
        assert_eq!(text_of(&shown), piped, "{variable}");
    }
    // Empty is as good as unset (no-color.org).
    let empty = cli.clone().env("NO_COLOR", "").at_a_terminal(&plan).await?;
    assert!(empty.stdout.contains("\u{1b}[32m+"), "{empty:?}");
    // The screen says what a pipe gets, colours aside.
    assert_eq!(screen(&shown.stdout)?.join("\n"), piped);
    Ok(())
}

#[tokio::test]
async fn a_bar_on_a_terminal_moves_and_leaves_nothing_behind() -> Result<()> {
    let env = environment().await?;
    let server = iam()?;
    let dir = directory(env, &env.namespace().await?)?;
    let cli = alone(&server).await?.env("NO_COLOR", "1");
    let file = manifests(&dir, 24)?;
    let piped = cli.ok(&["plan", "-f", &file]).await?;

    slow(&server, "GetPolicy", 400);
    let shown = cli.at_a_terminal(&["plan", "-f", &file]).await?;
    ensure!(shown.code == 0, "{shown:?}");
    let bars: Vec<&str> = shown.stdout.split('\r').filter(|part| part.contains("plan [")).collect();
    assert!(bars.len() >= 3, "{bars:?}");
    assert!(bars.iter().any(|bar| bar.contains("[......") && bar.contains("] 0 of 24 objects")), "{bars:?}");
    assert!(bars.iter().any(|bar| bar.contains("###") && bar.contains(" of 24 objects looked at")), "{bars:?}");
    assert_eq!(screen(&shown.stdout)?.join("\n"), piped, "nothing of the bar is left");
    Ok(())
}

#[tokio::test]
async fn in_a_log_long_work_tells_of_itself_now_and_then_on_standard_error() -> Result<()> {
    let env = environment().await?;
    let server = iam()?;
    let namespace = env.namespace().await?;
    let dir = directory(env, &namespace)?;
    let file = manifests(&dir, 17)?;
    let trust = json!({ "Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Principal": { "Service": "rds.amazonaws.com" }, "Action": "sts:AssumeRole" } });
    for number in 0..4 {
        let role = CreateRole {
            name: format!("by-hand-{number}"),
            trust: trust.to_string(),
            tags: Tags::new(),
            ..CreateRole::default()
        };
        server.world().account(ACCOUNT).lock().create_role(&role)?;
    }
    let online = Cli::new(env, &server.url()).env("ALEP_CLUSTER_NAME", "seen");
    let offline = alone(&server).await?;
    // Long enough for a line, and short enough for few.
    for (cli, arguments, action, ms, line) in [
        (&offline, vec!["plan", "-f", &file], "GetPolicy", 2_500, " of 17 objects looked at, "),
        (&online, vec!["import", "-n", &namespace], "ListAttachedRolePolicies", 2_000, " of 4 roles looked at, "),
        (&online, vec!["doctor", "-n", &namespace], "GetAccountSummary", 6_000, "examining the account in AWS, "),
    ] {
        server.gate().clear_faults();
        let quick = cli.run(&arguments).await?;
        assert!(!quick.stderr.contains(" looked at, "), "quick work is silent: {quick:?}");
        slow(&server, action, ms);
        let began = Instant::now();
        let long = cli.run(&arguments).await?;
        let took = began.elapsed();
        let start = format!("{}: ", arguments[0]);
        let lines: Vec<&str> = long.stderr.lines().filter(|it| it.starts_with(&start)).collect();
        assert!(lines.first().is_some_and(|first| first.contains(line) && first.ends_with(" s")), "{line}: {long:?}");
        assert!(lines.len() <= usize::try_from(took.as_secs() / 5)?, "one every 5 s in {took:?}: {lines:?}");
        assert!(took > Duration::from_secs(5) && !long.stderr.contains(['\r', ESCAPE]), "{long:?}");
        assert!(long.stdout == quick.stdout && long.code == quick.code, "{quick:?}\n{long:?}");
    }
    Ok(())
}
