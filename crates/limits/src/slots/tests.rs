use std::time::Duration;

use super::*;
use crate::charge::{Charge, Decision, Health, Lasts, Permit, Refused, Report, Told};
use crate::limiter::{LearntSlots, Limiter};
use crate::rate::Rate;

mod server;

use server::{Server, run};

fn learn(learn: LearnSlots) -> Rate {
    Rate::Concurrency { calls: 0, learn: Some(learn), lease: Duration::from_mins(5) }
}

/// A limiter with one limit, of slots that are learnt.
struct Case {
    limiter: Limiter,
    rate: Rate,
    now_ms: i64,
}

impl Case {
    fn new(options: LearnSlots) -> Self {
        Self { limiter: Limiter::default(), rate: learn(options), now_ms: 1_000_000 }
    }

    fn ask(&mut self, cost: u32) -> Decision {
        let charge =
            Charge { limit: "slots".into(), key: "slots".into(), rate: self.rate.clone(), cost, headroom: None };
        self.limiter.ask(self.now_ms, &[charge])
    }

    /// As many as there are slots for.
    fn fill(&mut self) -> Vec<Permit> {
        std::iter::from_fn(|| match self.ask(1) {
            Decision::Granted(permit) => Some(permit),
            Decision::Wait { .. } => None,
        })
        .collect()
    }

    fn report(&mut self, permit: Permit, health: Health, took_us: Option<u64>) {
        let report = Report { permit, sent: true, answer: Some(Told::default()), health: Some(health), took_us };
        self.limiter.report(self.now_ms, &report);
    }

    /// A round in which all slots are in use and each call takes so long.
    fn round(&mut self, ms: u64) {
        let mut answered = 0;
        while answered < 30 {
            let permits = self.fill();
            self.now_ms += ms as i64;
            answered += permits.len();
            permits.into_iter().for_each(|permit| self.report(permit, Health::Well, Some(ms * 1_000)));
        }
    }

    fn learnt(&self) -> LearntSlots {
        self.limiter.usage(self.now_ms)[0].learnt_slots.expect("it is learnt")
    }
}

/// Somebody who has measured 100 ms at half of so many slots.
fn measured(start: u32) -> Case {
    let mut case = Case::new(LearnSlots { start, ..LearnSlots::default() });
    case.round(100);
    assert_eq!((case.learnt().slots, case.learnt().base_us), (start.into(), Some(100_000)));
    case
}

#[test]
fn it_begins_with_a_measurement_at_half_the_slots() {
    let mut case = Case::new(LearnSlots { start: 8, ..LearnSlots::default() });
    assert_eq!(case.fill().len(), 4);
    assert_eq!(case.learnt(), LearntSlots { slots: 8, base_us: None, measured_at_ms: None, queued_at_ms: None });
    assert_eq!(measured(8).fill().len(), 8);
}

#[test]
fn slots_grow_by_half_until_calls_first_wait_and_by_a_tenth_after_that() {
    let mut case = measured(8);
    case.round(100);
    assert_eq!(case.learnt().slots, 12);
    // Of 12 calls 2 wait: neither too many nor few enough.
    case.round(120);
    assert_eq!((case.learnt().slots, case.learnt().queued_at_ms), (12, Some(case.now_ms)));
    case.round(100);
    assert_eq!(case.learnt().slots, 13);
}

#[test]
fn where_calls_wait_there_are_soon_as_many_as_do_not_and_a_tenth() {
    let mut case = measured(40);
    case.round(160);
    assert_eq!(case.learnt().slots, 27, "1.1 / 1.6 of 40");
    let mut case = measured(40);
    case.round(1_000);
    assert_eq!(case.learnt().slots, 20, "half at most");
}

#[test]
fn a_cut_that_makes_calls_no_quicker_is_followed_by_a_measurement() {
    let mut case = measured(40);
    case.round(200);
    case.round(200);
    assert_eq!(case.learnt().slots, 22, "the second time nothing is cut");
    assert_eq!(case.fill().len(), 11);
    case.now_ms += 1_000_000; // Those are lost.
    case.round(200);
    assert_eq!(case.learnt().base_us, Some(200_000));
    case.round(200);
    assert_eq!(case.learnt().slots, 24, "it was the provider that had become slower");
}

