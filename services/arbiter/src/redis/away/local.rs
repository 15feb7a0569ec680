//! One provider's budgets while Redis can't be asked: the model in memory over shares of what was seen last.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tidegate_limits::{
    Charge, Decision, Does, Health, Limiter, Override, Permit, Question, Rate, Reading, Refused, Report, Sharing, Told,
    targets,
};

use super::portion::{Portion, portion};
use super::seen::Seen;
use crate::redis::function_call::rate_text;
use crate::redis::known::Snapshot;

/// Who is told that nothing may be granted of a limit asks again after this time.
const ASK_AGAIN_MS: i64 = 1_000;
/// Most reports that are kept for Redis; others are lost, as if they had never come.
const REPORTS_MAX: usize = 10_000;

/// One provider's budgets. Times are of the caller's clock.
pub(in crate::redis) struct Local {
    percent: u32,
    snapshot: Snapshot,
    portions: HashMap<String, Option<Ours>>,
    /// Decides, over shares.
    shares: Limiter,
    /// What was used before, and of that restored, by Redis's own count.
    before: Limiter,
    /// Permits of calls that are out, or whose reports are to be told, by id.
    out: BTreeMap<u64, Out>,
    reports: Vec<Report>,
    last_id: u64,
}

/// A budget's share.
struct Ours {
    portion: Portion,
    /// The charge as it was asked for: the limit's id and the whole rate.
    charge: Charge,
    /// When it is no more blocked, Unix ms.
    blocked_until_ms: i64,
    /// When the first call was granted after what was used before had been restored.
    first_ms: Option<i64>,
}

struct Out {
    granted_ms: i64,
    costs: Vec<(String, u64)>,
}

/// What Redis is to be told of one budget.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::redis) struct Spent {
    /// Key, limit and rate, as they were asked for.
    pub(in crate::redis) charge: Charge,
    /// Units used that Redis does not know of.
    pub(in crate::redis) units: u64,
    /// When the first of them was granted, if that began a window.
    pub(in crate::redis) first_ms: Option<i64>,
    /// Calls in flight, what they cost together, and when the first of them was granted.
    pub(in crate::redis) calls: u64,
    pub(in crate::redis) cost: u64,
    pub(in crate::redis) granted_ms: i64,
}

impl Local {
    /// Nothing granted yet. Ids are above those that the store had given out, and unlikely to be another arbiter's.
    pub(super) fn new(snapshot: Snapshot, sharing: &Sharing, percent: u32, first_id: u64) -> Self {
        let mut shares = Limiter::starting_at(first_id).sharing(Arc::new(sharing.clone()));
        for pause in snapshot.overrides.iter().filter(|wanted| wanted.does == Does::Pause) {
            shares.put_override(pause.clone(), i64::MIN);
        }
        let (portions, out, reports, before) = Default::default();
        Self { percent, snapshot, portions, shares, before, out, reports, last_id: first_id }
    }

    /// Decides over a question, by what may be granted of each limit.
    pub(in crate::redis) fn decide(&mut self, now_ms: i64, question: &Question) -> Decision {
        let mut lacks = None;
        let mut choices = Vec::new();
        for charges in question.choices() {
            match charges.iter().map(|charge| self.share(charge, now_ms)).collect::<Result<Vec<_>, _>>() {
                Ok(charges) => choices.push(charges),
                Err(lack) => lacks = lacks.or(Some(lack)),
            }
        }
        let mut choices = choices.into_iter();
        let Some(charges) = choices.next() else {
            let (until_ms, limit) = lacks.unwrap_or((now_ms + ASK_AGAIN_MS, String::new()));
            return Decision::Wait { until_ms, at_latest_ms: until_ms, limit, why: None };
        };
        let ours = Question { charges, alternatives: choices.collect(), ..question.clone() };
        let decision = self.shares.decide(now_ms, &ours);
        if let Decision::Granted(permit) = &decision {
            let chosen = ours.choices().find(|charges| charges.iter().map(|charge| &charge.key).eq(&permit.keys));
            self.note(permit, chosen.unwrap_or_default(), now_ms);
        }
        decision
    }

