//! The pace of a limit that nobody tells, learnt from which calls are accepted and which are refused.
//!
//! ```text
//! ramp ──refused──▶ hold ──credit earned──▶ probe (one step) ──clean──▶ climb ──refused──▶ hold, and a target to prove
//!                    ▲                        └──────refused──────▶ hold                         │
//!                    └───────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! * **What was let through between two times at which the provider was full is what it allows**, for buckets and
//!   windows alike, if the span is as long as its memory. So a pace is the accepted calls over that memory, less a margin.
//! * **The memory is learnt too**: from how long a wall of refusals lasts, else it doubles when a pace that was measured
//!   with it does not hold, and shrinks when it does.
//! * **Refusals are bought on credit**: each accepted call earns a small share of one, and nothing is tried in debt.
//! * One burst of refusals counts once: what was sent before calls were accepted again says nothing.
//! * A bucket, which is full for moments only, may be followed from refusal to refusal instead ([`follow`]).
//! * A wall of refusals that lasts long, where a pace held, is the end of a quota beside it ([`quota`]).
//! * Up and down go by power laws, of time and of the count of bursts in a row.
//!
//! No clock and no chance: times (Unix ms) are arguments.

use serde::{Deserialize, Serialize};

mod follow;
mod options;
mod quota;
mod tally;
mod trouble;

pub use options::Learn;

use follow::{Burst, Follow};
use quota::Quota;
use tally::Tally;
use trouble::{Sign, Trouble};

/// Callers who come late by no more than this lose nothing of the pace.
const LATE_MS: f64 = 20.0;
/// The ramp begins to rise in earnest after this time, from one call a second on; from fifty on it is 3.8 s.
const RAMP_MS: f64 = 10_000.0;
/// A pace is kept this much below what was measured.
const MARGIN: f64 = 0.015;
/// A probe is quicker than the pace by this much.
const STEP: f64 = 0.03;
/// The least time in which a climb doubles the pace, and the least calls.
const CLIMB: (f64, f64) = (5_000.0, 400.0);
/// The least calls over which a pace is measured.
const MEASURED_CALLS: f64 = 30.0;
/// The least calls in a probe.
const PROBE_CALLS: f64 = 60.0;
/// The least calls between probes.
const REST_CALLS: f64 = 50.0;
/// The shortest and the longest memory that a provider is believed to have.
const MEMORY_MS: (f64, f64) = (5_000.0, 7_200_000.0);
/// After the n-th burst of refusals in a row a proven pace is eased by n times this share, for n squared times so many calls, or n
/// times so many answers if those take longer.
const EASE: (f64, f64, f64) = (0.1, 30.0, 4.0);
/// What debts are forgiven beyond: what is earned in this time or in three memories, what goes out during so many answers, and never
/// below so many refusals.
const DEBT: (f64, f64, f64) = (20_000.0, 2.0, 4.0);
/// So many lone refusals, less what calls have earned since, mean that the pace is too high.
const LONE_MAX: f64 = 2.5;
/// So many of them in a ramp mean that the provider is a bucket: refused is only what is above its pace.
const LONE_IN_RAMP: f64 = 1.5;
/// From such a pace to begin with on, a bucket is followed. After a ramp from far below, sliding windows look like buckets: 166 of 200
/// limiters were learnt well then, not 171, when that was chosen.
const FOLLOWED_PER_S: f64 = 4.0;
/// The first canary goes out after this time, or after half of what a call takes at the pace. A small bucket that is followed would
/// be full again by then, so there after so many calls.
const CANARY_MS: f64 = 100.0;
const CANARY_CALLS: f64 = 6.0;
/// Refusals that last for no longer than so many calls, or until the first canary, are a bucket's.
const SHORT_CALLS: f64 = 4.0;
/// After so many accepted calls the row of bursts is over.
const ROW_CALLS: f64 = 200.0;
/// The longest row that is counted.
const ROW_MAX: f64 = 9.0;

