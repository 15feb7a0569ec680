//! Limits are kept against clients that do not keep them.

use std::time::Duration;

use tidegate_simulator::{By, EndpointSpec, LimitHeaders, LimitSpec, Preset, Running, Simulator, SimulatorSpec};

use crate::client::{Answer, get, get_with};

/// No test here waits for a window to end.
const LONG_MS: u64 = 3_600_000;

async fn start(endpoint: EndpointSpec) -> Running {
    Simulator::start(&SimulatorSpec::seeded(7).with("users", endpoint)).await.unwrap()
}

fn users() -> EndpointSpec {
    EndpointSpec::at("/users").items(10)
}

async fn statuses(running: &Running, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(get(running, "/users").await.status);
    }
    statuses
}

#[tokio::test]
async fn each_kind_of_limit_refuses_what_is_above_it() {
    for limit in [
        LimitSpec::window(3, LONG_MS),
        LimitSpec::window(3, LONG_MS * 24 * 365).aligned_to_epoch(),
        LimitSpec::sliding(3, LONG_MS),
        LimitSpec::bucket(3, 0.0001),
    ] {
        let running = start(users().limit(limit.named("own"))).await;
        assert_eq!(statuses(&running, 5).await, [200, 200, 200, 429, 429]);
        let stats = running.stats();
        let own = &stats.limits["own"];
        assert_eq!((own.allowed, own.granted, own.refused, own.most_taken, own.most_arrived), (3, 3, 2, 3, 5));
        assert_eq!((stats.endpoints["users"].limited, stats.endpoints["users"].ok), (2, 3));
    }
}

#[tokio::test]
async fn a_limit_has_room_again_when_it_said_it_would() {
    for limit in [LimitSpec::window(2, 300), LimitSpec::sliding(2, 300), LimitSpec::bucket(2, 4.0)] {
        let running = start(users().limit(limit)).await;
        assert_eq!(statuses(&running, 3).await, [200, 200, 429]);
        let again = async {
            while get(&running, "/users").await.status == 429 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), again).await.expect("the limit frees up");
    }
}

#[tokio::test]
async fn so_many_calls_are_let_in_at_once_and_more_when_they_end() {
    let spec =
        SimulatorSpec::seeded(7).with("users", users().limit(LimitSpec::concurrency(3).named("own"))).latency_ms(200);
    let running = Simulator::start(&spec).await.unwrap();
    let calls = (0..5).map(|_| get(&running, "/users"));
    let mut answered: Vec<u16> =
        futures_util::future::join_all(calls).await.iter().map(|answer| answer.status).collect();
    answered.sort_unstable();
    assert_eq!(answered, [200, 200, 200, 429, 429]);
    assert_eq!(get(&running, "/users").await.status, 200);
    let stats = running.stats();
    assert_eq!((stats.limits["own"].most_taken, stats.endpoints["users"].max_in_flight, stats.in_flight), (3, 3, 0));
}

fn number(answer: &Answer, name: &str) -> i64 {
    answer.header(name).parse().unwrap()
}

#[tokio::test]
async fn headers_tell_what_is_left_and_a_refusal_when_to_come_back() {
    let running = start(users().limit(LimitSpec::window(2, 60_000))).await;
    let first = get(&running, "/users").await;
    assert_eq!((number(&first, "x-ratelimit-limit"), number(&first, "x-ratelimit-remaining")), (2, 1));
    let reset_s = number(&first, "x-ratelimit-reset");
    let started_s = (running.stats().started_ms / 1000) as i64;
    assert!((started_s + 59..=started_s + 63).contains(&reset_s), "{reset_s} after {started_s}");
    get(&running, "/users").await;
    let refused = get(&running, "/users").await;
    assert_eq!((refused.status, number(&refused, "x-ratelimit-remaining")), (429, 0));
    assert!((58..=60).contains(&number(&refused, "retry-after")));
    assert_eq!(refused.json()["error"]["code"], "rate_limited");

    let running =
        start(users().limit(LimitSpec::window(2, 60_000).headers(LimitHeaders::Preset(Preset::Ratelimit)))).await;
    let first = get(&running, "/users").await;
    assert!((59..=60).contains(&number(&first, "ratelimit-reset")));
    assert_eq!(first.header("ratelimit-policy"), "2;w=60");
}

