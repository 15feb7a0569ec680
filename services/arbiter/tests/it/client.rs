//! The arbiter as an executor asks it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tidegate_arbiter::http::Config;
use tidegate_arbiter::{LimitStore, MemoryStore, StoreError};
use tidegate_daemon::clock;
use tidegate_executor::{HttpPermits, HttpPermitsConfig, Permits};
use tidegate_limits::{
    By, Decision, Health, Lasts, Override, OverrideKind, Permit, Question, Rate, Refused, Report, Told, Usage,
};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::kit::{Served, charge, fresh_prefix, question, store, sweep, until, window};

const HOUR: Duration = Duration::from_hours(1);

fn client(served: &[&Served]) -> HttpPermits {
    let urls = served.iter().map(|served| served.url.clone()).collect();
    HttpPermits::new(&HttpPermitsConfig::new(urls), clock::system()).unwrap()
}

fn slot() -> Question {
    question([charge("slot", Rate::Concurrency { calls: 1, learn: None, lease: HOUR })])
}

async fn granted(permits: &HttpPermits, asked: Question) -> Permit {
    match permits.ask(asked).await.unwrap() {
        Decision::Granted(permit) => permit,
        wait @ Decision::Wait { .. } => panic!("{wait:?}"),
    }
}

/// A store that answers when it is let, and counts how often it was asked.
struct Held {
    store: MemoryStore,
    leave: Semaphore,
    asked: AtomicUsize,
    questions: AtomicUsize,
}

