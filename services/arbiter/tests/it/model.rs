//! The functions in Redis against the model in Rust: the same calls in, the same decisions out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tidegate_arbiter::{LimitStore, RedisConfig, RedisStore};
use tidegate_limits::{
    Aligned, Breaker, By, Charge, Decision, Does, Headroom, Health, Lasts, Learn, LearnSlots, Limiter, Override,
    Period, Permit, Question, Rate, Reading, Refused, Report, Sharing, Told, Usage, Zone,
};

use crate::kit::{config, fresh_prefix, redis_url, sweep};

const START_MS: i64 = 1_700_000_000_000;

/// The choices of a question: lists of limits (modulo their number) with a cost.
type Choices = Vec<Vec<(usize, u32)>>;
/// Who asks, and for how many calls.
type Asker = (Option<By>, u32);

#[derive(Debug, Clone)]
enum Step {
    Wait {
        ms: i64,
    },
    /// Questions in one batch.
    Ask(Vec<Choices>, Vec<Asker>),
    /// One of the permits (modulo their number), perhaps not for the first time.
    Report {
        permit: usize,
        sent: bool,
        answer: Option<Answer>,
        health: Option<Health>,
        took_us: Option<u64>,
    },
    /// A provider file was edited: one of the limits has another rate.
    Edit {
        limit: usize,
        rate: Rate,
    },
    Forget,
    /// What somebody wants of a limit or of all of them, for so long.
    Override {
        limit: Option<usize>,
        rate: Option<Rate>,
        for_ms: Option<i64>,
    },
    Clear {
        limit: Option<usize>,
    },
}

#[derive(Debug, Clone)]
struct Answer {
    /// For some of the permit's keys; its reset is counted from now.
    readings: Vec<(usize, Reading)>,
    /// Which limits, and how long from now.
    refused: Option<(Vec<usize>, Option<i64>, Lasts)>,
    /// The refusal lasts until a reset that a reading tells.
    until_reset: bool,
}

/// Small ones that are used up soon, and some that hold a whole lease.
fn sizes() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 1..20_u32, 1 => 20..400_u32]
}

fn rates() -> impl Strategy<Value = Rate> {
    let aligned = prop_oneof![Just(Aligned::FirstCall), Just(Aligned::Epoch), Just(Aligned::Told)];
    let per_ms = prop_oneof![100..5_000_u64, 5_000..400_000_u64];
    let every_us = prop_oneof![100..50_000_u32, 1_000..20_000_000_u32];
    prop_oneof![
        (sizes(), per_ms, aligned).prop_map(|(calls, per_ms, aligned)| Rate::Window {
            calls,
            per: Duration::from_millis(per_ms),
            aligned
        }),
        (1..20_u32, prop_oneof![1..70_u64, 100..5_000_u64, 5_000..400_000_u64])
            .prop_map(|(calls, per_ms)| Rate::Sliding { calls, per: Duration::from_millis(per_ms) }),
        (1..20_u32, quota_periods(), quota_zones()).prop_map(|(calls, per, zone)| Rate::Quota { calls, per, zone }),
        (sizes(), every_us)
            .prop_map(|(calls, every_us)| Rate::Bucket { calls, restore_per_s: 1e6 / f64::from(every_us) }),
        (prop_oneof![1..8_u32, 1..400_u32], 100..400_000_u64).prop_map(|(calls, lease_ms)| Rate::Concurrency {
            calls,
            learn: None,
            lease: Duration::from_millis(lease_ms)
        }),
        (1..8_u32, 1..8_u32, 1..40_u32, 100..400_000_u64).prop_map(|(floor, start, cap, lease_ms)| {
            let (start, cap) = (start + floor, cap + start + floor);
            let learn = Some(LearnSlots { start, floor, cap });
            Rate::Concurrency { calls: 0, learn, lease: Duration::from_millis(lease_ms) }
        }),
        (1..400_u32, 1..100_u32).prop_map(|(start, share)| Rate::Learn(Learn {
            start_per_s: f64::from(start) / 8.0,
            refused_share: f64::from(share) / 1_000.0,
            ..Learn::default()
        })),
        (0..6_u32, 1..40_000_u64, 1..100_u64).prop_map(|(failures, first_ms, patience_s)| Rate::Breaker(Breaker {
            failures,
            first_probe: Duration::from_millis(first_ms),
            patience: Duration::from_secs(patience_s),
            ..Breaker::default()
        })),
        Just(Rate::Told {}),
    ]
}

