//! Who goes first where a limit is not enough for all: turns by lane, tenant, job and credential.
//!
//! Start-time fair queueing (Goyal, Vin, Cheng 1996), clocked by what is granted: each job has a tag, or each credential of it, which
//! grows by what it was granted over its weight. Who asks is granted if there is room for it and for all that waits with smaller tags; else it
//! is told its place in the line as a time, behind its own job's, and comes back then, at most [`LOOK_AGAIN_MS`] after there is any room, since
//! those ahead may have gone.
//!
//! A lane's weight is shared by its tenants, a tenant's by its jobs, a job's by its credentials ([`Sharing`]). While nobody waits, nothing is kept and nobody is held
//! back but by the headroom of higher lanes that were seen lately. A lane of which nobody waits goes before those below it.
//!
//! The lowest lane has a pace besides: it is granted no more than a share of what the limit restores evenly. Who waits for that stands in no
//! line: those who ask are told to come one after the other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::charge::Charge;
use crate::sharing::{Headroom, LANES, Sharing};

/// A lane that was granted nothing for so long, and does not wait, has no headroom.
const SEEN_MS: i64 = 60_000;
/// Who waits comes back this long after there is any room at the latest.
pub(crate) const LOOK_AGAIN_MS: i64 = 2_000;
/// Who does not come back so long after its time has gone.
const PATIENCE_MS: i64 = 5_000;
/// The lowest lane may catch up on so much time, so that its calls may come a little late.
const CATCH_UP_MS: i64 = 100;
/// Most jobs with tags of their own; the others of a tenant share one.
const JOBS_MAX: usize = 192;
/// Most tags at all; whoever has none then shares that of its lane.
const TAGS_MAX: usize = 256;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// The rank of its lane, from 0 for the most urgent to 3.
    pub lane: u8,
    /// Whose job it is.
    pub tenant: String,
    /// The job.
    pub job: String,
    /// The credential that the call is made with, where it can be only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// Id of the limit that the call was told to wait for, if it has waited; a call that asks for the first time has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_for: Option<String>,
}

/// Who asks, and how all who ask share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    rank: usize,
    by: &'a By,
    weight: u32,
    sharing: &'a Sharing,
    headroom_percent: [u32; LANES],
}

impl<'a> Asker<'a> {
    pub(crate) fn new(by: &'a By, sharing: &'a Sharing) -> Self {
        let (rank, weight) = (usize::from(by.lane).min(LANES - 1), sharing.tenant(&by.tenant));
        Self { rank, by, weight, sharing, headroom_percent: sharing.headroom_percent() }
    }

    /// The same, where a limit keeps what it says for higher lanes.
    pub(crate) fn of(self, charge: &Charge) -> Self {
        let own = charge.headroom.map(Headroom::lanes);
        Self { headroom_percent: own.unwrap_or(self.headroom_percent), ..self }
    }

    /// How long each unit takes of a limit that has it evenly in `even_us`, where who asks has a pace, in µs.
    pub(crate) fn step_us(&self, even_us: Option<i64>) -> Option<i64> {
        let percent = i64::from(self.sharing.trickle_percent());
        let has_pace = self.rank == LANES - 1 && percent > 0;
        Some((even_us.filter(|_| has_pace)? * 100 / percent).max(1))
    }

    /// Id of the limit that its call was told to wait for.
    pub(crate) fn waited_for(&self) -> Option<&'a String> {
        self.by.waited_for.as_ref()
    }
}

/// Those who wait for one budget, and whose turn it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Line {
    /// The tag of what was granted last.
    served: f64,
    jobs: BTreeMap<String, Turn>,
    /// Unix ms at which each lane was seen last.
    seen_ms: [i64; LANES],
    /// When the lowest lane's next unit is due, and until when its units were told to come, Unix µs.
    #[serde(default)]
    paced_us: i64,
    #[serde(default)]
    told_us: i64,
}

