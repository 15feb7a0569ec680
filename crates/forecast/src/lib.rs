//! What a job will take before it runs: calls, what they take from each limit, and the least time for that.
//!
//! [`forecast`] calculates from a [`Spec`], from what is assumed of the lists ([`Assumptions`]), and from what a first page
//! told ([`Probed`]), if one was asked for. Pure: no call, no clock. Every number says how far it can be trusted
//! ([`Amount`]); nothing that is not known is made up, it is a lower bound.
//!
//! Not part of it: repeated calls (after failures), what others take from the same limits, and answers slower than the
//! assumed latency. So the time is the least that the limits permit.

mod amount;
mod assume;
mod budgets;
mod pages;
mod time;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use tidegate_contracts::PageFacts;
use tidegate_limits::Reading;
use tidegate_provider::{Caller, Spec};

pub use amount::{Amount, Trust};
pub use assume::{AssumeError, Assumed, Assumptions};
use budgets::Budgets;
pub use budgets::LimitForecast;
pub use time::{LATENCY_MS_ASSUMED, least_time_ms};

/// What the first page of a root step told.
#[derive(Debug, Clone)]
pub struct Probed {
    /// The page.
    pub facts: PageFacts,
    /// What the headers said of limits, by id.
    pub readings: BTreeMap<String, Reading>,
}

/// What the calculation is made from, beside the job.
#[derive(Debug, Clone, Default)]
pub struct Basis {
    /// What is assumed of steps.
    pub assumptions: Assumptions,
    /// First pages that were asked for, by root step.
    pub probed: BTreeMap<String, Probed>,
    /// Requests that were sent to find out.
    pub probes: u64,
    /// Time that a call takes on the wire, in ms; [`LATENCY_MS_ASSUMED`] unless said.
    pub latency_ms: Option<u64>,
    /// Most requests on the wire at once.
    pub max_in_flight: Option<u32>,
    /// Now, Unix ms: what headers said of resets is told from it.
    pub now_ms: i64,
}

/// What a job will take.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Forecast {
    /// By step, parents before children.
    pub steps: Vec<StepForecast>,
    /// By limit, the one that takes longest first.
    pub limits: Vec<LimitForecast>,
    /// Calls in all.
    pub calls: Amount,
    /// The least time for all of it, in ms; a lower bound where calls are one.
    pub time_ms: u64,
    /// What takes that time: the id of a limit, `max_in_flight`, or `latency` (pages that follow from each other).
    pub bound_by: String,
    /// Time that a call is assumed to take on the wire, in ms.
    pub latency_ms: u64,
    /// Requests that were sent to find out. They count against the provider's limits like any others.
    pub probes: u64,
}

/// What a step will take.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StepForecast {
    /// The step.
    pub step: String,
    /// What it calls.
    pub endpoint: String,
    /// How often it is done.
    pub fetches: Amount,
    /// Pages of each fetch.
    pub pages: Amount,
    /// Items of each fetch.
    pub items: Amount,
    /// Calls in all.
    pub calls: Amount,
    /// Units it takes from each limit, by the limit's id.
    pub units: BTreeMap<String, Amount>,
    /// The least time for this step alone, in ms.
    pub time_ms: u64,
    /// What takes that time.
    pub bound_by: String,
    /// Where the numbers are from.
    pub basis: String,
}

/// What `max_in_flight` and the latency are called where a limit's id stands.
pub(crate) const IN_FLIGHT: &str = "max_in_flight";
pub(crate) const LATENCY: &str = "latency";

/// Calculates what a job will take. `caller`: on whose behalf; it decides which steps share a limit. Its credential gives way to
/// those that the job names: each of a pool has budgets of its own where limits count by credential.
#[must_use]
pub fn forecast(spec: &Spec, basis: &Basis, caller: &Caller<'_>) -> Forecast {
    let named = spec.credentials().iter();
    let mut callers: Vec<Caller<'_>> =
        named.map(|name| Caller { credential: Some(name.as_str()), ..*caller }).collect();
    if callers.is_empty() {
        callers.push(*caller);
    }
    let latency_ms = basis.latency_ms.unwrap_or(LATENCY_MS_ASSUMED);
    let mut all = Budgets::new(spec, basis);
    let mut steps: Vec<StepForecast> = Vec::new();
    // Pages that follow from each other, from the root to the end of a step, by step.
    let mut in_a_row: BTreeMap<&str, u64> = BTreeMap::new();
    for step in spec.steps() {
        let parent = step.for_each().and_then(|parent| steps.iter().find(|above| above.step == parent));
        let fetches = match (step.for_each(), parent) {
            (None, _) => Amount::exact(1),
            (Some(_), Some(parent)) => parent.fetches.times(parent.items),
            // Steps stand after their parents; a spec that does not compile has none.
            (Some(_), None) => Amount::at_least(0),
        };
        let shape = pages::shape(spec, step, basis);
        let mut own = Budgets::new(spec, basis);
        for budgets in [&mut own, &mut all] {
            budgets.charge(step, fetches, shape.pages, &callers);
        }
        let calls = fetches.times(shape.pages);
        let above = step.for_each().and_then(|parent| in_a_row.get(parent)).copied().unwrap_or(0);
        let row = above.saturating_add(if calls.n == 0 { 0 } else { shape.in_a_row });
        in_a_row.insert(step.id(), row);
        let (time_ms, bound_by) = own.longest(calls, row, latency_ms);
        steps.push(StepForecast {
            step: step.id().to_owned(),
            endpoint: step.endpoint().name().to_owned(),
            fetches,
            pages: shape.pages,
            items: shape.items,
            calls,
            units: own.units(),
            time_ms,
            bound_by,
            basis: shape.basis,
        });
    }
    let calls = steps.iter().fold(Amount::exact(0), |sum, step| sum.plus(step.calls));
    let longest_row = in_a_row.values().copied().max().unwrap_or(0);
    let (time_ms, bound_by) = all.longest(calls, longest_row, latency_ms);
    Forecast { steps, limits: all.into_forecasts(), calls, time_ms, bound_by, latency_ms, probes: basis.probes }
}

#[cfg(test)]
mod tests;
