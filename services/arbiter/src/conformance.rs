//! What holds for every store of limits. The model's own tests say the rest; this is what a store can get wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_limits::{
    Aligned, Breaker, Charge, Decision, Does, Down, Health, Lasts, Learn, LearnSlots, Override, OverrideKind, Permit,
    Question, Rate, Reading, Refused, Report, Told, Why,
};

use crate::{LimitStore, StoreError};

/// The time at which every case begins: a whole minute, Unix time in ms.
const START_MS: i64 = 1_699_999_980_000;
const MINUTE_MS: i64 = 60_000;

/// Holds a store to all of it. Every call of `make` returns a store that is empty. Needs a Tokio runtime, best one
/// with several threads.
///
/// # Panics
/// When something does not hold.
pub async fn check(make: impl AsyncFn() -> Arc<dyn LimitStore>) {
    a_call_is_charged_to_all_its_limits_or_to_none(&Case(make().await)).await;
    a_refusal_is_exact(&Case(make().await)).await;
    questions_are_decided_in_order(&Case(make().await)).await;
    calls_alike_are_granted_at_once_and_come_back_one_by_one(&Case(make().await)).await;
    what_was_not_sent_is_refunded_once(&Case(make().await)).await;
    a_slot_is_free_after_its_report_or_its_lease(&Case(make().await)).await;
    an_answer_is_believed(&Case(make().await)).await;
    a_refusal_by_the_provider_blocks(&Case(make().await)).await;
    what_is_saved_can_be_restored(&Case(make().await), &Case(make().await)).await;
    what_is_idle_is_forgotten(&Case(make().await)).await;
    a_limit_that_nobody_tells_is_learnt(&Case(make().await), Learn::default()).await;
    let near = Learn { start_per_s: 5.0, ..Learn::default() };
    a_limit_that_nobody_tells_is_learnt(&Case(make().await), near).await;
    slots_that_nobody_tells_are_learnt(&Case(make().await)).await;
    what_people_want_holds_until_it_ends(&Case(make().await)).await;
    single_calls_try_a_provider_that_is_down(&Case(make().await)).await;
    of_several_choices_the_one_with_most_room_is_charged(&Case(make().await)).await;
    a_race_overspends_nothing(&make().await).await;
}

/// A store, with the few sentences in which cases speak to it.
struct Case(Arc<dyn LimitStore>);

impl Case {
    async fn ask(&self, after_ms: i64, charges: &[Charge]) -> Decision {
        let question = Question::new(charges.to_vec());
        let decisions = expect(self.0.ask(START_MS + after_ms, vec![question]).await);
        assert_eq!(decisions.len(), 1, "one decision for one question");
        decisions.into_iter().next().unwrap_or_else(|| unreachable!())
    }

    async fn granted(&self, after_ms: i64, charges: &[Charge]) -> Permit {
        match self.ask(after_ms, charges).await {
            Decision::Granted(permit) => permit,
            wait @ Decision::Wait { .. } => {
                panic!("after {after_ms} ms: expected a grant of {charges:?}, not {wait:?}")
            }
        }
    }

    /// Until how long after the start, and because of which limit.
    async fn refused(&self, after_ms: i64, charges: &[Charge]) -> (i64, String) {
        match self.ask(after_ms, charges).await {
            Decision::Wait { until_ms, limit, .. } => (until_ms - START_MS, limit),
            granted @ Decision::Granted(_) => {
                panic!("after {after_ms} ms: expected a refusal of {charges:?}, not {granted:?}")
            }
        }
    }

    async fn report(&self, after_ms: i64, permit: &Permit, sent: bool, answer: Option<Told>) {
        expect(
            self.0
                .report(
                    START_MS + after_ms,
                    vec![Report { permit: permit.clone(), sent, answer, health: None, took_us: None }],
                )
                .await,
        );
    }

    async fn used(&self, after_ms: i64) -> BTreeMap<String, u64> {
        let usage = expect(self.0.usage(START_MS + after_ms).await);
        usage.into_iter().map(|usage| (usage.key, usage.used)).collect()
    }
}

fn expect<T>(result: Result<T, StoreError>) -> T {
    result.unwrap_or_else(|error| panic!("the store should answer: {error:?}"))
}

fn charge(key: &str, rate: &Rate, cost: u32) -> Charge {
    Charge { limit: key.to_owned(), key: key.to_owned(), rate: rate.clone(), cost, headroom: None }
}

