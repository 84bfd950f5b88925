//! Log lines as JSON, one object per line, with the fields of the event and of all enclosing spans at the top level.
//!
//! `tracing-subscriber`'s own JSON format has a list of span objects, which log stores cannot search by key.

use std::error::Error;
use std::fmt;
use std::io::Write;

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Keys of the line itself; a field with such a name gets the prefix `field.`.
const RESERVED: [&str; 4] = ["timestamp", "level", "target", "span"];

#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Value>,
    target: &'a str,
    /// Name of the innermost span.
    #[serde(skip_serializing_if = "Option::is_none")]
    span: Option<&'static str>,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

/// Writes one line per event.
pub(super) struct JsonLayer<W> {
    writer: W,
}

impl<W> JsonLayer<W> {
    pub(super) fn new(writer: W) -> Self {
        Self { writer }
    }
}

/// A span's fields, stored with the span.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl<S, W> Layer<S> for JsonLayer<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        let mut innermost = None;
        // From the outermost span to the innermost: the field closest to the event wins.
        for span in context.event_scope(event).into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            innermost = Some(span.name());
            if let Some(of_span) = span.extensions().get::<Fields>() {
                fields.0.extend(of_span.0.clone());
            }
        }
        // The message is that of the event, never of a span.
        fields.0.remove("message");
        event.record(&mut fields);
        let line = Line {
            timestamp: format!("{:.6}", Timestamp::now()),
            level: event.metadata().level().as_str(),
            message: fields.0.remove("message"),
            target: event.metadata().target(),
            span: innermost,
            fields: fields.0,
        };
        if let Ok(mut text) = serde_json::to_vec(&line) {
            text.push(b'\n');
            // One write per line, so that lines of two threads do not mix. A failure cannot be reported anywhere.
            let _ = self.writer.make_writer_for(event.metadata()).write_all(&text);
        }
    }
}

impl Fields {
    fn set(&mut self, field: &Field, value: Value) {
        let name = field.name();
        let name = name.strip_prefix("r#").unwrap_or(name);
        let key = if RESERVED.contains(&name) { format!("field.{name}") } else { name.to_owned() };
        self.0.insert(key, value);
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinity.
        let number = serde_json::Number::from_f64(value);
        self.set(field, number.map_or_else(|| Value::String(value.to_string()), Value::Number));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        self.set(field, text.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}").into());
    }
}