fn quota_periods() -> impl Strategy<Value = Period> {
    prop_oneof![4 => Just(Period::Day), 1 => Just(Period::Week), 1 => Just(Period::Month)]
}

/// It is 22:13:20 UTC when a test begins: midnight comes in some of them, in one after a quarter of an hour.
fn quota_zones() -> impl Strategy<Value = Zone> {
    const NAMES: &[&str] =
        &["UTC", "Asia/Kathmandu", "America/Los_Angeles", "Asia/Kolkata", "Australia/Eucla", "Etc/GMT-2"];
    prop::sample::select(NAMES).prop_map(|name| name.to_owned().try_into().unwrap())
}

fn readings() -> impl Strategy<Value = Reading> {
    let left = prop_oneof![Just(0.0), (0..30_u32).prop_map(f64::from), Just(2.5)];
    let reset = prop_oneof![-2_000..10_000_i64, 0..500_000_i64];
    (
        option::of(1..30_u64),
        option::of(left),
        option::of(reset),
        any::<bool>(),
        any::<bool>(),
        option::weighted(0.1, 0..5_000_i64),
        option::weighted(0.2, 0..12_u64),
        option::weighted(0.3, prop_oneof![-3_000..1_000_i64, -400_000..400_000_i64]),
    )
        .prop_map(
            |(limit, remaining, reset_at_ms, is_relative, in_seconds, pause_until_ms, cost, clock_ahead_ms)| Reading {
                limit,
                remaining,
                reset_at_ms,
                reset_step_ms: if in_seconds { 1_000 } else { 0 },
                reset_is_relative: is_relative,
                pause_until_ms,
                pause_is_by_clock: false,
                clock_ahead_ms,
                cost,
                ignored: 0,
            },
        )
}

fn askers() -> impl Strategy<Value = By> {
    let credential = option::of(0..2_u8);
    (0..5_u8, 0..2_u8, 0..3_u8, credential, option::of(0..5_usize)).prop_map(
        |(lane, tenant, job, credential, waited_for)| By {
            lane,
            tenant: format!("tenant {tenant}"),
            job: format!("job {job}"),
            credential: credential.map(|number| format!("credential {number}")),
            waited_for: waited_for.map(|limit| format!("limit {}", limit % 3)),
        },
    )
}

fn sharings() -> impl Strategy<Value = Sharing> {
    let trickle = prop_oneof![Just(0_u32), Just(100_u32), 1..100_u32];
    (vec(1..2_000_u32, 4), vec(0..30_u32, 3), vec(1..9_u32, 2), trickle).prop_map(
        |(weights, kept, tenants, trickle)| {
            let tenants = tenants.into_iter().enumerate().map(|(number, weight)| (format!("tenant {number}"), weight));
            Sharing::new(&weights, &kept, tenants.collect()).unwrap().trickle(trickle).unwrap()
        },
    )
}

fn answers() -> impl Strategy<Value = Answer> {
    let lasts = prop_oneof![2 => Just(Lasts::FromNow), 1 => Just(Lasts::ByClock), 2 => Just(Lasts::Period)];
    let refused = (vec(any::<usize>(), 1..3), option::of(-1_000..60_000_i64), lasts);
    (vec((any::<usize>(), readings()), 0..3), option::weighted(0.25, refused), any::<bool>())
        .prop_map(|(readings, refused, until_reset)| Answer { readings, refused, until_reset })
}

