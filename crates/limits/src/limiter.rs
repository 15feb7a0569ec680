//! All budgets, and the one step that decides over several of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::budget::{Budget, Settled};
use crate::charge::{Charge, Decision, Permit, Question, Report};
use crate::line::By;
use crate::meter::Ready;
use crate::overrides::{Override, OverrideKind, Overrides, Why};

#[cfg(test)]
mod tests;

/// Decides which calls may be made. Memory grows with the budgets in use; see [`Limiter::forget_idle`].
#[derive(Debug, Clone)]
pub struct Limiter {
    budgets: HashMap<String, Budget>,
    overrides: Overrides,
    next_id: u64,
}

/// A limiter's state, to be saved and restored. Its JSON is nobody else's business.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Snapshot {
    budgets: BTreeMap<String, Budget>,
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    overrides: Overrides,
    next_id: u64,
}

/// Why a call is not granted.
struct Binding<'a> {
    /// When all limits have room.
    ready: Ready,
    /// When the limit that binds has; a pause's end, though it is asked about before.
    end_ms: i64,
    by: &'a Charge,
    why: Option<Why>,
}

/// A budget as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Budget")]
pub struct Usage {
    /// Names the budget.
    pub key: String,
    /// The limit's id in the provider file.
    pub limit: String,
    /// Units of cost charged and not yet restored; for concurrency, in flight.
    pub used: u64,
    /// Units of cost that fit, as configured or told; none when nobody ever said.
    pub size: Option<u64>,
    /// Unix time in ms at which the window ends or the bucket is full; none for concurrency and where nothing runs.
    pub resets_at_ms: Option<i64>,
    /// Unix time in ms until which the provider's refusal or wish for a pause blocks the budget.
    pub blocked_until_ms: Option<i64>,
    /// What is known of a limit that is learnt; none of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learnt: Option<Learnt>,
    /// Since when calls are kept from the provider because it is ill; none while they are not, and of other limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<Down>,
}

/// What is known of a provider that is ill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Down {
    /// Unix time in ms at which it was found so.
    pub since_ms: i64,
    /// Unix time in ms at which a single call tries it next; in the past while one is out.
    pub probe_at_ms: i64,
}

/// What is known of a limit that nobody told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Learnt {
    /// The pace, in units of cost an hour.
    pub per_hour: u64,
    /// Whether it was ever held for as long as the provider remembers.
    pub is_proven: bool,
    /// Unix time in ms at which a call was last refused, which is how old the pace is as a ceiling; none before the first.
    pub refused_at_ms: Option<i64>,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { budgets: HashMap::new(), overrides: Overrides::default(), next_id: 1 }
    }
}

impl Limiter {
    /// No budgets yet; the first permit has this id. Whoever keeps no snapshot begins elsewhere each time, so that a
    /// permit of an earlier life is never taken for one of this.
    #[must_use]
    pub fn starting_at(first_id: u64) -> Self {
        Self { next_id: first_id, ..Self::default() }
    }

    /// Decides over one call's limits: charges all of them, or none.
    pub fn ask(&mut self, now_ms: i64, charges: &[Charge]) -> Decision {
        self.ask_by(now_ms, charges, None)
    }

    /// Decides over a question, when it is its turn.
    pub fn decide(&mut self, now_ms: i64, question: &Question) -> Decision {
        self.ask_by(now_ms, &question.charges, question.by.as_ref())
    }

    fn ask_by(&mut self, now_ms: i64, charges: &[Charge], by: Option<&By>) -> Decision {
        let charges = self.imposed(now_ms, charges);
        let binding = self.binding(now_ms, &charges, by);
        if let Some(by) = by {
            let binds = binding.as_ref().map(|binding| (binding.by.key.as_str(), binding.ready.until_ms));
            self.line_up(now_ms, &charges, by, binds);
        }
        match binding {
            Some(binding) => Decision::Wait {
                until_ms: binding.ready.until_ms,
                at_latest_ms: binding.ready.at_latest_ms,
                limit: binding.by.limit.clone(),
                why: binding.why,
            },
            None => Decision::Granted(self.commit(now_ms, &charges)),
        }
    }

    /// Has who asks wait in the line of the budget that binds until that time, or takes its turn in those of all.
    fn line_up(&mut self, now_ms: i64, charges: &[Charge], by: &By, binds: Option<(&str, i64)>) {
        for charge in charges {
            let Some(budget) = self.budgets.get_mut(&charge.key) else { continue };
            if by.waited_for.as_ref() == Some(&charge.limit) {
                budget.leave(by);
            }
            match binds {
                Some((key, until_ms)) if key == charge.key => budget.join(by, charge.cost, until_ms, now_ms),
                Some(_) => {}
                None => budget.serve(by, charge.cost, now_ms),
            }
        }
    }