    /// The charge of our share; or when to ask again, and for which limit.
    fn share(&mut self, charge: &Charge, now_ms: i64) -> Result<Charge, (i64, String)> {
        if !self.portions.contains_key(&charge.key) {
            let ours = self.begin(charge, now_ms);
            self.portions.insert(charge.key.clone(), ours);
        }
        let ours = self.portions.get(&charge.key).and_then(Option::as_ref);
        let until_ms = match ours {
            Some(ours) if ours.blocked_until_ms > now_ms => ours.blocked_until_ms,
            Some(ours) if u64::from(charge.cost) <= ours.portion.size => {
                return Ok(Charge { rate: ours.portion.rate.clone(), ..charge.clone() });
            }
            _ => now_ms + ASK_AGAIN_MS,
        };
        Err((until_ms, charge.limit.clone()))
    }

    /// Our share of a budget, with what is used of it.
    fn begin(&mut self, charge: &Charge, now_ms: i64) -> Option<Ours> {
        let charge = Charge { rate: self.wanted_rate(charge, now_ms), ..charge.clone() };
        let Some((at_ms, state)) = self.snapshot.budgets.get(&charge.key) else {
            // A breaker that nobody has seen is closed.
            let Rate::Breaker(_) = charge.rate else { return None };
            let portion = Portion::whole(&charge.rate);
            return Some(Ours { portion, charge, blocked_until_ms: 0, first_ms: None });
        };
        let (seen, ahead_ms) = (Seen::read(state)?, self.snapshot.ahead_ms);
        let text = rate_text(&charge.rate, *at_ms);
        let portion = portion(&charge.rate, &text, &seen, *at_ms, self.percent)?;
        let used_ms = portion.used.at_ms.saturating_add(ahead_ms).min(now_ms);
        for (limiter, rate, units) in [
            (&mut self.shares, &portion.rate, portion.used.of_share),
            (&mut self.before, &portion.whole, portion.used.of_whole),
        ] {
            let cost = u32::try_from(units).unwrap_or(u32::MAX);
            let used = Charge { rate: rate.clone(), cost, ..charge.clone() };
            if let (1.., Decision::Granted(permit)) = (cost, limiter.ask(used_ms, &[used])) {
                limiter.report(
                    used_ms,
                    &Report { permit, sent: true, answer: Some(Told::default()), health: None, took_us: None },
                );
            }
        }
        let blocked_until_ms = (seen.block.until_ms as i64).saturating_add(ahead_ms);
        Some(Ours { portion, charge, blocked_until_ms, first_ms: None })
    }

    /// The rate that somebody wanted, most exactly meant, else the configured one.
    fn wanted_rate(&self, charge: &Charge, now_ms: i64) -> Rate {
        let on = |target: &str| {
            let stands = |wanted: &&Override| wanted.key == target && wanted.until_ms.is_none_or(|ms| ms > now_ms);
            self.snapshot.overrides.iter().filter(stands).find_map(|wanted| match &wanted.does {
                Does::Rate(rate) => Some(rate.clone()),
                Does::Pause => None,
            })
        };
        targets(&charge.key).into_iter().find_map(on).unwrap_or_else(|| charge.rate.clone())
    }

    fn note(&mut self, permit: &Permit, charges: &[Charge], now_ms: i64) {
        let costs: Vec<(String, u64)> =
            charges.iter().map(|charge| (charge.key.clone(), u64::from(charge.cost))).collect();
        for (key, _) in &costs {
            let Some(ours) = self.portions.get_mut(key).and_then(Option::as_mut) else { continue };
            let is_restored = match ours.portion.whole {
                Rate::Sliding { per, .. } => {
                    let used_ms = ours.portion.used.at_ms.saturating_add(self.snapshot.ahead_ms);
                    ours.portion.used.of_whole == 0
                        || now_ms - used_ms >= i64::try_from(per.as_millis()).unwrap_or(i64::MAX)
                }
                _ => false,
            };
            if is_restored {
                ours.first_ms.get_or_insert(now_ms);
            }
        }
        for id in permit.id..permit.id + u64::from(permit.calls) {
            self.out.insert(id, Out { granted_ms: now_ms, costs: costs.clone() });
            self.last_id = id;
        }
    }