fn steps() -> impl Strategy<Value = Step> {
    let ms = prop_oneof![6 => 0..300_i64, 3 => 0..10_000_i64, 2 => 0..60_000_i64, 1 => 0..1_500_000_i64];
    let cost = prop_oneof![6 => Just(1_u32), 2 => 0..6_u32, 1 => 0..40_u32];
    let health = prop_oneof![Just(None), Just(Some(Health::Well)), Just(Some(Health::Ill)), Just(Some(Health::Silent))];
    let took = prop_oneof![3 => 90_000..110_000_u64, 1 => 0..1_000_000_u64];
    let choices = prop_oneof![2 => 1..2_usize, 1 => 2..5_usize];
    let choices = choices.prop_flat_map(move |choices| vec(vec((any::<usize>(), cost.clone()), 1..4), choices));
    let want = prop_oneof![6 => Just(1_u32), 2 => 1..30_u32, 1 => 1..300_u32];
    let batch = vec(choices, 1..6);
    prop_oneof![
        4 => ms.prop_map(|ms| Step::Wait { ms }),
        8 => (batch, vec((option::weighted(0.8, askers()), want), 6)).prop_map(|(batch, by)| Step::Ask(batch, by)),
        6 => (any::<usize>(), prop::bool::weighted(0.8), option::weighted(0.7, answers()), health, option::weighted(0.7, took.clone()))
            .prop_map(|(permit, sent, answer, health, took_us)| Step::Report { permit, sent, answer, health, took_us }),
        1 => (any::<usize>(), rates()).prop_map(|(limit, rate)| Step::Edit { limit, rate }),
        1 => Just(Step::Forget),
        1 => (option::of(any::<usize>()), option::of(rates()), option::of(-100..100_000_i64))
            .prop_filter("it can't be wanted", |(_, rate, _)| rate.as_ref().is_none_or(|rate| wanted(&key(0), Some(rate), None).check().is_ok()))
            .prop_map(|(limit, rate, for_ms)| Step::Override { limit, rate, for_ms }),
        1 => option::of(any::<usize>()).prop_map(|limit| Step::Clear { limit }),
    ]
}

fn wanted(key: &str, rate: Option<&Rate>, until_ms: Option<i64>) -> Override {
    let does = rate.cloned().map_or(Does::Pause, Does::Rate);
    Override { key: key.to_owned(), does, reason: "so it is wanted".to_owned(), until_ms }
}

/// Calls that go out together, and what comes of them.
#[derive(Debug, Clone)]
struct Lap {
    calls: usize,
    took_us: u64,
    /// Of the first of them.
    refused: bool,
    health: Health,
}

fn laps() -> impl Strategy<Value = Lap> {
    let took_us = prop_oneof![6 => 90_000..130_000_u64, 2 => 100_000..400_000_u64, 1 => 0..30_000_000_u64];
    let health = prop_oneof![20 => Just(Health::Well), 1 => Just(Health::Ill), 1 => Just(Health::Silent)];
    (1..40_usize, took_us, prop::bool::weighted(0.05), health).prop_map(|(calls, took_us, refused, health)| Lap {
        calls,
        took_us,
        refused,
        health,
    })
}

/// The middle third of a lease, if it has one.
fn part(lease: &Permit) -> Option<Permit> {
    let calls = lease.calls / 3;
    (calls > 1).then(|| Permit { id: lease.id + u64::from(calls), calls, ..lease.clone() })
}

/// Both, side by side.
struct Pair {
    model: Limiter,
    redis: RedisStore,
    rates: Vec<Rate>,
    headroom: Option<Headroom>,
    now_ms: i64,
    /// The same permits, as each of both calls them.
    permits: Vec<(Permit, Permit)>,
}

fn key(limit: usize) -> String {
    format!("{{acme}}/{limit}/")
}