/// What came of a call, as far as one limit is concerned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// The limit let it through, whatever the answer was.
    Accepted,
    /// It was refused because of the limit.
    Refused {
        /// Unix ms to come back at, if told.
        until_ms: Option<f64>,
    },
    /// No answer, or one that says nothing of this limit.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// Quicker and quicker, until the first refusal.
    Ramp,
    /// At the pace.
    Hold,
    /// One step quicker than the pace, or at the target.
    Probe,
    /// Quicker and quicker, since a step was proven.
    Climb,
    /// Close to the pace, from refusal to refusal.
    Follow,
}

/// The provider was full, and may be for a while: a sliding window still holds what was too much.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Full {
    since_ms: f64,
    /// Bursts of refusals since.
    bursts: f64,
    /// The pace is eased to this share of it, rising to 1.
    ease: f64,
    eased_ms: f64,
}

/// What is known of one limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Learner {
    learn: Learn,
    mode: Mode,
    since_ms: f64,
    pace_per_s: f64,
    /// What a climb came to, yet to be proven; 0 for none.
    target_per_s: f64,
    probe_per_s: f64,
    /// Whether a pace ever held for as long as the provider remembers.
    is_settled: bool,
    memory_ms: f64,
    /// As far as walls of refusals have shown it; 0 if they have not.
    window_ms: f64,
    tally: Tally,
    trouble: Option<Trouble>,
    /// Arbiters before it was known have none.
    #[serde(default)]
    follow: Follow,
    /// A quota beside the pace. Arbiters before it was known have none.
    #[serde(default)]
    quota: Quota,
    full: Full,
    /// What was sent before says nothing of what is.
    resumed_ms: f64,
    /// When the next call is due.
    due_ms: f64,
    /// How long an answer takes.
    answer_ms: f64,
    /// Refusals that may be caused.
    credit: f64,
    lone: f64,
    /// Bursts of refusals in a row at a settled pace, and accepted calls since the last.
    row: f64,
    clean: f64,
    /// When the provider was last full; 0 for never.
    refused_at_ms: f64,
}

impl Learner {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(learn: &Learn) -> Self {
        Self {
            learn: *learn,
            mode: Mode::Ramp,
            since_ms: 0.0,
            pace_per_s: learn.start_per_s,
            target_per_s: 0.0,
            probe_per_s: 0.0,
            is_settled: false,
            memory_ms: MEMORY_MS.0,
            window_ms: 0.0,
            tally: Tally::default(),
            trouble: None,
            follow: Follow::default(),
            quota: Quota::default(),
            full: Full { since_ms: 0.0, bursts: 0.0, ease: 1.0, eased_ms: 0.0 },
            resumed_ms: 0.0,
            due_ms: 0.0,
            answer_ms: 0.0,
            credit: 0.0,
            lone: 0.0,
            row: 0.0,
            clean: 0.0,
            refused_at_ms: 0.0,
        }
    }

    /// The same knowledge under the options of `new`.
    #[must_use]
    pub(crate) fn under(self, new: &Self) -> Self {
        Self { learn: new.learn, ..self }
    }

    /// As after a restart: at 0.9 of what was learnt, which is to be proven again.
    #[must_use]
    pub fn at_rest(mut self) -> Self {
        (self.trouble, self.since_ms, self.due_ms) = (None, 0.0, 0.0);
        if self.mode != Mode::Ramp {
            if self.mode != Mode::Follow {
                self.mode = Mode::Hold;
            }
            if self.target_per_s < 1.05 * self.pace_per_s {
                (self.target_per_s, self.pace_per_s) = (self.pace_per_s, 0.9 * self.pace_per_s);
            }
        }
        self
    }

    /// The pace that is held, and whether it was proven.
    #[must_use]
    pub fn pace_per_s(&self) -> (f64, bool) {
        (self.pace_per_s, self.is_settled)
    }

    /// When the limit was last met, Unix ms: the age of what is known.
    #[must_use]
    pub fn refused_at_ms(&self) -> Option<f64> {
        Some(self.refused_at_ms).filter(|&ms| ms > 0.0)
    }

