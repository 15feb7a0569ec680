//! A Redis of our own that stops, hangs and comes back.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tidegate_arbiter::http::Config;
use tidegate_arbiter::{LimitStore, RedisStore};
use tidegate_daemon::clock::{self, now_ms};
use tidegate_executor::{HttpPermits, HttpPermitsConfig, Permits};
use tidegate_limits::{Decision, Does, Override, Rate, Report};

use crate::kit::{Served, charge, config, connect, http, question, until, window};

const HOUR: Duration = Duration::from_hours(1);

/// A server on its own port, without persistence.
struct Redis {
    port: u16,
    folder: TempDir,
    server: Child,
}

impl Redis {
    async fn start() -> Self {
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

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// At once, and with all it knew.
    fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    async fn start_again(&mut self) {
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
    let asked = question([charge("slot", Rate::Concurrency { calls: 2, lease: HOUR })]);
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
        for _ in 0..3 {
            let decisions = store.ask(now_ms(), vec![asked.clone()]).await.unwrap();
            granted += usize::from(matches!(decisions[0], Decision::Granted(_)));
        }
        let mut command = redis::Cmd::new();
        vanishing.split(' ').for_each(|word| {
            command.arg(word);
        });
        command.query_async::<redis::Value>(&mut connection).await.unwrap();
    }
    assert_eq!(granted, 4, "one more burst for each time that the data was lost, and none for the functions");
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

    let mut costly = charge("slots", Rate::Concurrency { calls: 9, lease: HOUR });
    costly.cost = 3;
    let asked = question([charge("window", window(9, HOUR)), costly]);
    let decisions = store.ask(now_ms(), vec![asked.clone()]).await.unwrap();
    let Decision::Granted(permit) = decisions[0].clone() else { panic!("{decisions:?}") };
    assert_eq!(store.usage(now_ms()).await.unwrap().len(), 2);
    store.report(now_ms(), vec![Report { permit, sent: false, answer: None, health: None }]).await.unwrap();
    store.forget_idle(now_ms()).await.unwrap();
    let pause = Override { key: "{acme}/".into(), does: Does::Pause, reason: "rights".into(), until_ms: None };
    assert!(store.put_override(now_ms(), pause).await.unwrap());
    assert_eq!(store.overrides(now_ms()).await.unwrap().len(), 1);
    assert!(matches!(store.ask(now_ms(), vec![asked]).await.unwrap()[0], Decision::Wait { .. }));
    assert!(store.delete_override(now_ms(), "{acme}/", None).await.unwrap());
    store.ping().await.unwrap();
}
