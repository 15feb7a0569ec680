//! One budget: the meter of one limit for one set of factors, with its refusals and its calls in flight.

use serde::{Deserialize, Serialize};

use crate::aside::{Aside, counting, turn};
use crate::block::Block;
use crate::charge::{Charge, Health, Report, Told};
use crate::in_flight::{Held, InFlight};
use crate::learn::Outcome;
use crate::limiter::{Down, Usage};
use crate::line::{Asker, LOOK_AGAIN_MS, Line};
use crate::meter::{Heard, Ready, State};
use crate::rate::Rate;
use crate::slots::Went;

/// A budget's state. Times are Unix ms.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Budget {
    limit: String,
    rate: Rate,
    state: State,
    /// Meters of other kinds that the limit had before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    aside: Vec<Aside>,
    block: Block,
    /// Not saved: after a restart nobody reports these calls; what they cost stays charged.
    #[serde(skip)]
    in_flight: InFlight,
    /// Permits from this one on were granted after the last report.
    quiet_from: u64,
    touched_ms: i64,
    /// Those who wait for it. Not saved: after a restart they ask anew.
    #[serde(skip)]
    line: Line,
    /// Its rate is what somebody wanted: what answers say is of another.
    #[serde(default)]
    pub(crate) is_overridden: bool,
}

/// A report, as far as it concerns one budget.
pub(crate) struct Settled<'a> {
    pub(crate) key: &'a str,
    pub(crate) report: &'a Report,
    /// The id of the next permit.
    pub(crate) next_id: u64,
    pub(crate) now_ms: i64,
}

impl Budget {
    pub(crate) fn new(charge: &Charge, is_overridden: bool) -> Self {
        Self {
            limit: charge.limit.clone(),
            rate: charge.rate.clone(),
            state: State::new(&charge.rate),
            aside: Vec::new(),
            block: Block::default(),
            in_flight: InFlight::default(),
            quiet_from: 0,
            touched_ms: 0,
            line: Line::default(),
            is_overridden,
        }
    }

    /// Lets time pass.
    pub(crate) fn advance(&mut self, now_ms: i64) {
        self.in_flight.forget_until(now_ms - self.state.meter().held_ms());
        counting(&mut self.state, &mut self.aside).for_each(|meter| meter.advance(&self.in_flight, now_ms));
    }

    /// Takes on another rate.
    fn turn_to(&mut self, rate: &Rate, now_ms: i64) {
        let old = std::mem::replace(&mut self.rate, rate.clone());
        if self.state.is_of_kind(&State::new(rate)) {
            self.state = self.state.under(rate);
        } else {
            let used = self.state.meter().gauge(&self.in_flight, now_ms).used;
            turn(&mut self.state, &mut self.aside, (old, rate), used, now_ms);
        }
    }

    /// When the charge has room, by the meter and by what was refused.
    pub(crate) fn ready(&mut self, charge: &Charge, by: Option<Asker<'_>>, now_ms: i64) -> Ready {
        if self.rate != charge.rate {
            self.turn_to(&charge.rate, now_ms);
        }
        let cost = self.affordable(charge.cost);
        let by = by.map(|by| by.of(charge));
        let ready = self.state.meter().ready(&self.in_flight, cost + self.kept(by, cost, now_ms), now_ms);
        let ready = ready.and(self.block.ready(now_ms));
        let Some(by) = by else { return ready };
        let ready = self.in_turn(charge, by, ready, now_ms);
        let paced_ms = self.step_us(by).and_then(|_| self.line.paced_ms(now_ms));
        paced_ms.map_or(ready, |paced_ms| ready.and(Ready::at(paced_ms)))
    }

    /// Slots that are kept for others.
    fn kept(&self, by: Option<Asker<'_>>, cost: u64, now_ms: i64) -> u64 {
        let slots = by.zip(self.state.meter().at_a_time());
        slots.map_or(0, |(by, slots)| self.line.kept(by, (slots, cost), now_ms))
    }

    /// How long each unit takes, where who asks has a pace.
    fn step_us(&self, by: Asker<'_>) -> Option<i64> {
        by.step_us(self.state.meter().even_us())
    }