/// One job's turn.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Turn {
    lane: usize,
    tenant: String,
    #[serde(default)]
    job: String,
    weight: u32,
    tag: f64,
    /// Questions that were told to come back.
    waiting: u64,
    /// The latest time that one was told, Unix ms.
    until_ms: i64,
    /// Up to this tag places in the line were told, the last of them for this time.
    told: f64,
    told_ms: i64,
    /// When one of its questions was told to come that goes before its others: whenever it is its turn, somebody comes.
    head_ms: i64,
}

impl Turn {
    fn waits(&self, now_ms: i64) -> bool {
        self.waiting > 0 && now_ms <= self.until_ms + PATIENCE_MS
    }

    /// How many of its units go before a place, where it begins at `start` and each unit is `step`; where both are told the
    /// same place, it was told first.
    fn before(&self, place: f64, start: f64, step: f64, now_ms: i64) -> u64 {
        let units = (place - start) / step;
        let units = if self.told > place && self.told_ms > now_ms { units.floor() + 1.0 } else { units.ceil() };
        (units.max(0.0) as u64).min(self.waiting)
    }
}

/// What goes before a question.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Ahead {
    /// Units for others that go before it, and that are kept for higher lanes.
    pub(crate) now: u64,
    /// The same, if it takes a place behind those that its own job was told.
    pub(crate) place: u64,
    /// The tag up to which its job has places then.
    told: f64,
    /// Whether it goes before the others of its job.
    is_head: bool,
}

impl Line {
    fn key(&self, by: Asker<'_>) -> String {
        let mut key = format!("{}/{}/{}", by.rank, by.by.tenant, by.by.job);
        if let Some(credential) = &by.by.credential {
            key = format!("{key}/{credential}");
        }
        let has_place = |key: &String, most| self.jobs.len() < most || self.jobs.contains_key(key);
        if has_place(&key, JOBS_MAX) {
            return key;
        }
        let of_tenant = format!("{}/{}/", by.rank, by.by.tenant);
        if has_place(&of_tenant, TAGS_MAX) { of_tenant } else { format!("{}//", by.rank) }
    }

    /// What goes before a question, of a budget of `size` and for a call of `cost`.
    pub(crate) fn ahead(&self, by: Asker<'_>, (size, cost): (u64, u64), now_ms: i64) -> Ahead {
        let kept = self.headroom(by, now_ms).saturating_mul(size) / 100;
        let kept = kept.min(size.saturating_sub(cost));
        let key = self.key(by);
        if !self.jobs.values().any(|turn| turn.waits(now_ms)) {
            return Ahead { now: kept, place: kept, told: 0.0, is_head: true };
        }
        let shares = Shares::of(self, by, now_ms);
        let step = 1.0 / shares.weight(by.rank, &by.by.tenant, &by.by.job);
        let own = self.jobs.get(&key);
        let start = own.map_or(self.served, |own| own.tag.max(self.served));
        // Behind those that were told places, unless the first of them is not on its way any more.
        let told = own.filter(|own| own.told_ms > now_ms).map_or(start, |own| own.told.max(start));
        let is_head = own.is_none_or(|own| own.head_ms <= now_ms);
        let place = if is_head { start } else { told };
        let in_front = ((place - start) / step + 0.5).floor() as u64;
        let in_front = in_front.min(own.map_or(0, |own| own.waiting));
        let others = || self.jobs.iter().filter(|(other, turn)| **other != key && turn.waits(now_ms));
        // A lane that nobody of waits goes before those below it.
        let least = if self.lane_waits(by.rank, now_ms) { LANES } else { by.rank };
        let (mut now, mut at_place) = (kept, kept + in_front);
        for (_, turn) in others() {
            let (begins, step) = (turn.tag.max(self.served), 1.0 / shares.weight(turn.lane, &turn.tenant, &turn.job));
            let units = ((start - begins) / step).ceil().max(0.0) as u64;
            now += if turn.lane <= least { units.min(turn.waiting) } else { 0 };
            at_place += turn.before(place, begins, step, now_ms);
        }
        let told = told.max(place + step * cost as f64);
        Ahead { now, place: at_place, told, is_head }
    }

