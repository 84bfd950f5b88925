//! What commands print on standard output, where the reader may leave early (`| head`) and the disk may be full.

use std::io::{ErrorKind, Write};

use anyhow::{Context, bail};

/// Nobody reads on: no error to tell of, and nothing left to do.
#[derive(Debug, thiserror::Error)]
#[error("standard output is closed")]
pub(super) struct Closed;

impl Closed {
    /// As shells report a program that SIGPIPE ended, which is what most programs do here.
    pub(super) const EXIT_CODE: u8 = 141;
}

/// Prints; `print!` would panic where this fails.
///
/// # Errors
/// [`Closed`], or that nothing can be written there.
pub(super) fn print(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_ref()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => bail!(Closed),
        result => result.context("cannot write to the standard output"),
    }
}

/// The same with an end of line.
pub(super) fn print_line(text: &str) -> anyhow::Result<()> {
    print(format!("{text}\n"))
}
