//! Standard output. The reader may close the pipe early (`| head`), and the disk may be full.

use std::io::{ErrorKind, Write};

use anyhow::{Context, bail};

/// The reader has closed standard output. The command ends without an error message.
#[derive(Debug, thiserror::Error)]
#[error("standard output is closed")]
pub(super) struct Closed;

impl Closed {
    /// 128 + SIGPIPE: what a shell reports for a program that SIGPIPE ended.
    pub(super) const EXIT_CODE: u8 = 141;
}

/// Prints to standard output. Unlike `print!`, it does not panic on errors.
///
/// # Errors
/// [`Closed`] if the reader has closed the pipe, or the I/O error.
pub(super) fn print(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_ref()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => bail!(Closed),
        result => result.context("cannot write to standard output"),
    }
}

/// Like [`print`], with a newline.
pub(super) fn print_line(text: &str) -> anyhow::Result<()> {
    print(format!("{text}\n"))
}