    /// Calls each second that go out now.
    #[must_use]
    pub fn speed_per_s(&self, now_ms: f64) -> f64 {
        let took_ms = if self.since_ms > 0.0 { now_ms - self.since_ms } else { 0.0 };
        let per_s = match self.mode {
            Mode::Ramp => {
                let ramp_ms = RAMP_MS / self.learn.start_per_s.max(1.0).sqrt().sqrt();
                let risen = 1.0 + took_ms / ramp_ms;
                self.learn.start_per_s * risen * risen
            }
            Mode::Hold => self.pace_per_s * self.ease(now_ms),
            Mode::Probe => self.probe_per_s,
            Mode::Follow if self.trouble.is_some() => self.pace_per_s * self.follow.slower(),
            Mode::Follow => self.pace_per_s * self.follow.quicker(now_ms),
            Mode::Climb => {
                let risen = took_ms / self.span_ms().max(CLIMB.0).max(self.time_for(CLIMB.1));
                self.pace_per_s * (1.0 + risen * risen)
            }
        };
        per_s.clamp(self.learn.floor_per_s, self.learn.cap_per_s)
    }

    fn time_for(&self, calls: f64) -> f64 {
        calls * 1_000.0 / self.pace_per_s
    }

    /// The provider's memory, and long enough to measure.
    fn span_ms(&self) -> f64 {
        self.memory_ms.max(self.time_for(MEASURED_CALLS))
    }

    /// What was last too much is forgotten by then.
    fn full_until_ms(&self) -> f64 {
        self.full.since_ms + 1.2 * self.span_ms()
    }

    fn ease(&self, now_ms: f64) -> f64 {
        let Full { ease, eased_ms, .. } = self.full;
        let mut all_ms = self.full_until_ms() - eased_ms;
        if self.is_settled {
            let bursts = self.full.bursts;
            all_ms = all_ms.min(self.time_for(EASE.1 * bursts * bursts).max(EASE.2 * bursts * self.answer_ms));
        }
        let left_ms = eased_ms + all_ms - now_ms;
        if ease < 1.0 && left_ms > 0.0 { 1.0 - (1.0 - ease) * (left_ms / all_ms).min(1.0) } else { 1.0 }
    }

    /// When the next call may go: now, or the time to come back at.
    #[must_use]
    pub fn ready_ms(&self, now_ms: f64) -> f64 {
        match &self.trouble {
            Some(trouble) if trouble.is_stopped() => trouble.canary_ms(self.answer_ms, now_ms),
            _ => self.quota_ms(now_ms).max(self.due_ms - LATE_MS),
        }
    }

    /// When the quota lets the next call go: now, or when it ends.
    fn quota_ms(&self, now_ms: f64) -> f64 {
        let may_try = self.credit >= 0.0 || self.quota.is_worth(self.learn.refused_share);
        self.quota.ready_ms(may_try, now_ms)
    }

    /// When the next call may go, even if a canary that is out is never reported.
    #[must_use]
    pub fn lost_ms(&self, now_ms: f64) -> f64 {
        match &self.trouble {
            Some(trouble) if trouble.is_stopped() => trouble.lost_at_ms(now_ms),
            _ => self.ready_ms(now_ms),
        }
    }

    /// A call goes.
    pub fn go(&mut self, cost: f64, now_ms: f64) {
        if let Some(trouble) = self.trouble.as_mut().filter(|trouble| trouble.is_stopped()) {
            return trouble.send_canary(now_ms);
        }
        self.quota.go(cost, now_ms);
        if self.since_ms == 0.0 {
            (self.since_ms, self.due_ms) = (now_ms, now_ms + LATE_MS);
            self.tally.begin(now_ms);
            self.follow.begin(now_ms);
        }
        self.advance(now_ms);
        let every_ms = cost * 1_000.0 / self.speed_per_s(now_ms);
        let idle_ms = now_ms - self.due_ms;
        if idle_ms > 0.0 {
            self.follow.idle(idle_ms);
        }
        if idle_ms > 4.0 * every_ms + 250.0 {
            // Nobody asked: nothing was tried meanwhile.
            match self.mode {
                Mode::Ramp | Mode::Climb => self.since_ms += idle_ms,
                Mode::Probe => self.enter(Mode::Hold, now_ms),
                Mode::Hold | Mode::Follow => {}
            }
        }
        self.due_ms = self.due_ms.max(now_ms) + every_ms;
    }