    fn lane_waits(&self, rank: usize, now_ms: i64) -> bool {
        self.jobs.values().any(|turn| turn.lane == rank && turn.waits(now_ms))
    }

    /// What is kept for higher lanes, in per cent; where one of them waits, its turn comes.
    fn headroom(&self, by: Asker<'_>, now_ms: i64) -> u64 {
        let is_kept = |&higher: &usize| now_ms - self.seen_ms[higher] < SEEN_MS && !self.lane_waits(higher, now_ms);
        (0..by.rank).filter(is_kept).map(|higher| u64::from(by.headroom_percent[higher])).sum()
    }

    /// Slots that are kept for higher lanes: at least one of those for whom any part is kept, and never all.
    pub(crate) fn kept(&self, by: Asker<'_>, (slots, cost): (u64, u64), now_ms: i64) -> u64 {
        (self.headroom(by, now_ms) * slots).div_ceil(100).min(slots.saturating_sub(cost))
    }

    /// It is there: slots have no line, but something is kept of them for its lane.
    pub(crate) fn see(&mut self, by: Asker<'_>, now_ms: i64) {
        self.seen_ms[by.rank] = now_ms;
    }

    /// It was told to come back at `until_ms`, which is its place in the line if `ahead` says so.
    pub(crate) fn join(&mut self, by: Asker<'_>, until_ms: i64, ahead: Option<Ahead>, now_ms: i64) {
        self.forget(now_ms);
        self.seen_ms[by.rank] = now_ms;
        let turn = self.turn_of(by, until_ms);
        turn.waiting += 1;
        turn.until_ms = turn.until_ms.max(until_ms);
        if let Some(ahead) = ahead {
            turn.told = ahead.told;
            turn.told_ms = if turn.told_ms > now_ms { turn.told_ms.max(until_ms) } else { until_ms };
            turn.head_ms = if ahead.is_head { until_ms } else { turn.head_ms };
        }
    }

    /// It has come back, and so waits no more. Whether any of its job was known to wait.
    pub(crate) fn leave(&mut self, by: Asker<'_>) -> bool {
        let key = self.key(by);
        let Some(turn) = self.jobs.get_mut(&key).filter(|turn| turn.waiting > 0) else { return false };
        turn.waiting -= 1;
        true
    }

    /// It was granted.
    pub(crate) fn serve(&mut self, by: Asker<'_>, cost: u64, now_ms: i64) {
        self.forget(now_ms);
        self.seen_ms[by.rank] = now_ms;
        if self.jobs.is_empty() {
            return;
        }
        let weight = Shares::of(self, by, now_ms).weight(by.rank, &by.by.tenant, &by.by.job);
        let served = self.served;
        let turn = self.turn_of(by, now_ms);
        let begins = turn.tag.max(served);
        turn.tag = begins + cost as f64 / weight;
        self.served = begins;
    }

    /// When who has a pace is to come, if it does not have its unit now.
    pub(crate) fn paced_ms(&self, now_ms: i64) -> Option<i64> {
        (self.paced_us > now_ms * 1_000).then(|| (self.place_us(now_ms) + 999) / 1_000)
    }

    /// Behind those who were told to come, but not later than to look again.
    fn place_us(&self, now_ms: i64) -> i64 {
        self.told_us.min((now_ms + LOOK_AGAIN_MS) * 1_000).max(self.paced_us)
    }

    /// Whether so many units, each of which takes a step, are due.
    pub(crate) fn are_due(&self, units: u64, step_us: i64, now_ms: i64) -> bool {
        let first_us = self.paced_us.max((now_ms - CATCH_UP_MS) * 1_000);
        let later = i64::try_from(units.saturating_sub(1)).unwrap_or(i64::MAX);
        first_us.saturating_add(step_us.saturating_mul(later)) <= now_ms * 1_000
    }

