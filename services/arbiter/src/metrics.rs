//! The arbiter's metrics.

use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use tidegate_limits::{Decision, Report};
use tidegate_metrics::table;

/// The arbiter's instruments.
pub(crate) struct Metrics {
    granted: Counter<u64>,
    waits: Counter<u64>,
    refusals: Counter<u64>,
    unused: Counter<u64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            granted: table::PERMIT_GRANTED.counter(),
            waits: table::PERMIT_WAITS.counter(),
            refusals: table::PERMIT_REFUSED.counter(),
            unused: table::PERMIT_UNUSED.counter(),
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
        self.unused.add(reports.iter().filter(|report| !report.sent).count() as u64, &[]);
    }
}
