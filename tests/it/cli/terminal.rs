//! Colours and progress: at a real terminal, and where standard error is a log.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aurora_test_support::apply::manifest;
use aurora_test_support::iam_model::faults::{Effect, FaultPlan, Rule};
use aurora_test_support::iam_model::http::Server;
use aurora_test_support::iam_model::{CreatePolicy, CreateRole, Tags};
use aurora_test_support::paths::workspace;
use serde_json::json;

use super::{ACCOUNT, BINARY, Cli, Outcome, directory, iam, write_manifest};
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

/// Between lines in a log, and before the first.
const EVERY: Duration = Duration::from_secs(5);

/// Every call of this action takes so long.
fn slow(server: &Server, action: &str, ms: u64) {
    let rule = Rule::new(Effect::Latency { ms }, &[action]);
    server.gate().set_faults(FaultPlan::of(1, vec![rule]));
}

/// A file with so many manifests.
fn manifests(dir: &std::path::Path, count: usize) -> Result<String> {
    let all: String = (0..count).map(|number| manifest("shop", &format!("o{number}"), "{}")).collect();
    write_manifest(dir, &format!("{count}.yaml"), all)
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
    // A policy of ours that says too much.
    let [managed_by, cluster_uid, owner] =
        ["managed-by", "cluster-uid", "owner"].map(|it| format!("auroralogexport.dev/{it}"));
    let too_much = json!({ "Version": "2012-10-17",
        "Statement": { "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*" } });
    server.world().account(ACCOUNT).lock().create_policy(&CreatePolicy {
        name: "shop.o0".into(),
        path: Some("/aurora-log-export/".into()),
        document: too_much.to_string(),
        tags: [(managed_by, "seen".into()), (cluster_uid, "uid".into()), (owner, "shop/o0".into())].into(),
        ..CreatePolicy::default()
    })?;

    let shown = cli.at_a_terminal(&plan).await?;
    ensure!(shown.code == 0, "{shown:?}");
    for part in [
        "\u{1b}[33m~\u{1b}[0m policy",
        "\u{1b}[32m+ Allow logs:GetLogEvents",
        "\u{1b}[31m- Allow s3:GetObject",
        "\u{1b}[32m+\u{1b}[0m role",
        "\u{1b}[1mPlan:\u{1b}[0m 1 to create, 1 to change",
    ] {
        assert!(shown.stdout.contains(part), "{part:?}: {}", shown.stdout);
    }
    let piped = cli.ok(&plan).await?;
    assert!(!piped.contains(ESCAPE), "{piped:?}");
    // A slow run shows a bar first, which it clears.
    let text_of = |outcome: &Outcome| {
        let text = outcome.stdout.replace("\r\n", "\n");
        text.rsplit("\r\u{1b}[K").next().unwrap_or_default().to_owned()
    };
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
    assert!(bars.iter().any(|bar| bar.contains("###") && bar.contains(" of 24 objects planned")), "{bars:?}");
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
    // Each stage takes longer than the time between two lines: one falls into it.
    for (cli, arguments, action, ms, line) in [
        (&offline, vec!["plan", "-f", &file], "GetPolicy", 2_500, " of 17 objects planned, "),
        (&online, vec!["import", "-n", &namespace], "ListAttachedRolePolicies", 3_000, " roles read, "),
        (
            &online,
            vec!["doctor", "-n", &namespace, "--ignore", "leader"],
            "GetAccountSummary",
            6_000,
            "checking the AWS account, ",
        ),
    ] {
        server.gate().clear_faults();
        let began = Instant::now();
        let quick = cli.run(&arguments).await?;
        // A machine that is busy enough makes it slow.
        let slow_by_itself = began.elapsed() >= EVERY;
        assert!(slow_by_itself || !quick.stderr.contains(" s\n"), "quick work is silent: {quick:?}");
        slow(&server, action, ms);
        let began = Instant::now();
        let long = cli.run(&arguments).await?;
        let took = began.elapsed();
        assert!(took >= EVERY && !long.stderr.contains(['\r', ESCAPE]), "{took:?}: {long:?}");
        let start = format!("{}: ", arguments[0]);
        let lines: Vec<&str> = long.stderr.lines().filter(|it| it.starts_with(&start)).collect();
        assert!(
            lines.iter().any(|it| it.contains(line)) && lines.iter().all(|it| it.ends_with(" s")),
            "{line}: {long:?}"
        );
        assert!(lines.len() <= usize::try_from(took.as_secs() / EVERY.as_secs())?, "too many in {took:?}: {lines:?}");
        assert_eq!(long.code, quick.code, "{long:?}");
        // How many checks a doctor in a hurry leaves out is another matter.
        if arguments[0] != "doctor" {
            assert_eq!(long.stdout, quick.stdout);
        }
    }
    Ok(())
}
