//! The log as JSON, one flat object a line.

use std::fmt;
use std::io::Write as _;

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::Context as LayerContext;
use tracing_subscriber::registry::LookupSpan;

/// Keys of the line itself; a field of such a name is left out rather than read as something it is not.
const RESERVED: [&str; 5] = ["timestamp", "level", "target", "trace_id", "span_id"];

/// Writes each event with its own fields and those of the spans around it; the innermost wins.
///
/// The `json` format of `tracing-subscriber` nests span fields and knows no trace ids, so a log store can
/// neither find all lines of a job nor jump to its trace.
pub(crate) struct JsonLog {
    writer: BoxMakeWriter,
}

impl JsonLog {
    pub(crate) fn new(writer: BoxMakeWriter) -> Self {
        Self { writer }
    }
}

/// A span's fields, kept with the span.
struct Fields(Map<String, Value>);

impl<S> Layer<S> for JsonLog
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: LayerContext<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields(Map::new());
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: LayerContext<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: LayerContext<'_, S>) {
        let metadata = event.metadata();
        let mut line = Fields(Map::new());
        line.put("timestamp", now().into());
        line.put("level", metadata.level().as_str().to_ascii_lowercase().into());
        line.put("target", metadata.target().into());
        line.put("message", Value::Null);
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<Fields>() {
                fields.0.iter().for_each(|(name, value)| line.put(name, value.clone()));
            }
        }
        event.record(&mut line);
        line.tidy();
        // Entering a span makes it OpenTelemetry's current one on this thread.
        Context::map_current(|current| {
            let span = current.span();
            let trace = span.span_context();
            if trace.is_valid() {
                line.put("trace_id", trace.trace_id().to_string().into());
                line.put("span_id", trace.span_id().to_string().into());
            }
        });
        let mut bytes = Value::Object(line.0).to_string().into_bytes();
        bytes.push(b'\n');
        // A log that can't be written can't be reported either.
        drop(self.writer.make_writer_for(metadata).write_all(&bytes));
    }
}

impl Fields {
    fn put(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    fn record(&mut self, field: &Field, value: Value) {
        // A span's status is for traces alone.
        if !RESERVED.contains(&field.name()) && !field.name().starts_with("otel.") {
            self.put(field.name(), value);
        }
    }

    /// Drops an unused place for the message. Records of the `log` crate come with target `log` and their
    /// own metadata as fields; these become what they are.
    fn tidy(&mut self) {
        if self.0.get("message").is_some_and(Value::is_null) {
            self.0.shift_remove("message");
        }
        if let Some(target) = self.0.shift_remove("log.target") {
            self.put("target", target);
            self.0.retain(|name, _| !name.starts_with("log."));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.record(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record(field, value.into());
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.record(field, i64::try_from(value).map_or_else(|_| value.to_string().into(), Value::from));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.record(field, u64::try_from(value).map_or_else(|_| value.to_string().into(), Value::from));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.record(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        self.record(field, text.into());
    }
}

/// RFC 3339 in UTC, with microseconds.
fn now() -> String {
    let mut text = String::new();
    match SystemTime.format_time(&mut Writer::new(&mut text)) {
        Ok(()) => text,
        Err(fmt::Error) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::EnvFilter;
    use tracing_subscriber::layer::SubscriberExt as _;

    use crate::log::{LogFormat, layer};
    use crate::{field, inject};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("lock").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What `work` logs under `filter`, line by line, with spans traced or not.
    fn logged(filter: &str, traced: bool, work: impl FnOnce()) -> Vec<Value> {
        let captured = Captured::default();
        let writer = captured.clone();
        let traces = SdkTracerProvider::builder().build();
        let subscriber = tracing_subscriber::registry()
            .with(traced.then(|| tracing_opentelemetry::layer().with_tracer(traces.tracer("test"))))
            .with(layer(LogFormat::Json, EnvFilter::new(filter), BoxMakeWriter::new(move || writer.clone())));
        tracing::subscriber::with_default(subscriber, work);
        let bytes = captured.0.lock().expect("lock");
        let text = str::from_utf8(&bytes).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
    }

    #[test]
    fn a_line_carries_the_fields_of_its_event_and_its_spans_side_by_side() {
        let lines = logged("info", false, || {
            let job = tracing::info_span!("job", { field::JOB_ID } = "job_1", { field::ATTEMPT } = 1);
            let call = tracing::info_span!(parent: &job, "call", { field::CALL_ID } = %"call_2", class = tracing::field::Empty);
            call.record("class", "timeout");
            let _entered = call.enter();
            tracing::warn!({ field::ATTEMPT } = 3, { field::DURATION_MS } = 12u64, ok = false, "call failed\nat once");
        });
        let [line] = lines.as_slice() else { panic!("one line expected: {lines:?}") };
        for (name, value) in [
            ("level", Value::from("warn")),
            ("target", module_path!().into()),
            ("message", "call failed\nat once".into()),
            ("job.id", "job_1".into()),
            ("call.id", "call_2".into()),
            ("class", "timeout".into()),
            ("attempt", 3.into()),
            ("duration_ms", 12.into()),
            ("ok", false.into()),
        ] {
            assert_eq!(line[name], value, "{name}");
        }
        assert!(line["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
        assert!(line.get("trace_id").is_none() && line.get("span_id").is_none(), "{line}");
    }

    #[test]
    fn a_line_in_a_trace_names_trace_and_span() {
        let mut sent = None;
        let lines = logged("info", true, || {
            let _outer = tracing::info_span!("outer").entered();
            let _inner = tracing::info_span!("inner").entered();
            tracing::info!("inside");
            sent = inject();
        });
        let (trace, span) = (lines[0]["trace_id"].as_str(), lines[0]["span_id"].as_str());
        let text = format!("00-{}-{}-01", trace.expect("a trace id"), span.expect("a span id"));
        assert_eq!(sent, Some(text));
    }

    #[test]
    fn a_quiet_log_still_says_which_job_a_warning_is_about() {
        let lines = logged("warn", false, || {
            let _job = tracing::info_span!("job", { field::JOB_ID } = "job_1").entered();
            tracing::info!("unheard");
            tracing::warn!("heard");
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!((&lines[0]["message"], &lines[0]["job.id"]), (&"heard".into(), &"job_1".into()));
    }

    #[test]
    fn a_field_cannot_pass_for_a_part_of_the_line() {
        let lines = logged("info", false, || {
            let _span = tracing::info_span!("span", level = "none").entered();
            tracing::info!(trace_id = "forged", timestamp = 0, plain = 1);
        });
        assert_eq!((&lines[0]["level"], lines[0].get("trace_id")), (&"info".into(), None));
        assert!(lines[0]["timestamp"].is_string() && lines[0].get("message").is_none(), "{lines:?}");
        assert_eq!(lines[0]["plain"], 1);
    }
}
