//! What calls take from each limit.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use tidegate_contracts::{PagePointer, Params};
use tidegate_limits::{Charge, Rate};
use tidegate_pagination::Kind;
use tidegate_provider::file::Factor;
use tidegate_provider::{CallShape, Caller, Spec, Step};

use crate::time::least_time_after_ms;
use crate::{Amount, Basis, IN_FLIGHT, LATENCY, LATENCY_MS_ASSUMED};

/// Pages of a fetch whose cost is calculated one by one; the others cost what the last of them does.
const PAGES_PRICED: u64 = 100;

/// What the job takes from a limit.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LimitForecast {
    /// Its id in the provider file.
    pub limit: String,
    /// What it counts by.
    pub by: String,
    /// How much of it there is.
    pub allows: String,
    /// Units in all.
    pub units: Amount,
    /// Budgets that they are taken from: more than one where it counts by a parameter that differs from fetch to fetch, or by
    /// credential and the job has several.
    pub budgets: Amount,
    /// Units that each step takes.
    pub steps: BTreeMap<String, Amount>,
    /// The least time for that, in ms; none where only the provider knows.
    pub time_ms: Option<u64>,
}

/// A limit's budget, or as many alike as there are fetches and credentials.
struct Budget {
    limit: String,
    rate: Rate,
    units: Amount,
    budgets: Amount,
    /// Credentials that have one each.
    shares: u64,
    /// Units of fetches that have budgets of their own: of the one that takes most.
    apart: u64,
    /// Units that any of the credentials may take.
    pooled: u64,
    /// Units of one fetch that stays with one credential: of the one that takes most.
    whole: u64,
    steps: BTreeMap<String, Amount>,
}

impl Budget {
    /// Units of the one that takes most, where calls go to the credential with the most room.
    fn most(&self) -> u64 {
        self.apart.saturating_add(self.pooled.div_ceil(self.shares).max(self.whole))
    }
}

/// All budgets that some calls touch, by key.
pub(crate) struct Budgets<'a> {
    spec: &'a Spec,
    basis: &'a Basis,
    all: BTreeMap<String, Budget>,
}

impl<'a> Budgets<'a> {
    pub(crate) fn new(spec: &'a Spec, basis: &'a Basis) -> Self {
        Self { spec, basis, all: BTreeMap::new() }
    }

