//! How IAM encodes the documents that it returns.

use percent_encoding::percent_decode_str;

/// Decodes a document as IAM returns it: percent-encoded by RFC 3986, where `+` is a plus sign. Text that is already
/// JSON is returned unchanged; an encoded document begins with `%7B`.
pub fn decode_document(text: &str) -> String {
    if text.trim_start().starts_with(['{', '[', '"']) {
        return text.to_owned();
    }
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::decode_document;

    #[test]
    fn documents_are_decoded_by_rfc_3986_with_a_literal_plus() {
        assert_eq!(decode_document("%7B%22a%22%3A%22b%20c+d%22%7D"), r#"{"a":"b c+d"}"#);
        assert_eq!(decode_document(r#"{"a":"50%20"}"#), r#"{"a":"50%20"}"#, "JSON is not decoded twice");
    }
}
