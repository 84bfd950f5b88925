//! Child processes that cannot outlive their parent.
//!
//! A server started here runs in a process group of its own (so that a Ctrl-C at the terminal reaches the parent, not
//! the server) next to a watcher: a shell that reads from a pipe whose only writer is the parent. However the parent
//! ends, the kernel closes that pipe, and the watcher kills the group. `PR_SET_PDEATHSIG` would be shorter, but fires
//! when the *thread* that started the child ends, which in a test harness is every test.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::wait::Hopeless;

/// The shell becomes the server itself (`exec`), so the child's process id is the server's; the watcher stays behind
/// in the group, which also keeps the group's number from being given to anyone else.
const SUPERVISE: &str = r#"exec 3<&0 </dev/null
(while read -r _ <&3; do :; done; kill -s KILL -- "-$$") >/dev/null 2>&1 &
exec 3<&-
exec "$0" "$@"
"#;

const POLL: Duration = Duration::from_millis(20);
const FREEZE_LIMIT: Duration = Duration::from_secs(10);

/// A command for [`Supervised::spawn`]; arguments, environment and directory are added as to any [`Command`].
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(SUPERVISE).arg(program);
    command
}

/// A running child with its log file. Dropping it kills it.
#[derive(Debug)]
pub struct Supervised {
    name: String,
    log: PathBuf,
    child: Child,
    /// The writing end of the watcher's pipe. [`Child::wait`] closes a `stdin` it still holds, hence a place of its own.
    lifeline: Option<ChildStdin>,
}

impl Supervised {
    /// Starts `command` (made by [`command`]); what it prints is appended to `log`.
    pub fn spawn(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write the log of {name}, {}", log.display()))?;
        command.stdout(out.try_clone()?).stderr(out);
        Self::start(name, command, log)
    }

    fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let started = command.stdin(Stdio::piped()).process_group(0).spawn();
        let mut child = started.with_context(|| format!("cannot start {name}"))?;
        let lifeline = child.stdin.take();
        Ok(Self { name: name.to_owned(), log: log.to_owned(), child, lifeline })
    }

    /// The process id of the server itself.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its exit status, once it has ended.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// An error (for [`crate::wait::wait_for`] a final one) with the end of its log, if it has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.exited()? {
            let (name, log) = (&self.name, self.log.display());
            bail!(Hopeless(format!("{name} ended ({status}); the end of {log}:\n{}", tail(&self.log, 15))));
        }
        Ok(())
    }

    /// Waits until it has ended by itself.
    pub async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let ended = tokio::time::timeout(limit, self.ended()).await;
        ended.with_context(|| {
            format!("{} is still running after {limit:?}; its log: {}", self.name, self.log.display())
        })?
    }

    async fn ended(&mut self) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// SIGTERM, then waits for the end; what does not end within `limit` is killed, and that is an error.
    pub async fn stop(mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::Terminate)?;
        self.wait(limit).await.with_context(|| format!("{} did not obey SIGTERM", self.name))
    }

    /// SIGKILL to the whole group, and waits for the end.
    pub fn kill(mut self) -> Result<()> {
        self.end().with_context(|| format!("cannot kill {}", self.name))
    }

    /// SIGSTOP: the process freezes as a whole, as on a suspended machine. On a busy machine its threads run on for a
    /// while after the signal: this returns when the last of them stands still.
    pub fn pause(&mut self) -> Result<()> {
        self.signal(Signal::Stop)?;
        let deadline = Instant::now() + FREEZE_LIMIT;
        while !self.stands_still()? {
            ensure!(Instant::now() < deadline, "{} does not stop within {FREEZE_LIMIT:?} of SIGSTOP", self.name);
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Is every thread stopped, as proc(5) has it?
    fn stands_still(&self) -> Result<bool> {
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.id()))? {
            // It is gone by now if that cannot be read.
            let Ok(stat) = std::fs::read_to_string(thread?.path().join("stat")) else { continue };
            // The name in parentheses may hold anything; the state follows it.
            if !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T')) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// SIGCONT after [`Supervised::pause`].
    pub fn resume(&mut self) -> Result<()> {
        self.signal(Signal::Continue)
    }

    /// The standard library sends SIGKILL only; the shell's builtin knows the others.
    fn signal(&mut self, signal: Signal) -> Result<()> {
        self.check_alive()?;
        let status = Command::new("/bin/sh")
            .args(["-c", r#"kill -s "$0" "$1""#, signal.name(), &self.id().to_string()])
            .status()
            .context("cannot run /bin/sh")?;
        if !status.success() {
            bail!("cannot send SIG{} to {}", signal.name(), self.name);
        }
        Ok(())
    }

    fn end(&mut self) -> std::io::Result<()> {
        self.child.kill()?;
        self.lifeline = None;
        self.child.wait().map(|_| ())
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // Nothing to be done about an error here, and the watcher does the same a moment later.
        let _ = self.end();
    }
}

#[derive(Clone, Copy, Debug)]
enum Signal {
    Terminate,
    Stop,
    Continue,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Terminate => "TERM",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }
}

/// Runs a command (made by [`command`]) to its end, its output in the terminal.
pub async fn run_in_sight(name: &str, command: Command) -> Result<()> {
    let status = Supervised::start(name, command, Path::new("the terminal"))?.ended().await?;
    ensure!(status.success(), "{name} failed ({status})");
    Ok(())
}

/// The last `lines` lines of a log file, for error messages.
pub fn tail(log: &Path, lines: usize) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Ends this process when the process that started it is gone, for a test binary whose `cargo test` was killed: the
/// signal does not reach the tests, and they would go on for minutes. Does nothing outside cargo.
pub fn end_with_parent() {
    if std::env::var_os("CARGO").is_none() {
        return;
    }
    let parent = std::os::unix::process::parent_id();
    std::thread::spawn(move || {
        while std::os::unix::process::parent_id() == parent {
            std::thread::sleep(Duration::from_millis(500));
        }
        std::process::exit(130);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(name: &str) -> PathBuf {
        let dir = crate::paths::environment_dir().join("unit");
        std::fs::create_dir_all(&dir).expect("a directory under target/");
        dir.join(format!("{name}-{}.log", std::process::id()))
    }

    fn sleeper(name: &str) -> Supervised {
        let mut sleeper = command("sleep");
        sleeper.arg("1000");
        Supervised::spawn(name, sleeper, &log(name)).expect("sleep starts")
    }

    fn runs(id: u32) -> bool {
        Command::new("/bin/sh")
            .args(["-c", "kill -0 $0 2>/dev/null", &id.to_string()])
            .status()
            .expect("sh runs")
            .success()
    }

    #[tokio::test]
    async fn the_child_dies_when_the_pipe_closes() {
        let mut child = sleeper("orphan");
        assert!(runs(child.id()));
        child.lifeline = None;
        let status = child.wait(Duration::from_secs(5)).await.expect("killed by the watcher");
        assert!(!status.success());
    }

    #[tokio::test]
    async fn stop_reports_how_it_ended() {
        let id;
        {
            let child = sleeper("stop");
            id = child.id();
            let status = child.stop(Duration::from_secs(5)).await.expect("sleep obeys SIGTERM");
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
        }
        assert!(!runs(id));
    }

    #[tokio::test]
    async fn a_child_that_ignores_sigterm_is_killed_and_reported() {
        let mut stubborn = command("sh");
        stubborn.args(["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]);
        let log = log("stubborn");
        let child = Supervised::spawn("stubborn", stubborn, &log).expect("sh starts");
        let id = child.id();
        crate::wait::wait_for("the trap", Duration::from_secs(5), async || {
            anyhow::ensure!(tail(&log, 1) == "ready", "log: {}", tail(&log, 1));
            Ok(())
        })
        .await
        .expect("it starts");
        let error = child.stop(Duration::from_millis(100)).await.expect_err("it ignores SIGTERM");
        assert!(format!("{error:#}").contains("did not obey SIGTERM"), "{error:#}");
        assert!(!runs(id));
    }

    #[tokio::test]
    async fn a_paused_child_does_nothing_from_then_on_until_it_is_resumed() {
        let mut busy = command("sh");
        busy.args(["-c", "while :; do echo; done"]);
        let log = log("busy");
        let mut child = Supervised::spawn("busy", busy, &log).expect("sh starts");
        let size = || std::fs::metadata(&log).map_or(0, |log| log.len());
        let grows = async |size_before: u64| {
            crate::wait::wait_for("lines", Duration::from_secs(5), async || {
                anyhow::ensure!(size() > size_before, "{} bytes", size());
                Ok(())
            })
            .await
        };
        for _ in 0..50 {
            grows(size()).await.expect("it writes");
            child.pause().expect("it stops");
            let paused = size();
            for _ in 0..100 {
                std::thread::yield_now();
                assert_eq!(size(), paused);
            }
            child.resume().expect("it goes on");
        }
        child.stop(Duration::from_secs(5)).await.expect("it ends");
    }

    #[test]
    fn a_child_that_cannot_start_is_reported_with_its_log() {
        let mut child =
            Supervised::spawn("nothing", command("/nonexistent/program"), &log("nothing")).expect("sh starts");
        let _ = child.child.wait();
        let error = child.check_alive().expect_err("it ended");
        assert!(error.to_string().contains("/nonexistent/program"), "{error:#}");
    }
}
