//! The OpenTelemetry providers and their OTLP exporters.
//!
//! The batch processors of the SDK run on threads of their own and block on the exporter, so the client
//! must be one that needs no async runtime around it: reqwest's blocking one, which the exporter builds by
//! itself. It has its own thread as well, so exporting and flushing work from any runtime, or from none.

use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{MetricExporter, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::resource::EnvResourceDetector;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracerProvider};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterExt as _, Targets};
use tracing_subscriber::registry::LookupSpan;
use uuid::Uuid;

use crate::export::Export;
use crate::log::asked_each_time;
use crate::sampling::{Keeping, Recording, Sampling};

/// Targets whose spans are never exported: the exporter's own way out would trace itself.
const OWN_TRANSPORT: [&str; 6] = ["h2", "hyper", "hyper_util", "opentelemetry", "reqwest", "rustls"];

/// What exports; empty when nothing does.
#[derive(Debug)]
pub(crate) struct Providers {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
}

impl Providers {
    /// Builds the wanted exporters; endpoint, headers, timeout, batch sizes and intervals are read from the environment by
    /// the SDK.
    pub(crate) fn build(
        export: Export,
        sampling: Sampling,
        service: &'static str,
        version: &'static str,
    ) -> Result<Self> {
        if !export.traces && !export.metrics {
            return Ok(Self { traces: None, metrics: None });
        }
        install_crypto();
        let resource = resource(service, version);
        let traces = if export.traces {
            let exporter = SpanExporter::builder().with_http().build().context("building the trace exporter")?;
            let (batches, provider) = (BatchSpanProcessor::builder(exporter).build(), SdkTracerProvider::builder());
            let provider = if sampling.leaves_out {
                provider.with_sampler(Recording(sampling.sampler)).with_span_processor(Keeping(batches))
            } else {
                provider.with_sampler(sampling.sampler).with_span_processor(batches)
            };
            Some(provider.with_resource(resource.clone()).build())
        } else {
            None
        };
        let metrics = if export.metrics {
            let exporter = MetricExporter::builder().with_http().build().context("building the metric exporter")?;
            Some(SdkMeterProvider::builder().with_resource(resource).with_periodic_exporter(exporter).build())
        } else {
            None
        };
        Ok(Self { traces, metrics })
    }

    /// Whether anything is exported.
    pub(crate) fn any(&self) -> bool {
        self.traces.is_some() || self.metrics.is_some()
    }

    /// The layer that turns spans of level `INFO` and above into OpenTelemetry's; `None` costs nothing. The
    /// log filter has no say here: a quiet log must not empty the traces.
    pub(crate) fn span_layer<S>(&self) -> Option<impl Layer<S> + use<S>>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    {
        let tracer = self.traces.as_ref()?.tracer("tidegate");
        let filter = Targets::new()
            .with_default(LevelFilter::INFO)
            .with_targets(OWN_TRANSPORT.map(|target| (target, LevelFilter::OFF)));
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        Some(
            layer
                .with_location(false)
                .with_threads(false)
                .with_tracked_inactivity(false)
                .with_filter(filter.and(asked_each_time())),
        )
    }

    /// Makes the meter provider the one that `opentelemetry::global::meter` uses, and says so.
    pub(crate) fn set_global(&self) {
        if let Some(metrics) = &self.metrics {
            opentelemetry::global::set_meter_provider(metrics.clone());
            tidegate_metrics::set_exported();
        }
    }

    /// Flushes and ends everything, within `timeout` altogether. The SDK's own timeouts do not cover an
    /// exporter that is retrying, hence the threads.
    pub(crate) fn shutdown(self, timeout: Duration) {
        let (done, results) = mpsc::channel();
        let mut waiting = 0;
        let mut end = |work: Box<dyn FnOnce() -> OTelSdkResult + Send>| {
            let done = done.clone();
            // Nobody may be left to hear the result; that is the timeout below.
            let flush = move || drop(done.send(work()));
            match std::thread::Builder::new().name("telemetry-flush".into()).spawn(flush) {
                Ok(_) => waiting += 1,
                Err(error) => tracing::warn!(%error, "telemetry: no thread to flush on"),
            }
        };
        if let Some(traces) = self.traces {
            end(Box::new(move || traces.shutdown_with_timeout(timeout)));
        }
        if let Some(metrics) = self.metrics {
            end(Box::new(move || metrics.shutdown_with_timeout(timeout)));
        }
        let deadline = std::time::Instant::now() + timeout;
        for _ in 0..waiting {
            match results.recv_timeout(deadline.saturating_duration_since(std::time::Instant::now())) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "telemetry: the last traces or metrics were not sent"),
                Err(_) => {
                    tracing::warn!(timeout_ms = timeout.as_millis(), "telemetry: gave up on sending the last of it");
                    return;
                }
            }
        }
    }
}

/// What the environment says of this process wins over what the build says.
fn resource(service: &'static str, version: &'static str) -> Resource {
    // Several of one service on one machine tell of the same things: each has a name of its own.
    let instance = KeyValue::new("service.instance.id", Uuid::now_v7().to_string());
    let built = [KeyValue::new("service.name", service), KeyValue::new("service.version", version), instance];
    let named = std::env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.trim().is_empty());
    let builder = Resource::builder().with_attributes(built).with_detector(Box::new(EnvResourceDetector::new()));
    match named {
        Some(name) => builder.with_service_name(name),
        None => builder,
    }
    .build()
}

/// reqwest is built without a crypto provider of its own; one must be there before a client is built.
fn install_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error says that another thread was quicker, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}
