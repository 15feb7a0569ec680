//! The tracker's metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Counter, Histogram};
use tidegate_contracts::{End, Lane, Plan};
use tidegate_ledger::{Committed, JobRow, OpenLane, Swept, Windows};
use tidegate_metrics::{Metric, table};

use crate::foresight::{Foresight, by_lane};

/// The tracker's instruments.
pub(crate) struct Metrics {
    duration: Histogram<f64>,
    plans: Histogram<f64>,
    ended: Counter<u64>,
    released: Counter<u64>,
    jobs: Histogram<f64>,
    swept_calls: Counter<u64>,
    swept_jobs: Counter<u64>,
    eta_errors: Histogram<f64>,
    lanes: Arc<Mutex<Lanes>>,
    stalled: Arc<Mutex<BTreeMap<(String, Lane), u64>>>,
    foresight: Mutex<Foresight>,
}

/// Lanes that were open at the last look, each with the calls that may be out of it.
type Lanes = Vec<(OpenLane, u64)>;

impl Metrics {
    /// Those of this process. Not taken before telemetry is started, or they do nothing.
    pub(crate) fn get() -> &'static Self {
        static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);
        &METRICS
    }

    fn new() -> Self {
        let lanes = Arc::<Mutex<Lanes>>::default();
        watch(&lanes, table::JOB_OPEN, |gauge, labels, (lane, _)| {
            for (state, jobs) in [("running", lane.jobs), ("paused", lane.paused), ("parked", lane.parked)] {
                let labels = [labels, [KeyValue::new("state", state)].as_slice()].concat();
                gauge.observe(f64::from(jobs), &labels);
            }
        });
        watch(&lanes, table::CALL_OPEN, |gauge, labels, (lane, _)| gauge.observe(lane.calls_open as f64, labels));
        watch(&lanes, table::CALL_OUT, |gauge, labels, (lane, _)| gauge.observe(lane.calls_out as f64, labels));
        watch(&lanes, table::CALL_WINDOW, |gauge, labels, (_, window)| gauge.observe(*window as f64, labels));
        let stalled = Arc::<Mutex<BTreeMap<(String, Lane), u64>>>::default();
        let of = Arc::clone(&stalled);
        table::JOB_STALLED.watch(move |gauge| {
            for ((provider, lane), jobs) in of.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                gauge.observe(*jobs as f64, &of_lane(provider, *lane));
            }
        });
        Self {
            duration: table::COMMIT_DURATION.histogram(),
            plans: table::COMMIT_PLANS.histogram(),
            ended: table::CALL_ENDED.counter(),
            released: table::CALL_RELEASED.counter(),
            jobs: table::JOB_DURATION.histogram(),
            swept_calls: table::SWEEP_CALLS.counter(),
            swept_jobs: table::SWEEP_JOBS.counter(),
            eta_errors: table::JOB_ETA_ERROR.histogram(),
            lanes,
            stalled,
            foresight: Mutex::default(),
        }
    }

    /// What there is to do, as the ledger says, and the windows shared by it.
    pub(crate) fn looked(&self, lanes: &[OpenLane], windows: &Windows) {
        let window = |lane: &OpenLane| u64::from(windows.of(&lane.provider, lane.lane)) * u64::from(lane.jobs);
        let lanes = lanes.iter().map(|lane| (lane.clone(), window(lane))).collect();
        *self.lanes.lock().unwrap_or_else(PoisonError::into_inner) = lanes;
    }

    /// What is known of jobs that run.
    pub(crate) fn foresight(&self) -> MutexGuard<'_, Foresight> {
        self.foresight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These jobs have stalled. Lanes where none has any more are told as 0.
    pub(crate) fn stalled(&self, jobs: &[JobRow]) {
        let mut stalled = self.stalled.lock().unwrap_or_else(PoisonError::into_inner);
        stalled.values_mut().for_each(|jobs| *jobs = 0);
        stalled.extend(by_lane(jobs));
    }

    pub(crate) fn swept(&self, swept: &Swept) {
        self.swept_calls.add(swept.calls.len() as u64, &[]);
        self.swept_jobs.add(swept.unplanned.len() as u64, &[]);
    }

    pub(crate) fn finished(&self, job: &JobRow) {
        let took_ms = job.finished_at_ms.unwrap_or(job.submitted_at_ms) - job.submitted_at_ms;
        self.jobs.record(took_ms as f64 / 1_000.0, &[KeyValue::new("state", job.state.name())]);
        if let Some(miss) = self.foresight().finished(job) {
            let truth = if miss.earlier { "earlier" } else { "later" };
            self.eta_errors.record(miss.part, &[KeyValue::new("truth", truth)]);
        }
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
    lanes: &Arc<Mutex<Lanes>>,
    metric: Metric,
    tell: impl Fn(&dyn AsyncInstrument<f64>, &[KeyValue], &(OpenLane, u64)) + Send + Sync + 'static,
) {
    let lanes = Arc::clone(lanes);
    metric.watch(move |gauge| {
        for lane in lanes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            tell(gauge, &of_lane(&lane.0.provider, lane.0.lane), lane);
        }
    });
}

fn of_lane(provider: &str, lane: Lane) -> [KeyValue; 2] {
    [KeyValue::new("provider", provider.to_owned()), KeyValue::new("lane", lane.name())]
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