    /// The charges, with the rates that are wanted instead of the configured ones.
    fn imposed<'a>(&self, now_ms: i64, charges: &'a [Charge]) -> Cow<'a, [Charge]> {
        let mut charges = Cow::Borrowed(charges);
        if self.overrides.is_empty() {
            return charges;
        }
        for place in 0..charges.len() {
            if let Some(rate) = self.overrides.on(&charges[place].key, now_ms).rate {
                charges.to_mut()[place].rate = rate.clone();
            }
        }
        charges
    }

    /// Reads all limits: none when all have room, else when they do and which one binds.
    fn binding<'a>(&mut self, now_ms: i64, charges: &'a [Charge], by: Option<&By>) -> Option<Binding<'a>> {
        let mut binding: Option<Binding<'_>> = None;
        for charge in charges {
            // A budget that was never charged has room for any one call.
            let (mut ready, imposed) = (Ready::at(now_ms), self.overrides.on(&charge.key, now_ms));
            if let Some(budget) = self.budgets.get_mut(&charge.key) {
                budget.advance(now_ms);
                budget.is_overridden = imposed.rate.is_some();
                ready = budget.ready(charge, by, now_ms);
            }
            let paused_ms = imposed.end_ms().filter(|&end_ms| end_ms > ready.until_ms);
            let down = self.budgets.get(&charge.key).and_then(Budget::down);
            let why = match paused_ms {
                Some(_) => imposed.why(),
                None => down.map(|down| Why::Down { since_ms: down.since_ms }),
            };
            let end_ms = paused_ms.unwrap_or(ready.until_ms);
            ready = ready.and(Ready::at(imposed.back_ms(now_ms).unwrap_or(now_ms)));
            if ready.at_latest_ms <= now_ms {
                continue;
            }
            binding = Some(match binding {
                Some(so_far) if so_far.end_ms >= end_ms => Binding { ready: so_far.ready.and(ready), ..so_far },
                Some(so_far) => Binding { ready: so_far.ready.and(ready), end_ms, by: charge, why },
                None => Binding { ready, end_ms, by: charge, why },
            });
        }
        binding
    }

    /// Charges all limits.
    fn commit(&mut self, now_ms: i64, charges: &[Charge]) -> Permit {
        let id = self.next_id;
        self.next_id += 1;
        let mut probe = false;
        for charge in charges {
            if let Some(budget) = self.budgets.get_mut(&charge.key) {
                budget.spend(id, charge.cost, now_ms);
                probe = probe || budget.probes_free(now_ms);
            } else {
                let mut budget = Budget::new(charge);
                budget.is_overridden = self.overrides.on(&charge.key, now_ms).rate.is_some();
                budget.spend(id, charge.cost, now_ms);
                self.budgets.insert(charge.key.clone(), budget);
            }
        }
        Permit { id, keys: charges.iter().map(|charge| charge.key.clone()).collect(), probe }
    }

    /// Takes a permit back, and believes what the answer told.
    pub fn report(&mut self, now_ms: i64, report: &Report) {
        let (id, next_id) = (report.permit.id, self.next_id);
        for key in &report.permit.keys {
            if let Some(budget) = self.budgets.get_mut(key) {
                budget.settle(&Settled { key, report, next_id, now_ms });
            }
        }
        let Some(refused) = report.answer.as_ref().and_then(|told| told.refused.as_ref()) else { return };
        let is_learnt = |key: &String| self.budgets.get(key).is_some_and(Budget::learns);
        let teaches = refused.until_ms.is_none() && refused.keys.iter().any(is_learnt);
        for key in &refused.keys {
            // Where a limit is learnt, a refusal that names no time is its business alone.
            if let Some(budget) = self.budgets.get_mut(key).filter(|budget| budget.learns() || !teaches) {
                budget.refuse(id, next_id, refused.until_ms, now_ms);
            }
        }
    }

    /// Every budget in use, by key.
    #[must_use]
    pub fn usage(&self, now_ms: i64) -> Vec<Usage> {
        let mut usage: Vec<Usage> = self.budgets.iter().map(|(key, budget)| budget.usage(key, now_ms)).collect();
        usage.sort_by(|one, other| one.key.cmp(&other.key));
        usage
    }

    /// Drops the budgets that are full, not blocked, and were not charged for ten minutes. Call it now and then:
    /// it looks at every budget.
    pub fn forget_idle(&mut self, now_ms: i64) {
        self.budgets.retain(|_, budget| !budget.is_idle(now_ms));
        self.overrides.forget_ended(now_ms);
    }

    /// Sets what is wanted of budgets, instead of what was wanted of the same key in the same way before. False, and
    /// nothing is changed, if the provider has [as many](crate::overrides::OVERRIDES_MAX) as there may be.
    pub fn put_override(&mut self, wanted: Override, now_ms: i64) -> bool {
        self.overrides.forget_ended(now_ms);
        self.overrides.put(wanted)
    }

    /// Ends what is wanted of a key, of one kind or of all; whether there was anything.
    pub fn delete_override(&mut self, key: &str, kind: Option<OverrideKind>, now_ms: i64) -> bool {
        self.overrides.forget_ended(now_ms);
        self.overrides.delete(key, kind)
    }

    /// All that is wanted of budgets, by key.
    #[must_use]
    pub fn overrides(&self, now_ms: i64) -> Vec<Override> {
        self.overrides.all(now_ms)
    }

    /// What to save. Calls in flight stay charged; slots that they hold are free after a restart.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let at_rest = |(key, budget): (&String, &Budget)| (key.clone(), budget.clone().at_rest());
        Snapshot {
            budgets: self.budgets.iter().map(at_rest).collect(),
            overrides: self.overrides.clone(),
            next_id: self.next_id,
        }
    }

    /// The limiter that was saved.
    #[must_use]
    pub fn restore(snapshot: Snapshot) -> Self {
        let Snapshot { budgets, overrides, next_id } = snapshot;
        Self { budgets: budgets.into_iter().collect(), overrides, next_id }
    }
}