    /// Whether a call may go now, which then goes; else the time to come back at.
    ///
    /// # Errors
    /// Unix ms to come back at.
    pub fn permit(&mut self, now_ms: f64) -> Result<(), f64> {
        let ready_ms = self.ready_ms(now_ms);
        if ready_ms > now_ms {
            return Err(ready_ms);
        }
        self.go(1.0, now_ms);
        Ok(())
    }

    fn enter(&mut self, mode: Mode, now_ms: f64) {
        (self.mode, self.since_ms) = (mode, now_ms);
    }

    /// Lets time pass: what has held is proven, and what is proven is followed by the next step.
    fn advance(&mut self, now_ms: f64) {
        if self.trouble.is_some() {
            return;
        }
        let (took_ms, span_ms) = (now_ms - self.since_ms, self.span_ms());
        match self.mode {
            Mode::Hold if self.is_settled => {
                let rest_ms = (span_ms / 4.0).max(self.time_for(REST_CALLS));
                // A target was measured: to try it is no more daring than to hold it.
                let is_earned = self.credit >= 0.0 || self.target_per_s > 0.0;
                if is_earned && took_ms >= rest_ms && now_ms >= self.full.since_ms + span_ms {
                    let step_per_s = self.pace_per_s * (1.0 + STEP);
                    self.probe_per_s = if self.target_per_s > 0.0 { self.target_per_s } else { step_per_s };
                    self.enter(Mode::Probe, now_ms);
                }
            }
            Mode::Hold if now_ms >= self.full_until_ms() && took_ms >= 1.2 * span_ms => {
                (self.is_settled, self.credit) = (true, self.credit.max(0.0));
                self.shorten();
            }
            Mode::Probe if took_ms >= span_ms.max(self.time_for(PROBE_CALLS)) + 2.0 * self.answer_ms => {
                self.pace_per_s = self.probe_per_s;
                if self.target_per_s > 0.0 {
                    self.target_per_s = 0.0;
                    self.shorten();
                    self.enter(Mode::Hold, now_ms);
                } else {
                    self.enter(Mode::Climb, now_ms);
                }
            }
            _ => {}
        }
    }

    /// What was measured has held: a shorter memory may do.
    fn shorten(&mut self) {
        self.memory_ms = (self.memory_ms * 0.7).max(self.window_ms).max(MEMORY_MS.0);
    }

    /// What was measured has not held: the provider remembers more.
    fn lengthen(&mut self, now_ms: f64) {
        let most_ms = self.tally.known_ms(now_ms).min(MEMORY_MS.1);
        self.memory_ms = (2.0 * self.span_ms()).min(most_ms).max(self.memory_ms);
    }

    /// What came of a call that went out at `sent_ms`.
    pub fn report(&mut self, outcome: Outcome, cost: f64, sent_ms: f64, now_ms: f64) {
        match outcome {
            Outcome::Other => {
                self.trouble.iter_mut().for_each(|trouble| trouble.lost(sent_ms, now_ms));
                return;
            }
            Outcome::Accepted => self.accepted(cost, sent_ms, now_ms),
            Outcome::Refused { until_ms } => self.refused(until_ms.unwrap_or(0.0), cost, sent_ms, now_ms),
        }
        let took_ms = (now_ms - sent_ms).max(0.0);
        self.answer_ms += (took_ms - self.answer_ms) / if self.answer_ms == 0.0 { 1.0 } else { 10.0 };
    }

    fn accepted(&mut self, cost: f64, sent_ms: f64, now_ms: f64) {
        self.tally.add(cost, now_ms, self.span_ms());
        self.follow.accept(cost, self.learn.refused_share);
        self.quota.accepted(sent_ms);
        self.credit = (self.credit + self.learn.refused_share).min(1.0);
        self.lone = (self.lone - self.learn.refused_share).max(0.0);
        self.clean += 1.0;
        if self.clean > ROW_CALLS.max(self.pace_per_s * self.span_ms() / 1_000.0) {
            self.row = 0.0;
        }
        let Some(trouble) = self.trouble.as_mut().filter(|_| sent_ms >= self.resumed_ms) else { return };
        match trouble.accepted(sent_ms) {
            Sign::None => {}
            Sign::Over => self.recover(now_ms),
            Sign::Lone => {
                let trouble = *trouble;
                self.trouble = None;
                self.refused_alone(&trouble, now_ms);
            }
        }
    }

