use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::*;
use crate::breaker::Breaker;
use crate::charge::{Charge, Health, Lasts, Permit, Refused, Told};
use crate::headers::Reading;
use crate::line::By;
use crate::overrides::{Does, Why};
use crate::rate::{Aligned, Rate};
use crate::slots::LearnSlots;

/// Golden files are added, never edited: executors and arbiters of two releases meet in every roll-out.
#[track_caller]
fn is_golden<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    if std::env::var_os("TIDEGATE_NEW_GOLDEN").is_some() && !path.exists() {
        std::fs::write(&path, serde_json::to_string_pretty(value).unwrap() + "\n").unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("{} is missing", path.display()));
    assert_eq!(&serde_json::from_str::<T>(&golden).unwrap(), value, "{name} reads");
    let written: serde_json::Value = serde_json::to_value(value).unwrap();
    assert_eq!(written, serde_json::from_str::<serde_json::Value>(&golden).unwrap(), "{name} is written");
}

fn charge(limit: &str, rate: Rate) -> Charge {
    Charge { limit: limit.to_owned(), key: format!("{{acme}}/{limit}/egress=default"), rate, cost: 2, headroom: None }
}

fn permit() -> Permit {
    Permit::new(1_790_000_000_000_123, vec!["{acme}/minute/egress=default".to_owned()])
}

#[test]
fn every_message_reads_and_writes_its_golden_file() {
    let minute = Duration::from_mins(1);
    let charges = vec![
        charge("minute", Rate::Window { calls: 300, per: minute, aligned: Aligned::Epoch }),
        charge("pace", Rate::Bucket { calls: 40, restore_per_s: 2.0 }),
        charge("slots", Rate::Concurrency { calls: 5, learn: None, lease: minute }),
        charge("told", Rate::Told {}),
    ];
    is_golden("v1.permits_request.json", &PermitsRequest { questions: vec![Question::new(charges)] });
    let wait = Decision::Wait {
        until_ms: 1_790_000_001_000,
        at_latest_ms: 1_790_000_002_000,
        limit: "minute".to_owned(),
        why: None,
    };
    let decisions = vec![Decision::Granted(permit()), wait];
    is_golden("v1.permits_reply.json", &PermitsReply { now_ms: 1_790_000_000_000, decisions });
    let reading = Reading {
        limit: Some(300),
        remaining: Some(12.5),
        reset_at_ms: Some(1_790_000_030_000),
        reset_step_ms: 1_000,
        reset_is_relative: true,
        pause_until_ms: None,
        pause_is_by_clock: false,
        clock_ahead_ms: None,
        cost: None,
        ignored: 0,
    };
    let refused = Some(Refused { keys: permit().keys, until_ms: Some(1_790_000_060_000), lasts: Lasts::FromNow });
    let told = Told { readings: BTreeMap::from([(permit().keys[0].clone(), reading)]), refused };
    let reports = vec![
        Report { permit: permit(), sent: true, answer: Some(told), health: None, took_us: None },
        Report { permit: permit(), sent: false, answer: None, health: None, took_us: None },
    ];
    is_golden("v1.reports_request.json", &ReportsRequest { now_ms: 1_790_000_000_000, reports });
    let refused = Refused { keys: permit().keys, until_ms: Some(1_790_000_060_000), lasts: Lasts::ByClock };
    let answer = Some(Told { readings: BTreeMap::new(), refused: Some(refused) });
    let reports = vec![Report { permit: permit(), sent: true, answer, health: None, took_us: None }];
    is_golden("v1.reports_request_lasts.json", &ReportsRequest { now_ms: 1_790_000_000_000, reports });
    let usage = Usage {
        learnt: None,
        learnt_slots: None,
        down: None,
        key: permit().keys[0].clone(),
        limit: "minute".to_owned(),
        used: 12,
        size: Some(300),
        resets_at_ms: Some(1_790_000_030_000),
        blocked_until_ms: None,
    };
    is_golden(
        "v1.limits_reply.json",
        &LimitsReply { now_ms: 1_790_000_000_000, limits: vec![usage], left_off: 3, overrides: vec![] },
    );
}

#[test]
fn overrides_read_and_write_their_golden_files() {
    let wanted = |does, until_ms| Override {
        key: "{acme}/minute/".to_owned(),
        does,
        reason: "maintenance".to_owned(),
        until_ms,
    };
    let (pause, rate) = (Does::Pause, Does::Rate(Rate::Bucket { calls: 1, restore_per_s: 0.5 }));
    let request = OverrideRequest { now_ms: 1_790_000_000_000, wanted: wanted(pause, Some(1_790_000_060_000)) };
    is_golden("v1.override_request.json", &request);
    let overrides = vec![wanted(rate, None)];
    let reply = LimitsReply { now_ms: 1_790_000_000_000, limits: vec![], left_off: 0, overrides };
    is_golden("v1.limits_reply_overrides.json", &reply);
    let why = Some(Why::Paused { reason: "maintenance".to_owned(), until_ms: Some(1_790_000_060_000) });
    let wait =
        Decision::Wait { until_ms: 1_790_000_015_000, at_latest_ms: 1_790_000_015_000, limit: "minute".into(), why };
    is_golden("v1.permits_reply_paused.json", &PermitsReply { now_ms: 1_790_000_000_000, decisions: vec![wait] });
}

