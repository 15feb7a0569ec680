//! The planner's metrics. No job, tenant or address is a label.

use opentelemetry::metrics::Counter;
use tidegate_contracts::{NewPages, Plan};

/// The planner's instruments.
pub(crate) struct Metrics {
    plans: Counter<u64>,
    pages: Counter<u64>,
    fetches: Counter<u64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let meter = opentelemetry::global::meter("tidegate.planner");
        let counter = |name, unit, text| meter.u64_counter(name).with_unit(unit).with_description(text).build();
        Self {
            plans: counter("tidegate.plan.made", "{plan}", "Plans made, those made twice included"),
            pages: counter("tidegate.plan.pages", "{page}", "Pages that plans ask for, those known already included"),
            fetches: counter(
                "tidegate.plan.fetches",
                "{fetch}",
                "Fetches that plans begin, those known already included",
            ),
        }
    }

    pub(crate) fn planned(&self, plan: &Plan) {
        self.plans.add(1, &[]);
        self.pages.add(plan.pages.iter().map(NewPages::count).sum(), &[]);
        self.fetches.add(plan.fetches.len() as u64, &[]);
    }
}
