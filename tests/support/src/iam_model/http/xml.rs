//! XML of the Query protocol: elements, text, lists of `member`.

use std::fmt::{Display, Write};

/// XML under construction.
#[derive(Debug, Default)]
pub(super) struct Xml(String);

impl Xml {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }

    /// An element with the content that `content` writes.
    pub(super) fn element(&mut self, tag: &str, content: impl FnOnce(&mut Self)) {
        self.markup(&["<", tag, ">"]);
        content(self);
        self.markup(&["</", tag, ">"]);
    }

    /// An element with escaped text.
    pub(super) fn text(&mut self, tag: &str, text: &str) {
        self.element(tag, |xml| xml.escaped(text));
    }

    /// An element with text that needs no escaping: encoded documents, ids.
    pub(super) fn plain(&mut self, tag: &str, text: &str) {
        self.element(tag, |xml| xml.0.push_str(text));
    }

    /// An element with a number or flag.
    pub(super) fn value(&mut self, tag: &str, value: impl Display) {
        self.element(tag, |xml| {
            let _ = write!(xml.0, "{value}");
        });
    }

    /// A list.
    pub(super) fn members<T>(
        &mut self,
        tag: &str,
        items: impl IntoIterator<Item = T>,
        mut member: impl FnMut(&mut Self, T),
    ) {
        self.element(tag, |xml| {
            for item in items {
                xml.element("member", |xml| member(xml, item));
            }
        });
    }

    fn markup(&mut self, parts: &[&str]) {
        for part in parts {
            self.0.push_str(part);
        }
    }

    fn escaped(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                // A parser turns a bare carriage return into a line feed.
                '\r' => self.0.push_str("&#xD;"),
                c => self.0.push(c),
            }
        }
    }
}

const IAM_NAMESPACE: &str = "https://iam.amazonaws.com/doc/2010-05-08/";
const STS_NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The service of a response, which determines its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Iam,
    Sts,
}

impl Service {
    fn namespace(self) -> &'static str {
        match self {
            Self::Iam => IAM_NAMESPACE,
            Self::Sts => STS_NAMESPACE,
        }
    }
}

/// The envelope of a successful response.
pub(crate) fn success(service: Service, action: &str, request_id: &str, result: &str) -> String {
    let namespace = service.namespace();
    format!(
        "<{action}Response xmlns=\"{namespace}\"><{action}Result>{result}</{action}Result><ResponseMetadata>\
         <RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
    )
}

/// The envelope of an error.
pub(crate) fn failure(service: Service, code: &str, status: u16, message: &str, request_id: &str) -> String {
    let mut xml = Xml::default();
    xml.text("Type", if status < 500 { "Sender" } else { "Receiver" });
    xml.text("Code", code);
    xml.text("Message", message);
    let (namespace, error) = (service.namespace(), xml.into_string());
    format!(
        "<ErrorResponse xmlns=\"{namespace}\"><Error>{error}</Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )
}