impl Pair {
    async fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Wait { ms } => self.now_ms += ms,
            Step::Ask(batch, by) => self.ask(&batch, &by).await?,
            Step::Report { permit, sent, answer, health, took_us } if !self.permits.is_empty() => {
                let (ours, theirs) = self.permits[permit % self.permits.len()].clone();
                let answer = answer.map(|answer| self.told(&ours, answer));
                self.model.report(self.now_ms, &Report { permit: ours, sent, answer: answer.clone(), health, took_us });
                let report = Report { permit: theirs, sent, answer, health, took_us };
                self.redis.report(self.now_ms, vec![report]).await.unwrap();
            }
            Step::Report { .. } => {}
            Step::Edit { limit, rate } => {
                let place = limit % self.rates.len();
                self.rates[place] = rate;
            }
            Step::Forget => {
                self.model.forget_idle(self.now_ms);
                self.redis.forget_idle(self.now_ms).await.unwrap();
            }
            Step::Override { limit, rate, for_ms } => {
                let wanted = wanted(&self.target(limit), rate.as_ref(), for_ms.map(|ms| self.now_ms + ms));
                self.model.put_override(wanted.clone(), self.now_ms);
                self.redis.put_override(self.now_ms, wanted).await.unwrap();
                let shown = |all: Vec<Override>| -> Vec<_> {
                    all.into_iter().map(|one| (one.kind(), one.key, one.until_ms)).collect()
                };
                let theirs = self.redis.overrides(self.now_ms).await.unwrap();
                prop_assert_eq!(shown(self.model.overrides(self.now_ms)), shown(theirs));
            }
            Step::Clear { limit } => {
                let key = self.target(limit);
                let ours = self.model.delete_override(&key, None, self.now_ms);
                prop_assert_eq!(ours, self.redis.delete_override(self.now_ms, &key, None).await.unwrap());
            }
        }
        Ok(())
    }

    async fn lap(&mut self, lap: Lap) -> Result<(), TestCaseError> {
        let (calls, asker) = (vec![vec![vec![(0, 1)]]; lap.calls], vec![(None, 1); lap.calls]);
        self.ask(&calls, &asker).await?;
        self.now_ms += (lap.took_us / 1_000) as i64;
        let refused = lap.refused.then(|| Refused { keys: Vec::new(), until_ms: None, lasts: Lasts::FromNow });
        let first = (Some(lap.health), Some(Told { readings: BTreeMap::new(), refused }));
        let others = (Some(Health::Well), Some(Told::default()));
        let mut reports = Vec::new();
        for (place, (ours, theirs)) in std::mem::take(&mut self.permits).into_iter().enumerate() {
            let (health, answer) = if place == 0 { first.clone() } else { others.clone() };
            let report = |permit| Report { permit, sent: true, answer, health, took_us: Some(lap.took_us) };
            let theirs = report(theirs);
            self.model.report(self.now_ms, &Report { permit: ours, ..theirs.clone() });
            reports.push(theirs);
        }
        self.redis.report(self.now_ms, reports).await.unwrap();
        self.now_ms += 1;
        Ok(())
    }

    /// Calls that go whenever they may meet a bucket, whose answers take `answer_ms` and up to as long again.
    async fn follow(
        &mut self,
        mut bucket: Bucket,
        (for_ms, step_ms): (i64, i64),
        answer_ms: i64,
    ) -> Result<(), TestCaseError> {
        let end_ms = self.now_ms + for_ms;
        let mut out: Vec<(i64, bool, Permit, Permit)> = Vec::new();
        while self.now_ms < end_ms {
            let (back, still) = std::mem::take(&mut out).into_iter().partition(|call| call.0 <= self.now_ms);
            out = still;
            for (_, accepted, ours, theirs) in back {
                let refused = (!accepted).then(|| Refused { keys: Vec::new(), until_ms: None, lasts: Lasts::FromNow });
                let answer = Some(Told { readings: BTreeMap::new(), refused });
                let report =
                    |permit| Report { permit, sent: true, answer: answer.clone(), health: None, took_us: None };
                self.model.report(self.now_ms, &report(ours));
                self.redis.report(self.now_ms, vec![report(theirs)]).await.unwrap();
            }
            self.ask(&[vec![vec![(0, 1)]]], &[(None, 1)]).await?;
            for (ours, theirs) in std::mem::take(&mut self.permits) {
                let took_ms = answer_ms + ours.id as i64 * 7 % (answer_ms + 1);
                out.push((self.now_ms + took_ms, bucket.accepts(self.now_ms), ours, theirs));
            }
            self.now_ms += step_ms;
        }
        Ok(())
    }

    fn target(&self, limit: Option<usize>) -> String {
        limit.map_or("{acme}/".to_owned(), |limit| key(limit % self.rates.len()))
    }

    async fn ask(&mut self, batch: &[Choices], by: &[Asker]) -> Result<(), TestCaseError> {
        let charges = |asked: &Vec<(usize, u32)>| {
            let costs: BTreeMap<usize, u32> =
                asked.iter().map(|(limit, cost)| (limit % self.rates.len(), *cost)).collect();
            let charge = |(limit, cost): (usize, u32)| {
                let rate = self.rates[limit].clone();
                // Every other limit keeps its own.
                let headroom = self.headroom.filter(|_| limit % 2 == 0);
                Charge { limit: format!("limit {}", limit % 3), key: key(limit), rate, cost, headroom }
            };
            costs.into_iter().map(charge).collect()
        };
        let question = |(asked, (by, want)): (&Choices, &Asker)| {
            let mut choices = asked.iter().map(charges);
            let charges = choices.next().unwrap_or_default();
            Question { charges, alternatives: choices.collect(), by: by.clone(), want: *want }
        };
        let questions: Vec<Question> = batch.iter().zip(by).map(question).collect();
        let theirs = self.redis.ask(self.now_ms, questions.clone()).await.unwrap();
        prop_assert_eq!(theirs.len(), questions.len());
        for (question, theirs) in questions.iter().zip(theirs) {
            match (self.model.decide(self.now_ms, question), theirs) {
                (Decision::Granted(ours), Decision::Granted(theirs)) => {
                    let known = |permit: &Permit| Permit { id: 0, ..permit.clone() };
                    prop_assert_eq!(known(&ours), known(&theirs));
                    prop_assert!(ours.calls <= question.want);
                    if let Some((_, last)) = self.permits.last() {
                        prop_assert!(last.id < theirs.id, "ids increase");
                    }
                    // All together, some of them, or each by itself.
                    self.permits.push((ours.clone(), theirs.clone()));
                    self.permits.extend(part(&ours).zip(part(&theirs)));
                    self.permits.extend(ours.each().zip(theirs.each()).skip(1));
                }
                (ours, theirs) => prop_assert_eq!(ours, theirs, "at {} of {:?}", self.now_ms - START_MS, question),
            }
        }
        Ok(())
    }

    fn told(&self, permit: &Permit, answer: Answer) -> Told {
        let from_now = |ms: i64| ms + self.now_ms;
        let reading = |(place, reading): (usize, Reading)| {
            let reading = Reading {
                reset_at_ms: reading.reset_at_ms.map(from_now),
                pause_until_ms: reading.pause_until_ms.map(from_now),
                ..reading
            };
            (permit.keys[place % permit.keys.len()].clone(), reading)
        };
        let reset_ms = answer.readings.iter().filter(|_| answer.until_reset).find_map(|(_, reading)| {
            Some(reading.reset_at_ms? - reading.clock_ahead_ms.filter(|ms| ms % 2 == 0).unwrap_or(0))
        });
        let refused =
            answer.refused.map(|(limits, ms, lasts)| (limits, reset_ms.or(ms), lasts)).map(|(limits, ms, lasts)| {
                Refused {
                    keys: limits.iter().map(|limit| key(limit % self.rates.len())).collect(),
                    until_ms: ms.map(from_now),
                    lasts,
                }
            });
        Told { readings: answer.readings.into_iter().map(reading).collect(), refused }
    }
}