#[test]
fn who_asks_for_which_choices_and_what_is_said_of_a_provider_that_is_down_reads_and_writes_its_golden_files() {
    let breaker = charge("breaker", Rate::Breaker(Breaker::default()));
    is_golden("v1.permits_request_breaker.json", &PermitsRequest { questions: vec![Question::new(vec![breaker])] });
    let by = By {
        lane: 1,
        tenant: "alice".into(),
        job: "job_1".into(),
        credential: None,
        waited_for: Some("minute".into()),
    };
    let question = Question::new(vec![charge("told", Rate::Told {})]).by(by);
    is_golden("v1.permits_request_by.json", &PermitsRequest { questions: vec![question] });
    let by =
        By { lane: 3, tenant: "alice".into(), job: "job_1".into(), credential: Some("one".into()), waited_for: None };
    let kept = Charge { headroom: Some(vec![40, 10, 5].try_into().unwrap()), ..charge("told", Rate::Told {}) };
    let questions = vec![Question::new(vec![kept]).by(by)];
    is_golden("v1.permits_request_credential.json", &PermitsRequest { questions });
    let of = |of: &str| Charge { key: format!("{{acme}}/told/credential={of}"), ..charge("told", Rate::Told {}) };
    let question = Question { alternatives: vec![vec![of("bob")]], ..Question::new(vec![of("alice")]) };
    is_golden("v1.permits_request_alternatives.json", &PermitsRequest { questions: vec![question] });
    let (since_ms, now_ms) = (1_789_999_000_000, 1_790_000_000_000);
    let why = Some(Why::Down { since_ms });
    let wait = Decision::Wait { until_ms: now_ms + 9, at_latest_ms: now_ms + 9, limit: "breaker".into(), why };
    let probe = Permit { probe: true, ..permit() };
    let decisions = vec![wait, Decision::Granted(probe.clone())];
    is_golden("v1.permits_reply_down.json", &PermitsReply { now_ms, decisions });
    let report =
        |health| Report { permit: probe.clone(), sent: true, answer: None, health: Some(health), took_us: None };
    let reports = [Health::Well, Health::Ill, Health::Silent].map(report).to_vec();
    is_golden("v1.reports_request_health.json", &ReportsRequest { now_ms, reports });
    let usage = Usage {
        key: "{acme}/breaker/egress=default".to_owned(),
        limit: "breaker".to_owned(),
        used: 10,
        size: Some(10),
        resets_at_ms: None,
        blocked_until_ms: None,
        learnt: None,
        learnt_slots: None,
        down: Some(Down { since_ms, probe_at_ms: now_ms + 9 }),
    };
    let reply = LimitsReply { now_ms, limits: vec![usage], left_off: 0, overrides: vec![] };
    is_golden("v1.limits_reply_down.json", &reply);
    assert_eq!(
        reply.by_clock(now_ms + 1).limits[0].down,
        Some(Down { since_ms: since_ms + 1, probe_at_ms: now_ms + 10 })
    );
}

#[test]
fn several_calls_that_are_granted_at_once_read_and_write_their_golden_files() {
    let question = Question { want: 64, ..Question::new(vec![charge("told", Rate::Told {})]) };
    is_golden("v1.permits_request_lease.json", &PermitsRequest { questions: vec![question] });
    let lease = Permit { calls: 32, use_within_ms: Some(15_000), ..permit() };
    let reply = PermitsReply { now_ms: 1_790_000_000_000, decisions: vec![Decision::Granted(lease.clone())] };
    is_golden("v1.permits_reply_lease.json", &reply);
    let report =
        Report { permit: lease, sent: true, answer: Some(Told::default()), health: Some(Health::Well), took_us: None };
    let request = ReportsRequest { now_ms: 1_790_000_000_000, reports: vec![report] };
    is_golden("v1.reports_request_lease.json", &request);
}

