//! How many decisions a second, and how long one takes: over HTTP, with Redis and with the store in memory.
//!
//! ```text
//! cargo run --release -p tidegate-arbiter --example decisions
//! ```
//!
//! Client, arbiter and Redis share this machine. `TIDEGATE_TEST_REDIS` names another Redis. `THROTTLECRAB_URL` names a
//! `throttlecrab-server` (its HTTP transport) that is measured beside, over the one limit that it knows for a call.

#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use tidegate_arbiter::http::{Config, Deps, start};
use tidegate_arbiter::{Arbiter, LimitStore, MemoryStore, RedisConfig, RedisStore};
use tidegate_daemon::{Handle, Health, Shutdown, clock};
use tidegate_executor::{HttpPermits, HttpPermitsConfig, Permits};
use tidegate_limits::http::{PERMITS_PATH, PermitsReply, PermitsRequest, REPORTS_PATH, ReportsRequest};
use tidegate_limits::{Aligned, Charge, Decision, Question, Rate, Report};
use tokio::net::TcpListener;

/// How long each figure is measured.
const FOR: Duration = Duration::from_secs(3);
/// Requests on their way at once when throughput is measured.
const CALLERS: usize = 8;
/// Questions that are asked one after the other at idle.
const IDLE_QUESTIONS: usize = 1_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("TIDEGATE_TEST_REDIS").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let prefix = format!("tidegate-bench:{:08x}:", rand::random::<u32>());
    println!("| store | limits | questions | calls wanted | decisions/s | request p50 ms | p99 ms |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    if let Ok(url) = std::env::var("THROTTLECRAB_URL") {
        throttlecrab(&url).await?;
    }
    for limits in [1, 3, 5] {
        for (questions, want) in [(1, 1), (16, 1), (64, 1), (1, 64), (1, 256)] {
            let redis = RedisStore::new(&RedisConfig { prefix: prefix.clone(), ..RedisConfig::new(url.clone()) })?;
            throughput("Redis", Arc::new(redis), limits, (questions, want)).await?;
            throughput("memory", Arc::new(MemoryStore::new()), limits, (questions, want)).await?;
        }
    }
    println!();
    println!("| store | limits | ask p50 ms | p99 ms | ask and report p50 ms | p99 ms |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for limits in [1, 3, 5] {
        let redis = RedisStore::new(&RedisConfig { prefix: prefix.clone(), ..RedisConfig::new(url.clone()) })?;
        idle("Redis", Arc::new(redis), limits).await?;
        idle("memory", Arc::new(MemoryStore::new()), limits).await?;
    }
    sweep(&url, &prefix).await
}

/// A call that touches so many limits, each of another kind, and none of which is ever full.
fn question(limits: usize, of: usize) -> Question {
    let rates = [
        Rate::Window { calls: 1_000_000_000, per: Duration::from_hours(1), aligned: Aligned::Epoch },
        Rate::Bucket { calls: 1_000_000_000, restore_per_s: 10_000.0 },
        Rate::Concurrency { calls: 1_000_000_000, learn: None, lease: Duration::from_mins(5) },
        Rate::Window { calls: 1_000_000_000, per: Duration::from_hours(24), aligned: Aligned::FirstCall },
        Rate::Told {},
    ];
    let charge = |(number, rate): (usize, Rate)| Charge {
        limit: format!("limit-{number}"),
        key: format!("{{acme-{of}}}/limit-{number}/egress=default"),
        rate,
        cost: 1,
        headroom: None,
    };
    Question::new(rates.into_iter().enumerate().take(limits).map(charge).collect())
}

async fn serve(store: Arc<dyn LimitStore>) -> anyhow::Result<(reqwest::Url, Handle)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?).parse()?;
    let deps = Deps { arbiter: Arc::new(Arbiter::new(store, clock::system())), health: Health::new() };
    Ok((url, start(deps, Config::default(), listener, &Shutdown::new())?))
}

