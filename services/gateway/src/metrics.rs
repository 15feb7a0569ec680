//! The gateway's metrics. No job, tenant or address is a label.

use opentelemetry::KeyValue;
use tidegate_contracts::Lane;

/// A job was taken. Jobs are rare next to calls: the instrument is looked up each time.
pub(crate) fn submitted(lane: Lane) {
    let jobs = opentelemetry::global::meter("tidegate.gateway")
        .u64_counter("tidegate.job.submitted")
        .with_unit("{job}")
        .with_description("Jobs taken")
        .build();
    jobs.add(1, &[KeyValue::new("lane", lane.name())]);
}
