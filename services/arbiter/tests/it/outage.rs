//! A Redis of our own that stops, hangs and comes back.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tidegate_arbiter::http::Config;
use tidegate_arbiter::{LimitStore, RedisStore};
use tidegate_daemon::clock::{self, now_ms};
use tidegate_executor::{HttpPermits, HttpPermitsConfig, Permits};
use tidegate_limits::{Decision, Does, Override, Permit, Question, Rate, Report};

use crate::kit::{Served, all_keys, charge, config, connect, http, question, until, window};

const HOUR: Duration = Duration::from_hours(1);
/// For so long nothing is granted after data was lost.
pub(crate) const RECOVERY_MS: i64 = 3_000;

/// A server on its own port, without persistence.
pub(crate) struct Redis {
    port: u16,
    folder: TempDir,
    server: Child,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        // Below the ports that outgoing connections take.
        let port = (20_000..32_000)
            .map(|port| port + rand::random_range(0..500))
            .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
            .unwrap();
        let folder = TempDir::new().unwrap();
        let server = Self::run(port, &folder);
        let redis = Self { port, folder, server };
        redis.answers().await;
        redis
    }

    fn run(port: u16, folder: &TempDir) -> Child {
        let port = port.to_string();
        Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--enable-debug-command", "yes", "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    async fn answers(&self) {
        let client = redis::Client::open(self.url()).unwrap();
        until("Redis", async || client.get_multiplexed_async_connection().await.is_ok()).await;
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// At once, and with all it knew.
    pub(crate) fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    pub(crate) async fn start_again(&mut self) {
        self.server = Self::run(self.port, &self.folder);
        self.answers().await;
    }

    fn store(&self) -> RedisStore {
        let config =
            tidegate_arbiter::RedisConfig { answer_within: Duration::from_millis(500), ..config(&self.url(), "") };
        RedisStore::new(&config).unwrap()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[tokio::test]
async fn while_redis_is_down_nothing_is_granted_and_it_comes_back_by_itself() {
    let mut redis = Redis::start().await;
    let served = Served::start(Arc::new(redis.store()), Config::default()).await;
    let permits = HttpPermits::new(&HttpPermitsConfig::new(vec![served.url.clone()]), clock::system()).unwrap();
    let asked = question([charge("window", window(9, HOUR))]);
    assert!(matches!(permits.ask(asked.clone()).await.unwrap(), Decision::Granted(_)));
    let status = || async { http().get(served.url.join("/readyz").unwrap()).send().await.unwrap().status().as_u16() };
    until("being ready", async || status().await == 200).await;

    redis.kill();
    for _ in 0..5 {
        let started = Instant::now();
        permits.ask(asked.clone()).await.unwrap_err();
        assert!(started.elapsed() < Duration::from_millis(1_500), "it says so quickly");
    }
    until("not being ready", async || status().await == 503).await;

    redis.start_again().await;
    // Its functions are gone as well as its data.
    until("coming back", async || matches!(permits.ask(asked.clone()).await, Ok(Decision::Granted(_)))).await;
    until("being ready again", async || status().await == 200).await;
}

#[tokio::test]
async fn a_redis_that_hangs_is_not_waited_for_and_what_it_granted_unheard_is_charged() {
    let redis = Redis::start().await;
    let store = redis.store();
    let asked = question([charge("slot", Rate::Concurrency { calls: 2, learn: None, lease: HOUR })]);
    assert!(matches!(store.ask(now_ms(), vec![asked.clone()]).await.unwrap()[0], Decision::Granted(_)));

    let mut connection = connect(&redis.url()).await;
    let hang = tokio::spawn(async move {
        redis::cmd("DEBUG").arg("SLEEP").arg("1.5").query_async::<String>(&mut connection).await
    });
    let started = Instant::now();
    until("hanging", async || store.ask(now_ms(), vec![asked.clone()]).await.is_err()).await;
    assert!(started.elapsed() < Duration::from_millis(1_400));
    let _ = hang.await;
    let mut decision = None;
    until("coming back", async || {
        decision = store.ask(now_ms(), vec![asked.clone()]).await.ok();
        decision.is_some()
    })
    .await;
    assert!(matches!(decision.unwrap()[0], Decision::Wait { .. }), "the lost reply's slot is held by its lease");
}

#[tokio::test]
async fn functions_and_data_that_vanish_are_no_error() {
    let redis = Redis::start().await;
    let store = redis.store();
    let asked = question([charge("window", window(2, HOUR))]);
    let mut connection = connect(&redis.url()).await;
    let mut granted = 0;
    for vanishing in ["FUNCTION FLUSH", "FLUSHALL", "SCRIPT FLUSH"] {
        granted += granted_at_once(&store, &asked).await;
        let mut command = redis::Cmd::new();
        vanishing.split(' ').for_each(|word| {
            command.arg(word);
        });
        command.query_async::<redis::Value>(&mut connection).await.unwrap();
    }
    assert_eq!(granted, 2, "the store's arbiter tells what it knows");
}

/// How many of a thousand questions are granted, one after the other, until one has to wait for longer than for data that was
/// lost.
async fn granted_at_once(store: &RedisStore, asked: &Question) -> usize {
    let mut granted = 0;
    for _ in 0..1_000 {
        match store.ask(now_ms(), vec![asked.clone()]).await.unwrap()[0] {
            Decision::Granted(_) => granted += 1,
            Decision::Wait { until_ms, .. } if until_ms > now_ms() + RECOVERY_MS => break,
            Decision::Wait { until_ms, .. } => {
                let left_ms = (until_ms - now_ms()).max(1).unsigned_abs();
                tokio::time::sleep(Duration::from_millis(left_ms)).await;
            }
        }
    }
    granted
}

async fn permits_of(store: &RedisStore, asked: &Question, times: usize) -> Vec<Permit> {
    let mut permits = Vec::new();
    for _ in 0..times {
        let decisions = store.ask(now_ms(), vec![asked.clone()]).await.unwrap();
        let Decision::Granted(permit) = decisions[0].clone() else { panic!("{decisions:?}") };
        permits.push(permit);
    }
    permits
}

#[tokio::test]
async fn after_redis_comes_back_empty_arbiters_know_together_what_is_used() {
    let mut redis = Redis::start().await;
    let stores = [redis.store(), redis.store()];
    let asked = question([charge("window", window(10, HOUR)), charge("wide", window(1_000, HOUR))]);
    permits_of(&stores[0], &asked, 4).await;
    permits_of(&stores[1], &asked, 3).await;
    permits_of(&stores[0], &asked, 1).await;
    permits_of(&stores[1], &asked, 1).await;
    redis.kill();
    redis.start_again().await;
    // The first tells what it knows, 8 of 9, and nothing is granted until the second has told, too, which nobody asks.
    until("coming back", async || stores[0].ask(now_ms(), vec![asked.clone()]).await.is_ok()).await;
    until("telling", async || stores[1].ping().await.is_ok()).await;
    assert_eq!(granted_at_once(&stores[0], &asked).await, 1, "1 of 10 is left");
    assert_eq!(granted_at_once(&stores[1], &asked).await, 0);
    let usage = stores[1].usage(now_ms()).await.unwrap();
    assert_eq!(usage.iter().map(|budget| budget.used).collect::<Vec<_>>(), [10, 10]);
}

/// The bound that `docs/limits-store.md` states, while arbiters live on: nothing goes out twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_arbiters_under_load_grant_what_fits_and_no_more_though_redis_forgets_all_thrice() {
    const FITS: usize = 1_000;
    let redis = Redis::start().await;
    let store = || Arc::new(RedisStore::new(&config(&redis.url(), "")).unwrap());
    let stores = [store(), store()];
    let asked = question([charge("tight", window(1_000, HOUR)), charge("wide", window(1_500, HOUR))]);
    let (granted, unheard) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let callers = (0..100).map(|caller| {
        let (store, asked) = (Arc::clone(&stores[caller % 2]), asked.clone());
        let (granted, unheard) = (Arc::clone(&granted), Arc::clone(&unheard));
        tokio::spawn(async move {
            loop {
                match store.ask(now_ms(), vec![asked.clone()]).await.map(|mut decisions| decisions.remove(0)) {
                    Ok(Decision::Granted(permit)) => {
                        granted.fetch_add(1, Ordering::Relaxed);
                        let report = Report { permit, sent: true, answer: None, health: None, took_us: None };
                        // It may be told again for a minute; what is lost here is in flight until time ends it.
                        let _ = store.report(now_ms(), vec![report]).await;
                    }
                    Ok(Decision::Wait { until_ms, .. }) if until_ms > now_ms() + RECOVERY_MS => break,
                    Ok(Decision::Wait { .. }) => tokio::time::sleep(Duration::from_millis(100)).await,
                    Err(_) => _ = unheard.fetch_add(1, Ordering::Relaxed),
                }
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    let mut connection = connect(&redis.url()).await;
    for lost_after in [FITS / 5, FITS / 2, FITS * 4 / 5] {
        let granting = async {
            while granted.load(Ordering::Relaxed) < lost_after {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), granting).await.unwrap();
        redis::cmd("FLUSHALL").query_async::<()>(&mut connection).await.unwrap();
    }
    for caller in callers {
        caller.await.unwrap();
    }
    let (granted, unheard) = (granted.load(Ordering::Relaxed), unheard.load(Ordering::Relaxed));
    // What is granted and not heard in time is charged.
    assert!((FITS.saturating_sub(unheard)..=FITS).contains(&granted), "{granted} granted, {unheard} unheard");
}

#[tokio::test]
async fn slots_of_calls_in_flight_stay_taken_when_redis_forgets_them_until_their_reports() {
    let mut redis = Redis::start().await;
    let store = redis.store();
    let asked = question([charge("slots", Rate::Concurrency { calls: 2, learn: None, lease: HOUR })]);
    let permits = permits_of(&store, &asked, 2).await;
    redis.kill();
    redis.start_again().await;
    until("coming back", async || store.ask(now_ms(), vec![asked.clone()]).await.is_ok()).await;
    tokio::time::sleep(Duration::from_millis(RECOVERY_MS.unsigned_abs())).await;
    let has_room = async || matches!(store.ask(now_ms(), vec![asked.clone()]).await.unwrap()[0], Decision::Granted(_));
    assert!(!has_room().await, "both calls are still out");
    let report = Report { permit: permits[0].clone(), sent: true, answer: None, health: None, took_us: None };
    store.report(now_ms(), vec![report.clone()]).await.unwrap();
    store.report(now_ms(), vec![report]).await.unwrap();
    assert!(has_room().await, "one of them is over");
    assert!(!has_room().await, "a report that comes twice is one");
}

#[tokio::test]
async fn a_redis_that_lacks_the_last_second_is_told_it() {
    let redis = Redis::start().await;
    let store = redis.store();
    let asked = question([charge("window", window(9, HOUR))]);
    permits_of(&store, &asked, 2).await;
    let mut connection = connect(&redis.url()).await;
    let mut before = Vec::new();
    for key in all_keys(&mut connection, "").await {
        let dump: Vec<u8> = redis::cmd("DUMP").arg(&key).query_async(&mut connection).await.unwrap();
        before.push((key, dump));
    }
    permits_of(&store, &asked, 5).await;
    for (key, dump) in &before {
        let mut restore = redis::cmd("RESTORE");
        restore.arg(key).arg(0).arg(dump).arg("REPLACE");
        restore.query_async::<()>(&mut connection).await.unwrap();
    }
    assert_eq!(granted_at_once(&store, &asked).await, 2, "7 of 9 are used, though Redis says 2");
}

#[tokio::test]
async fn what_is_told_late_comes_on_top_of_what_a_newcomer_granted() {
    let redis = Redis::start().await;
    let store = redis.store();
    let asked = question([
        charge("window", window(9, HOUR)),
        charge("bucket", Rate::Bucket { calls: 20, restore_per_s: 0.01 }),
    ]);
    permits_of(&store, &asked, 5).await;
    redis::cmd("FLUSHALL").query_async::<()>(&mut connect(&redis.url()).await).await.unwrap();
    let newcomer = redis.store();
    permits_of(&newcomer, &asked, 3).await;
    store.ping().await.unwrap();
    let usage = newcomer.usage(now_ms()).await.unwrap();
    assert_eq!(usage.iter().map(|budget| budget.used).collect::<Vec<_>>(), [8, 8]);
    assert_eq!(granted_at_once(&newcomer, &asked).await, 1);
}

#[tokio::test]
async fn an_arbiter_starts_without_its_redis() {
    let mut redis = Redis::start().await;
    redis.kill();
    let store = redis.store();
    let asked = question([charge("window", window(9, HOUR))]);
    store.ask(now_ms(), vec![asked.clone()]).await.unwrap_err();
    store.ping().await.unwrap_err();
    redis.start_again().await;
    until("connecting", async || store.ask(now_ms(), vec![asked.clone()]).await.is_ok()).await;
}

/// The rights that `docs/limits-store.md` names.
#[tokio::test]
async fn the_rights_that_the_manual_names_are_enough() {
    const RIGHTS: &str = "+fcall +function|load +sadd +smembers +pexpire +ping +get +set +del +zadd +zcount \
        +zrange +zrem +zremrangebyscore +zscore +hget +hset +hdel +hlen +hmget +hgetall +hexists \
        +srem +time";
    let manual = include_str!("../../../../docs/limits-store.md");
    for right in RIGHTS.split_whitespace() {
        let command = right.trim_start_matches('+');
        assert!(manual.contains(command), "the manual lacks {command}");
    }
    let redis = Redis::start().await;
    let mut user = redis::cmd("ACL");
    user.arg(&["SETUSER", "arbiter", "on", ">secret", "resetkeys", "~tidegate:limits:*", "-@all"]);
    RIGHTS.split_whitespace().for_each(|right| {
        user.arg(right);
    });
    user.query_async::<String>(&mut connect(&redis.url()).await).await.unwrap();
    let url = redis.url().replace("//", "//arbiter:secret@");
    let store = RedisStore::new(&tidegate_arbiter::RedisConfig::new(url)).unwrap();

    let mut costly = charge("slots", Rate::Concurrency { calls: 9, learn: None, lease: HOUR });
    costly.cost = 3;
    let asked = question([charge("window", window(9, HOUR)), costly]);
    let decisions = store.ask(now_ms(), vec![asked.clone()]).await.unwrap();
    let Decision::Granted(permit) = decisions[0].clone() else { panic!("{decisions:?}") };
    assert_eq!(store.usage(now_ms()).await.unwrap().len(), 2);
    store
        .report(now_ms(), vec![Report { permit, sent: false, answer: None, health: None, took_us: None }])
        .await
        .unwrap();
    store.forget_idle(now_ms()).await.unwrap();
    let pause = Override { key: "{acme}/".into(), does: Does::Pause, reason: "rights".into(), until_ms: None };
    assert!(store.put_override(now_ms(), pause).await.unwrap());
    assert_eq!(store.overrides(now_ms()).await.unwrap().len(), 1);
    assert!(matches!(store.ask(now_ms(), vec![asked]).await.unwrap()[0], Decision::Wait { .. }));
    assert!(store.delete_override(now_ms(), "{acme}/", None).await.unwrap());
    store.ping().await.unwrap();
}
