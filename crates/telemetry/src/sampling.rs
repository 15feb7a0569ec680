//! Which traces are kept, by the variables of the OpenTelemetry specification ("General SDK Configuration"), and what is kept
//! of the others: spans that failed or were slow.
//!
//! Where a part of the traces is kept, spans of the others are recorded as well, and looked at when they end. So one that
//! failed or was slow is there, with its links, though those around it may not be.

use std::time::Duration;

use anyhow::{Result, bail};
use opentelemetry::trace::{Link, SpanContext, SpanKind, Status, TraceFlags, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    Sampler, SamplingDecision, SamplingResult, ShouldSample, Span, SpanData, SpanProcessor,
};

/// Spans that took this long are kept, whether their trace is or not.
pub const SLOW: Duration = Duration::from_secs(5);

/// How traces are sampled.
#[derive(Debug)]
pub(crate) struct Sampling {
    pub(crate) sampler: Sampler,
    /// Some are left out by chance: of those, what failed or was slow is kept.
    pub(crate) leaves_out: bool,
}

/// Reads `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`.
pub(crate) fn wanted(variable: impl Fn(&str) -> Option<String>) -> Result<Sampling> {
    let name = variable("OTEL_TRACES_SAMPLER").map(|name| name.trim().to_ascii_lowercase());
    let name = name.as_deref().unwrap_or("parentbased_always_on");
    let (root, follows_parent) = name.strip_prefix("parentbased_").map_or((name, false), |root| (root, true));
    let (root, leaves_out) = match root {
        "always_on" => (Sampler::AlwaysOn, false),
        "always_off" => (Sampler::AlwaysOff, false),
        "traceidratio" => {
            let ratio = ratio(variable("OTEL_TRACES_SAMPLER_ARG"))?;
            (Sampler::TraceIdRatioBased(ratio), ratio < 1.0)
        }
        _ => bail!(
            "OTEL_TRACES_SAMPLER: expected always_on, always_off or traceidratio, each with parentbased_ before it or not"
        ),
    };
    let sampler = if follows_parent { Sampler::ParentBased(Box::new(root)) } else { root };
    Ok(Sampling { sampler, leaves_out })
}

fn ratio(text: Option<String>) -> Result<f64> {
    let Some(text) = text else { return Ok(1.0) };
    match text.trim().parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => bail!("OTEL_TRACES_SAMPLER_ARG: expected a part of all traces, 0 to 1"),
    }
}

/// Records what its sampler leaves out.
#[derive(Debug, Clone)]
pub(crate) struct Recording(pub(crate) Sampler);

impl ShouldSample for Recording {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let mut result = self.0.should_sample(parent, trace, name, kind, attributes, links);
        if result.decision == SamplingDecision::Drop {
            result.decision = SamplingDecision::RecordOnly;
        }
        result
    }
}

/// Passes on what is sampled, and of the rest what failed or was slow.
#[derive(Debug)]
pub(crate) struct Keeping<P>(pub(crate) P);

impl<P: SpanProcessor> SpanProcessor for Keeping<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.0.on_start(span, context);
    }

    fn on_end(&self, mut span: SpanData) {
        if !span.span_context.is_sampled() {
            if !is_worth_it(&span) {
                return;
            }
            span.span_context = sampled(&span.span_context);
        }
        self.0.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

fn is_worth_it(span: &SpanData) -> bool {
    let took = span.end_time.duration_since(span.start_time).unwrap_or_default();
    matches!(span.status, Status::Error { .. }) || took >= SLOW
}

fn sampled(context: &SpanContext) -> SpanContext {
    let flags = context.trace_flags() | TraceFlags::SAMPLED;
    SpanContext::new(context.trace_id(), context.span_id(), flags, context.is_remote(), context.trace_state().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Sampling> {
        wanted(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn samplers_are_named_as_opentelemetry_names_them() {
        for (name, part, sampler, out) in [
            (None, None, "ParentBased(AlwaysOn)", false),
            (Some("always_on"), None, "AlwaysOn", false),
            (Some("always_off"), None, "AlwaysOff", false),
            (Some("parentbased_always_off"), None, "ParentBased(AlwaysOff)", false),
            (Some("traceidratio"), Some("1.0"), "TraceIdRatioBased(1.0)", false),
            (Some("traceidratio"), None, "TraceIdRatioBased(1.0)", false),
            (Some("traceidratio"), Some("0.25"), "TraceIdRatioBased(0.25)", true),
            (Some("ParentBased_TraceIdRatio"), Some(" 0.1 "), "ParentBased(TraceIdRatioBased(0.1))", true),
        ] {
            let given = [("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", part)];
            let given: Vec<_> = given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            let found = read(&given).expect("readable");
            assert_eq!((format!("{:?}", found.sampler).as_str(), found.leaves_out), (sampler, out), "{given:?}");
        }
    }

    #[test]
    fn a_sampler_that_is_none_is_refused_and_its_variable_is_named() {
        const RATIO: (&str, &str) = ("OTEL_TRACES_SAMPLER", "traceidratio");
        for (given, variable) in [
            (vec![("OTEL_TRACES_SAMPLER", "xray")], "OTEL_TRACES_SAMPLER:"),
            (vec![RATIO, ("OTEL_TRACES_SAMPLER_ARG", "10")], "OTEL_TRACES_SAMPLER_ARG:"),
            (vec![RATIO, ("OTEL_TRACES_SAMPLER_ARG", "half")], "OTEL_TRACES_SAMPLER_ARG:"),
        ] {
            let error = read(&given).expect_err("refused").to_string();
            assert!(error.starts_with(variable), "{error}");
        }
    }
}