    /// The most that is owed.
    fn debt(&self) -> f64 {
        let earned_ms = self.learn.refused_share * (3.0 * self.span_ms()).max(DEBT.0);
        (self.pace_per_s * earned_ms.max(DEBT.1 * self.answer_ms) / 1_000.0).max(DEBT.2)
    }

    fn refused(&mut self, until_ms: f64, cost: f64, sent_ms: f64, now_ms: f64) {
        self.credit = (self.credit - 1.0).max(-self.debt());
        self.refused_at_ms = now_ms;
        let is_canary = self.trouble.as_ref().is_some_and(|trouble| trouble.is_canary(sent_ms));
        if !is_canary && self.quota.refused(cost, sent_ms) {
            return;
        }
        if sent_ms >= self.resumed_ms {
            match &self.trouble {
                None => self.follow.meet(now_ms),
                Some(_) => self.follow.meet_again(now_ms),
            }
            let (first_wait_ms, per_s) = (self.first_wait_ms(), self.tally.per_s(now_ms, self.span_ms()));
            let trouble = self.trouble.get_or_insert(Trouble::new(sent_ms, now_ms, first_wait_ms, per_s));
            trouble.refused(until_ms, sent_ms, now_ms);
            if trouble.is_stopped() && !is_canary && self.quota.is_used_up(now_ms) {
                self.trouble = None;
            }
        }
    }

    /// The first canary goes out so long after everything was stopped.
    fn first_wait_ms(&self) -> f64 {
        let most_ms = if self.mode == Mode::Follow { CANARY_MS.min(self.time_for(CANARY_CALLS)) } else { CANARY_MS };
        most_ms.max(self.time_for(0.5))
    }

    /// One call was refused, and those after it were not: a bucket that is nearly empty, or chance.
    fn refused_alone(&mut self, trouble: &Trouble, now_ms: f64) {
        match self.mode {
            Mode::Ramp => {
                self.lone += 1.0;
                let reached_per_s = self.speed_per_s(now_ms);
                if self.lone > LONE_IN_RAMP && self.may_follow() {
                    self.start_following(reached_per_s, now_ms);
                }
            }
            Mode::Follow => self.follow_on(1.0, now_ms),
            Mode::Probe => self.end_probe(trouble, now_ms),
            Mode::Climb => self.end_climb(trouble, self.speed_per_s(now_ms), now_ms),
            Mode::Hold => {
                self.lone += 1.0;
                if self.lone > LONE_MAX {
                    self.lone = 0.5;
                    self.hold_less(now_ms);
                }
            }
        }
    }

    /// Calls are accepted again, after everything had been stopped.
    fn recover(&mut self, now_ms: f64) {
        let Some(trouble) = self.trouble.take() else { return };
        if self.is_settled && self.quota.ends(now_ms - trouble.since_ms, self.span_ms()) {
            return self.end_quota(&trouble, now_ms);
        }
        let reached_per_s = self.speed_per_s(trouble.since_ms);
        let is_short = trouble.is_short(now_ms, self.time_for(SHORT_CALLS));
        match self.mode {
            Mode::Ramp if is_short && self.may_follow() => {
                self.start_following(reached_per_s, trouble.since_ms);
                return self.resume(now_ms);
            }
            Mode::Follow if is_short => {
                self.follow_on(trouble.refusals(), now_ms);
                return self.resume(now_ms);
            }
            // Not a bucket, then: as after a ramp.
            Mode::Follow => (self.mode, self.is_settled) = (Mode::Ramp, false),
            _ => {}
        }
        if self.mode == Mode::Ramp {
            (self.pace_per_s, self.credit, self.lone) = (reached_per_s, 0.0, 0.0);
        }
        let wall_per_s = self.wall(&trouble, now_ms);
        match (self.mode, wall_per_s) {
            (Mode::Ramp, _) => {
                let measured_per_s = wall_per_s.unwrap_or_else(|| self.measured_per_s(now_ms));
                self.hold(measured_per_s.min(reached_per_s), now_ms);
            }
            (Mode::Hold, Some(wall_per_s)) => self.hold(wall_per_s.min(self.pace_per_s), now_ms),
            (Mode::Hold, None) => self.hold_less(now_ms),
            (Mode::Follow, _) => {}
            (Mode::Probe, _) => self.end_probe(&trouble, now_ms),
            (Mode::Climb, _) => self.end_climb(&trouble, reached_per_s, now_ms),
        }
        self.enter(Mode::Hold, now_ms);
        self.resume(now_ms);
        // The call that found room filled it.
        self.due_ms += self.time_for(1.0);
    }

