//! A limit that nobody tells: the pace is what the learner came to.

use crate::in_flight::{Held, InFlight};
use crate::learn::{Learner, Outcome};
use crate::limiter::Learnt;
use crate::meter::{Gauge, Heard, Meter, Ready};

/// What was learnt is kept for this time without a call: 30 days.
pub(crate) const KEPT_MS: i64 = 30 * 86_400_000;
const S_AN_HOUR: f64 = 3_600.0;

impl Meter for Learner {
    fn size(&self) -> Option<u64> {
        None
    }

    fn ready(&self, _in_flight: &InFlight, _cost: u64, now_ms: i64) -> Ready {
        let (until_ms, at_latest_ms) = (self.ready_ms(now_ms as f64), self.lost_ms(now_ms as f64));
        Ready { until_ms: until_ms.ceil() as i64, at_latest_ms: at_latest_ms.ceil() as i64 }
    }

    fn behind(&self, in_flight: &InFlight, ahead: u64, cost: u64, now_ms: i64) -> Option<i64> {
        let ahead_ms = ahead as f64 * 1_000.0 / self.speed_per_s(now_ms as f64);
        Some(self.ready(in_flight, cost, now_ms).until_ms + ahead_ms.ceil() as i64)
    }

    fn spend(&mut self, _in_flight: &InFlight, cost: u64, now_ms: i64) {
        self.go(cost as f64, now_ms as f64);
    }

    /// It was never sent: it says nothing.
    fn refund(&mut self, held: Held, now_ms: i64) {
        self.report(Outcome::Other, held.cost as f64, held.granted_ms as f64, now_ms as f64);
    }

    fn learn(&mut self, held: Held, outcome: Outcome, now_ms: i64) {
        self.report(outcome, held.cost as f64, held.granted_ms as f64, now_ms as f64);
    }

    /// Whoever tells numbers has no need to be learnt: they are another limit's.
    fn hear(&mut self, _in_flight: &InFlight, _heard: &Heard<'_>) {}

    fn gauge(&self, in_flight: &InFlight, _now_ms: i64) -> Gauge {
        Gauge { used: in_flight.cost(), resets_at_ms: None }
    }

    fn learnt(&self) -> Option<Learnt> {
        let (pace_per_s, is_proven) = self.pace_per_s();
        let per_hour = (pace_per_s * S_AN_HOUR).round() as u64;
        Some(Learnt { per_hour, is_proven, refused_at_ms: self.refused_at_ms().map(|ms| ms as i64) })
    }

    fn kept_ms(&self) -> i64 {
        KEPT_MS
    }
}
