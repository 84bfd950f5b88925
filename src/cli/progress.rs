//! Progress of a long command, on standard error: a bar on a terminal, a line every few seconds elsewhere (CI), and
//! nothing for a quick command.

use std::cell::{Cell, RefCell};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval_at};

/// A command that ends within this time shows no bar, which would only flicker.
const BAR_AFTER: Duration = Duration::from_millis(300);
const BAR_EVERY: Duration = Duration::from_millis(100);
/// Time before the first line and between lines. A log needs only a few.
const LINE_EVERY: Duration = Duration::from_secs(5);
const BAR_WIDTH: usize = 20;
/// Moves to the first column and clears the line.
const CLEAR: &str = "\r\u{1b}[K";

/// The progress of a command. It is written only while [`Progress::during`] waits.
pub(super) struct Progress {
    command: &'static str,
    form: Form,
    began: Instant,
    stage: RefCell<String>,
    done: Cell<usize>,
    total: Cell<Option<usize>>,
    drawn: Cell<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One line that is redrawn, and cleared at the end.
    Bar,
    /// A new line each time.
    Lines,
}

impl Progress {
    /// Progress on standard error. A dumb terminal cannot clear a line, so it gets lines.
    pub(super) fn stderr(command: &'static str) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let form = if std::io::stderr().is_terminal() && !dumb { Form::Bar } else { Form::Lines };
        Self {
            command,
            form,
            began: Instant::now(),
            stage: RefCell::default(),
            done: Cell::new(0),
            total: Cell::new(None),
            drawn: Cell::new(false),
        }
    }

    /// Starts a stage, with the number of its items if that is known.
    pub(super) fn stage(&self, what: impl Into<String>, total: impl Into<Option<usize>>) {
        *self.stage.borrow_mut() = what.into();
        self.done.set(0);
        self.total.set(total.into());
    }

    /// Counts one more item of the stage.
    pub(super) fn advance(&self) {
        self.done.set(self.done.get() + 1);
    }

    /// Runs the work and shows the progress meanwhile, also during one long call.
    pub(super) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let (first, every) = match self.form {
            Form::Bar => (BAR_AFTER, BAR_EVERY),
            Form::Lines => (LINE_EVERY, LINE_EVERY),
        };
        let mut ticks = interval_at(tokio::time::Instant::now() + first, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut work = std::pin::pin!(work);
        let result = loop {
            tokio::select! {
                biased;
                result = &mut work => break result,
                _ = ticks.tick() => self.show(),
            }
        };
        if self.drawn.replace(false) {
            write(CLEAR);
        }
        result
    }

    fn show(&self) {
        match self.form {
            Form::Bar => {
                self.drawn.set(true);
                write(&format!("{CLEAR}{}", self.bar()));
            }
            Form::Lines => write(&format!("{}\n", self.line(self.began.elapsed()))),
        }
    }

    /// `plan: 12 of 40 objects planned, 6 s`
    fn line(&self, elapsed: Duration) -> String {
        format!("{}: {}, {} s", self.command, self.counted(), elapsed.as_secs())
    }

    /// `plan [######..............] 12 of 40 objects planned`
    fn bar(&self) -> String {
        match self.total.get().filter(|total| *total > 0) {
            Some(total) => {
                let filled = BAR_WIDTH * self.done.get().min(total) / total;
                let (done, open) = ("#".repeat(filled), ".".repeat(BAR_WIDTH - filled));
                format!("{} [{done}{open}] {}", self.command, self.counted())
            }
            None => format!("{}: {} ...", self.command, self.counted()),
        }
    }

    fn counted(&self) -> String {
        let stage = self.stage.borrow();
        self.total.get().map_or_else(|| stage.clone(), |total| format!("{} of {total} {stage}", self.done.get()))
    }
}

/// Writes to standard error. Errors are ignored, because there is no other place to report them.
fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_and_a_line_show_the_stage_and_its_count() {
        let progress = Progress::stderr("plan");
        progress.stage("reading the cluster", None);
        assert_eq!(progress.bar(), "plan: reading the cluster ...");
        progress.stage("objects planned", 40);
        for _ in 0..10 {
            progress.advance();
        }
        assert_eq!(progress.bar(), "plan [#####...............] 10 of 40 objects planned");
        assert_eq!(progress.line(Duration::from_millis(6_400)), "plan: 10 of 40 objects planned, 6 s");
        progress.stage("policies read", 0);
        assert_eq!(progress.bar(), "plan: 0 of 0 policies read ...");
    }
}