    /// When a charge that has room by `ready` is granted to somebody: when it is their turn.
    fn in_turn(&self, charge: &Charge, by: Asker<'_>, ready: Ready, now_ms: i64) -> Ready {
        let (meter, cost) = (self.state.meter(), self.affordable(charge.cost));
        let ahead = self.line.ahead(by, (meter.size().unwrap_or(0), cost), now_ms);
        if ahead.now == 0 && ahead.place == 0 {
            return ready;
        }
        let now = meter.behind(&self.in_flight, ahead.now, cost, now_ms);
        if now.is_none_or(|at_ms| at_ms <= now_ms && ready.until_ms <= now_ms) {
            return ready;
        }
        let place_ms = meter.behind(&self.in_flight, ahead.place, cost, now_ms).unwrap_or(now_ms);
        let look_ms = ready.until_ms.max(now_ms + LOOK_AGAIN_MS);
        let until_ms = place_ms.max(ready.until_ms).max(now_ms + 1).min(look_ms);
        Ready { until_ms, at_latest_ms: ready.at_latest_ms.max(until_ms) }
    }

    /// Of so many charges alike, of which one has room, how many have room now and together.
    pub(crate) fn fitting(&self, charge: &Charge, calls: u32, by: Option<Asker<'_>>, now_ms: i64) -> u32 {
        let meter = self.state.meter();
        match &self.state {
            State::Breaker(circuit) => return if circuit.is_closed() { calls } else { 1 },
            _ if !meter.leases() || self.block.is_blind() => return 1,
            _ => {}
        }
        let (size, cost, by) = (meter.size(), self.affordable(charge.cost), by.map(|by| by.of(charge)));
        let step_us = by.and_then(|by| self.step_us(by));
        let ahead = by.map(|by| self.line.ahead(by, (size.unwrap_or(0), cost), now_ms));
        let ahead = ahead.filter(|ahead| ahead.now > 0 || ahead.place > 0);
        let kept = self.kept(by, cost, now_ms);
        most(calls, |several| {
            let together = cost * u64::from(several);
            let behind = ahead.and_then(|ahead| meter.behind(&self.in_flight, ahead.now, together, now_ms));
            size.is_none_or(|size| together <= size)
                && step_us.is_none_or(|step_us| self.line.are_due(together, step_us, now_ms))
                && meter.ready(&self.in_flight, together + kept, now_ms).at_latest_ms <= now_ms
                && behind.is_none_or(|at_ms| at_ms <= now_ms)
        })
    }

    /// How long after its grant a call may be sent.
    pub(crate) fn use_within_ms(&self) -> i64 {
        self.state.meter().use_within_ms()
    }

    /// Who asks was told to come back at `until_ms` because of it: at its place in the line, or to look.
    pub(crate) fn join(&mut self, by: Asker<'_>, charge: &Charge, until_ms: i64, now_ms: i64) {
        let (by, cost) = (by.of(charge), self.affordable(charge.cost));
        if let Some(step_us) = self.step_us(by).filter(|_| self.line.paced_ms(now_ms).is_some()) {
            self.line.tell(cost, step_us, now_ms);
            return;
        }
        let meter = self.state.meter();
        if meter.at_a_time().is_some() {
            self.line.see(by, now_ms);
        }
        let ahead = self.line.ahead(by, (meter.size().unwrap_or(0), cost), now_ms);
        if let Some(place_ms) = meter.behind(&self.in_flight, ahead.place, cost, now_ms) {
            self.line.join(by, until_ms, Some(ahead).filter(|_| place_ms <= until_ms), now_ms);
        }
    }

    /// Who asks was told before to wait for it, and has come back. Whether any of its job was known to wait.
    pub(crate) fn leave(&mut self, by: Asker<'_>) -> bool {
        self.line.leave(by)
    }

    /// Who asks was granted its charge, so many times.
    pub(crate) fn serve(&mut self, by: Asker<'_>, (cost, calls): (u32, u32), now_ms: i64) {
        if self.state.meter().at_a_time().is_some() {
            self.line.see(by, now_ms);
        } else if self.state.meter().behind(&self.in_flight, 0, 1, now_ms).is_some() {
            let units = self.affordable(cost) * u64::from(calls);
            self.line.serve(by, units, now_ms);
            if let Some(step_us) = self.step_us(by) {
                self.line.pace(units, step_us, now_ms);
            }
        }
    }

    /// Charges calls with the ids from this one on.
    pub(crate) fn spend(&mut self, id: u64, (cost, calls): (u32, u32), now_ms: i64) {
        if matches!(&self.state, State::Breaker(circuit) if circuit.is_closed()) {
            // Only its report will count: nothing is kept of the call.
            self.touched_ms = if self.touched_ms == 0 { now_ms } else { self.touched_ms };
            return;
        }
        self.block.go(id, now_ms);
        let cost = self.affordable(cost);
        let units = cost * u64::from(calls);
        counting(&mut self.state, &mut self.aside).for_each(|meter| meter.spend(&self.in_flight, units, now_ms));
        self.in_flight.add((id, calls), now_ms, cost);
        self.touched_ms = now_ms;
    }