fn a_minute(calls: u32) -> Rate {
    Rate::Window { calls, per: Duration::from_mins(1), aligned: Aligned::Epoch }
}

fn bucket(calls: u32, restore_per_s: f64) -> Rate {
    Rate::Bucket { calls, restore_per_s }
}

fn slots(calls: u32) -> Rate {
    Rate::Concurrency { calls, learn: None, lease: Duration::from_secs(30) }
}

fn used<const N: usize>(budgets: [(&str, u64); N]) -> BTreeMap<String, u64> {
    budgets.into_iter().map(|(key, used)| (key.to_owned(), used)).collect()
}

async fn a_call_is_charged_to_all_its_limits_or_to_none(case: &Case) {
    let call =
        [charge("window", &a_minute(5), 2), charge("bucket", &bucket(10, 1.0), 3), charge("slots", &slots(9), 1)];
    case.granted(0, &call).await;
    case.granted(0, &call).await;
    let charged = used([("window", 4), ("bucket", 6), ("slots", 2)]);
    assert_eq!(case.used(0).await, charged);
    assert_eq!(case.refused(0, &call).await, (MINUTE_MS, "window".to_owned()));
    assert_eq!(case.used(0).await, charged, "a refusal leaves no trace");
}

async fn a_refusal_is_exact(case: &Case) {
    for (key, rate, until_ms) in [
        ("window", a_minute(1), MINUTE_MS),
        ("first call", Rate::Window { calls: 1, per: Duration::from_secs(7), aligned: Aligned::FirstCall }, 7_000),
        ("bucket", bucket(1, 0.4), 2_500),
    ] {
        let call = [charge(key, &rate, 1)];
        let permit = case.granted(0, &call).await;
        case.report(0, &permit, true, Some(Told::default())).await;
        for after_ms in [0, until_ms - 1] {
            assert_eq!(case.refused(after_ms, &call).await, (until_ms, key.to_owned()), "after {after_ms} ms");
        }
        case.granted(until_ms, &call).await;
    }
}

async fn questions_are_decided_in_order(case: &Case) {
    let question = Question::new(vec![charge("window", &a_minute(2), 1)]);
    let decisions = expect(case.0.ask(START_MS, vec![question.clone(), question.clone(), question]).await);
    assert!(
        matches!(&decisions[..], [Decision::Granted(one), Decision::Granted(two), Decision::Wait { .. }] if one.id < two.id),
        "{decisions:?}"
    );
}

async fn calls_alike_are_granted_at_once_and_come_back_one_by_one(case: &Case) {
    let call = [charge("window", &a_minute(20), 2), charge("slots", &slots(20), 1)];
    case.granted(0, &call).await;
    let question = Question { want: 64, ..Question::new(call.to_vec()) };
    let decisions = expect(case.0.ask(START_MS, vec![question.clone(), question]).await);
    let [Decision::Granted(lease), Decision::Wait { .. }] = &decisions[..] else {
        panic!("expected a lease of all that fits, not {decisions:?}");
    };
    assert_eq!(lease.calls, 9);
    let single = lease.clone().each().nth(2).unwrap_or_else(|| unreachable!("it has nine calls"));
    let several = Permit { id: lease.id + 1, calls: 4, ..lease.clone() };
    for _ in 0..2 {
        case.report(1, &single, false, None).await;
        assert_eq!(case.used(1).await, used([("slots", 9), ("window", 18)]));
    }
    for _ in 0..2 {
        case.report(2, &several, true, Some(Told::default())).await;
        assert_eq!(case.used(2).await, used([("slots", 6), ("window", 18)]), "of the four one had come back");
    }
    case.report(3, lease, true, Some(Told::default())).await;
    assert_eq!(case.used(3).await, used([("slots", 1), ("window", 18)]), "what came back does not come back again");
}

async fn what_was_not_sent_is_refunded_once(case: &Case) {
    let call =
        [charge("window", &a_minute(9), 2), charge("bucket", &bucket(9, 0.01), 2), charge("slots", &slots(9), 2)];
    let unsent = case.granted(0, &call).await;
    case.granted(0, &call).await;
    for after_ms in [10, 20] {
        case.report(after_ms, &unsent, false, None).await;
        assert_eq!(case.used(after_ms).await, used([("window", 2), ("bucket", 2), ("slots", 2)]));
    }
}