    /// Adds what `fetches` fetches of a step take, `pages` pages each, made by any of `callers`.
    pub(crate) fn charge(&mut self, step: &Step, fetches: Amount, pages: Amount, callers: &[Caller<'_>]) {
        let Some(caller) = callers.first() else { return };
        let params = self.spec.params(step, None, None).unwrap_or_default();
        let mut of_fetch: BTreeMap<String, (Charge, u64)> = BTreeMap::new();
        // Without expressions all pages cost the same.
        let differ = self.spec.provider().limits.iter().any(|limit| limit.when.is_some() || limit.cost.is_some());
        let priced = pages.n.min(if differ { PAGES_PRICED } else { 1 });
        for ordinal in 0..priced {
            // Where the others cost the same, once is enough.
            let times = if ordinal + 1 == priced { pages.n - ordinal } else { 1 };
            for charge in self.charges(step, &params, ordinal, caller) {
                let (charge, units) = of_fetch
                    .entry(charge.key.clone())
                    .or_insert_with(|| (Charge { cost: charge.cost, ..charge.clone() }, 0));
                *units = units.saturating_add(u64::from(charge.cost).saturating_mul(times));
            }
        }
        let stays = self.spec.stays_with_one(step);
        for (key, (charge, units)) in of_fetch {
            let apart = step.for_each().is_some() && self.is_by_param(&charge.limit);
            let shares = if self.is_by_credential(&charge.limit) { callers.len() as u64 } else { 1 };
            let each = Amount { n: units, ..pages };
            let taken = fetches.times(each);
            let budget = self.all.entry(key).or_insert_with(|| Budget {
                limit: charge.limit,
                rate: charge.rate,
                units: Amount::exact(0),
                budgets: Amount::exact(shares),
                shares,
                apart: 0,
                pooled: 0,
                whole: 0,
                steps: BTreeMap::new(),
            });
            budget.units = budget.units.plus(taken);
            let of_one = units.min(taken.n);
            if apart {
                let of_one = if stays { of_one } else { of_one.div_ceil(shares) };
                budget.apart = budget.apart.saturating_add(of_one);
                budget.budgets = fetches.times(Amount::exact(if stays { 1 } else { shares }));
            } else {
                budget.pooled = budget.pooled.saturating_add(taken.n);
                budget.whole = budget.whole.max(if stays { of_one } else { 0 });
            }
            let of_step = budget.steps.entry(step.id().to_owned()).or_insert(Amount::exact(0));
            *of_step = of_step.plus(taken);
        }
    }

    /// What a call takes. Where an expression needs parameters that are not known yet, it counts as 1.
    fn charges(&self, step: &Step, params: &Params, ordinal: u64, caller: &Caller<'_>) -> Vec<Charge> {
        let pointer = pointer(&step.paging().kind, ordinal);
        let ordinal = u32::try_from(ordinal).unwrap_or(u32::MAX);
        let shape = CallShape { params, pointer: &pointer, ordinal };
        let each = self.spec.charges_each(step, &shape, caller).into_iter();
        each.filter_map(|(limit, charge)| charge.unwrap_or_else(|_| self.one(limit))).collect()
    }

    fn one(&self, limit: &str) -> Option<Charge> {
        let declared = self.spec.provider().limits.iter().find(|declared| declared.id.as_str() == limit)?;
        Some(Charge {
            limit: limit.to_owned(),
            key: limit.to_owned(),
            rate: declared.rate.clone(),
            cost: 1,
            headroom: None,
        })
    }

    fn is_by_param(&self, limit: &str) -> bool {
        self.factors(limit).iter().any(|factor| matches!(factor, Factor::Param(_)))
    }

    fn is_by_credential(&self, limit: &str) -> bool {
        self.factors(limit).contains(&Factor::Credential)
    }

    fn factors(&self, limit: &str) -> &[Factor] {
        let declared = self.spec.provider().limits.iter().find(|declared| declared.id.as_str() == limit);
        declared.map_or(&[Factor::Credential], |declared| &declared.key)
    }

    pub(crate) fn units(&self) -> BTreeMap<String, Amount> {
        let mut units: BTreeMap<String, Amount> = BTreeMap::new();
        for budget in self.all.values() {
            let sum = units.entry(budget.limit.clone()).or_insert(Amount::exact(0));
            *sum = sum.plus(budget.units);
        }
        units
    }

    fn time_ms(&self, budget: &Budget) -> Option<u64> {
        let latency_ms = self.basis.latency_ms.unwrap_or(LATENCY_MS_ASSUMED);
        let reading = self.basis.probed.values().filter_map(|probed| probed.readings.get(&budget.limit)).next_back();
        least_time_after_ms(&budget.rate, budget.most(), latency_ms, (reading, self.basis.now_ms))
    }

    /// The longest of all that takes time, and its name. `in_a_row`: calls that wait for each other.
    pub(crate) fn longest(&self, calls: Amount, in_a_row: u64, latency_ms: u64) -> (u64, String) {
        let mut longest = (in_a_row.saturating_mul(latency_ms), LATENCY);
        if let Some(most) = self.basis.max_in_flight {
            let time_ms = calls.n.div_ceil(u64::from(most.max(1))).saturating_mul(latency_ms);
            longest = longer(longest, (time_ms, IN_FLIGHT));
        }
        for budget in self.all.values() {
            longest = longer(longest, (self.time_ms(budget).unwrap_or(0), &budget.limit));
        }
        (longest.0, longest.1.to_owned())
    }

    pub(crate) fn into_forecasts(self) -> Vec<LimitForecast> {
        let forecast = |budget: &Budget| LimitForecast {
            limit: budget.limit.clone(),
            by: self.factors(&budget.limit).iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            allows: allows(&budget.rate),
            units: budget.units,
            budgets: budget.budgets,
            steps: budget.steps.clone(),
            time_ms: self.time_ms(budget),
        };
        let mut all: Vec<LimitForecast> = self.all.values().map(forecast).collect();
        all.sort_by(|one, other| other.time_ms.cmp(&one.time_ms).then_with(|| one.limit.cmp(&other.limit)));
        all
    }
}

fn longer<'a>(one: (u64, &'a str), other: (u64, &'a str)) -> (u64, &'a str) {
    if other.0 > one.0 { other } else { one }
}

/// A page like the one that will be asked for there: limits may look at its number and size.
fn pointer(kind: &Kind, ordinal: u64) -> PagePointer {
    match *kind {
        Kind::Offset { size } => PagePointer::Offset { offset: ordinal * u64::from(size), size },
        Kind::Number { size, first } => PagePointer::Number { page: first + ordinal, size },
        _ if ordinal == 0 => PagePointer::First,
        _ => PagePointer::Cursor { cursor: String::new() },
    }
}

fn allows(rate: &Rate) -> String {
    match rate {
        Rate::Window { calls, per, .. } => format!("{calls} in {}", humantime::format_duration(*per)),
        Rate::Quota { calls, per, zone } => format!("{calls} each {} ({zone})", per.name()),
        Rate::Sliding { calls, per } => format!("{calls} in any {}", humantime::format_duration(*per)),
        Rate::Bucket { calls, restore_per_s } => format!("{calls} at once, {restore_per_s} a second"),
        Rate::Concurrency { learn: Some(_), .. } => "as many at the same time as is learnt".to_owned(),
        Rate::Concurrency { calls, .. } => format!("{calls} at the same time"),
        Rate::Learn(_) => "what is learnt".to_owned(),
        Rate::Breaker(_) => "all while it is well".to_owned(),
        Rate::Told {} => "what answers tell".to_owned(),
    }
}