    fn affordable(&self, cost: u32) -> u64 {
        u64::from(cost).min(self.state.meter().size().unwrap_or(u64::MAX))
    }

    /// Gives back what is not needed, and believes what was told.
    pub(crate) fn settle(&mut self, settled: &Settled<'_>) {
        let Settled { key, report, next_id, now_ms } = *settled;
        self.advance(now_ms);
        let held = self.in_flight.take(report.permit.id, report.permit.calls);
        if let State::Breaker(circuit) = &mut self.state {
            (0..report.permit.calls).for_each(|_| circuit.went(held, report.health, now_ms));
            if matches!(report.health, Some(Health::Ill | Health::Silent)) {
                self.touched_ms = now_ms;
            }
            return;
        }
        self.touched_ms = now_ms;
        self.block.end(report.permit.id, report.permit.calls);
        let held = held.map(|held| self.land(key, report, held, now_ms));
        if let Some(held) = held {
            let meter = self.state.meter_mut();
            if report.sent {
                meter.learn(held, outcome(key, report), now_ms);
            }
            meter.went(&self.in_flight, held, went(report), now_ms);
        }
        if let (true, Some(told)) = (report.sent, &report.answer) {
            self.hear(key, told, held, report.permit.id, now_ms);
        }
        self.quiet_from = next_id;
    }

    /// A call is over: it counts for what it cost, from when it landed, or not at all.
    fn land(&mut self, key: &str, report: &Report, held: Held, now_ms: i64) -> Held {
        let told = cost_told(key, report).filter(|_| !self.is_overridden);
        let landed = Held { cost: told.unwrap_or(held.cost), ..held };
        for meter in counting(&mut self.state, &mut self.aside) {
            if let Some(cost) = told {
                meter.settle(held, cost);
            }
            if report.sent {
                meter.landed(&self.in_flight, landed, report.answer.is_some(), now_ms);
            } else {
                meter.refund(landed, now_ms);
            }
            if report.sent && !tells(key, report) {
                meter.untold(landed, now_ms);
            }
        }
        landed
    }

    fn hear(&mut self, key: &str, told: &Told, held: Option<Held>, id: u64, now_ms: i64) {
        let meter = self.state.meter_mut();
        if let Some(reading) = told.readings.get(key) {
            let alone = id >= self.quiet_from && self.in_flight.is_empty();
            let took_ms = held.map_or(meter.held_ms(), |held| now_ms - held.granted_ms);
            let cost = held.map_or(0, |held| held.cost);
            if !self.is_overridden {
                meter.hear(&self.in_flight, &Heard { reading, cost, took_ms, alone, now_ms });
            }
            if let Some(until_ms) = reading.pause_until_ms {
                self.block.pause_until(until_ms, now_ms);
            }
        }
        if told.refused.is_none() {
            self.block.succeed(id);
        }
    }

    /// When the window that is open ends, or the period of a quota.
    pub(crate) fn ends_ms(&self) -> Option<i64> {
        self.state.meter().ends_ms()
    }

    /// The call of permit `id` was refused because of this limit.
    pub(crate) fn refuse(&mut self, id: u64, next_id: u64, until_ms: Option<i64>, now_ms: i64) {
        if matches!(self.state, State::Breaker(_)) {
            return; // A refusal is an answer.
        }
        if !self.learns() {
            let ends_ms = self.ends_ms();
            self.block.refuse((id, next_id), until_ms, ends_ms, now_ms);
        } else if let Some(until_ms) = until_ms {
            self.block.pause_until(until_ms, now_ms);
        }
        self.touched_ms = now_ms;
    }

    /// What the call of a permit costs.
    pub(crate) fn cost_of(&self, id: u64) -> u64 {
        self.in_flight.cost_of(id)
    }

    /// Whether it may be what a call was refused for: a breaker is not.
    pub(crate) fn refuses(&self) -> bool {
        !matches!(self.state, State::Breaker(_))
    }

    /// Whether it is known how much fits.
    pub(crate) fn is_known(&self) -> bool {
        !self.learns() && self.state.meter().size().is_some()
    }

    /// Whether such a cost would fit now, by what is counted and was told.
    pub(crate) fn has_room(&self, cost: u64, now_ms: i64) -> bool {
        let meter = self.state.meter();
        let cost = meter.size().map_or(cost, |size| cost.min(size));
        meter.ready(&self.in_flight, cost, now_ms).at_latest_ms <= now_ms
    }

