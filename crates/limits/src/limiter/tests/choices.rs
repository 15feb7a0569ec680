//! A call that may be made in several ways.

use super::*;
use crate::breaker::Breaker;
use crate::charge::Health;
use crate::line::By;
use crate::overrides::{Does, Override, Why};

const HOUR: Rate = Rate::Window { calls: 10, per: Duration::from_hours(1), aligned: Aligned::FirstCall };
const SHARED: Rate = Rate::Window { calls: 100, per: Duration::from_hours(1), aligned: Aligned::FirstCall };

fn named(limit: &str, of: &str, rate: &Rate) -> Charge {
    Charge { limit: limit.to_owned(), key: format!("{limit}/{of}"), rate: rate.clone(), cost: 1, headroom: None }
}

/// A call that alice and bob may make, over one limit that they share.
fn pool(own: &Rate) -> Question {
    let choice = |of: &str| vec![named("shared", "", &SHARED), named("token", of, own)];
    Question { alternatives: vec![choice("bob")], ..Question::new(choice("alice")) }
}

/// Whose token the call takes.
fn taken(limiter: &mut Limiter, now_ms: i64, question: &Question) -> Option<Permit> {
    match limiter.decide(now_ms, question) {
        Decision::Granted(permit) => Some(permit),
        Decision::Wait { .. } => None,
    }
}

fn takes(limiter: &mut Limiter, now_ms: i64, question: &Question) -> String {
    taken(limiter, now_ms, question).map_or_else(String::new, |permit| permit.keys[1].clone())
}

#[test]
fn the_one_with_most_room_left_is_taken_and_a_shared_limit_makes_no_difference() {
    let (mut limiter, question) = (Limiter::default(), pool(&HOUR));
    for _ in 0..40 {
        limiter.ask(0, &[named("shared", "", &SHARED)]);
    }
    for _ in 0..4 {
        limiter.ask(0, &[named("token", "alice", &HOUR)]);
    }
    let first: Vec<String> = (0..8).map(|_| takes(&mut limiter, 1, &question)).collect();
    let (alice, bob) = ("token/alice", "token/bob");
    assert_eq!(first, [bob, bob, bob, bob, alice, bob, alice, bob]);
    let rest = (0..20).map_while(|_| taken(&mut limiter, 2, &question)).count();
    assert_eq!(rest, 8, "of the 20 that both may make");
}

#[test]
fn without_room_the_earliest_time_is_told_and_nothing_is_charged() {
    let (mut limiter, question) = (Limiter::default(), pool(&HOUR));
    for _ in 0..10 {
        limiter.ask(5_000, &[named("token", "alice", &HOUR)]);
        limiter.ask(1_000, &[named("token", "bob", &HOUR)]);
    }
    let used = limiter.usage(6_000);
    let Decision::Wait { until_ms, limit, why: None, .. } = limiter.decide(6_000, &question) else { panic!() };
    assert_eq!(limiter.usage(6_000), used);
    assert_eq!(limit, "token");
    assert_eq!(takes(&mut limiter, until_ms - 1, &question), "");
    assert_eq!(takes(&mut limiter, until_ms, &question), "token/bob");
}

#[test]
fn what_is_paused_is_left_out_while_another_is_not() {
    let (mut limiter, question) = (Limiter::default(), pool(&HOUR));
    let pause = |of: &str, until_ms| Override {
        key: format!("{{acme}}/token/{of}"),
        does: Does::Pause,
        reason: "maintenance".to_owned(),
        until_ms,
    };
    let question = {
        let mut question = question;
        let all = std::iter::once(&mut question.charges).chain(&mut question.alternatives);
        all.flatten().for_each(|charge| charge.key.insert_str(0, "{acme}/"));
        question
    };
    limiter.put_override(pause("alice", None), 0);
    assert_eq!(takes(&mut limiter, 0, &question), "{acme}/token/bob");
    limiter.put_override(pause("bob", Some(60_000)), 0);
    let Decision::Wait { why, .. } = limiter.decide(1, &question) else { panic!() };
    let reason = "maintenance".to_owned();
    assert_eq!(why, Some(Why::Paused { reason, until_ms: Some(60_000) }), "of those the one that ends first");
    assert_eq!(takes(&mut limiter, 60_000, &question), "{acme}/token/bob");
}