proptest! {
    #[test]
    fn redis_decides_as_the_model_does(
        rates in vec(rates(), 1..5),
        sharing in option::of(sharings()),
        headroom in option::of(vec(0..30_u32, 3)),
        steps in vec(steps(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let prefix = fresh_prefix();
            let sharing = sharing.unwrap_or_default();
            let config = RedisConfig { sharing: sharing.clone(), ..config(&redis_url(), &prefix) };
            let redis = RedisStore::new(&config).unwrap().by_caller_s_time();
            let mut pair = Pair { model: Limiter::default().sharing(Arc::new(sharing)), redis, rates, headroom: headroom.map(|kept| kept.try_into().unwrap()), now_ms: START_MS, permits: Vec::new() };
            for step in steps {
                pair.take(step).await?;
            }
            let usage: Vec<Usage> = pair.redis.usage(pair.now_ms).await.unwrap();
            sweep(&prefix).await;
            prop_assert_eq!(pair.model.usage(pair.now_ms), usage);
            Ok(())
        })?;
    }
}

/// A provider's, which says nothing of itself, with a quota in windows by the clock.
#[derive(Debug, Clone)]
struct Bucket {
    per_s: f64,
    burst: f64,
    left: f64,
    at_ms: i64,
    quota: u32,
    window_ms: i64,
    used: u32,
}

impl Bucket {
    fn new(per_s: f64, burst: f64, (quota, window_ms): (u32, i64), at_ms: i64) -> Self {
        Self { per_s, burst, left: 1.0, at_ms, quota, window_ms, used: 0 }
    }

