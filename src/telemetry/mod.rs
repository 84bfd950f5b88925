//! Logs, and where other exporters are added.
//!
//! Everything goes through `tracing`. Work on an object runs in a span with the field `object` (`<namespace>/<name>`), so
//! that one object can be followed through the whole log by that key, in either format. A filter hides spans as it hides
//! events, so such a span is an `error_span!`: its level says when its fields are shown, not that anything is wrong.
//!
//! Spans for traces are apart from these: see [`trace`].
//!
//! Logs go to standard error: standard output belongs to what commands print. Every destination filters for itself, so an
//! [`Exporter`] (OTLP, say) may want spans that the log does not show.

#[cfg(test)]
pub(crate) mod buffer;
pub mod http;
mod json;
pub mod metrics;
pub mod otlp;
pub mod panics;
pub mod trace;

use std::fmt;
use std::io::IsTerminal;

use tracing::Subscriber;
use tracing_subscriber::filter::{FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use json::JsonLayer;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error(
        "log filter {filter:?} is not valid ({source}): use levels and targets, such as \"info\" or \"info,kube=warn\""
    )]
    Filter {
        /// As given.
        filter: String,
        /// What the parser says.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging was set up before.
    #[error("logging is set up already: set it up once, at the start of the program")]
    AlreadySet(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// One more destination besides the log, with a filter of its own if it wants one.
pub struct Exporter {
    /// Receives spans and events.
    pub layer: Box<dyn Layer<Registry> + Send + Sync>,
    /// Sends off what is still held back; called when the [`Guard`] is dropped.
    pub flush: Box<dyn FnOnce() + Send>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

/// To be kept until the end of the program; dropping it flushes the exporters.
#[must_use = "dropping it ends the export"]
#[derive(Default)]
pub struct Guard(Vec<Box<dyn FnOnce() + Send>>);

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&self.0.len()).finish()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        for flush in self.0.drain(..) {
            flush();
        }
    }
}

/// Logs to standard error and hands spans and events to the exporters as well.
pub fn init(format: LogFormat, filter: &str, exporters: Vec<Exporter>) -> Result<Guard, TelemetryError> {
    let (layers, flushes): (Vec<_>, Vec<_>) = exporters.into_iter().map(|e| (e.layer, e.flush)).unzip();
    let colours = std::io::stderr().is_terminal();
    tracing::subscriber::set_global_default(subscriber(format, filter, colours, std::io::stderr, layers)?)?;
    Ok(Guard(flushes))
}

fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    colours: bool,
    writer: W,
    mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>>,
) -> Result<impl Subscriber + Send + Sync, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter =
        EnvFilter::try_new(filter).map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    // The hint is needed: without one, `and` would have none either, and every callsite would be looked at.
    let not_for_traces =
        filter_fn(|metadata| metadata.target() != trace::TARGET).with_max_level_hint(LevelFilter::TRACE);
    let filter = filter.and(not_for_traces);
    layers.push(match format {
        LogFormat::Text => {
            tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colours).with_filter(filter).boxed()
        }
        LogFormat::Json => JsonLayer::new(writer).with_filter(filter).boxed(),
    });
    Ok(tracing_subscriber::registry().with(layers))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests;
