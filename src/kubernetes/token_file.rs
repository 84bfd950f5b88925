//! Bearer tokens that are read from a file again and again, because they rotate.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hyper::header::HeaderValue;

/// The file is read this often.
const PERIOD: Duration = Duration::from_mins(1);

/// A file with a token. In place of kube's own reader, which does not accept a line break at the end of the file: client-go
/// does, and so do people who write the file with an editor.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    /// The header with the token, and when it was read.
    last: Mutex<(HeaderValue, Instant)>,
}

impl TokenFile {
    /// Reads the file.
    ///
    /// # Errors
    /// If it cannot be read or holds no token. The message names the file.
    pub(super) fn open(path: PathBuf) -> anyhow::Result<Self> {
        let header = read(&path).with_context(|| format!("the token file {} cannot be used", path.display()))?;
        Ok(Self { path, last: Mutex::new((header, Instant::now())) })
    }

    /// The header `Authorization`. While the file cannot be read, the last token is used.
    pub(super) fn header(&self) -> HeaderValue {
        self.header_at(Instant::now())
    }

    fn header_at(&self, now: Instant) -> HeaderValue {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(last.1) >= PERIOD {
            match read(&self.path) {
                Ok(header) => last.0 = header,
                Err(error) => tracing::warn!(
                    "the token file {} cannot be read ({error:#}); using the last token",
                    self.path.display()
                ),
            }
            last.1 = now;
        }
        last.0.clone()
    }
}

fn read(path: &Path) -> anyhow::Result<HeaderValue> {
    let text = std::fs::read_to_string(path)?;
    let token = text.trim();
    ensure!(!token.is_empty(), "it is empty");
    // Without the source: it could show the token.
    let mut header =
        HeaderValue::try_from(format!("Bearer {token}")).ok().context("it holds more than one line, or no text")?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    fn file(name: &str, content: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        path
    }

    #[test]
    fn white_space_around_the_token_is_ignored() {
        for content in ["abc", "abc\n", "abc\r\n", " abc \n\n"] {
            let path = file("token", content);
            assert_eq!(TokenFile::open(path.clone()).unwrap().header(), "Bearer abc", "{content:?}");
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn the_file_is_read_again_and_the_last_token_stays_while_it_cannot_be() {
        let path = file("rotated", "one\n");
        let token = TokenFile::open(path.clone()).unwrap();
        let later = |minutes| Instant::now() + PERIOD * minutes;
        std::fs::write(&path, "two\n").unwrap();
        assert_eq!(token.header(), "Bearer one");
        assert_eq!(token.header_at(later(1)), "Bearer two");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(token.header_at(later(3)), "Bearer two");
    }

    #[test]
    fn an_error_names_the_file_and_not_the_token() {
        for (name, content) in [("empty", " \n"), ("lines", "abc\ndef")] {
            let path = file(name, content);
            let error = format!("{:#}", TokenFile::open(path.clone()).unwrap_err());
            assert!(error.contains(&path.display().to_string()) && !error.contains("abc"), "{error}");
            std::fs::remove_file(path).unwrap();
        }
        let error = format!("{:#}", TokenFile::open("/nowhere/token".into()).unwrap_err());
        assert!(error.contains("/nowhere/token"), "{error}");
    }
}
