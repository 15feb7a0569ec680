use std::time::Duration;

use super::*;
use crate::charge::{Decision, Lasts, Question, Refused, Told};
use crate::headers::Reading;
use crate::rate::{Aligned, Rate};

mod breaker;
mod choices;
mod exactness;
mod faults;
mod keeping;
mod kinds;
mod landing;
mod learning;
mod leases;
mod provider;
mod quota;
mod readings;
mod refusals;
mod settling;
mod sliding;
mod turns;

/// A charge of `cost` to the budget named `key`.
fn charge(key: &str, rate: &Rate, cost: u32) -> Charge {
    Charge { limit: key.to_owned(), key: key.to_owned(), rate: rate.clone(), cost, headroom: None }
}

fn window(calls: u32, per_ms: u64, aligned: Aligned) -> Rate {
    Rate::Window { calls, per: Duration::from_millis(per_ms), aligned }
}

fn sliding(calls: u32, per_ms: u64) -> Rate {
    Rate::Sliding { calls, per: Duration::from_millis(per_ms) }
}

fn bucket(calls: u32, restore_per_s: f64) -> Rate {
    Rate::Bucket { calls, restore_per_s }
}

fn concurrency(calls: u32, lease_ms: u64) -> Rate {
    Rate::Concurrency { calls, learn: None, lease: Duration::from_millis(lease_ms) }
}

/// One call on one budget, `limit`.
fn ask(limiter: &mut Limiter, now_ms: i64, rate: &Rate) -> Decision {
    limiter.ask(now_ms, &[charge("limit", rate, 1)])
}

/// As `ask`, where nothing but a grant is expected.
fn grant(limiter: &mut Limiter, now_ms: i64, rate: &Rate) -> Permit {
    match ask(limiter, now_ms, rate) {
        Decision::Granted(permit) => permit,
        wait @ Decision::Wait { .. } => panic!("at {now_ms}: {wait:?}"),
    }
}

/// As `ask`, where nothing but a refusal is expected: when to come back.
fn wait(limiter: &mut Limiter, now_ms: i64, rate: &Rate) -> i64 {
    match ask(limiter, now_ms, rate) {
        Decision::Wait { until_ms, .. } => until_ms,
        granted @ Decision::Granted(_) => panic!("at {now_ms}: {granted:?}"),
    }
}

/// How many calls are granted at once, of a limiter that is not touched.
fn room(limiter: &Limiter, now_ms: i64, rate: &Rate) -> usize {
    let mut limiter = limiter.clone();
    (0..10_000).take_while(|_| matches!(ask(&mut limiter, now_ms, rate), Decision::Granted(_))).count()
}

fn report(limiter: &mut Limiter, now_ms: i64, permit: &Permit, sent: bool, answer: Option<Told>) {
    limiter.report(now_ms, &Report { permit: permit.clone(), sent, answer, health: None, took_us: None });
}

/// The call was answered, and the answer said `reading` of every limit.
fn answer(limiter: &mut Limiter, now_ms: i64, permit: &Permit, reading: &Reading) {
    let readings = permit.keys.iter().map(|key| (key.clone(), reading.clone())).collect();
    report(limiter, now_ms, permit, true, Some(Told { readings, refused: None }));
}

/// The call was refused because of every limit.
fn refuse(limiter: &mut Limiter, now_ms: i64, permit: &Permit, until_ms: Option<i64>) {
    let refused = Some(Refused { keys: permit.keys.clone(), until_ms, lasts: Lasts::FromNow });
    report(limiter, now_ms, permit, true, Some(Told { readings: BTreeMap::new(), refused }));
}