#[tokio::test]
async fn a_hidden_limit_says_nothing() {
    let running = start(users().limit(LimitSpec::window(1, LONG_MS).hidden())).await;
    for status in [200, 429] {
        let answer = get(&running, "/users").await;
        assert_eq!(answer.status, status);
        assert!(answer.headers.keys().all(|name| !name.contains("ratelimit") && name != "retry-after"), "{answer:?}");
    }
}

#[tokio::test]
async fn tokens_are_counted_apart_and_addresses_together() {
    let running = start(users().limit(LimitSpec::window(1, LONG_MS))).await;
    for token in ["authorization: Bearer a\r\n", "authorization: Bearer b\r\n", "x-api-key: c\r\n"] {
        assert_eq!(get_with(&running, "/users", token).await.status, 200);
        assert_eq!(get_with(&running, "/users", token).await.status, 429);
    }
    assert_eq!(get(&running, "/users?access_token=d").await.status, 200);
    assert_eq!(get(&running, "/users?access_token=d").await.status, 429);
    let running = start(users().limit(LimitSpec::window(1, LONG_MS).by(&[By::Ip]))).await;
    assert_eq!(get_with(&running, "/users", "authorization: Bearer a\r\n").await.status, 200);
    assert_eq!(get_with(&running, "/users", "authorization: Bearer b\r\n").await.status, 429);
}

#[tokio::test]
async fn a_shared_limit_counts_the_calls_of_all_its_endpoints() {
    let spec = SimulatorSpec::seeded(1)
        .with("users", users())
        .with("posts", EndpointSpec::at("/posts"))
        .with("free", EndpointSpec::at("/free"))
        .limit(LimitSpec { endpoints: vec!["users".into(), "posts".into()], ..LimitSpec::window(2, LONG_MS) });
    let running = Simulator::start(&spec).await.unwrap();
    assert_eq!(get(&running, "/users").await.status, 200);
    assert_eq!(get(&running, "/posts").await.status, 200);
    assert_eq!(get(&running, "/posts").await.status, 429);
    assert_eq!(get(&running, "/users").await.status, 429);
    assert_eq!(get(&running, "/free").await.status, 200);
}

#[tokio::test]
async fn a_limit_of_further_pages_counts_no_first_page() {
    let limit = LimitSpec { further_pages_only: true, ..LimitSpec::window(1, LONG_MS) };
    let running = start(users().offset("skip").size("n", 5).limit(limit)).await;
    let mut statuses = Vec::new();
    for skip in [0, 0, 5, 5, 0] {
        statuses.push(get(&running, &format!("/users?n=5&skip={skip}")).await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 429, 200]);
}

#[tokio::test]
async fn a_wrong_token_is_401_and_takes_of_no_limit() {
    let spec = SimulatorSpec::seeded(1)
        .with("users", users().limit(LimitSpec::window(2, LONG_MS).named("own")))
        .token("right");
    let running = Simulator::start(&spec).await.unwrap();
    for wrong in ["", "authorization: Bearer wrong\r\n", "x-api-key: wrong\r\n"] {
        assert_eq!(get_with(&running, "/users", wrong).await.status, 401);
    }
    assert_eq!(get_with(&running, "/users", "authorization: Bearer right\r\n").await.status, 200);
    assert_eq!(get(&running, "/users?key=right").await.status, 200);
    running.set_token(Some("renewed"));
    assert_eq!(get_with(&running, "/users", "authorization: Bearer right\r\n").await.status, 401);
    let stats = running.stats();
    assert_eq!((stats.endpoints["users"].errors_of("unauthorized"), stats.limits["own"].most_arrived), (4, 2));
}
