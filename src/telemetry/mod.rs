//! Logs, traces, metrics and probes.
//!
//! Logs and traces use `tracing`. Work on an object runs in a span with the field `object` (`<namespace>/<name>`), so
//! that the log can be searched for one object, in both formats. A filter hides spans as it hides events. Such a span
//! is therefore an `error_span!`: the level keeps its fields visible and does not mean an error.
//!
//! Spans for traces are separate: see [`trace`].
//!
//! Logs go to standard error, because commands print to standard output. Every destination has its own filter, so an
//! [`Exporter`] (such as OTLP) may receive spans that the log does not show.

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

/// Format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Human-readable text.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is invalid.
    #[error(
        "log filter {filter:?} is not valid ({source}): use levels and targets, such as \"info\" or \"info,kube=warn\""
    )]
    Filter {
        /// The filter.
        filter: String,
        /// The error of the parser.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging is already set up.
    #[error("logging is already set up: set it up once, at the start of the program")]
    AlreadySet(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// A destination in addition to the log, with its own filter.
pub struct Exporter {
    /// Receives spans and events.
    pub layer: Box<dyn Layer<Registry> + Send + Sync>,
    /// Sends everything that is still buffered; called when the [`Guard`] is dropped.
    pub flush: Box<dyn FnOnce() + Send>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

/// Keep it until the end of the program: dropping it flushes the exporters.
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
    let filter = EnvFilter::try_new(with_defaults(filter))
        .map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    // Without a level hint here, the combined filter has none, and every callsite is evaluated.
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

/// kube logs every failed request and every watch that is refused, and the caller reports them as well. Its own lines appear
/// only if the filter names kube's crates.
fn with_defaults(filter: &str) -> String {
    // "error" is what an empty filter means to the parser.
    let mut filter = if filter.trim().is_empty() { "error" } else { filter.trim() }.to_owned();
    for (named, off) in
        [("kube_client", "kube_client::client::builder=off"), ("kube_runtime", "kube_runtime::watcher=error")]
    {
        if !filter.contains(named) {
            filter = format!("{filter},{off}");
        }
    }
    filter
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests;
