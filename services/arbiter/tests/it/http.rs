//! What the arbiter says to requests, good and bad.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tidegate_arbiter::http::{Config, Deps, StartError, start};
use tidegate_arbiter::{Arbiter, MemoryStore};
use tidegate_daemon::{Health, Shutdown, clock};
use tidegate_limits::http::{LimitsReply, PermitsReply};
use tidegate_limits::{Decision, Rate, Why};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::kit::{Served, charge, fresh_prefix, http, store, sweep, until, window};

const MINUTE: Duration = Duration::from_mins(1);

async fn post(served: &Served, path: &str, body: impl Into<reqwest::Body>) -> Response {
    http().post(served.url.join(path).unwrap()).body(body).send().await.unwrap()
}

async fn json_of<T: serde::de::DeserializeOwned>(response: Response) -> T {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

/// Status, detail, and the pointer to the field.
async fn problem(response: Response) -> (u16, String, Option<String>) {
    let status = response.status();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: Value = json_of(response).await;
    assert_eq!(problem["status"], status.as_u16());
    let pointer = problem["errors"][0]["pointer"].as_str().map(str::to_owned);
    (status.as_u16(), problem["detail"].as_str().unwrap().to_owned(), pointer)
}

async fn in_memory(config: Config) -> Served {
    Served::start(Arc::new(MemoryStore::new()), config).await
}

#[tokio::test]
async fn a_batch_is_decided_in_order_reported_and_shown() {
    let prefix = fresh_prefix();
    let served = Served::start(Arc::new(store(&prefix)), Config::default()).await;
    let slot = charge("slot", Rate::Concurrency { calls: 1, learn: None, lease: MINUTE });
    let asked = json!({ "questions": [{ "charges": [slot] }, { "charges": [slot] }] }).to_string();
    let reply: PermitsReply = json_of(post(&served, "/v1/permits", asked.clone()).await).await;
    let [Decision::Granted(permit), Decision::Wait { limit, .. }] = &reply.decisions[..] else { panic!("{reply:?}") };
    assert_eq!(limit, "slot");

    let limits = http().get(served.url.join("/v1/limits").unwrap()).send().await.unwrap();
    let limits: LimitsReply = json_of(limits).await;
    assert_eq!((limits.limits.len(), limits.limits[0].used, limits.limits[0].size), (1, 1, Some(1)));

    let report = json!({ "permit": permit, "sent": true, "answer": null });
    let told = json!({ "now_ms": clock::now_ms(), "reports": [report, report] }).to_string();
    assert_eq!(post(&served, "/v1/reports", told).await.status(), StatusCode::NO_CONTENT);
    let reply: PermitsReply = json_of(post(&served, "/v1/permits", asked).await).await;
    assert!(matches!(reply.decisions[0], Decision::Granted(_)), "{reply:?}");
    sweep(&prefix).await;
}

#[tokio::test]
async fn an_override_is_set_by_anybody_s_clock_shown_and_ended() {
    let served = in_memory(Config::default()).await;
    let overrides = served.url.join("/v1/limits/overrides").unwrap();
    let put = async |wanted: Value| {
        let body = json!({ "now_ms": 1_000, "wanted": wanted }).to_string();
        http().put(overrides.clone()).body(body).send().await.unwrap()
    };
    let paused = json!({ "key": "{acme}/told/", "does": "pause", "reason": "maintenance", "until_ms": 601_000 });
    for _ in 0..2 {
        assert_eq!(put(paused.clone()).await.status(), StatusCode::NO_CONTENT);
    }
    let (status, detail, pointer) = problem(put(json!({ "key": "told", "does": "pause", "reason": "x" })).await).await;
    assert_eq!((status, pointer.as_deref()), (422, Some("#/wanted/key")), "{detail}");
    let none = json!({ "key": "{acme}/told/", "does": { "rate": { "bucket": { "calls": 0, "restore_per_s": 1 } } }, "reason": "x" });
    assert_eq!(problem(put(none).await).await.2.as_deref(), Some("#/wanted/does/rate/bucket/calls"));

    let mut told = charge("told", Rate::Told {});
    told.key = "{acme}/told/".to_owned();
    let asked = json!({ "questions": [{ "charges": [told] }] }).to_string();
    let reply: PermitsReply = json_of(post(&served, "/v1/permits", asked.clone()).await).await;
    let Decision::Wait { why: Some(Why::Paused { reason, until_ms: Some(until_ms) }), .. } = &reply.decisions[0] else {
        panic!("{reply:?}")
    };
    assert_eq!(reason, "maintenance");
    assert!((590_000..=600_000).contains(&(until_ms - reply.now_ms)), "{reply:?}");

    let shown = http().get(served.url.join("/v1/limits?provider=acme").unwrap()).send().await.unwrap();
    let shown: LimitsReply = json_of(shown).await;
    assert_eq!(shown.overrides.len(), 1, "{shown:?}");
    let mut target = overrides.clone();
    target.query_pairs_mut().append_pair("key", "{acme}/told/").append_pair("does", "pause");
    for status in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
        assert_eq!(http().delete(target.clone()).send().await.unwrap().status(), status);
    }
    let reply: PermitsReply = json_of(post(&served, "/v1/permits", asked).await).await;
    assert!(matches!(reply.decisions[0], Decision::Granted(_)), "{reply:?}");
}