#[test]
fn slots_that_are_not_in_use_do_not_grow() {
    let mut case = measured(8);
    for _ in 0..100 {
        let Decision::Granted(permit) = case.ask(1) else { panic!("there are eight slots") };
        case.now_ms += 100;
        case.report(permit, Health::Well, Some(100_000));
    }
    assert_eq!(case.learnt().slots, 8);
}

#[test]
fn what_is_dropped_cuts_once_for_a_burst() {
    let mut case = measured(20);
    for permit in case.fill() {
        case.now_ms += 1;
        case.report(permit, Health::Silent, None);
    }
    assert_eq!(case.learnt().slots, 14);
    for permit in case.fill() {
        case.report(permit, Health::Ill, None);
    }
    assert_eq!(case.learnt().slots, 9);
}

#[test]
fn what_is_dropped_while_few_slots_are_in_use_was_not_too_much() {
    let mut case = measured(20);
    for _ in 0..9 {
        let Decision::Granted(permit) = case.ask(1) else { panic!("there are twenty slots") };
        case.now_ms += 1;
        case.report(permit, Health::Ill, None);
    }
    assert_eq!(case.learnt().slots, 20);
}

#[test]
fn a_refusal_says_nothing_of_how_long_calls_take_but_keeps_slots_from_growing() {
    let mut case = measured(8);
    let Decision::Granted(permit) = case.ask(1) else { panic!("there are eight slots") };
    let refused = Some(Refused { keys: Vec::new(), until_ms: None, lasts: Lasts::FromNow });
    let answer = Some(Told { refused, ..Told::default() });
    let health = Some(Health::Well);
    case.limiter.report(case.now_ms, &Report { permit, sent: true, answer, health, took_us: Some(1) });
    case.round(100);
    assert_eq!((case.learnt().slots, case.learnt().base_us), (8, Some(100_000)));
    case.round(100);
    assert_eq!(case.learnt().slots, 12);
}

#[test]
fn an_answer_that_does_not_say_how_long_it_took_teaches_nothing() {
    let mut case = measured(8);
    for _ in 0..20 {
        for permit in case.fill() {
            case.report(permit, Health::Well, None);
        }
    }
    assert_eq!(case.learnt().slots, 8);
}

#[test]
fn slots_stay_between_floor_and_cap() {
    let mut case = Case::new(LearnSlots { start: 8, floor: 6, cap: 9 });
    assert_eq!(case.fill().len(), 6, "also while it is measured");
    case.now_ms += 1_000_000;
    case.round(100);
    case.round(100);
    assert_eq!(case.learnt().slots, 9);
    case.round(900);
    assert_eq!(case.learnt().slots, 6);
}

#[test]
fn a_call_that_costs_more_slots_than_there_are_has_them_all() {
    let mut case = Case::new(LearnSlots { start: 8, ..LearnSlots::default() });
    let Decision::Granted(permit) = case.ask(20) else { panic!("nothing is in flight") };
    assert!(matches!(case.ask(1), Decision::Wait { .. }));
    case.report(permit, Health::Well, Some(100_000));
    assert!(matches!(case.ask(1), Decision::Granted(_)));
}

#[test]
fn who_comes_after_a_while_measures_first() {
    let mut case = measured(20);
    case.now_ms += 3_600_000;
    assert_eq!(case.fill().len(), 10);
}

#[test]
fn what_was_learnt_survives_a_restart_where_it_is_measured_first_and_a_month_without_calls() {
    let mut case = measured(20);
    let before = case.learnt();
    let json = serde_json::to_string(&case.limiter.snapshot()).unwrap();
    case.limiter = Limiter::restore(serde_json::from_str(&json).unwrap());
    assert_eq!(case.learnt(), before);
    assert_eq!(case.fill().len(), 10);
    case.now_ms += 29 * 86_400_000;
    case.limiter.forget_idle(case.now_ms);
    assert_eq!(case.learnt(), before);
    case.limiter.forget_idle(case.now_ms + 2 * 86_400_000);
    assert!(case.limiter.usage(case.now_ms).is_empty());
}