    /// A quota was used up, and begins anew. It says nothing of the pace: as if nobody had asked meanwhile.
    fn end_quota(&mut self, trouble: &Trouble, now_ms: f64) {
        let wall_ms = now_ms - trouble.since_ms;
        self.quota.learn(now_ms);
        self.follow.idle(wall_ms);
        match self.mode {
            Mode::Climb => self.since_ms += wall_ms,
            Mode::Probe => self.enter(Mode::Hold, now_ms),
            Mode::Ramp | Mode::Hold | Mode::Follow => {}
        }
        self.resume(now_ms);
    }

    fn resume(&mut self, now_ms: f64) {
        (self.resumed_ms, self.due_ms) = (now_ms, now_ms + LATE_MS);
    }

    /// Whether so much is known, and so near, that a provider which is full for a moment is taken for a bucket.
    fn may_follow(&self) -> bool {
        self.clean >= MEASURED_CALLS && self.learn.start_per_s >= FOLLOWED_PER_S
    }

    fn start_following(&mut self, reached_per_s: f64, full_ms: f64) {
        let pace_per_s = self.follow.start(reached_per_s, full_ms);
        (self.is_settled, self.lone) = (true, 0.0);
        self.slow_to(pace_per_s);
        self.enter(Mode::Follow, full_ms);
    }

    /// The provider was full for a moment, as was to be expected sooner or later.
    fn follow_on(&mut self, refused: f64, now_ms: f64) {
        let before_per_s = self.pace_per_s;
        let burst = Burst { refused, answer_ms: self.answer_ms, now_ms };
        let next_per_s = self.follow.next(before_per_s, burst, &self.learn);
        self.target_per_s = 0.0;
        self.slow_to(next_per_s);
        if self.follow.is_lost() {
            (self.is_settled, self.credit) = (false, 0.0);
            let measured_per_s = self.measured_per_s(now_ms);
            self.hold(measured_per_s.min(before_per_s), now_ms);
            self.enter(Mode::Hold, now_ms);
        }
    }

    /// A wall of refusals tells how long the provider remembers; one that took a good part of the time since calls were
    /// last accepted again was the end of a window, and what the window held is the pace.
    fn wall(&mut self, trouble: &Trouble, now_ms: f64) -> Option<f64> {
        let wall_ms = now_ms - trouble.since_ms;
        if wall_ms <= self.memory_ms / 2.0 {
            return None;
        }
        let cycle_ms = now_ms - if self.resumed_ms > 0.0 { self.resumed_ms } else { self.since_ms };
        if wall_ms < 0.3 * cycle_ms {
            self.memory_ms = (2.0 * wall_ms).min(MEMORY_MS.1);
            return None;
        }
        let window_ms = cycle_ms - trouble.late_ms();
        self.memory_ms = self.memory_ms.max(window_ms).min(MEMORY_MS.1);
        // The first one perhaps began in the middle, or more than one has gone by.
        self.window_ms = if self.mode == Mode::Ramp { wall_ms } else { self.memory_ms };
        Some(self.tally.per_s(now_ms, cycle_ms) * cycle_ms / window_ms * (1.0 - MARGIN))
    }

    /// What the provider allows, if it has just been full.
    fn measured_per_s(&self, now_ms: f64) -> f64 {
        self.tally.per_s(now_ms, self.span_ms()) * (1.0 - MARGIN)
    }

