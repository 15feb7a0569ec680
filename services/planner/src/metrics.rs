//! The planner's metrics.

use opentelemetry::metrics::Counter;
use tidegate_contracts::{NewPages, Plan};
use tidegate_metrics::table;

/// The planner's instruments.
pub(crate) struct Metrics {
    plans: Counter<u64>,
    pages: Counter<u64>,
    fetches: Counter<u64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            plans: table::PLAN_MADE.counter(),
            pages: table::PLAN_PAGES.counter(),
            fetches: table::PLAN_FETCHES.counter(),
        }
    }

    pub(crate) fn planned(&self, plan: &Plan) {
        self.plans.add(1, &[]);
        self.pages.add(plan.pages.iter().map(NewPages::count).sum(), &[]);
        self.fetches.add(plan.fetches.len() as u64, &[]);
    }
}
