//! The executor's metrics. No job, tenant or address is a label.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use tidegate_contracts::Lane;

/// The executor's instruments.
pub(crate) struct Metrics {
    requests: Histogram<f64>,
    parked: Counter<u64>,
    pushed: Counter<u64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let meter = opentelemetry::global::meter("tidegate.executor");
        Self {
            requests: meter
                .f64_histogram("tidegate.call.duration")
                .with_unit("s")
                .with_description(
                    "Time of one request, from sending to its answer judged, by class (`page`: a page came)",
                )
                .with_boundaries(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0])
                .build(),
            parked: meter
                .u64_counter("tidegate.call.parked")
                .with_unit("{call}")
                .with_description("Calls parked on the bus because they wait for long")
                .build(),
            pushed: meter
                .u64_counter("tidegate.page.pushed")
                .with_unit("{page}")
                .with_description(
                    "Pages pushed to the results exchange: with items, as a reference, or refused for now",
                )
                .build(),
        }
    }

    pub(crate) fn request(&self, provider: &str, lane: Lane, class: &'static str, took: Duration) {
        let labels = [
            KeyValue::new("provider", provider.to_owned()),
            KeyValue::new("lane", lane.name()),
            KeyValue::new("class", class),
        ];
        self.requests.record(took.as_secs_f64(), &labels);
    }

    /// `kind`: the message's type, or `refused`.
    pub(crate) fn pushed(&self, provider: &str, kind: &'static str) {
        self.pushed.add(1, &[KeyValue::new("provider", provider.to_owned()), KeyValue::new("kind", kind)]);
    }

    pub(crate) fn parked(&self, provider: &str, lane: Lane) {
        self.parked.add(1, &[KeyValue::new("provider", provider.to_owned()), KeyValue::new("lane", lane.name())]);
    }
}
