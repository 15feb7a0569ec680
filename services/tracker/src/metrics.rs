//! The tracker's metrics.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Counter, Histogram};
use tidegate_contracts::{End, Plan};
use tidegate_ledger::{Committed, JobRow, OpenLane, Swept};
use tidegate_metrics::{Metric, table};

/// The tracker's instruments.
pub(crate) struct Metrics {
    duration: Histogram<f64>,
    plans: Histogram<f64>,
    ended: Counter<u64>,
    released: Counter<u64>,
    jobs: Histogram<f64>,
    swept_calls: Counter<u64>,
    swept_jobs: Counter<u64>,
    lanes: Arc<Mutex<Vec<OpenLane>>>,
}

impl Metrics {
    /// Those of this process. Not taken before telemetry is started, or they do nothing.
    pub(crate) fn get() -> &'static Self {
        static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);
        &METRICS
    }

    fn new() -> Self {
        let lanes = Arc::<Mutex<Vec<OpenLane>>>::default();
        watch(&lanes, table::JOB_OPEN, |gauge, labels, lane| {
            for (state, jobs) in [("running", lane.jobs), ("paused", lane.paused), ("parked", lane.parked)] {
                let labels = [labels, [KeyValue::new("state", state)].as_slice()].concat();
                gauge.observe(f64::from(jobs), &labels);
            }
        });
        watch(&lanes, table::CALL_OPEN, |gauge, labels, lane| gauge.observe(lane.calls_open as f64, labels));
        watch(&lanes, table::CALL_OUT, |gauge, labels, lane| gauge.observe(lane.calls_out as f64, labels));
        Self {
            duration: table::COMMIT_DURATION.histogram(),
            plans: table::COMMIT_PLANS.histogram(),
            ended: table::CALL_ENDED.counter(),
            released: table::CALL_RELEASED.counter(),
            jobs: table::JOB_DURATION.histogram(),
            swept_calls: table::SWEEP_CALLS.counter(),
            swept_jobs: table::SWEEP_JOBS.counter(),
            lanes,
        }
    }

    /// What there is to do, as the ledger says.
    pub(crate) fn looked(&self, lanes: &[OpenLane]) {
        lanes.clone_into(&mut self.lanes.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn swept(&self, swept: &Swept) {
        self.swept_calls.add(swept.calls.len() as u64, &[]);
        self.swept_jobs.add(swept.unplanned.len() as u64, &[]);
    }

    pub(crate) fn finished(&self, job: &JobRow) {
        let took_ms = job.finished_at_ms.unwrap_or(job.submitted_at_ms) - job.submitted_at_ms;
        self.jobs.record(took_ms as f64 / 1_000.0, &[KeyValue::new("state", job.state.name())]);
    }

    pub(crate) fn committed(&self, plans: &[Plan], committed: &Committed, took: Duration) {
        self.duration.record(took.as_secs_f64(), &[]);
        self.plans.record(plans.len() as f64, &[]);
        for end in plans.iter().filter_map(|plan| Some(&plan.ended.as_ref()?.end)) {
            self.ended.add(1, &[KeyValue::new("end", name(end))]);
        }
        self.released.add(committed.released.len() as u64, &[]);
    }
}

/// Tells of each lane that was open at the last look.
fn watch(
    lanes: &Arc<Mutex<Vec<OpenLane>>>,
    metric: Metric,
    tell: impl Fn(&dyn AsyncInstrument<f64>, &[KeyValue], &OpenLane) + Send + Sync + 'static,
) {
    let lanes = Arc::clone(lanes);
    metric.watch(move |gauge| {
        for lane in lanes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let labels = [KeyValue::new("provider", lane.provider.clone()), KeyValue::new("lane", lane.lane.name())];
            tell(gauge, &labels, lane);
        }
    });
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