impl Held {
    fn new() -> Arc<Self> {
        let (asked, questions) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { store: MemoryStore::new(), leave: Semaphore::new(0), asked, questions })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl LimitStore for Held {
    async fn ask(&self, now_ms: i64, questions: Vec<Question>) -> Result<Vec<Decision>, StoreError> {
        self.questions.fetch_add(questions.len(), Ordering::Relaxed);
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.leave.acquire().await.unwrap().forget();
        self.store.ask(now_ms, questions).await
    }

    async fn report(&self, now_ms: i64, reports: Vec<Report>) -> Result<(), StoreError> {
        self.store.report(now_ms, reports).await
    }

    async fn usage(&self, now_ms: i64) -> Result<Vec<Usage>, StoreError> {
        self.store.usage(now_ms).await
    }

    async fn forget_idle(&self, now_ms: i64) -> Result<(), StoreError> {
        self.store.forget_idle(now_ms).await
    }

    async fn put_override(&self, now_ms: i64, wanted: Override) -> Result<bool, StoreError> {
        self.store.put_override(now_ms, wanted).await
    }

    async fn delete_override(&self, now_ms: i64, key: &str, kind: Option<OverrideKind>) -> Result<bool, StoreError> {
        self.store.delete_override(now_ms, key, kind).await
    }

    async fn overrides(&self, now_ms: i64) -> Result<Vec<Override>, StoreError> {
        self.store.overrides(now_ms).await
    }
}

#[tokio::test]
async fn many_executors_over_two_arbiters_are_granted_exactly_what_fits() {
    let prefix = fresh_prefix();
    let arbiters = [
        Served::start(Arc::new(store(&prefix)), Config::default()).await,
        Served::start(Arc::new(store(&prefix)), Config::default()).await,
    ];
    let executors = [Arc::new(client(&[&arbiters[0], &arbiters[1]])), Arc::new(client(&[&arbiters[1]]))];
    let asked = question([charge("tight", window(300, HOUR)), charge("wide", window(450, HOUR))]);
    let calls = (0..600).map(|call| {
        let (executor, asked) = (Arc::clone(&executors[call % 2]), asked.clone());
        tokio::spawn(async move { matches!(executor.ask(asked).await.unwrap(), Decision::Granted(_)) })
    });
    let mut all = 0;
    for call in calls.collect::<Vec<_>>() {
        all += usize::from(call.await.unwrap());
    }
    assert_eq!(all, 300);
    sweep(&prefix).await;
}

#[tokio::test]
async fn what_is_asked_while_requests_are_on_their_way_travels_together() {
    let held = Held::new();
    let served = Served::start(Arc::clone(&held) as Arc<dyn LimitStore>, Config::default()).await;
    let config = HttpPermitsConfig { requests_max: 2, ..HttpPermitsConfig::new(vec![served.url.clone()]) };
    let permits = Arc::new(HttpPermits::new(&config, clock::system()).unwrap());
    let ask = || {
        let permits = Arc::clone(&permits);
        tokio::spawn(async move { permits.ask(question([charge("wide", window(1_000, HOUR))])).await })
    };
    let mut calls = Vec::new();
    for first in 1..=2 {
        calls.push(ask());
        until("the first questions", async || held.asked() == first).await;
    }
    calls.extend((0..100).map(|_| ask()));
    tokio::task::yield_now().await; // All of them are in line.
    held.leave.add_permits(100);
    for call in calls {
        assert!(matches!(call.await.unwrap().unwrap(), Decision::Granted(_)));
    }
    assert_eq!(held.asked(), 2 + 2, "a hundred questions make two requests of at most 64");
}

#[tokio::test]
async fn calls_alike_that_ask_together_are_one_question_and_what_is_left_out_asks_again() {
    let held = Held::new();
    let served = Served::start(Arc::clone(&held) as Arc<dyn LimitStore>, Config::default()).await;
    let config = HttpPermitsConfig { requests_max: 1, ..HttpPermitsConfig::new(vec![served.url.clone()]) };
    let permits = Arc::new(HttpPermits::new(&config, clock::system()).unwrap());
    let by = By { lane: 1, tenant: "one".to_owned(), job: "job".to_owned(), credential: None, waited_for: None };
    let asked = question([charge("slots", Rate::Concurrency { calls: 41, learn: None, lease: HOUR })]).by(by);
    let ask = || {
        let (permits, asked) = (Arc::clone(&permits), asked.clone());
        tokio::spawn(async move { permits.ask(asked).await.unwrap() })
    };
    let mut calls = vec![ask()];
    until("the first question", async || held.asked() == 1).await;
    calls.extend((0..50).map(|_| ask()));
    tokio::task::yield_now().await; // All of them are in line.
    held.leave.add_permits(100);
    let mut granted = Vec::new();
    for call in calls {
        if let Decision::Granted(permit) = call.await.unwrap() {
            granted.push(permit);
        }
    }
    assert_eq!(granted.len(), 41, "as many as there are slots");
    // The first call; then fifty as one, of which forty go; then the others, each by itself.
    assert_eq!(held.questions.load(Ordering::Relaxed), 1 + 1 + 10);

    let health = Some(Health::Well);
    let reports = granted.into_iter().map(|permit| Report {
        permit,
        sent: true,
        answer: Some(Told::default()),
        health,
        took_us: None,
    });
    let told = reports.map(|report| {
        let permits = Arc::clone(&permits);
        tokio::spawn(async move { permits.report(report).await.unwrap() })
    });
    for told in told.collect::<Vec<_>>() {
        told.await.unwrap();
    }
    assert_eq!(held.usage(clock::now_ms()).await.unwrap()[0].used, 0, "each slot is free again");
}

#[tokio::test]
async fn who_asks_after_a_report_sees_what_it_changed() {
    let served = Served::start(Arc::new(MemoryStore::new()), Config::default()).await;
    let permits = client(&[&served]);
    for _ in 0..20 {
        let permit = granted(&permits, slot()).await;
        assert!(matches!(permits.ask(slot()).await.unwrap(), Decision::Wait { .. }));
        permits.report(Report { permit, sent: true, answer: None, health: None, took_us: None }).await.unwrap();
    }
    let permit = granted(&permits, slot()).await;
    let refused =
        Some(Refused { keys: permit.keys.clone(), until_ms: Some(clock::now_ms() + 30_000), lasts: Lasts::FromNow });
    let answer = Some(Told { readings: BTreeMap::new(), refused });
    permits.report(Report { permit, sent: true, answer, health: None, took_us: None }).await.unwrap();
    let Decision::Wait { until_ms, .. } = permits.ask(slot()).await.unwrap() else { panic!("it was refused") };
    assert!((25_000..=30_100).contains(&(until_ms - clock::now_ms())));
}

#[tokio::test]
async fn a_permit_that_nobody_waits_for_is_given_back() {
    let held = Held::new();
    let served = Served::start(Arc::clone(&held) as Arc<dyn LimitStore>, Config::default()).await;
    let permits = Arc::new(client(&[&served]));
    let call = tokio::spawn({
        let permits = Arc::clone(&permits);
        async move { permits.ask(slot()).await }
    });
    until("the question", async || held.asked() == 1).await;
    call.abort();
    held.leave.add_permits(1);
    // The budget exists since the grant.
    until("giving back", async || matches!(&held.usage(clock::now_ms()).await.unwrap()[..], [slot] if slot.used == 0))
        .await;
}

#[tokio::test]
async fn an_arbiter_that_is_gone_is_passed_over() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone_url = format!("http://{}", gone.local_addr().unwrap()).parse().unwrap();
    drop(gone);
    let served = Served::start(Arc::new(MemoryStore::new()), Config::default()).await;
    let config = HttpPermitsConfig::new(vec![gone_url, served.url.clone()]);
    let permits = HttpPermits::new(&config, clock::system()).unwrap();
    for _ in 0..10 {
        let permit = granted(&permits, slot()).await;
        permits.report(Report { permit, sent: true, answer: None, health: None, took_us: None }).await.unwrap();
    }
}