    /// Who has a pace was told to come for its units: the next comes after it.
    pub(crate) fn tell(&mut self, units: u64, step_us: i64, now_ms: i64) {
        self.told_us = self.place_us(now_ms).saturating_add(steps(units, step_us));
    }

    /// Who has a pace was granted its units.
    pub(crate) fn pace(&mut self, units: u64, step_us: i64, now_ms: i64) {
        self.paced_us = self.paced_us.max((now_ms - CATCH_UP_MS) * 1_000).saturating_add(steps(units, step_us));
    }

    fn turn_of(&mut self, by: Asker<'_>, until_ms: i64) -> &mut Turn {
        let (key, tag) = (self.key(by), self.served);
        self.jobs.entry(key).or_insert_with(|| Turn {
            lane: by.rank,
            tenant: by.by.tenant.clone(),
            job: by.by.job.clone(),
            weight: by.weight,
            tag,
            waiting: 0,
            until_ms,
            told: 0.0,
            told_ms: 0,
            head_ms: 0,
        })
    }

    /// Forgets those who have gone; when nobody waits, all.
    fn forget(&mut self, now_ms: i64) {
        let served = self.served;
        self.jobs.retain(|_, turn| turn.waits(now_ms) || turn.tag > served && now_ms <= turn.until_ms + PATIENCE_MS);
        if !self.jobs.values().any(|turn| turn.waits(now_ms)) {
            self.jobs.clear();
            self.served = 0.0;
        }
    }
}

fn steps(units: u64, step_us: i64) -> i64 {
    step_us.saturating_mul(i64::try_from(units).unwrap_or(i64::MAX))
}

/// Who shares the weights of lanes.
struct Shares<'a> {
    weights: [u32; LANES],
    /// Of each lane's tenants.
    tenants: [BTreeMap<&'a str, u32>; LANES],
    jobs: BTreeMap<(usize, &'a str), f64>,
    /// Of each job.
    credentials: BTreeMap<(usize, &'a str, &'a str), f64>,
}

impl<'a> Shares<'a> {
    /// Of those who wait, and who asks.
    fn of(line: &'a Line, by: Asker<'a>, now_ms: i64) -> Self {
        let weights = by.sharing.weights();
        let (tenants, jobs, credentials) = Default::default();
        let mut shares = Self { weights, tenants, jobs, credentials };
        let own = line.key(by);
        for (_, turn) in line.jobs.iter().filter(|(key, turn)| **key != own && turn.waits(now_ms)) {
            shares.add((turn.lane, &turn.tenant, &turn.job), turn.weight);
        }
        shares.add((by.rank, &by.by.tenant, &by.by.job), by.weight);
        shares
    }

    fn add(&mut self, (lane, tenant, job): (usize, &'a str, &'a str), weight: u32) {
        let known = self.tenants[lane].entry(tenant).or_insert(weight);
        *known = weight.max(*known);
        let credentials = self.credentials.entry((lane, tenant, job)).or_default();
        if *credentials == 0.0 {
            *self.jobs.entry((lane, tenant)).or_default() += 1.0;
        }
        *credentials += 1.0;
    }

    fn weight(&self, lane: usize, tenant: &str, job: &str) -> f64 {
        let credentials = self.credentials.get(&(lane, tenant, job)).copied().unwrap_or(1.0);
        let (jobs, tenants) = (self.jobs.get(&(lane, tenant)).copied().unwrap_or(1.0), &self.tenants[lane]);
        let all: u64 = tenants.values().copied().map(u64::from).sum();
        let own = tenants.get(tenant).copied().unwrap_or(1);
        f64::from(self.weights[lane]) * f64::from(own) / (all.max(1) as f64) / jobs / credentials
    }
}
