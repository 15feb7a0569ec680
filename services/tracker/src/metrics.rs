//! The tracker's metrics. No job, tenant or address is a label.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use tidegate_contracts::{End, Plan};
use tidegate_ledger::Committed;

/// The tracker's instruments.
pub(crate) struct Metrics {
    duration: Histogram<f64>,
    plans: Histogram<u64>,
    ended: Counter<u64>,
    released: Counter<u64>,
    finished: Counter<u64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let meter = opentelemetry::global::meter("tidegate.tracker");
        let counter = |name, unit, text| meter.u64_counter(name).with_unit(unit).with_description(text).build();
        Self {
            duration: meter
                .f64_histogram("tidegate.commit.duration")
                .with_unit("s")
                .with_description("Time of one commit of plans")
                .with_boundaries(vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0])
                .build(),
            plans: meter
                .u64_histogram("tidegate.commit.plans")
                .with_unit("{plan}")
                .with_description("Plans in one commit")
                .with_boundaries(vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0])
                .build(),
            ended: counter(
                "tidegate.call.ended",
                "{call}",
                "Plans that end a call, by how; one that comes twice counts twice",
            ),
            released: counter("tidegate.call.released", "{call}", "Calls released into their job's window"),
            finished: counter("tidegate.job.finished", "{job}", "Jobs that are done, whatever came of them"),
        }
    }

    pub(crate) fn committed(&self, plans: &[Plan], committed: &Committed, took: Duration) {
        self.duration.record(took.as_secs_f64(), &[]);
        self.plans.record(plans.len() as u64, &[]);
        for end in plans.iter().filter_map(|plan| Some(&plan.ended.as_ref()?.end)) {
            self.ended.add(1, &[KeyValue::new("end", name(end))]);
        }
        self.released.add(committed.released.len() as u64, &[]);
        self.finished.add(committed.finished.len() as u64, &[]);
    }
}

fn name(end: &End) -> &'static str {
    match end {
        End::Succeeded { .. } => "succeeded",
        End::Skipped { .. } => "skipped",
        End::Failed { .. } => "failed",
        End::Cancelled => "cancelled",
        End::Returned => "returned",
        End::Deferred { .. } => "deferred",
    }
}
