//! The arbiter's metrics. No job, tenant or address is a label.

use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use tidegate_limits::{Decision, Report};

/// The arbiter's instruments.
pub(crate) struct Metrics {
    granted: Counter<u64>,
    waits: Counter<u64>,
    refusals: Counter<u64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let meter = opentelemetry::global::meter("tidegate.arbiter");
        let counter = |name, unit, text| meter.u64_counter(name).with_unit(unit).with_description(text).build();
        Self {
            granted: counter("tidegate.permit.granted", "{permit}", "Permits granted"),
            waits: counter(
                "tidegate.permit.waits",
                "{question}",
                "Questions answered with a time to come back, by limit",
            ),
            refusals: counter(
                "tidegate.permit.refused",
                "{request}",
                "Requests that a provider refused because of a limit",
            ),
        }
    }

    pub(crate) fn decided(&self, decisions: &[Decision]) {
        for decision in decisions {
            match decision {
                Decision::Granted(_) => self.granted.add(1, &[]),
                Decision::Wait { limit, .. } => self.waits.add(1, &[KeyValue::new("limit", limit.clone())]),
            }
        }
    }

    pub(crate) fn reported(&self, reports: &[Report]) {
        let refused = |report: &&Report| report.answer.as_ref().is_some_and(|told| told.refused.is_some());
        self.refusals.add(reports.iter().filter(refused).count() as u64, &[]);
    }
}
