//! The executor's metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use tidegate_contracts::Lane;
use tidegate_metrics::table;

use crate::Gauges;

/// The executor's instruments.
pub(crate) struct Metrics {
    requests: Histogram<f64>,
    waits: Histogram<f64>,
    parked: Counter<u64>,
    pushed: Counter<u64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            requests: table::CALL_DURATION.histogram(),
            waits: table::PERMIT_WAIT.histogram(),
            parked: table::CALL_PARKED.counter(),
            pushed: table::PAGE_PUSHED.counter(),
        }
    }

    /// Tells of what calls do right now, for as long as the process lives.
    pub(crate) fn watch(gauges: &Arc<Gauges>) {
        let of = Arc::clone(gauges);
        table::CALL_IN_FLIGHT.watch(move |gauge| gauge.observe(of.in_flight.load(Relaxed) as f64, &[]));
        let of = Arc::clone(gauges);
        let sleeping = move || of.sleeping().iter().map(|(_, sleeping)| sleeping.calls).sum::<u64>();
        table::CALL_SLEEPING.watch(move |gauge| gauge.observe(sleeping() as f64, &[]));
    }

    /// A permit came, this long after it was first asked for.
    pub(crate) fn permitted(&self, lane: Lane, waited: Duration) {
        self.waits.record(waited.as_secs_f64(), &[KeyValue::new("lane", lane.name())]);
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