#[tokio::test]
async fn an_arbiter_that_hangs_is_not_waited_for() {
    let hangs = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", hangs.local_addr().unwrap()).parse().unwrap();
    let config = HttpPermitsConfig { request_within: Duration::from_millis(100), ..HttpPermitsConfig::new(vec![url]) };
    let permits = HttpPermits::new(&config, clock::system()).unwrap();
    let error = permits.ask(slot()).await.unwrap_err();
    assert!(error.to_string().contains("the arbiter can't be asked"), "{error}");
}

#[tokio::test]
async fn a_report_that_could_not_be_told_is_told_when_the_arbiter_is_back() {
    let store = Arc::new(MemoryStore::new());
    let served = Served::start(Arc::clone(&store) as Arc<dyn LimitStore>, Config::default()).await;
    let (url, shutdown) = (served.url.clone(), served.shutdown.clone());
    let config =
        HttpPermitsConfig { answer_within: Duration::from_millis(300), ..HttpPermitsConfig::new(vec![url.clone()]) };
    let permits = HttpPermits::new(&config, clock::system()).unwrap();
    let permit = granted(&permits, slot()).await;
    shutdown.request();
    drop(served);
    until("going away", async || permits.ask(slot()).await.is_err()).await;
    permits.report(Report { permit, sent: true, answer: None, health: None, took_us: None }).await.unwrap_err();

    let address = url.socket_addrs(|| None).unwrap()[0];
    let mut listener = None;
    until("the port", async || {
        listener = TcpListener::bind(address).await.ok();
        listener.is_some()
    })
    .await;
    let _served = Served::start_on(listener.unwrap(), Arc::clone(&store) as Arc<dyn LimitStore>, Config::default());
    until("telling", async || store.usage(clock::now_ms()).await.unwrap()[0].used == 0).await;
    granted(&permits, slot()).await;
}

#[tokio::test]
async fn a_report_that_makes_no_sense_is_dropped_at_once_and_harms_no_other() {
    let store = Arc::new(MemoryStore::new());
    let served = Served::start(Arc::clone(&store) as Arc<dyn LimitStore>, Config::default()).await;
    let permits = client(&[&served]);
    let permit = granted(&permits, slot()).await;
    let nonsense = Permit::new(1 << 60, permit.keys.clone());
    let [nonsense, good] =
        [nonsense, permit].map(|permit| Report { permit, sent: true, answer: None, health: None, took_us: None });
    let (dropped, told) = tokio::join!(permits.report(nonsense), permits.report(good));
    assert!(dropped.unwrap_err().to_string().contains("could not be told"));
    told.unwrap();
    granted(&permits, slot()).await;
}

#[tokio::test]
async fn a_wrong_token_is_an_error_that_names_no_token() {
    let served =
        Served::start(Arc::new(MemoryStore::new()), Config { token: Some("right-token".into()), ..Config::default() })
            .await;
    let ask = async |token: &str| {
        let config =
            HttpPermitsConfig { token: Some(token.into()), ..HttpPermitsConfig::new(vec![served.url.clone()]) };
        HttpPermits::new(&config, clock::system()).unwrap().ask(slot()).await
    };
    let error = ask("wrong-token").await.unwrap_err().to_string();
    assert!(error.contains("401") && !error.contains("wrong-token"), "{error}");
    assert!(matches!(ask("right-token").await.unwrap(), Decision::Granted(_)));
}
