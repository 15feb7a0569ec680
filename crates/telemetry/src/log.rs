//! The log: which lines, and how they look.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Result};
use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, dynamic_filter_fn, filter_fn};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, layer::Filter};

use crate::json::JsonLog;

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Pretty,
    /// One JSON object a line, with the fields of the event and of the spans around it side by side, and
    /// `trace_id` and `span_id` when the event lies in a trace.
    Json,
    /// No log.
    Off,
}

/// The text is no [`LogFormat`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("log format: expected pretty, json or off")]
pub struct ParseLogFormatError;

impl FromStr for LogFormat {
    type Err = ParseLogFormatError;

    fn from_str(text: &str) -> Result<Self, ParseLogFormatError> {
        match text {
            "pretty" => Ok(Self::Pretty),
            "json" => Ok(Self::Json),
            "off" => Ok(Self::Off),
            _ => Err(ParseLogFormatError),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pretty => "pretty",
            Self::Json => "json",
            Self::Off => "off",
        })
    }
}

/// Who logs as an error of the process that a third party's certificate is not trusted; what came of the call is told by who made it.
const QUIET: &str = "rustls_platform_verifier=off";

/// The directives to filter by: `given`, else `TIDEGATE_LOG`, else `RUST_LOG`, else `info`.
pub(crate) fn filter(given: Option<String>, variable: impl Fn(&str) -> Option<String>) -> Result<EnvFilter> {
    let (name, directives) = given
        .map(|directives| ("log filter", directives))
        .or_else(|| variable("TIDEGATE_LOG").map(|directives| ("TIDEGATE_LOG", directives)))
        .or_else(|| variable("RUST_LOG").map(|directives| ("RUST_LOG", directives)))
        .unwrap_or(("default", "info".into()));
    EnvFilter::try_new(format!("{QUIET},{directives}"))
        .with_context(|| format!("{name}: expected directives such as info or info,tidegate_tracker=debug"))
}

/// The layer that writes the log.
pub(crate) fn layer<S>(
    format: LogFormat,
    filter: EnvFilter,
    writer: BoxMakeWriter,
) -> Option<Box<dyn Layer<S> + Send + Sync>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    match format {
        LogFormat::Off => None,
        LogFormat::Pretty => {
            let text = tracing_subscriber::fmt::layer()
                .with_writer(writer)
                .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
            Some(text.with_filter(keep_spans(filter)).boxed())
        }
        LogFormat::Json => Some(JsonLog::new(writer).with_filter(keep_spans(filter)).boxed()),
    }
}

/// Lets spans of level `INFO` and above pass, so that a line logged at `warn` still says which call it is about.
fn keep_spans<S>(filter: EnvFilter) -> impl Filter<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let spans = filter_fn(|metadata| metadata.is_span() && *metadata.level() <= tracing::Level::INFO);
    filter.or(spans).and(asked_each_time())
}

/// Lets everything pass, and keeps anybody from remembering what filters say of a line of code. Where that is remembered,
/// the registry goes by what filters said last on the thread; and who only asks whether a line would be logged, as sqlx
/// does of each statement, leaves a "no" behind there, by which the next span or log line is lost.
pub(crate) fn asked_each_time<S: Subscriber>() -> impl Filter<S> {
    dynamic_filter_fn(|_, _| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directives(given: Option<&str>, variables: &[(&str, &str)]) -> Result<String> {
        let variable = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, v)| (*v).to_owned());
        filter(given.map(str::to_owned), variable).map(|filter| filter.to_string())
    }

    #[test]
    fn the_nearest_filter_wins() {
        let (own, rust) = (("TIDEGATE_LOG", "warn"), ("RUST_LOG", "debug"));
        for (given, variables, expected) in [
            (None, vec![], "info"),
            (None, vec![rust], "debug"),
            (None, vec![rust, own], "warn"),
            (Some("trace"), vec![rust, own], "trace"),
        ] {
            let found = directives(given, &variables).expect("readable");
            assert!(found.split(',').all(|directive| [QUIET, expected].contains(&directive)), "{found}");
            assert_eq!(found.split(',').count(), 2, "{found}");
        }
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_refused_and_named() {
        let error = directives(None, &[("TIDEGATE_LOG", "tidegate=loud")]).expect_err("refused");
        assert!(error.to_string().starts_with("TIDEGATE_LOG: expected directives"), "{error}");
    }

    #[test]
    fn a_format_reads_back_from_its_own_name() {
        for format in [LogFormat::Pretty, LogFormat::Json, LogFormat::Off] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert_eq!("yaml".parse::<LogFormat>(), Err(ParseLogFormatError));
    }
}
