//! Which of the limits that a refused call touched it was refused for.
//!
//! Few providers say. A budget whose answer says that nothing is left of it is to blame; one with room is not, if another may be.
//! So what counts calls by their address is found out where only limits by token tell what is left.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::Limiter;
use crate::budget::Budget;
use crate::charge::Report;

impl Limiter {
    /// The report, where its answer says that some of the budgets that it may be refused for have too little left: refused for
    /// these alone.
    pub(super) fn narrowed<'a>(&self, report: &'a Report) -> Cow<'a, Report> {
        let Some(refused) = report.answer.as_ref().and_then(|told| told.refused.as_ref()) else {
            return Cow::Borrowed(report);
        };
        let is_used_up = |key: &&String| {
            let left = left(report, key);
            let cost = self.budgets.get(*key).filter(|budget| budget.refuses()).map(|b| b.cost_of(report.permit.id));
            left.zip(cost).is_some_and(|(left, cost)| left < cost as f64)
        };
        let used_up: Vec<String> = refused.keys.iter().filter(is_used_up).cloned().collect();
        if used_up.is_empty() {
            return Cow::Borrowed(report);
        }
        let mut narrowed = report.clone();
        if let Some(refused) = narrowed.answer.as_mut().and_then(|told| told.refused.as_mut()) {
            refused.keys = used_up;
        }
        Cow::Owned(narrowed)
    }

    /// What the call costs each budget that it may be refused for; to be asked before the report is settled.
    pub(super) fn costs<'a>(&self, report: &'a Report) -> BTreeMap<&'a str, u64> {
        let refused = report.answer.as_ref().and_then(|told| told.refused.as_ref());
        let keys = refused.map_or(&[][..], |refused| &refused.keys);
        let cost = |key: &'a String| Some((key.as_str(), self.budgets.get(key)?.cost_of(report.permit.id)));
        keys.iter().filter_map(cost).collect()
    }

    /// Of the budgets that a report's call may be refused for those that have no room, as far as it is known: what is left of
    /// a budget was told by the answer, or somebody else is there to blame, whose size nobody knows. All, if all have room.
    pub(super) fn blamed<'a>(&self, report: &Report, costs: &BTreeMap<&'a str, u64>, now_ms: i64) -> Vec<&'a str> {
        let may_refuse = |key: &str| self.budgets.get(key).filter(|budget| budget.refuses());
        let all: Vec<&str> = costs.keys().copied().filter(|key| may_refuse(key).is_some()).collect();
        let has_stranger = all.iter().any(|key| may_refuse(key).is_some_and(|budget| !budget.is_known()));
        let has_room = |key: &&str| {
            let knows = |budget: &Budget| budget.is_known() && (has_stranger || left(report, key).is_some());
            may_refuse(key).is_some_and(|budget| knows(budget) && budget.has_room(costs[key], now_ms))
        };
        let blamed: Vec<&str> = all.iter().copied().filter(|key| !has_room(key)).collect();
        if blamed.is_empty() { all } else { blamed }
    }
}

/// What the answer said to be left of a budget that the call took from.
fn left(report: &Report, key: &str) -> Option<f64> {
    let readings = &report.answer.as_ref()?.readings;
    readings.get(key).filter(|_| report.permit.keys.iter().any(|taken| taken == key))?.remaining
}