    fn slow_to(&mut self, per_s: f64) {
        self.pace_per_s = per_s.clamp(self.learn.floor_per_s, self.learn.cap_per_s);
    }

    fn hold(&mut self, per_s: f64, now_ms: f64) {
        let before_per_s = self.pace_per_s;
        self.slow_to(per_s);
        if self.pace_per_s < before_per_s / 2.0 {
            self.credit = self.credit.max(-self.debt());
        }
        self.was_full(now_ms);
    }

    fn was_full(&mut self, now_ms: f64) {
        self.full = Full { since_ms: now_ms, bursts: 0.0, ease: 1.0, eased_ms: now_ms };
    }

    fn end_probe(&mut self, trouble: &Trouble, now_ms: f64) {
        if self.target_per_s > 0.0 {
            self.target_per_s = 0.0;
            self.lengthen(now_ms);
        }
        self.enter(Mode::Hold, now_ms);
        if self.full_per_s(trouble, now_ms) < 0.93 * self.pace_per_s {
            self.hold_less(now_ms);
        } else {
            self.was_full(now_ms);
        }
    }

    /// What the provider lets through: what it had accepted when it was first full. A window that ends was full for a while besides, in
    /// which nothing came but refusals; they are counted here, for there are windows in which they count.
    fn full_per_s(&self, trouble: &Trouble, now_ms: f64) -> f64 {
        let span_ms = self.span_ms();
        let tried_per_s = self.tally.per_s(now_ms, span_ms) + trouble.refusals() * 1_000.0 / span_ms;
        trouble.per_s.min(tried_per_s) * (1.0 - MARGIN)
    }

    fn end_climb(&mut self, trouble: &Trouble, reached_per_s: f64, now_ms: f64) {
        let target_per_s = self.full_per_s(trouble, now_ms).min(reached_per_s).min(self.learn.cap_per_s);
        self.target_per_s = if target_per_s > 1.005 * self.pace_per_s { target_per_s } else { 0.0 };
        self.was_full(now_ms);
        self.enter(Mode::Hold, now_ms);
    }

    /// The pace that is held was refused.
    fn hold_less(&mut self, now_ms: f64) {
        let (span_ms, full_ms) = (self.span_ms(), now_ms - self.full.since_ms);
        self.target_per_s = 0.0;
        if full_ms < span_ms * if self.window_ms > 0.0 { 0.6 } else { 1.2 } {
            return self.ease_off(now_ms);
        }
        let over_ms = if full_ms < 4.0 * span_ms { full_ms } else { span_ms };
        let measured_per_s = self.tally.per_s(now_ms, over_ms) * (1.0 - MARGIN);
        (self.row, self.clean) = ((self.row + 1.0).min(ROW_MAX), 0.0);
        let row = self.row * self.row;
        let least = if self.is_settled { (1.0 - 0.08 * row).max(0.0) } else { 0.0 };
        let most = 1.0 - 0.01 * row;
        self.hold(measured_per_s.clamp(least * self.pace_per_s, most * self.pace_per_s), now_ms);
    }

    /// So soon after the provider was full, this may pass: go slower for a while. But if it comes again and again, the
    /// provider remembers more than was thought, and the pace was measured over too little.
    fn ease_off(&mut self, now_ms: f64) {
        self.full.bursts += 1.0;
        let bursts = self.full.bursts;
        let is_known = self.window_ms > 0.0;
        if !self.is_settled && !is_known && 1.5 * self.memory_ms < self.tally.known_ms(now_ms) {
            self.lengthen(now_ms);
            return self.slow_to(self.measured_per_s(now_ms).min(self.pace_per_s));
        }
        if self.is_settled && bursts == 3.0 {
            // A window that is known was perhaps taken for a little shorter than it is.
            let least = if is_known { 1.0 - MARGIN } else { 0.93 };
            if !is_known {
                self.lengthen(now_ms);
            }
            self.slow_to(self.measured_per_s(now_ms).clamp(least * self.pace_per_s, self.pace_per_s));
        }
        self.full.ease = (self.ease(now_ms) * (1.0 - EASE.0 * bursts)).max(0.05);
        self.full.eased_ms = now_ms;
    }
}

#[cfg(test)]
mod tests;
