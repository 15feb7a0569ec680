//! Logs, traces and metrics of a process.
//!
//! Logs go to stderr, as text for people or as one JSON object a line. Traces and metrics go out by OTLP
//! (`http/protobuf`), set up by the standard `OTEL_*` variables and nothing else; while no endpoint is set
//! there is no exporter, no OpenTelemetry layer and no thread, so nothing is paid for.
//!
//! What it is not: it does not say *what* is counted. Each service has a `metrics.rs` that takes its
//! instruments from the table in `tidegate-metrics`; without an endpoint these do nothing.
//!
//! *To add a field*: a constant in [`field`], used by that name in every log line and span.

mod context;
mod export;
pub mod field;
mod json;
mod log;
mod otlp;
mod sampling;

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use context::{inject, link_from, set_parent, span_link};
pub use log::{LogFormat, ParseLogFormatError};
pub use sampling::SLOW;

/// Longest time [`Telemetry::shutdown`] waits for what is left to go out.
pub const FLUSH_MAX: Duration = Duration::from_secs(5);

/// What [`start`] needs to know.
pub struct TelemetryConfig {
    /// Name of the service in traces and metrics (`service.name`); `OTEL_SERVICE_NAME` wins over it.
    pub service: &'static str,
    /// Version of the build (`service.version`).
    pub version: &'static str,
    /// How log lines look.
    pub log_format: LogFormat,
    /// What is logged, as directives (`info,tidegate_tracker=debug`). `None` takes `TIDEGATE_LOG`, else
    /// `RUST_LOG`, else `info`.
    pub log_filter: Option<String>,
    /// Where log lines go.
    pub writer: BoxMakeWriter,
}

impl TelemetryConfig {
    /// Text on stderr, filtered by the environment.
    #[must_use]
    pub fn new(service: &'static str, version: &'static str) -> Self {
        let writer = BoxMakeWriter::new(std::io::stderr);
        Self { service, version, log_format: LogFormat::Pretty, log_filter: None, writer }
    }
}

impl fmt::Debug for TelemetryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelemetryConfig")
            .field("service", &self.service)
            .field("version", &self.version)
            .field("log_format", &self.log_format)
            .field("log_filter", &self.log_filter)
            .finish_non_exhaustive()
    }
}

/// Starts logging for the whole process and, where the environment names an endpoint, traces and metrics.
///
/// Works inside and outside of an async runtime: exporters run on threads of their own. Call it before the
/// first instrument is taken from `opentelemetry::global::meter`, as instruments stay bound to the provider
/// they were made by.
///
/// # Errors
/// When the log filter or an `OTEL_*` variable can't be read, the exporter can't be built, or the process
/// has a subscriber already. `OTEL_EXPORTER_OTLP_HEADERS`, which may hold a key, is never part of the text.
pub fn start(config: TelemetryConfig) -> Result<Telemetry> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let filter = log::filter(config.log_filter, variable)?;
    let export = export::wanted(variable)?;
    let sampling = sampling::wanted(variable)?;
    let providers = otlp::Providers::build(export, sampling, config.service, config.version)?;
    tracing_subscriber::registry()
        .with(providers.span_layer())
        .with(log::layer(config.log_format, filter, config.writer))
        .try_init()
        .context("starting the log: this process has one already")?;
    providers.set_global();
    Ok(Telemetry { providers: Some(providers) })
}

/// Running telemetry. Dropped without [`Telemetry::shutdown`], as on an error path, it flushes all the same.
#[derive(Debug)]
#[must_use = "dropping it ends telemetry"]
pub struct Telemetry {
    providers: Option<otlp::Providers>,
}

impl Telemetry {
    /// Whether traces or metrics leave the process.
    #[must_use]
    pub fn exports(&self) -> bool {
        self.providers.as_ref().is_some_and(otlp::Providers::any)
    }

    /// Sends what has not gone out yet and ends the exporters; blocks at most [`FLUSH_MAX`], not at all when
    /// nothing is exported. What could not be sent by then is lost; a warning says so.
    pub fn shutdown(mut self) {
        self.flush();
    }

    fn flush(&mut self) {
        if let Some(providers) = self.providers.take() {
            providers.shutdown(FLUSH_MAX);
        }
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.flush();
    }
}