#[test]
fn slots_that_are_learnt_and_how_long_a_call_took_read_and_write_their_golden_files() {
    let now_ms = 1_790_000_000_000;
    let learn = Some(LearnSlots { start: 8, ..LearnSlots::default() });
    let rate = Rate::Concurrency { calls: 0, learn, lease: Duration::from_mins(1) };
    is_golden(
        "v1.permits_request_slots.json",
        &PermitsRequest { questions: vec![Question::new(vec![charge("slots", rate)])] },
    );
    let (answer, health) = (Some(Told::default()), Some(Health::Well));
    let report = Report { permit: permit(), sent: true, answer, health, took_us: Some(103_456) };
    is_golden("v1.reports_request_took.json", &ReportsRequest { now_ms, reports: vec![report] });
    let learnt = LearntSlots {
        slots: 12,
        base_us: Some(101_234),
        measured_at_ms: Some(now_ms - 20_000),
        queued_at_ms: Some(now_ms - 1_000),
    };
    let usage = Usage {
        key: "{acme}/slots/egress=default".to_owned(),
        limit: "slots".to_owned(),
        used: 10,
        size: Some(12),
        resets_at_ms: None,
        blocked_until_ms: None,
        learnt: None,
        learnt_slots: Some(learnt),
        down: None,
    };
    let reply = LimitsReply { now_ms, limits: vec![usage], left_off: 0, overrides: vec![] };
    is_golden("v1.limits_reply_slots.json", &reply);
    let moved = reply.by_clock(now_ms + 1).limits[0].learnt_slots.unwrap();
    assert_eq!((moved.measured_at_ms, moved.queued_at_ms), (Some(now_ms - 19_999), Some(now_ms - 999)));
}

#[test]
fn a_tenant_sees_its_own_budgets_and_what_is_nobody_s() {
    let shown = |query: LimitsQuery| -> Vec<String> {
        let keys = [
            "{acme}/address/egress=one",
            "{acme}/page/param=7",
            "{acme}/token/credential=a,of=one",
            "{acme}/token/credential=a,of=two",
            "{shop}/all/tenant=two",
            "{shop}/all/tenant=two2",
        ];
        let usage = |key: &str| Usage {
            key: key.to_owned(),
            limit: key.split('/').nth(1).unwrap().to_owned(),
            used: 0,
            size: None,
            resets_at_ms: None,
            blocked_until_ms: key.contains("of=two").then_some(5),
            learnt: None,
            learnt_slots: None,
            down: None,
        };
        let pause =
            Override { key: "{shop}/all/".into(), does: Does::Pause, reason: "they asked".into(), until_ms: None };
        let reply = query.reply(0, keys.map(usage).to_vec(), vec![pause]);
        reply.limits.into_iter().map(|usage| usage.key).collect()
    };
    let all = LimitsQuery::default;
    assert_eq!(shown(all()).len(), 6);
    let of_two = ["{acme}/address/egress=one", "{acme}/token/credential=a,of=two", "{shop}/all/tenant=two"];
    assert_eq!(shown(LimitsQuery { tenant: Some("two".into()), ..all() }), of_two);
    assert_eq!(shown(LimitsQuery { provider: Some("shop".into()), ..all() }).len(), 2);
    assert_eq!(shown(LimitsQuery { provider: Some("sho".into()), ..all() }).len(), 0);
    assert_eq!(
        shown(LimitsQuery { id: Some("token".into()), max: Some(1), ..all() }),
        ["{acme}/token/credential=a,of=one"]
    );
    assert_eq!(shown(LimitsQuery { after: Some("{acme}/token/credential=a,of=two".into()), ..all() }).len(), 2);
    assert_eq!(shown(LimitsQuery { blocked: true, ..all() }).len(), 3);
}

#[test]
fn a_clock_that_is_ahead_moves_what_was_told_from_now_on_and_nothing_else() {
    let wait = Decision::Wait { until_ms: 5, at_latest_ms: 6, limit: "a".to_owned(), why: None };
    assert_eq!(wait.by_clock(10), Decision::Wait { until_ms: 15, at_latest_ms: 16, limit: "a".to_owned(), why: None });
    let reading = |reset_is_relative| Reading {
        reset_at_ms: Some(100),
        reset_is_relative,
        pause_until_ms: Some(200),
        ..Reading::default()
    };
    let readings = BTreeMap::from([("epoch".to_owned(), reading(false)), ("delta".to_owned(), reading(true))]);
    let told = |lasts| {
        let refused = Some(Refused { keys: Vec::new(), until_ms: Some(300), lasts });
        let answer = Some(Told { readings: readings.clone(), refused });
        Report { permit: permit(), sent: true, answer, health: None, took_us: None }.by_clock(-10).answer.unwrap()
    };
    assert_eq!(told(Lasts::ByClock).refused.unwrap().until_ms, Some(300), "it is by no clock of ours");
    let told = told(Lasts::FromNow);
    let resets: Vec<_> = told.readings.values().map(|reading| reading.reset_at_ms.unwrap()).collect();
    let pauses: Vec<_> = told.readings.values().map(|reading| reading.pause_until_ms.unwrap()).collect();
    assert_eq!((resets, pauses), (vec![90, 100], vec![190, 190]));
    assert_eq!(told.refused.unwrap().until_ms, Some(290));
}