    /// Takes permits back, ours and those of Redis. Refusals count at once; what answers told of the whole is for Redis.
    pub(in crate::redis) fn report(&mut self, now_ms: i64, report: &Report) {
        let of_call = |(key, reading): (&String, &Reading)| {
            let Reading { pause_until_ms, cost, .. } = *reading;
            (key.clone(), Reading { pause_until_ms, cost, ..Reading::default() })
        };
        let heard =
            |told: &Told| Told { readings: told.readings.iter().map(of_call).collect(), refused: told.refused.clone() };
        self.shares.report(now_ms, &Report { answer: report.answer.as_ref().map(heard), ..report.clone() });
        if let Some(Refused { keys, until_ms: Some(until_ms), .. }) =
            report.answer.as_ref().and_then(|told| told.refused.as_ref())
        {
            // Also of budgets that were not asked about since.
            for key in keys {
                if let Some(ours) = self.portions.get_mut(key).and_then(Option::as_mut) {
                    ours.blocked_until_ms = ours.blocked_until_ms.max(*until_ms);
                }
            }
        }
        let ids = report.permit.id..report.permit.id + u64::from(report.permit.calls);
        let is_ours = ids.clone().any(|id| self.out.contains_key(&id));
        let tells = report.answer.as_ref().is_some_and(|told| !told.readings.is_empty() || told.refused.is_some());
        let is_ill = matches!(report.health, Some(Health::Ill | Health::Silent));
        if (!is_ours || tells || is_ill) && self.reports.len() < REPORTS_MAX {
            self.reports.push(report.clone());
        } else {
            ids.for_each(|id| _ = self.out.remove(&id));
        }
    }

    /// What Redis is to be told: what was spent, and below which id permits are ours.
    pub(in crate::redis) fn spent(&self, now_ms: i64) -> (Vec<Spent>, u64) {
        let used = |limiter: &Limiter| -> HashMap<String, u64> {
            limiter.usage(now_ms).into_iter().map(|usage| (usage.key, usage.used)).collect()
        };
        let (ours, before) = (used(&self.shares), used(&self.before));
        let mut spent: BTreeMap<&str, Spent> = BTreeMap::new();
        for (key, share) in self.portions.iter().filter_map(|(key, share)| Some((key, share.as_ref()?))) {
            let counts = matches!(share.portion.whole, Rate::Sliding { .. } | Rate::Bucket { .. });
            let known = share.portion.used_of(before.get(key).copied().unwrap_or(0), self.percent);
            let units = ours.get(key).copied().filter(|_| counts).unwrap_or(0).saturating_sub(known);
            let (charge, first_ms) = (share.charge.clone(), share.first_ms);
            spent.insert(key, Spent { charge, units, first_ms, calls: 0, cost: 0, granted_ms: now_ms });
        }
        for out in self.out.values() {
            for (key, cost) in &out.costs {
                let Some(spent) = spent.get_mut(key.as_str()) else { continue };
                (spent.calls, spent.cost) = (spent.calls + 1, spent.cost + cost);
                spent.granted_ms = spent.granted_ms.min(out.granted_ms);
            }
        }
        (spent.into_values().filter(|spent| spent.units > 0 || spent.calls > 0).collect(), self.last_id)
    }

    /// Reports that Redis is to be told.
    pub(in crate::redis) fn reports(&self) -> &[Report] {
        &self.reports
    }

    /// By the server's clock, when Redis was heard of last, Unix ms.
    pub(in crate::redis) fn heard_ms(&self) -> i64 {
        self.snapshot.heard_ms
    }
}
