//! Slots that are learnt, as a limit among others.

use super::{Slots, Went};
use crate::concurrency::slot_ready;
use crate::in_flight::{Held, InFlight};
use crate::limiter::LearntSlots;
use crate::meter::{Gauge, Heard, Meter, Ready};
use crate::pace::KEPT_MS;

impl Meter for Slots {
    fn size(&self) -> Option<u64> {
        Some(self.whole_size() as u64)
    }

    fn at_a_time(&self) -> Option<u64> {
        Some(self.slots() as u64)
    }

    /// While it is measured there are fewer slots than a call may cost, which then has them all.
    fn ready(&self, in_flight: &InFlight, cost: u64, now_ms: i64) -> Ready {
        let slots = self.slots() as u64;
        slot_ready((slots, self.lease_ms), in_flight, cost.min(slots), now_ms)
    }

    fn spend(&mut self, in_flight: &InFlight, cost: u64, now_ms: i64) {
        self.go((in_flight.cost() + cost) as f64, cost as f64, now_ms);
    }

    fn went(&mut self, in_flight: &InFlight, held: Held, went: Went, now_ms: i64) {
        Self::went(self, went, held.granted_ms, in_flight.cost() as f64, now_ms);
    }

    /// Whoever tells a number has no need to be learnt.
    fn hear(&mut self, _in_flight: &InFlight, _heard: &Heard<'_>) {}

    fn gauge(&self, in_flight: &InFlight, _now_ms: i64) -> Gauge {
        Gauge { used: in_flight.cost(), resets_at_ms: None }
    }

    fn learnt_slots(&self) -> Option<LearntSlots> {
        let seen = |ms: i64| Some(ms).filter(|&ms| ms > 0);
        Some(LearntSlots {
            slots: self.whole_size() as u64,
            base_us: Some(self.base_us.round() as u64).filter(|&us| us > 0),
            measured_at_ms: seen(self.measured_ms),
            queued_at_ms: seen(self.queued_ms),
        })
    }

    fn kept_ms(&self) -> i64 {
        KEPT_MS
    }

    fn held_ms(&self) -> i64 {
        self.lease_ms
    }
}