async fn a_slot_is_free_after_its_report_or_its_lease(case: &Case) {
    let call = [charge("slots", &slots(2), 1)];
    let ended = case.granted(0, &call).await;
    case.granted(1_000, &call).await;
    assert!(case.refused(2_000, &call).await.0 <= 30_000);
    case.report(2_000, &ended, true, None).await;
    case.granted(2_000, &call).await;
    case.refused(30_999, &call).await;
    case.granted(31_000, &call).await;
    case.report(31_000, &ended, true, None).await;
    assert_eq!(case.used(31_000).await, used([("slots", 2)]), "reported again, it frees nobody else's slot");
}

async fn an_answer_is_believed(case: &Case) {
    let call = [charge("window", &a_minute(9), 1)];
    let permit = case.granted(0, &call).await;
    let reset_at_ms = Some(START_MS + 45_000);
    let reading = Reading { limit: Some(5), remaining: Some(1.0), reset_at_ms, ..Reading::default() };
    let readings = BTreeMap::from([("window".to_owned(), reading)]);
    case.report(100, &permit, true, Some(Told { readings, refused: None })).await;
    case.granted(200, &call).await;
    assert_eq!(case.refused(300, &call).await, (45_000, "window".to_owned()));
    assert_eq!(expect(case.0.usage(START_MS + 300).await)[0].size, Some(5));
}

async fn a_refusal_by_the_provider_blocks(case: &Case) {
    let call = [charge("told", &Rate::Told {}, 1), charge("other", &Rate::Told {}, 1)];
    let refusal = |until_ms: Option<i64>| {
        let refused = Some(Refused { keys: vec!["told".to_owned()], until_ms, lasts: Lasts::FromNow });
        Some(Told { readings: BTreeMap::new(), refused })
    };
    let [told, untold] = [case.granted(0, &call).await, case.granted(0, &call).await];
    case.report(100, &untold, true, refusal(None)).await;
    assert_eq!(case.refused(100, &call).await, (1_100, "told".to_owned()));
    case.report(200, &told, true, refusal(Some(START_MS + 20_000))).await;
    assert_eq!(case.refused(200, &call).await, (20_000, "told".to_owned()));
    case.granted(200, &call[1..]).await;
    let again = case.granted(20_000, &call).await;
    case.report(20_000, &again, true, refusal(None)).await;
    assert_eq!(case.refused(20_000, &call).await.0, 22_000, "the second in a row");
}

async fn what_is_saved_can_be_restored(case: &Case, fresh: &Case) {
    let call =
        [charge("window", &a_minute(9), 1), charge("bucket", &bucket(9, 0.01), 1), charge("slots", &slots(9), 1)];
    let ended = case.granted(0, &call).await;
    case.granted(0, &call).await;
    case.report(0, &ended, true, None).await;
    let Some(snapshot) = expect(case.0.snapshot().await) else { return };
    expect(fresh.0.restore(snapshot).await);
    assert_eq!(fresh.used(0).await, used([("window", 2), ("bucket", 2), ("slots", 0)]));
    assert!(fresh.granted(0, &call).await.id > ended.id);
}

async fn what_is_idle_is_forgotten(case: &Case) {
    case.granted(0, &[charge("minute", &a_minute(9), 1)]).await;
    case.granted(0, &[charge("slow", &bucket(9, 1.0 / 3_600.0), 1)]).await;
    expect(case.0.forget_idle(START_MS + 30 * MINUTE_MS).await);
    assert_eq!(case.used(30 * MINUTE_MS).await, used([("slow", 1)]));
}

/// A provider that accepts ten calls a second, a burst of ten, and answers after 50 ms.
async fn a_limit_that_nobody_tells_is_learnt(case: &Case, learn: Learn) {
    let call = [charge("learnt", &Rate::Learn(learn), 1)];
    let (mut left, mut at_ms, mut now_ms, mut accepted) = (10.0_f64, 0, 0, 0);
    while now_ms < 300_000 {
        let permit = match case.ask(now_ms, &call).await {
            Decision::Granted(permit) => permit,
            Decision::Wait { until_ms, .. } => {
                now_ms = until_ms - START_MS;
                continue;
            }
        };
        left = (left + (now_ms - at_ms) as f64 / 100.0).min(10.0);
        at_ms = now_ms;
        let refused =
            (left < 1.0).then(|| Refused { keys: vec!["learnt".to_owned()], until_ms: None, lasts: Lasts::FromNow });
        if refused.is_none() {
            left -= 1.0;
            accepted += i32::from(now_ms >= 200_000);
        }
        case.report(now_ms + 50, &permit, true, Some(Told { readings: BTreeMap::new(), refused })).await;
        now_ms += 50;
    }
    assert!((930..=1_010).contains(&accepted), "{accepted} of 1,000 that are allowed in the last 100 s");
    let usage = expect(case.0.usage(START_MS + now_ms).await);
    let learnt = usage[0].learnt.unwrap_or_else(|| unreachable!("it is learnt"));
    assert!(learnt.is_proven && (34_000..=37_000).contains(&learnt.per_hour), "{learnt:?}");
}