/// Each caller asks so many questions, for so many calls each, and reports them all, again and again.
async fn throughput(
    name: &str,
    store: Arc<dyn LimitStore>,
    limits: usize,
    (questions, want): (usize, u32),
) -> anyhow::Result<()> {
    let (url, _handle) = serve(store).await?;
    let client = client()?;
    let (until, decided) = (Instant::now() + FOR, Arc::new(AtomicUsize::new(0)));
    let callers = (0..CALLERS).map(|_| {
        let (client, url, decided) = (client.clone(), url.clone(), Arc::clone(&decided));
        tokio::spawn(async move {
            let question = Question { want, ..question(limits, questions) };
            let asked = serde_json::to_vec(&PermitsRequest { questions: vec![question; questions] })?;
            let mut took = Vec::new();
            while Instant::now() < until {
                let started = Instant::now();
                let reply =
                    client.post(url.join(PERMITS_PATH)?).body(asked.clone()).send().await?.error_for_status()?;
                let reply: PermitsReply = serde_json::from_slice(&reply.bytes().await?)?;
                took.push(started.elapsed());
                decided.fetch_add(reply.decisions.iter().map(calls).sum(), Ordering::Relaxed);
                let reports = reply.decisions.into_iter().filter_map(report).collect();
                let told = serde_json::to_vec(&ReportsRequest { now_ms: clock::now_ms(), reports })?;
                client.post(url.join(REPORTS_PATH)?).body(told).send().await?.error_for_status()?;
            }
            anyhow::Ok(took)
        })
    });
    let started = Instant::now();
    let mut took = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        took.extend(caller.await??);
    }
    let per_s = decided.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
    let (p50, p99) = quantiles(took);
    println!("| {name} | {limits} | {questions} | {want} | {per_s:.0} | {p50:.2} | {p99:.2} |");
    Ok(())
}

/// The same callers at another program: one call of one limit in a request, which has no report.
async fn throttlecrab(url: &str) -> anyhow::Result<()> {
    let client = client()?;
    let (until, url) = (Instant::now() + FOR, format!("{}/throttle", url.trim_end_matches('/')));
    let body = r#"{"key":"acme","max_burst":1000000000,"count_per_period":1000000000,"period":3600,"quantity":1}"#;
    let callers = (0..CALLERS).map(|_| {
        let (client, url) = (client.clone(), url.clone());
        tokio::spawn(async move {
            let mut took = Vec::new();
            while Instant::now() < until {
                let started = Instant::now();
                let request = client.post(&url).header("content-type", "application/json").body(body);
                request.send().await?.error_for_status()?.bytes().await?;
                took.push(started.elapsed());
            }
            anyhow::Ok(took)
        })
    });
    let started = Instant::now();
    let mut took = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        took.extend(caller.await??);
    }
    let per_s = took.len() as f64 / started.elapsed().as_secs_f64();
    let (p50, p99) = quantiles(took);
    println!("| throttlecrab, in memory | 1 | 1 | 1 | {per_s:.0} | {p50:.2} | {p99:.2} |");
    Ok(())
}

fn calls(decision: &Decision) -> usize {
    match decision {
        Decision::Granted(permit) => permit.calls as usize,
        Decision::Wait { .. } => 0,
    }
}

/// One question after the other, as an executor asks.
async fn idle(name: &str, store: Arc<dyn LimitStore>, limits: usize) -> anyhow::Result<()> {
    let (url, _handle) = serve(store).await?;
    let permits = HttpPermits::new(&HttpPermitsConfig::new(vec![url]), clock::system())?;
    let (mut asked, mut both) = (Vec::new(), Vec::new());
    for _ in 0..IDLE_QUESTIONS {
        let started = Instant::now();
        let decision = permits.ask(question(limits, 0)).await?;
        asked.push(started.elapsed());
        permits.report(report(decision).context("it was refused")?).await?;
        both.push(started.elapsed());
    }
    let ((p50, p99), (both_p50, both_p99)) = (quantiles(asked), quantiles(both));
    println!("| {name} | {limits} | {p50:.2} | {p99:.2} | {both_p50:.2} | {both_p99:.2} |");
    Ok(())
}

fn report(decision: Decision) -> Option<Report> {
    match decision {
        Decision::Granted(permit) => Some(Report { permit, sent: true, answer: None, health: None, took_us: None }),
        Decision::Wait { .. } => None,
    }
}

/// The median and the 99th percentile, in ms.
fn quantiles(mut took: Vec<Duration>) -> (f64, f64) {
    took.sort();
    let at = |share: f64| {
        let place = ((took.len() as f64 * share) as usize).min(took.len().saturating_sub(1));
        took.get(place).map_or(0.0, |took| took.as_secs_f64() * 1e3)
    };
    (at(0.5), at(0.99))
}

#[expect(clippy::disallowed_methods, reason = "our own arbiter, not a provider")]
fn client() -> anyhow::Result<reqwest::Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

async fn sweep(url: &str, prefix: &str) -> anyhow::Result<()> {
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let mut cursor = 0_u64;
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(format!("{prefix}*")).arg("COUNT").arg(1_000);
        let (next, keys): (u64, Vec<String>) = scan.query_async(&mut connection).await?;
        if !keys.is_empty() {
            redis::cmd("UNLINK").arg(keys).query_async::<i64>(&mut connection).await?;
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}
