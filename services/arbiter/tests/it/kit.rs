//! What the tests share: a corner of Redis of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use reqwest::Url;
use tidegate_arbiter::http::{Config, Deps, start};
use tidegate_arbiter::{Arbiter, LimitStore, RedisConfig, RedisStore};
use tidegate_daemon::{Handle, Health, Shutdown, clock};
use tidegate_limits::{Aligned, Charge, Question, Rate};
use tokio::net::TcpListener;

/// The server that tests share.
pub(crate) fn redis_url() -> String {
    std::env::var("TIDEGATE_TEST_REDIS").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned())
}

/// A prefix that nobody else has.
pub(crate) fn fresh_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "tidegate-test:{}-{:08x}:{}:",
        std::process::id(),
        rand::random::<u32>(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

pub(crate) fn config(url: &str, prefix: &str) -> RedisConfig {
    // This machine may be busy; the tests of the time limit set their own.
    RedisConfig {
        prefix: prefix.to_owned(),
        answer_within: Duration::from_secs(10),
        ..RedisConfig::new(url.to_owned())
    }
}

pub(crate) fn store(prefix: &str) -> RedisStore {
    RedisStore::new(&config(&redis_url(), prefix)).unwrap()
}

/// Removes what tests of this process have left under a prefix.
pub(crate) async fn sweep(prefix: &str) {
    let mut connection = connect(&redis_url()).await;
    let keys: Vec<String> = all_keys(&mut connection, prefix).await;
    for keys in keys.chunks(500) {
        redis::cmd("UNLINK").arg(keys).query_async::<i64>(&mut connection).await.unwrap();
    }
}

pub(crate) async fn connect(url: &str) -> redis::aio::MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

pub(crate) async fn all_keys(connection: &mut redis::aio::MultiplexedConnection, prefix: &str) -> Vec<String> {
    let (mut cursor, mut keys) = (0_u64, Vec::new());
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("{prefix}*")).arg("COUNT").arg(1_000);
        let (next, found): (u64, Vec<String>) = scan.query_async(connection).await.unwrap();
        keys.extend(found);
        if next == 0 {
            return keys;
        }
        cursor = next;
    }
}

pub(crate) fn window(calls: u32, per: Duration) -> Rate {
    Rate::Window { calls, per, aligned: Aligned::FirstCall }
}

pub(crate) fn charge(limit: &str, rate: Rate) -> Charge {
    Charge { limit: limit.to_owned(), key: format!("{{acme}}/{limit}/egress=default"), rate, cost: 1, headroom: None }
}

pub(crate) fn question(charges: impl IntoIterator<Item = Charge>) -> Question {
    Question::new(charges.into_iter().collect())
}

/// An arbiter that serves on a port of its own until it is dropped.
pub(crate) struct Served {
    pub(crate) url: Url,
    pub(crate) shutdown: Shutdown,
    pub(crate) arbiter: Arc<Arbiter>,
    _handle: Handle,
}

impl Served {
    pub(crate) async fn start(store: Arc<dyn LimitStore>, config: Config) -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), store, config)
    }

    pub(crate) fn start_on(listener: TcpListener, store: Arc<dyn LimitStore>, config: Config) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let (shutdown, arbiter) = (Shutdown::new(), Arc::new(Arbiter::new(store, clock::system())));
        let deps = Deps { arbiter: Arc::clone(&arbiter), health: Health::new() };
        let handle = start(deps, config, listener, &shutdown).unwrap();
        Self { url, shutdown, arbiter, _handle: handle }
    }
}

/// Awaits a condition, at most 10 s.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(Instant::now() < deadline, "{what} took more than 10 s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A client as a caller may have it.
#[expect(clippy::disallowed_methods, reason = "our own arbiter, not a provider")]
pub(crate) fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}