/// A provider that works on eight calls at a time, each for 100 ms, and lets others wait.
async fn slots_that_nobody_tells_are_learnt(case: &Case) {
    let rate = Rate::Concurrency { calls: 0, learn: Some(LearnSlots::default()), lease: Duration::from_secs(300) };
    let call = [charge("slots", &rate, 1)];
    let (mut out, mut workers, mut now_ms) = (BTreeMap::new(), [0_i64; 8], 0);
    let mut answers = 0;
    while now_ms < 60_000 {
        while let Decision::Granted(permit) = case.ask(now_ms, &call).await {
            let worker = workers.iter_mut().min().unwrap_or_else(|| unreachable!("there are eight"));
            *worker = (*worker).max(now_ms) + 100;
            out.insert((*worker, permit.id), (now_ms, permit));
        }
        let ((done_ms, _), (sent_ms, permit)) =
            out.pop_first().unwrap_or_else(|| panic!("nothing is in flight, and nothing is granted"));
        now_ms = done_ms;
        answers += i32::from(now_ms >= 30_000);
        let took_us = u64::try_from((now_ms - sent_ms) * 1_000).ok();
        let (answer, health) = (Some(Told::default()), Some(Health::Well));
        let report = Report { permit, sent: true, answer, health, took_us };
        expect(case.0.report(START_MS + now_ms, vec![report]).await);
    }
    assert!((2_280..=2_400).contains(&answers), "{answers} of 2,400 that there can be in the last 30 s");
    let usage = expect(case.0.usage(START_MS + now_ms).await);
    let learnt = usage[0].learnt_slots.unwrap_or_else(|| unreachable!("it is learnt"));
    assert!((8..=12).contains(&learnt.slots) && usage[0].size == Some(learnt.slots), "{learnt:?}");
    assert!(learnt.base_us.is_some_and(|us| (100_000..=110_000).contains(&us)), "{learnt:?}");
}

async fn what_people_want_holds_until_it_ends(case: &Case) {
    let call = [charge("{shop}/minute/egress=a", &a_minute(9), 1)];
    let wanted = |key: &str, does, until_ms: Option<i64>| Override {
        key: key.to_owned(),
        does,
        reason: "they asked us to".to_owned(),
        until_ms: until_ms.map(|ms| START_MS + ms),
    };
    let pause = wanted("{shop}/", Does::Pause, Some(20_000));
    let rate = wanted("{shop}/minute/", Does::Rate(a_minute(2)), None);
    for wanted in [&pause, &rate, &pause] {
        assert!(expect(case.0.put_override(START_MS, wanted.clone()).await));
    }
    assert_eq!(expect(case.0.overrides(START_MS).await), [pause, rate]);
    let Decision::Wait { until_ms, why, .. } = case.ask(0, &call).await else { panic!("it is paused") };
    let paused = Why::Paused { reason: "they asked us to".to_owned(), until_ms: Some(START_MS + 20_000) };
    assert_eq!((until_ms - START_MS, why), (15_000, Some(paused)), "asked again meanwhile, since it may end before");
    assert_eq!(case.refused(15_000, &call).await.0, 20_000);
    case.granted(20_000, &call).await;
    let permit = case.granted(20_000, &call).await;
    let told = Reading { limit: Some(9), remaining: Some(7.0), ..Reading::default() };
    let readings = BTreeMap::from([(call[0].key.clone(), told)]);
    case.report(20_100, &permit, true, Some(Told { readings, refused: None })).await;
    let waits = case.ask(20_200, &call).await;
    let Decision::Wait { until_ms, at_latest_ms, .. } = waits else {
        panic!("what somebody wants goes before what answers tell")
    };
    assert_eq!(until_ms - START_MS, 35_200, "asked again meanwhile, since it may be so no more");
    assert!(at_latest_ms - START_MS >= MINUTE_MS, "{waits:?}");
    let delete = async |key, kind| expect(case.0.delete_override(START_MS + 20_300, key, kind).await);
    assert!(!delete("{shop}/minute/", Some(OverrideKind::Pause)).await);
    assert!(delete("{shop}/minute/", Some(OverrideKind::Rate)).await);
    assert!(!delete("{shop}/", None).await, "it has ended by itself");
    case.granted(20_300, &call).await;
}

