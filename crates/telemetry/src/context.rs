//! Trace context across a queue or a request, as W3C `traceparent` (<https://www.w3.org/TR/trace-context/>).

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Length of version 00; a later one may be longer.
const TRACEPARENT_CHARS: usize = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".len();

/// `traceparent` of the current span, to travel in a message's envelope or a request's header; `None`
/// outside of a span and wherever nothing is traced.
#[must_use]
pub fn inject() -> Option<String> {
    write(Span::current().context().span().span_context())
}

/// Links the current span to the one that `traceparent` names: across a queue, where sender and consumer
/// are apart in time. Text that names none is ignored, as it comes from outside.
pub fn link_from(traceparent: &str) {
    span_link(&Span::current(), traceparent);
}

/// Links `span` to the one that `traceparent` names; see [`link_from`].
pub fn span_link(span: &Span, traceparent: &str) {
    span.add_link(read(traceparent).span().span_context().clone());
}

/// Makes `span` a child of the one that `traceparent` names: across a request, where the caller waits. Has
/// an effect only before `span` is entered for the first time. Text that names none is ignored.
pub fn set_parent(span: &Span, traceparent: &str) {
    let parent = read(traceparent);
    if parent.span().span_context().is_valid() {
        // Without the layer there is nothing to set; an entered span keeps the parent it has.
        drop(span.set_parent(parent));
    }
}

fn write(context: &SpanContext) -> Option<String> {
    context
        .is_valid()
        .then(|| format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags().to_u8() & 1))
}

/// A context without a span when the text names none. The SDK takes ids that are too short; W3C does not.
fn read(traceparent: &str) -> Context {
    if traceparent.len() < TRACEPARENT_CHARS {
        return Context::new();
    }
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Header(traceparent))
}

struct Header<'a>(&'a str);

impl Extractor for Header<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == "traceparent").then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_reads_back_from_its_own_text() {
        for text in [PARENT, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"] {
            assert_eq!(write(read(text).span().span_context()).as_deref(), Some(text));
        }
    }

    #[test]
    fn text_that_names_no_span_is_ignored() {
        for text in ["", "00-1-2-3", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "héllo", "ff"] {
            assert_eq!(write(read(text).span().span_context()), None, "{text}");
        }
    }

    #[test]
    fn without_a_trace_there_is_nothing_to_send() {
        assert_eq!(inject(), None);
        link_from(PARENT);
        set_parent(&Span::current(), PARENT);
    }
}