#[tokio::test]
async fn a_reporter_s_clock_may_be_an_hour_off() {
    let served = in_memory(Config::default()).await;
    let asked = json!({ "questions": [{ "charges": [charge("told", Rate::Told {})] }] }).to_string();
    let reply: PermitsReply = json_of(post(&served, "/v1/permits", asked.clone()).await).await;
    let Decision::Granted(permit) = &reply.decisions[0] else { panic!("{reply:?}") };
    let late_ms = clock::now_ms() - 3_600_000;
    let refused = json!({ "keys": permit.keys, "until_ms": late_ms + 30_000 });
    let report = json!({ "permit": permit, "sent": true, "answer": { "readings": {}, "refused": refused } });
    post(&served, "/v1/reports", json!({ "now_ms": late_ms, "reports": [report] }).to_string()).await;
    let reply: PermitsReply = json_of(post(&served, "/v1/permits", asked).await).await;
    let Decision::Wait { until_ms, .. } = reply.decisions[0] else { panic!("{reply:?}") };
    assert!((25_000..=30_000).contains(&(until_ms - reply.now_ms)), "{reply:?}");
}

#[tokio::test]
async fn a_bad_body_is_refused_with_the_field_s_pointer() {
    let served = in_memory(Config { max_batch: 2, max_choices: 3, ..Config::default() }).await;
    let good = json!(charge("minute", window(9, MINUTE)));
    let with = |field: &str, value: Value| {
        let mut charge = good.clone();
        charge[field] = value;
        json!({ "questions": [{ "charges": [good] }, { "charges": [good, charge] }] })
    };
    let choices = |alternatives: Value| json!({ "questions": [{ "charges": [good], "alternatives": alternatives }] });
    let (mut of_bob, mut of_other) = (good.clone(), good.clone());
    of_bob["key"] = json!("{acme}/minute/credential=bob");
    of_other["key"] = json!("{other}/minute/");
    let window_of = |calls: u32| json!({ "window": { "calls": calls, "per": "1m" } });
    let field = "#/questions/1/charges/1";
    for (body, status, pointer, detail) in [
        (with("cost", json!("much")), 400, format!("{field}/cost"), "invalid type"),
        (with("rate", json!({ "leaky": {} })), 400, format!("{field}/rate"), "unknown variant"),
        (with("key", json!("{acme}/minute/egress=default")), 422, format!("{field}/key"), "is there already"),
        (with("key", json!("")), 422, format!("{field}/key"), "from 1 to 1024 bytes"),
        (with("key", json!("{other}/minute/")), 422, "#/questions/1/charges".to_owned(), "of one provider"),
        (with("limit", json!("x".repeat(129))), 422, format!("{field}/limit"), "longer than 128"),
        (
            json!({ "questions": [{ "charges": [] }, { "charges": [{ "limit": "a", "key": "b", "cost": 1, "rate": window_of(0) }] }] }),
            422,
            "#/questions/1/charges/0/rate/window/calls".to_owned(),
            "must be from 1 to",
        ),
        (
            json!({ "questions": [{ "charges": [] }, { "charges": [] }, { "charges": [] }] }),
            422,
            "#/questions".to_owned(),
            "2 are the most",
        ),
        (choices(json!([[of_bob], [good]])), 422, "#/questions/0/alternatives/1".to_owned(), "is there already"),
        (choices(json!([[of_bob, good], [of_other]])), 422, "#/questions/0/charges".to_owned(), "of one provider"),
        (choices(json!([[], [of_bob], [good]])), 422, "#/questions/0/alternatives".to_owned(), "2 are the most"),
    ] {
        let (found, text, at) = problem(post(&served, "/v1/permits", body.to_string()).await).await;
        assert_eq!((found, at), (status, Some(pointer)), "{text}");
        assert!(text.contains(detail), "{text}");
    }
    let report = |id: u64| json!({ "permit": { "id": id, "keys": ["{a}/b/"] }, "sent": false, "answer": null });
    let told = json!({ "now_ms": 0, "reports": [report(1), report(1 << 53)] }).to_string();
    let (status, _, pointer) = problem(post(&served, "/v1/reports", told).await).await;
    assert_eq!((status, pointer.as_deref()), (422, Some("#/reports/1/permit/id")));
    for (body, status) in [("", 400), ("{", 400), ("[]", 400), ("{\"questions\":[]} x", 400)] {
        assert_eq!(problem(post(&served, "/v1/permits", body).await).await.0, status, "{body:?}");
    }
    assert_eq!(served.arbiter.usage().await.unwrap(), [], "nothing was charged");
}