    fn accepts(&mut self, now_ms: i64) -> bool {
        self.left = (self.left + (now_ms - self.at_ms) as f64 * self.per_s / 1_000.0).min(self.burst);
        if now_ms / self.window_ms != self.at_ms / self.window_ms {
            self.used = 0;
        }
        self.at_ms = now_ms;
        let accepts = self.left >= 1.0 && self.used < self.quota;
        self.left -= f64::from(u8::from(accepts));
        self.used += u32::from(accepts);
        accepts
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    /// A bucket that changes, so that it is followed up and down: that takes more refusals than random steps bring.
    #[test]
    fn redis_follows_a_bucket_as_the_model_does(
        per_s in vec(10.0..90.0_f64, 3),
        burst in 3.0..30.0_f64,
        answer_ms in 1..40_i64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let prefix = fresh_prefix();
            let rates = vec![Rate::Learn(Learn { start_per_s: per_s[0] / 2.0, ..Learn::default() })];
            let redis = RedisStore::new(&config(&redis_url(), &prefix)).unwrap().by_caller_s_time();
            let mut pair = Pair { model: Limiter::default(), redis, rates, headroom: None, now_ms: START_MS, permits: Vec::new() };
            for per_s in per_s {
                let unlimited = (u32::MAX, i64::MAX);
                let bucket = Bucket::new(per_s, burst, unlimited, pair.now_ms);
                pair.follow(bucket, (4_000, 8), answer_ms).await?;
                let usage: Vec<Usage> = pair.redis.usage(pair.now_ms).await.unwrap();
                prop_assert_eq!(pair.model.usage(pair.now_ms), usage);
            }
            sweep(&prefix).await;
            Ok(())
        })?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2))]

    /// A quota that is used up again and again beside a bucket, which takes walls of refusals.
    #[test]
    fn redis_learns_a_quota_as_the_model_does(
        per_s in 1.5..2.5_f64,
        start_per_s in 0.8..5.0_f64,
        calls in 150..250_u32,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let prefix = fresh_prefix();
            let rates = vec![Rate::Learn(Learn { start_per_s, ..Learn::default() })];
            let redis = RedisStore::new(&config(&redis_url(), &prefix)).unwrap().by_caller_s_time();
            let mut pair = Pair { model: Limiter::default(), redis, rates, headroom: None, now_ms: START_MS, permits: Vec::new() };
            let bucket = Bucket::new(per_s, 5.0, (calls, 240_000), pair.now_ms);
            pair.follow(bucket, (700_000, 350), 50).await?;
            let usage: Vec<Usage> = pair.redis.usage(pair.now_ms).await.unwrap();
            prop_assert_eq!(pair.model.usage(pair.now_ms), usage);
            sweep(&prefix).await;
            Ok(())
        })?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// All calls come back, so that slots are learnt: rounds take more answers than random steps bring.
    #[test]
    fn redis_learns_slots_as_the_model_does(
        (floor, start, cap) in (1..4_u32, 0..12_u32, 0..60_u32),
        laps in vec(laps(), 10..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let prefix = fresh_prefix();
            let learn = Some(LearnSlots { start: floor + start, floor, cap: floor + start + cap });
            let rates = vec![Rate::Concurrency { calls: 0, learn, lease: Duration::from_mins(5) }];
            let redis = RedisStore::new(&config(&redis_url(), &prefix)).unwrap().by_caller_s_time();
            let mut pair = Pair { model: Limiter::default(), redis, rates, headroom: None, now_ms: START_MS, permits: Vec::new() };
            for lap in laps {
                pair.lap(lap).await?;
            }
            let usage: Vec<Usage> = pair.redis.usage(pair.now_ms).await.unwrap();
            sweep(&prefix).await;
            prop_assert_eq!(pair.model.usage(pair.now_ms), usage);
            Ok(())
        })?;
    }
}

/// More than have turns of their own, by themselves and by tenant.
#[tokio::test]
async fn redis_has_hundreds_of_jobs_take_turns_as_the_model_does() {
    let prefix = fresh_prefix();
    let redis = RedisStore::new(&config(&redis_url(), &prefix)).unwrap().by_caller_s_time();
    let rates = vec![Rate::Bucket { calls: 5, restore_per_s: 50.0 }];
    let (headroom, permits) = (None, Vec::new());
    let mut pair = Pair { model: Limiter::default(), redis, rates, headroom, now_ms: START_MS, permits };
    for round in 0..3 {
        let waited_for = (round > 0).then(|| "limit 0".to_owned());
        let asker = |job: u32| {
            let (tenant, job) = (format!("tenant {}", job % 140), job.to_string());
            (Some(By { lane: 1, tenant, job, credential: None, waited_for: waited_for.clone() }), 1)
        };
        let by: Vec<Asker> = (0..320).map(asker).collect();
        for by in by.chunks(40) {
            pair.ask(&vec![vec![vec![(0, 1)]]; by.len()], by).await.unwrap();
            pair.now_ms += 50;
        }
    }
    let granted = pair.permits.len();
    sweep(&prefix).await;
    assert!(granted > 40, "{granted}");
}
