//! A policy document as stored, with the encoded form that IAM sends computed once.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt;
use std::sync::Arc;

/// RFC 3986: everything but the unreserved characters, as IAM encodes documents.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A document's text, cheap to clone. Equality compares the text byte for byte.
#[derive(Clone)]
pub struct Document {
    text: Arc<str>,
    encoded: Arc<str>,
}

impl Document {
    pub(super) fn new(text: &str) -> Self {
        Self { text: Arc::from(text), encoded: Arc::from(utf8_percent_encode(text, RESERVED).to_string()) }
    }

    /// The text as it was sent.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text percent-encoded (RFC 3986), as IAM returns documents.
    pub fn encoded(&self) -> &str {
        &self.encoded
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Document {}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