async fn of_several_choices_the_one_with_most_room_is_charged(case: &Case) {
    let choice = |key: &str| vec![charge("{acme}/all/", &a_minute(9), 1), charge(key, &a_minute(2), 1)];
    let keys = ["{acme}/token/alice", "{acme}/token/bob"];
    case.granted(0, &choice(keys[0])).await;
    let question = Question { alternatives: vec![choice(keys[1])], ..Question::new(choice(keys[0])) };
    let decisions = expect(case.0.ask(START_MS, vec![question; 4]).await);
    let taken = decisions.iter().filter_map(|decision| match decision {
        Decision::Granted(permit) => Some(permit.keys[1].as_str()),
        Decision::Wait { .. } => None,
    });
    assert_eq!(taken.collect::<Vec<_>>(), [keys[1], keys[0], keys[1]], "then neither has room: {decisions:?}");
    let used = case.used(0).await;
    assert_eq!((used["{acme}/all/"], used[keys[0]], used[keys[1]]), (4, 2, 2));
}

async fn single_calls_try_a_provider_that_is_down(case: &Case) {
    let call = [charge("breaker", &Rate::Breaker(Breaker::default()), 1)];
    let went = async |after_ms, permit: Permit, health| {
        let report = Report { permit, sent: true, answer: None, health: Some(health), took_us: None };
        expect(case.0.report(START_MS + after_ms, vec![report]).await);
    };
    let down = async || expect(case.0.usage(START_MS).await)[0].down;
    for _ in 0..5 {
        let permit = case.granted(0, &call).await;
        assert!(down().await.is_none() && !permit.probe, "it is not down yet");
        went(0, permit, Health::Silent).await;
    }
    let Decision::Wait { until_ms, why, .. } = case.ask(0, &call).await else { panic!("it should be down") };
    assert_eq!((until_ms, why), (START_MS + 1_000, Some(Why::Down { since_ms: START_MS })));
    assert_eq!(down().await, Some(Down { since_ms: START_MS, probe_at_ms: START_MS + 1_000 }));
    let probe = case.granted(1_000, &call).await;
    assert!(probe.probe);
    case.refused(1_000, &call).await;
    went(1_100, probe, Health::Well).await;
    let first = case.granted(1_100, &call).await;
    case.refused(1_100, &call).await;
    went(1_200, first, Health::Well).await;
    for _ in 0..2 {
        case.granted(1_200, &call).await;
    }
    case.refused(1_200, &call).await;
    assert_eq!(down().await, None);
}

/// Eight callers at once, on limits that overlap in part.
async fn a_race_overspends_nothing(store: &Arc<dyn LimitStore>) {
    let callers = (0..8).map(|caller| {
        let store = Arc::clone(store);
        let own = if caller % 2 == 0 { charge("even", &a_minute(700), 1) } else { charge("odd", &a_minute(200), 1) };
        let question = Question::new(vec![charge("all", &a_minute(800), 1), own]);
        tokio::spawn(async move {
            let mut granted = 0;
            for _ in 0..300 {
                let decisions = expect(store.ask(START_MS, vec![question.clone()]).await);
                granted += decisions.iter().filter(|decision| matches!(decision, Decision::Granted(_))).count();
                tokio::task::yield_now().await;
            }
            granted
        })
    });
    let mut granted = 0;
    for caller in callers.collect::<Vec<_>>() {
        granted += caller.await.unwrap_or_else(|error| panic!("a caller should end: {error}"));
    }
    let used: BTreeMap<String, u64> =
        expect(store.usage(START_MS).await).into_iter().map(|usage| (usage.key, usage.used)).collect();
    assert!(used["even"] <= 700 && used["odd"] <= 200, "{used:?}");
    assert_eq!((granted as u64, used["all"]), (used["even"] + used["odd"], used["even"] + used["odd"]), "{used:?}");
    assert_eq!(granted, 800, "all callers together ask for more than fits, and for no less");
}