#[test]
fn other_options_keep_what_was_learnt() {
    let mut case = measured(20);
    case.rate = learn(LearnSlots { cap: 16, ..LearnSlots::default() });
    assert_eq!(case.fill().len(), 16);
    assert_eq!(case.learnt().base_us, Some(100_000));
}

/// As it says in docs/limits.md.
#[test]
fn a_provider_is_kept_busy_and_hardly_made_to_wait() {
    for (workers, service_ms, way_ms, scatter) in [
        (1, 100, 20, 0.25),
        (2, 100, 20, 0.25),
        (4, 100, 20, 0.25),
        (8, 100, 20, 0.0),
        (8, 50, 100, 0.25),
        (20, 100, 20, 0.25),
        (20, 100, 20, 0.5),
        (20, 1_000, 50, 0.0),
        (64, 100, 100, 0.5),
    ] {
        let server = Server { workers, service_ms, way_ms, scatter };
        let long = if service_ms > 500 { 10 } else { 1 };
        let ran =
            run(&learn(LearnSlots { cap: 1_000, ..LearnSlots::default() }), &[(0, server)], long * 200, usize::MAX);
        let seen = ran.between(long * 30, long * 200);
        let (used, times) = (seen.used(server), seen.times(server));
        println!("| {workers} | {service_ms} ms | {way_ms} ms | {scatter} | {:.1} % | {times:.2} |", 100.0 * used);
        // One or two calls always wait: much where there is only one worker.
        let is_kept = used >= 0.95 && (times <= 1.5 || workers < 4 && times <= 2.5);
        assert!(is_kept, "{server:?}: {used:.3} used, {times:.2} times the base");
    }
}

#[test]
fn workers_that_go_and_come_again_are_found_out_within_15_s() {
    let all = Server { workers: 20, service_ms: 100, way_ms: 20, scatter: 0.25 };
    let half = Server { workers: 10, ..all };
    let ran = run(&learn(LearnSlots::default()), &[(0, all), (120, half), (240, all)], 360, usize::MAX);
    for (server, from_s) in [(all, 0), (half, 120), (all, 240)] {
        let seen = ran.between(from_s + 15, from_s + 45);
        let (used, times) = (seen.used(server), seen.times(server));
        assert!(used >= 0.93 && times <= 1.6, "{server:?} from {from_s}: {used:.3} used, {times:.2} times the base");
    }
}

#[test]
fn a_provider_that_becomes_slower_and_quicker_again_is_found_out_within_40_s() {
    let quick = Server { workers: 20, service_ms: 100, way_ms: 20, scatter: 0.25 };
    let slow = Server { service_ms: 200, ..quick };
    let ran = run(&learn(LearnSlots::default()), &[(0, quick), (120, slow), (240, quick)], 360, usize::MAX);
    for (server, from_s) in [(slow, 120), (quick, 240)] {
        let seen = ran.between(from_s + 40, from_s + 120);
        let (used, times) = (seen.used(server), seen.times(server));
        assert!(used >= 0.93 && times <= 1.6, "{server:?} from {from_s}: {used:.3} used, {times:.2} times the base");
    }
}

#[test]
fn a_provider_whose_times_scatter_for_no_reason_of_ours_is_not_cut() {
    for scatter in [0.25, 0.5] {
        let endless = Server { workers: usize::MAX, service_ms: 100, way_ms: 0, scatter };
        let ran = run(&learn(LearnSlots { cap: 50, ..LearnSlots::default() }), &[(0, endless)], 300, usize::MAX);
        assert_eq!(ran.slots_between(30, 300), (50, 50), "{scatter}");
    }
}

#[test]
fn who_asks_for_less_than_there_is_leaves_the_slots_as_they_are() {
    let server = Server { workers: 20, service_ms: 100, way_ms: 20, scatter: 0.25 };
    let ran = run(&learn(LearnSlots { start: 8, ..LearnSlots::default() }), &[(0, server)], 200, 3);
    assert_eq!(ran.slots_between(0, 200), (8, 8));
}