#[test]
fn an_ill_way_out_is_left_out_while_another_is_well_and_tried_when_that_has_no_room() {
    let breaker = Rate::Breaker(Breaker { failures: 2, ..Breaker::default() });
    let slot = Rate::Concurrency { calls: 1, learn: None, lease: Duration::from_mins(1) };
    let way = |of: &str| vec![named("slots", of, &slot), named("breaker", of, &breaker)];
    let question = Question { alternatives: vec![way("second")], ..Question::new(way("first")) };
    let mut limiter = Limiter::default();
    for at_ms in 0..2 {
        let permit = taken(&mut limiter, at_ms, &question).unwrap();
        let health = (permit.keys[1] == "breaker/first").then_some(Health::Silent);
        limiter.report(at_ms, &Report { permit, sent: true, answer: None, health, took_us: None });
    }
    let permit = taken(&mut limiter, 2, &question).unwrap();
    assert_eq!(permit.keys[1], "breaker/second");
    assert!(taken(&mut limiter, 3, &question).is_none(), "the other is not tried yet");
    let probe = taken(&mut limiter, 2_000, &question).unwrap();
    assert_eq!((probe.keys[1].as_str(), probe.probe), ("breaker/first", true));
}

#[test]
fn who_waits_for_one_and_is_granted_another_waits_no_more() {
    let (mut limiter, mut question) = (Limiter::default(), pool(&bucket(1, 1.0)));
    let by = |job: &str| {
        Some(By { lane: 2, tenant: "one".to_owned(), job: job.to_owned(), credential: None, waited_for: None })
    };
    question.by = by("a");
    assert_eq!(takes(&mut limiter, 0, &question), "token/alice");
    assert_eq!(takes(&mut limiter, 10, &question), "token/bob");
    assert_eq!(takes(&mut limiter, 20, &question), "", "it waits for alice");
    let alone = |of: &str| Question { by: by("b"), ..Question::new(vec![named("token", of, &bucket(1, 1.0))]) };
    let Decision::Wait { until_ms, .. } = limiter.decide(30, &alone("alice")) else { panic!() };
    assert!(until_ms > 1_000, "behind a's");
    question.by = by("a").map(|by| By { waited_for: Some("token".to_owned()), ..by });
    assert_eq!(takes(&mut limiter, 2_000, &question), "token/alice");
    assert!(taken(&mut limiter, 2_000, &alone("bob")).is_some(), "nobody waits for bob");
    assert!(taken(&mut limiter, 4_000, &alone("alice")).is_some(), "nobody but b waits for alice");
}

#[test]
fn who_waits_for_room_by_another_rate_looks_again_since_that_rate_may_be_so_no_more() {
    let mut limiter = Limiter::default();
    let charge = Charge { key: "{acme}/token/alice".to_owned(), ..named("token", "alice", &HOUR) };
    let question = Question::new(vec![charge]);
    let one = Rate::Window { calls: 1, per: Duration::from_hours(1), aligned: Aligned::FirstCall };
    let wanted = Override {
        key: "{acme}/token/".to_owned(),
        does: Does::Rate(one),
        reason: "shared".to_owned(),
        until_ms: None,
    };
    assert!(limiter.put_override(wanted, 0));
    assert!(taken(&mut limiter, 0, &question).is_some());
    let Decision::Wait { until_ms: 15_001, at_latest_ms, why: None, .. } = limiter.decide(1, &question) else {
        panic!()
    };
    assert!(at_latest_ms >= 3_600_000, "{at_latest_ms}");
    assert!(limiter.delete_override("{acme}/token/", None, 2));
    assert!(taken(&mut limiter, 15_001, &question).is_some());
}