/// A rate of each kind.
fn kinds() -> Vec<Value> {
    vec![
        json!({ "window": { "calls": 9, "per": "1m" } }),
        json!({ "quota": { "calls": 9, "per": "day" } }),
        json!({ "sliding": { "calls": 9, "per": "366d" } }),
        json!({ "bucket": { "calls": 2, "restore_per_s": 1e-7 } }),
        json!({ "concurrency": { "calls": 9 } }),
        json!({ "concurrency": { "learn": {} } }),
        json!({ "learn": {} }),
        json!({ "told": {} }),
        json!({ "breaker": {} }),
    ]
}

/// What an answer told of a budget of each kind is taken or refused, and whatever it was, budgets can be asked and shown.
async fn is_told(served: &Served, answers: impl Fn(i64) -> Vec<(Value, Option<&'static str>)>) {
    let client = http();
    let post =
        async |path: &str, body: String| client.post(served.url.join(path).unwrap()).body(body).send().await.unwrap();
    for (place, rate) in kinds().iter().enumerate() {
        let now_ms = clock::now_ms();
        for (number, (answer, field)) in answers(now_ms).into_iter().enumerate() {
            let key = format!("{{acme}}/{place}~/{number}");
            let charge = json!({ "limit": "a", "key": key, "rate": rate, "cost": 1 });
            let asked = json!({ "questions": [{ "charges": [charge] }] }).to_string();
            let reply: PermitsReply = json_of(post("/v1/permits", asked.clone()).await).await;
            let Decision::Granted(permit) = &reply.decisions[0] else { panic!("{reply:?}") };
            let answer = match answer.get("keys") {
                None => json!({ "readings": { (&key): answer } }),
                Some(_) => json!({ "readings": {}, "refused": { "keys": [key], "until_ms": answer["until_ms"] } }),
            };
            let report = json!({ "permit": permit, "sent": true, "answer": answer });
            let told = post("/v1/reports", json!({ "now_ms": now_ms, "reports": [report] }).to_string()).await;
            match field {
                None => assert_eq!(told.status(), StatusCode::NO_CONTENT, "{rate} {answer}"),
                Some(field) => {
                    let (status, detail, pointer) = problem(told).await;
                    let pointer = pointer.unwrap_or_default();
                    assert!(status == 422 && pointer.ends_with(field), "{rate} {answer}: {status} {pointer} {detail}");
                    assert!(field == "/until_ms" || pointer.contains(&format!("~1{place}~0~1{number}/")), "{pointer}");
                }
            }
            assert_eq!(post("/v1/permits", asked).await.status(), StatusCode::OK, "{rate} {answer}");
        }
    }
    let shown = client.get(served.url.join("/v1/limits").unwrap()).send().await.unwrap();
    let shown: LimitsReply = json_of(shown).await;
    assert_eq!(shown.limits.len(), kinds().len() * answers(0).len());
    // Nobody is told to come back in a time that nobody lives to see.
    let farthest_ms = clock::now_ms() + 500 * 86_400_000;
    let mut until_ms = shown.limits.iter().filter_map(|usage| usage.blocked_until_ms);
    assert!(until_ms.all(|ms| (0..farthest_ms).contains(&ms)), "{shown:?}");
}

#[tokio::test]
async fn what_no_answer_can_have_said_is_refused_with_the_field_s_pointer() {
    let answers = |_| {
        let (least, most) = (i64::MIN, i64::MAX);
        let of = |field: &str, value: Value| json!({ "remaining": 3, (field): value });
        vec![
            (of("limit", json!(0)), Some("/limit")),
            (of("limit", json!(most)), Some("/limit")),
            (of("remaining", json!(-1)), Some("/remaining")),
            (of("remaining", json!(1e308)), Some("/remaining")),
            (of("cost", json!(most)), Some("/cost")),
            (of("reset_at_ms", json!(most)), Some("/reset_at_ms")),
            (of("reset_at_ms", json!(least)), Some("/reset_at_ms")),
            (of("pause_until_ms", json!(most)), Some("/pause_until_ms")),
            (of("clock_ahead_ms", json!(least)), Some("/clock_ahead_ms")),
            (of("reset_step_ms", json!(-1)), Some("/reset_step_ms")),
            (json!({ "keys": [], "until_ms": most }), Some("/until_ms")),
            (json!({ "keys": [], "until_ms": least }), Some("/until_ms")),
        ]
    };
    let prefix = fresh_prefix();
    is_told(&in_memory(Config::default()).await, answers).await;
    is_told(&Served::start(Arc::new(store(&prefix)), Config::default()).await, answers).await;
    sweep(&prefix).await;
}

#[tokio::test]
async fn the_most_that_an_answer_may_say_breaks_nothing() {
    let answers = |now_ms: i64| {
        let (least, most) = (now_ms - 366 * 86_400_000, now_ms + 366 * 86_400_000);
        vec![
            (json!({ "limit": 1_000_000_000_000_000_u64, "remaining": 0 }), None),
            (json!({ "limit": 1, "remaining": 1e15, "cost": 1_000_000_000 }), None),
            (
                json!({ "remaining": 0, "reset_at_ms": most, "reset_step_ms": 1_000, "clock_ahead_ms": 31_622_400_000_i64 }),
                None,
            ),
            (json!({ "remaining": 0, "reset_at_ms": least, "reset_is_relative": true }), None),
            (json!({ "pause_until_ms": most }), None),
            (json!({ "keys": [], "until_ms": most }), None),
            (json!({ "keys": [], "until_ms": least }), None),
        ]
    };
    let prefix = fresh_prefix();
    is_told(&in_memory(Config::default()).await, answers).await;
    is_told(&Served::start(Arc::new(store(&prefix)), Config::default()).await, answers).await;
    sweep(&prefix).await;
}

#[tokio::test]
async fn a_query_that_can_t_be_read_is_refused_with_the_parameter_s_name() {
    let served = in_memory(Config::default()).await;
    for (method, path, name) in [
        ("GET", "/v1/limits?max=-1", "max"),
        ("GET", "/v1/limits?blocked=maybe", "blocked"),
        ("GET", "/v1/limits?tenants=a", "tenants"),
        ("DELETE", "/v1/limits/overrides", "key"),
        ("DELETE", "/v1/limits/overrides?key=a&does=b", "does"),
    ] {
        let request = http().request(method.parse().unwrap(), served.url.join(path).unwrap());
        let (status, detail, _) = problem(request.send().await.unwrap()).await;
        assert!(status == 400 && detail.contains(name), "{path}: {status} {detail}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_taken_in() {
    let served = in_memory(Config { max_body_bytes: 1_000, ..Config::default() }).await;
    let (status, ..) = problem(post(&served, "/v1/permits", vec![b' '; 1_001]).await).await;
    assert_eq!(status, 413);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_and_many_at_once_are_turned_away() {
    let config = Config { request_within: Duration::from_millis(300), max_requests: 1, ..Config::default() };
    let served = in_memory(config).await;
    let mut slow = TcpStream::connect(served.url.socket_addrs(|| None).unwrap()[0]).await.unwrap();
    slow.write_all(b"POST /v1/permits HTTP/1.1\r\nHost: arbiter\r\nContent-Length: 100\r\n\r\n{").await.unwrap();
    until("turning away", async || {
        let (_, detail, _) = problem(post(&served, "/v1/permits", "[]").await).await;
        detail.contains("1 requests are under way")
    })
    .await;
    let mut answer = vec![0; 12];
    slow.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 503");
    assert_eq!(problem(post(&served, "/v1/permits", "[]").await).await.0, 400, "there is room again");
}

#[tokio::test]
async fn only_who_has_the_token_is_heard() {
    let served = in_memory(Config { token: Some("s3cret".into()), ..Config::default() }).await;
    let limits = |token: Option<&str>| {
        let request = http().get(served.url.join("/v1/limits").unwrap());
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    };
    for token in [None, Some("other"), Some("s3cre")] {
        let response = limits(token).send().await.unwrap();
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        assert_eq!(problem(response).await.0, 401, "{token:?}");
    }
    assert_eq!(limits(Some("s3cret")).send().await.unwrap().status(), StatusCode::OK);
    let alive = http().get(served.url.join("/livez").unwrap()).send().await.unwrap();
    assert_eq!(alive.status(), StatusCode::OK, "a probe needs no token");
}

#[tokio::test]
async fn without_a_token_it_listens_to_this_machine_only() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let arbiter = Arc::new(Arbiter::new(Arc::new(MemoryStore::new()), clock::system()));
    let deps = Deps { arbiter, health: Health::new() };
    let started = start(deps, Config::default(), listener, &Shutdown::new());
    assert!(matches!(started, Err(StartError::NoToken(_))));
}

#[tokio::test]
async fn it_is_ready_when_its_store_answers_and_until_it_stops() {
    let served = in_memory(Config::default()).await;
    let ready = || async { http().get(served.url.join("/readyz").unwrap()).send().await.map(|found| found.status()) };
    until("being ready", async || ready().await.unwrap() == StatusCode::OK).await;
    served.shutdown.request();
    until("stopping", async || ready().await.is_err()).await;
}
