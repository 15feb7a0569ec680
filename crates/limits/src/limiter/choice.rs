//! One decision: over all limits of a call, and which of its choices is granted.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Binding, Limiter};
use crate::charge::{Charge, Decision, Question};
use crate::line::Asker;

impl Limiter {
    /// Decides over one call's limits, nobody's in particular: charges all of them, or none.
    pub fn ask(&mut self, now_ms: i64, charges: &[Charge]) -> Decision {
        self.decide_over(now_ms, &[charges], (None, 1))
    }

    /// Decides over a question, when it is its turn: charges all limits of one of its choices, or none of any.
    pub fn decide(&mut self, now_ms: i64, question: &Question) -> Decision {
        let choices: Vec<&[Charge]> = question.choices().collect();
        let sharing = Arc::clone(&self.sharing);
        let by = question.by.as_ref().map(|by| Asker::new(by, &sharing));
        self.decide_over(now_ms, &choices, (by, question.want))
    }

    fn decide_over(&mut self, now_ms: i64, choices: &[&[Charge]], (by, want): (Option<Asker<'_>>, u32)) -> Decision {
        let choices: Vec<Cow<'_, [Charge]>> = choices.iter().map(|charges| self.imposed(now_ms, charges)).collect();
        let bindings: Vec<Option<Binding<'_>>> =
            choices.iter().map(|charges| self.binding(now_ms, charges, by)).collect();
        let chosen = self.choose(now_ms, &choices, &bindings);
        let charges = &choices[chosen];
        let binding = bindings[chosen].as_ref().map(|binding| {
            let ready = bindings.iter().flatten().fold(binding.ready, |soonest, other| soonest.or(other.ready));
            Binding { ready, why: binding.why.clone(), ..*binding }
        });
        let calls = if binding.is_none() { self.fitting(now_ms, charges, by, want) } else { 1 };
        if let Some(by) = by {
            self.leave(&choices, by);
            let binds = binding.as_ref().map(|binding| (binding.by.key.as_str(), binding.ready.until_ms));
            self.line_up(now_ms, (charges, calls), by, binds);
        }
        match binding {
            Some(binding) => Decision::Wait {
                until_ms: binding.ready.until_ms,
                at_latest_ms: binding.ready.at_latest_ms,
                limit: binding.by.limit.clone(),
                why: binding.why,
            },
            None => Decision::Granted(self.commit(now_ms, charges, calls)),
        }
    }

    /// Of the choices with room the one whose fullest limit is the least full, then the next fullest; where none has room, the
    /// one that has it first. The first of those that are alike.
    fn choose(&self, now_ms: i64, choices: &[Cow<'_, [Charge]>], bindings: &[Option<Binding<'_>>]) -> usize {
        let mut roomiest: Option<(usize, Vec<f64>)> = None;
        for (number, charges) in choices.iter().enumerate().filter(|(number, _)| bindings[*number].is_none()) {
            let fullness = if choices.len() > 1 { self.fullness(now_ms, charges) } else { Vec::new() };
            if roomiest.as_ref().is_none_or(|(_, least)| fullness < *least) {
                roomiest = Some((number, fullness));
            }
        }
        let first = || {
            let ends = bindings.iter().map(|binding| binding.as_ref().map(|binding| binding.end_ms));
            ends.enumerate().min_by_key(|(_, end_ms)| *end_ms).map_or(0, |(number, _)| number)
        };
        roomiest.map_or_else(first, |(number, _)| number)
    }

    /// How full the limits are, the fullest first: what two choices share makes no difference between them.
    fn fullness(&self, now_ms: i64, charges: &[Charge]) -> Vec<f64> {
        let of = |charge: &Charge| self.budgets.get(&charge.key).map_or(0.0, |budget| budget.fullness(now_ms));
        let mut fullness: Vec<f64> = charges.iter().map(of).collect();
        fullness.sort_by(|one, other| other.total_cmp(one));
        fullness
    }

    /// Who asks waits no more. It waited in one line, which is of the limit that it was told; where several choices have that
    /// limit, one in which its job waits.
    fn leave(&mut self, choices: &[Cow<'_, [Charge]>], by: Asker<'_>) {
        let Some(limit) = by.waited_for() else { return };
        for charge in choices.iter().flat_map(|charges| charges.iter()).filter(|charge| charge.limit == *limit) {
            if self.budgets.get_mut(&charge.key).is_some_and(|budget| budget.leave(by)) {
                return;
            }
        }
    }

    /// Has who asks wait in the line of the budget that binds until that time, or takes its turns in those of all.
    fn line_up(&mut self, now_ms: i64, (charges, calls): (&[Charge], u32), by: Asker<'_>, binds: Option<(&str, i64)>) {
        for charge in charges {
            let Some(budget) = self.budgets.get_mut(&charge.key) else { continue };
            match binds {
                Some((key, until_ms)) if key == charge.key => budget.join(by, charge, until_ms, now_ms),
                Some(_) => {}
                None => budget.serve(by, (charge.cost, calls), now_ms),
            }
        }
    }
}
