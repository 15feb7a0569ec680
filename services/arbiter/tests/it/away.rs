//! Arbiters that grant shares of what they saw while Redis is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tidegate_arbiter::http::Config;
use tidegate_arbiter::{LimitStore, RedisConfig, RedisStore, WhileAway};
use tidegate_daemon::clock::{self, now_ms};
use tidegate_executor::{HttpPermits, HttpPermitsConfig, Permits};
use tidegate_limits::{Decision, Does, Lasts, Override, Permit, Question, Rate, Refused, Report, Told};

use crate::kit::{Served, charge, config, http, question, until, window};
use crate::outage::{RECOVERY_MS, Redis};

const HOUR: Duration = Duration::from_hours(1);
const SHARE: WhileAway = WhileAway::Share { percent: 50, at_most: HOUR };

fn sharing(redis: &Redis, while_away: WhileAway) -> RedisStore {
    RedisStore::new(&RedisConfig { answer_within: Duration::from_millis(500), while_away, ..config(&redis.url(), "") })
        .unwrap()
}

fn two(redis: &Redis) -> [RedisStore; 2] {
    [sharing(redis, SHARE), sharing(redis, SHARE)]
}

async fn ask(store: &RedisStore, asked: &Question) -> Option<Decision> {
    store.ask(now_ms(), vec![asked.clone()]).await.ok().map(|mut decisions| decisions.remove(0))
}

/// How many are granted, one after the other, until one has to wait.
async fn grants(store: &RedisStore, asked: &Question) -> Vec<Permit> {
    let mut permits = Vec::new();
    while let Some(Decision::Granted(permit)) = ask(store, asked).await {
        permits.push(permit);
        assert!(permits.len() <= 2_000, "there is no end");
    }
    permits
}

async fn grants_of(store: &RedisStore, asked: &Question, times: usize) -> Vec<Permit> {
    let mut permits = Vec::new();
    for _ in 0..times {
        let Some(Decision::Granted(permit)) = ask(store, asked).await else { panic!("it has room") };
        permits.push(permit);
    }
    permits
}

/// As the arbiter does once a second: it looks at what others did.
async fn look(stores: &[RedisStore]) {
    for store in stores {
        store.ping().await.unwrap();
    }
}

/// Until arbiters have found that it is away, which takes 2 s.
async fn kill(redis: &mut Redis, stores: &[RedisStore]) {
    redis.kill();
    for store in stores {
        assert!(store.ping().await.is_err(), "it is not away yet");
    }
    for store in stores {
        until("being away", async || store.ping().await.is_ok()).await;
    }
}

/// Until all have told what they granted, and may grant again.
async fn start_again(redis: &mut Redis, stores: &[RedisStore], asked: &Question) {
    redis.start_again().await;
    for store in stores {
        until("telling", async || store.ping().await.is_ok() && store.usage(now_ms()).await.is_ok()).await;
    }
    let recovering = ask(&stores[0], asked).await;
    assert!(matches!(recovering, Some(Decision::Wait { .. })), "not before all have told: {recovering:?}");
    tokio::time::sleep(Duration::from_millis(RECOVERY_MS.unsigned_abs())).await;
}

#[tokio::test]
async fn while_redis_is_away_two_arbiters_grant_what_was_left_and_no_more() {
    let mut redis = Redis::start().await;
    let stores = two(&redis);
    let asked = question([
        charge("window", window(100, HOUR)),
        charge("bucket", Rate::Bucket { calls: 200, restore_per_s: 0.01 }),
        charge("sliding", Rate::Sliding { calls: 200, per: HOUR }),
    ]);
    grants_of(&stores[0], &asked, 20).await;
    grants_of(&stores[1], &asked, 11).await;
    look(&stores).await;
    kill(&mut redis, &stores).await;
    // 69 are left, of which each grants its half.
    assert_eq!(grants(&stores[0], &asked).await.len(), 34);
    assert_eq!(grants(&stores[1], &asked).await.len(), 34);
    start_again(&mut redis, &stores, &asked).await;
    assert_eq!(grants(&stores[1], &asked).await.len(), 1, "of 100");
    assert_eq!(grants(&stores[0], &asked).await.len(), 0);
    let usage = stores[0].usage(now_ms()).await.unwrap();
    assert_eq!(usage.iter().map(|budget| budget.used).collect::<Vec<_>>(), [100, 100, 100]);
}

