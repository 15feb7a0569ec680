//! All budgets, and the one step that decides over several of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::budget::{Budget, Settled};
use crate::charge::{Charge, LEASE_MAX, Permit, Report};
use crate::line::Asker;
use crate::meter::{LANDS_WITHIN_MS, Ready};
use crate::overrides::{Override, OverrideKind, Overrides, Why};
use crate::sharing::Sharing;

mod blame;
mod choice;
#[cfg(test)]
mod tests;

/// Decides which calls may be made. Memory grows with the budgets in use; see [`Limiter::forget_idle`].
#[derive(Debug, Clone)]
pub struct Limiter {
    budgets: HashMap<String, Budget>,
    overrides: Overrides,
    next_id: u64,
    sharing: Arc<Sharing>,
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
    /// What is known of how many calls at a time the provider works on, where that is learnt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learnt_slots: Option<LearntSlots>,
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

/// What is known of how many calls at a time a provider works on that slows down instead of refusing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LearntSlots {
    /// Calls at a time.
    pub slots: u64,
    /// How long a call takes while none waits at the provider, in µs; none before it was measured.
    pub base_us: Option<u64>,
    /// Unix time in ms at which that was last measured, at half the slots; none before.
    pub measured_at_ms: Option<i64>,
    /// Unix time in ms at which calls were last seen to wait at the provider, or were dropped by it; none before the first.
    pub queued_at_ms: Option<i64>,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { budgets: HashMap::new(), overrides: Overrides::default(), next_id: 1, sharing: Arc::default() }
    }
}

impl Limiter {
    /// No budgets yet; the first permit has this id. Whoever keeps no snapshot begins elsewhere each time, so that a
    /// permit of an earlier life is never taken for one of this.
    #[must_use]
    pub fn starting_at(first_id: u64) -> Self {
        Self { next_id: first_id, ..Self::default() }
    }

    /// How many calls have room at once, where one has.
    fn fitting(&self, now_ms: i64, charges: &[Charge], by: Option<Asker<'_>>, want: u32) -> u32 {
        charges.iter().fold(want.clamp(1, LEASE_MAX), |calls, charge| match self.budgets.get(&charge.key) {
            Some(budget) if calls > 1 => budget.fitting(charge, calls, by, now_ms),
            _ => 1,
        })
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

    /// The same, where lanes and tenants share like this.
    #[must_use]
    pub fn sharing(self, sharing: Arc<Sharing>) -> Self {
        Self { sharing, ..self }
    }

    /// Reads all limits: none when all have room, else when they do and which one binds.
    fn binding<'a>(&mut self, now_ms: i64, charges: &'a [Charge], by: Option<Asker<'_>>) -> Option<Binding<'a>> {
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
            ready.until_ms = ready.until_ms.min(imposed.look_ms(now_ms).unwrap_or(i64::MAX));
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

    /// Charges all limits for so many calls.
    fn commit(&mut self, now_ms: i64, charges: &[Charge], calls: u32) -> Permit {
        let id = self.next_id;
        self.next_id += u64::from(calls) + 1; // Those that were granted apart do not adjoin.
        let (mut probe, mut use_within_ms) = (false, LANDS_WITHIN_MS / 2);
        for charge in charges {
            let budget = self.budgets.entry(charge.key.clone()).or_insert_with(|| {
                let is_overridden = self.overrides.on(&charge.key, now_ms).rate.is_some();
                Budget::new(charge, is_overridden)
            });
            budget.spend(id, (charge.cost, calls), now_ms);
            probe = probe || budget.probes_free(now_ms);
            use_within_ms = use_within_ms.min(budget.use_within_ms());
        }
        let keys = charges.iter().map(|charge| charge.key.clone()).collect();
        Permit { probe, calls, use_within_ms: Some(use_within_ms), ..Permit::new(id, keys) }
    }

    /// Takes a permit back, and believes what the answer told.
    pub fn report(&mut self, now_ms: i64, report: &Report) {
        let (id, next_id) = (report.permit.id, self.next_id);
        let report = &*self.narrowed(report);
        let costs = self.costs(report);
        for key in &report.permit.keys {
            if let Some(budget) = self.budgets.get_mut(key) {
                budget.settle(&Settled { key, report, next_id, now_ms });
            }
        }
        let blamed = self.blamed(report, &costs, now_ms);
        let is_learnt = |key: &&str| self.budgets.get(*key).is_some_and(Budget::learns);
        let teaches = blamed.iter().any(|key| is_learnt(key) && report.refused_until_ms(key).is_none());
        for key in blamed {
            // Where a limit is learnt, a refusal that names no time is its business alone.
            let until_ms = report.refused_until_ms(key);
            let blocks = |budget: &&mut Budget| budget.learns() || until_ms.is_some() || !teaches;
            if let Some(budget) = self.budgets.get_mut(key).filter(blocks) {
                let ends_ms = budget.ends_ms().filter(|_| report.is_refused_for_the_period());
                budget.refuse(id, next_id, until_ms.or(ends_ms), now_ms);
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
        Self { budgets: budgets.into_iter().collect(), overrides, next_id, sharing: Arc::default() }
    }
}