    /// Whether its limit is learnt.
    pub(crate) fn learns(&self) -> bool {
        self.state.learns()
    }

    /// Whether the call that was just granted is a probe whose failure costs no attempt.
    pub(crate) fn probes_free(&self, now_ms: i64) -> bool {
        matches!(&self.state, State::Breaker(circuit) if circuit.probes_free(now_ms))
    }

    /// Since when its provider is ill, where it was found to be.
    pub(crate) fn down(&self) -> Option<Down> {
        self.state.meter().down()
    }

    /// How full it is, from 0 for empty. Where nobody knows what fits, whoever has fewer calls in flight has more room.
    pub(crate) fn fullness(&self, now_ms: i64) -> f64 {
        let (meter, flying) = (self.state.meter(), self.in_flight.cost() as f64);
        let Some(size) = meter.size() else { return flying / (flying + 1.0) };
        meter.gauge(&self.in_flight, now_ms).used as f64 / size as f64
    }

    /// What people see.
    pub(crate) fn usage(&self, key: &str, now_ms: i64) -> Usage {
        let mut budget = self.clone();
        budget.advance(now_ms);
        let meter = budget.state.meter();
        let gauge = meter.gauge(&budget.in_flight, now_ms);
        Usage {
            key: key.to_owned(),
            limit: budget.limit,
            used: gauge.used,
            size: meter.size(),
            resets_at_ms: gauge.resets_at_ms,
            learnt: meter.learnt(),
            learnt_slots: meter.learnt_slots(),
            down: meter.down(),
            blocked_until_ms: Some(budget.block.until_ms()).filter(|&until_ms| until_ms > now_ms),
        }
    }

    /// Whether forgetting it changes no decision but by what it was told long ago.
    pub(crate) fn is_idle(&mut self, now_ms: i64) -> bool {
        self.advance(now_ms);
        let states = || std::iter::once(&self.state).chain(self.aside.iter().map(|aside| &aside.state));
        let rests = states().all(|state| state.meter().gauge(&self.in_flight, now_ms).used == 0);
        let kept_ms = states().map(|state| state.meter().kept_ms()).max().unwrap_or(0);
        // How often it was refused counts for those who come back when a pause is over.
        rests && now_ms - self.touched_ms.max(self.block.until_ms()) >= kept_ms
    }

    /// As after a restart.
    pub(crate) fn at_rest(self) -> Self {
        let aside = self.aside.into_iter().map(|aside| Aside { state: aside.state.at_rest(), ..aside }).collect();
        Self { in_flight: InFlight::default(), state: self.state.at_rest(), aside, ..self }
    }
}

/// The most up to a number that fit, where one does, and none beside more that does not.
fn most(number: u32, fits: impl Fn(u32) -> bool) -> u32 {
    if fits(number) {
        return number;
    }
    let (mut fit, mut too_many) = (1, number);
    while too_many - fit > 1 {
        let middle = u32::midpoint(fit, too_many);
        if fits(middle) {
            fit = middle;
        } else {
            too_many = middle;
        }
    }
    fit
}

/// Whether the answer told what remains.
fn tells(key: &str, report: &Report) -> bool {
    let reading = report.answer.as_ref().and_then(|told| told.readings.get(key));
    reading.is_some_and(|reading| reading.remaining.is_some())
}

/// What the answer told that each call cost, of all calls.
fn cost_told(key: &str, report: &Report) -> Option<u64> {
    let reading = report.answer.as_ref().filter(|_| report.sent)?.readings.get(key)?;
    Some(reading.cost?.saturating_mul(u64::from(report.permit.calls)))
}

/// What became of a call, as far as it says how much the provider has to do.
fn went(report: &Report) -> Went {
    let is_refused = report.answer.as_ref().is_some_and(|told| told.refused.is_some());
    match (report.health, report.took_us) {
        (Some(Health::Ill | Health::Silent), _) => Went::Dropped,
        _ if is_refused => Went::Refused,
        (_, Some(us)) if report.sent => Went::Took { us },
        _ => Went::Other,
    }
}

/// What became of a call, as far as one limit is concerned.
fn outcome(key: &str, report: &Report) -> Outcome {
    let Some(told) = &report.answer else { return Outcome::Other };
    match &told.refused {
        None => Outcome::Accepted,
        Some(refused) if refused.keys.iter().any(|refused| refused == key) => {
            Outcome::Refused { until_ms: report.refused_until_ms(key).map(|ms| ms as f64) }
        }
        Some(_) => Outcome::Other,
    }
}