#[tokio::test]
async fn what_one_arbiter_granted_without_redis_is_charged_before_the_other_is_granted_any() {
    let mut redis = Redis::start().await;
    let stores = two(&redis);
    let asked = question([charge("window", window(100, HOUR))]);
    grants_of(&stores[0], &asked, 2).await;
    kill(&mut redis, &stores).await;
    assert_eq!(grants(&stores[0], &asked).await.len(), 49);
    assert_eq!(grants(&stores[1], &asked).await.len(), 0, "it has never seen the budget");
    start_again(&mut redis, &stores, &asked).await;
    assert_eq!(grants(&stores[1], &asked).await.len(), 49);
}

#[tokio::test]
async fn a_window_that_ends_meanwhile_is_shared_anew() {
    let mut redis = Redis::start().await;
    let stores = two(&redis);
    let per = Duration::from_secs(8);
    let asked = question([charge("window", window(20, per))]);
    for store in &stores {
        let [permit] = &grants_of(store, &asked, 1).await[..] else { panic!("one was asked for") };
        let report =
            Report { permit: permit.clone(), sent: true, answer: Some(Told::default()), health: None, took_us: None };
        store.report(now_ms(), vec![report]).await.unwrap();
    }
    look(&stores).await;
    kill(&mut redis, &stores).await;
    assert_eq!(grants(&stores[0], &asked).await.len(), 9);
    until("the window's end", async || matches!(ask(&stores[0], &asked).await, Some(Decision::Granted(_)))).await;
    let (one, other) = (grants(&stores[0], &asked).await.len(), grants(&stores[1], &asked).await.len());
    assert!(1 + one + other <= 20, "{one} and {other} in one window");
}

#[tokio::test]
async fn slots_that_were_free_are_shared_and_those_taken_meanwhile_stay_so_until_their_reports() {
    let mut redis = Redis::start().await;
    let stores = two(&redis);
    let asked = question([charge("slots", Rate::Concurrency { calls: 10, learn: None, lease: HOUR })]);
    grants_of(&stores[0], &asked, 1).await;
    grants_of(&stores[1], &asked, 1).await;
    look(&stores).await;
    kill(&mut redis, &stores).await;
    let permits = [grants(&stores[0], &asked).await, grants(&stores[1], &asked).await].concat();
    assert_eq!(permits.len(), 8);
    let report =
        |permit: &Permit| Report { permit: permit.clone(), sent: true, answer: None, health: None, took_us: None };
    stores[0].report(now_ms(), vec![report(&permits[0])]).await.unwrap();
    start_again(&mut redis, &stores, &asked).await;
    assert_eq!(grants(&stores[1], &asked).await.len(), 1, "one was reported while Redis was away");
    stores[1].report(now_ms(), vec![report(&permits[7])]).await.unwrap();
    assert_eq!(grants(&stores[0], &asked).await.len(), 1);
}

#[tokio::test]
async fn pauses_and_refusals_are_obeyed_without_redis() {
    let mut redis = Redis::start().await;
    let stores = two(&redis);
    let (paused, refused) =
        (question([charge("paused", window(99, HOUR))]), question([charge("refused", window(99, HOUR))]));
    grants_of(&stores[0], &paused, 1).await;
    let pause =
        Override { key: "{acme}/paused/".into(), does: Does::Pause, reason: "they asked us to".into(), until_ms: None };
    assert!(stores[1].put_override(now_ms(), pause).await.unwrap());
    let permits = grants_of(&stores[0], &refused, 2).await;
    look(&stores).await;
    kill(&mut redis, &stores).await;
    assert_eq!(grants(&stores[0], &paused).await.len(), 0);
    assert!(matches!(ask(&stores[0], &refused).await, Some(Decision::Granted(_))));
    let until_ms = Some(now_ms() + 60_000);
    let told = Told {
        refused: Some(Refused { keys: permits[0].keys.clone(), until_ms, lasts: Lasts::FromNow }),
        ..Told::default()
    };
    let report = Report { permit: permits[0].clone(), sent: true, answer: Some(told), health: None, took_us: None };
    stores[0].report(now_ms(), vec![report]).await.unwrap();
    assert_eq!(grants(&stores[0], &refused).await.len(), 0);
    start_again(&mut redis, &stores, &refused).await;
    let Some(Decision::Wait { until_ms, .. }) = ask(&stores[1], &refused).await else { panic!("it is refused") };
    assert!(until_ms > now_ms() + 30_000, "Redis is told of the refusal");
}

#[tokio::test]
async fn shares_are_granted_for_a_time_only_and_executors_are_told_meanwhile() {
    let mut redis = Redis::start().await;
    let at_most = Duration::from_secs(3);
    let store = Arc::new(sharing(&redis, WhileAway::Share { percent: 25, at_most }));
    let served = Served::start(store, Config::default()).await;
    let permits = HttpPermits::new(&HttpPermitsConfig::new(vec![served.url.clone()]), clock::system()).unwrap();
    let asked = question([charge("window", window(1_000, HOUR))]);
    let is_granted = async || matches!(permits.ask(asked.clone()).await, Ok(Decision::Granted(_)));
    assert!(is_granted().await);
    redis.kill();
    assert!(permits.ask(asked.clone()).await.is_err(), "calls wait, and no attempt is spent");
    until("being away", is_granted).await;
    let is_ready =
        async || http().get(served.url.join("/readyz").unwrap()).send().await.unwrap().status().as_u16() == 200;
    until("being ready", is_ready).await;
    until("the end of shares", async || permits.ask(asked.clone()).await.is_err()).await;
    until("not being ready", async || !is_ready().await).await;
}

/// The bound that `docs/limits-store.md` states: nothing beyond the limit but the share of what others were granted of a budget
/// since an arbiter had seen it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_arbiters_under_load_keep_the_bound_while_redis_goes_away_and_comes_back_empty() {
    const FITS: usize = 1_000;
    let mut redis = Redis::start().await;
    let stores = two(&redis).map(Arc::new);
    let asked = question([charge("tight", window(1_000, HOUR)), charge("wide", window(1_500, HOUR))]);
    let (granted, unheard) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let is_over = Arc::new(AtomicBool::new(false));
    let mut tasks: Vec<_> = (0..40)
        .map(|caller| {
            let (store, asked, is_over) = (Arc::clone(&stores[caller % 2]), asked.clone(), Arc::clone(&is_over));
            let (granted, unheard) = (Arc::clone(&granted), Arc::clone(&unheard));
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    match ask(&store, &asked).await {
                        Some(Decision::Granted(permit)) => {
                            granted.fetch_add(1, Ordering::Relaxed);
                            let report = Report { permit, sent: true, answer: None, health: None, took_us: None };
                            let _ = store.report(now_ms(), vec![report]).await;
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                        Some(Decision::Wait { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
                        None => {
                            unheard.fetch_add(1, Ordering::Relaxed);
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                    }
                }
            })
        })
        .collect();
    tasks.extend(stores.iter().map(|store| {
        let (store, is_over) = (Arc::clone(store), Arc::clone(&is_over));
        tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                let _ = store.ping().await;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        })
    }));
    until("granting", async || granted.load(Ordering::Relaxed) >= FITS / 4).await;
    redis.kill();
    let before = granted.load(Ordering::Relaxed);
    until("granting without it", async || granted.load(Ordering::Relaxed) > before + FITS / 4).await;
    redis.start_again().await;
    let mut last = (0, now_ms());
    let is_still = async || {
        let now = granted.load(Ordering::Relaxed);
        last = if now == last.0 { last } else { (now, now_ms()) };
        now_ms() - last.1 > RECOVERY_MS + 1_500
    };
    until("granting no more", is_still).await;
    is_over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    let (granted, unheard) = (granted.load(Ordering::Relaxed), unheard.load(Ordering::Relaxed));
    // Both see each budget with every call, so what the other was granted since is what was on its way: 20 calls.
    assert!(granted <= FITS + 20, "{granted} granted, {unheard} unheard");
    assert!(granted >= FITS * 9 / 10, "{granted} granted, {unheard} unheard");
}
