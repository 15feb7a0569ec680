//! Each passing fault, as a client sees it.

use std::io::ErrorKind;
use std::time::Duration;

use serde_json::json;
use tidegate_simulator::{Canned, EndpointSpec, Faults, Period, Running, Simulator, SimulatorSpec};
use tokio::io::AsyncReadExt;

use crate::client::{Answer, call, get, send};

async fn start(faults: Faults) -> Running {
    let users = EndpointSpec::at("/users").items(50).faults(Faults { max_faults_per_page: 1, ..faults });
    Simulator::start(&SimulatorSpec::seeded(7).with("users", users)).await.unwrap()
}

/// The faulty answer, after which the page is served.
async fn first_answer(faults: Faults, kind: &str) -> Answer {
    let running = start(faults).await;
    let answer = get(&running, "/users").await;
    assert_eq!(running.stats().endpoints["users"].errors_of(kind), 1);
    assert_eq!(get(&running, "/users").await.ids().len(), 50);
    answer
}

#[tokio::test]
async fn errors_have_their_status_and_a_body() {
    let answer = first_answer(Faults { error_500: 1.0, ..Faults::default() }, "error_500").await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (500, &"internal".into()));
    let answer = first_answer(Faults { error_503: 1.0, ..Faults::default() }, "error_503").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
}

#[tokio::test]
async fn a_200_may_hold_anything_but_a_page() {
    let html = first_answer(Faults { html: 1.0, ..Faults::default() }, "html").await;
    assert_eq!(
        (html.status, &html.text()[..15], html.header("content-type")),
        (200, "<!DOCTYPE html>", "text/html; charset=utf-8")
    );
    let empty = first_answer(Faults { empty_200: 1.0, ..Faults::default() }, "empty_200").await;
    assert_eq!((empty.status, empty.body.len(), empty.whole), (200, 0, true));
    let error = first_answer(Faults { error_in_200: 1.0, ..Faults::default() }, "error_in_200").await;
    assert_eq!((error.status, &error.json()["error"]["code"]), (200, &"temporary".into()));
}

#[tokio::test]
async fn truncated_json_is_sent_as_if_it_were_whole() {
    let answer = first_answer(Faults { truncated: 1.0, ..Faults::default() }, "truncated").await;
    assert!(answer.whole && answer.status == 200 && answer.body.len() > 5_000);
    assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap_err().is_eof());
}

#[tokio::test]
async fn a_lying_length_promises_more_than_comes() {
    let answer = first_answer(Faults { lying_length: 1.0, ..Faults::default() }, "lying_length").await;
    let promised: usize = answer.header("content-length").parse().unwrap();
    assert!(!answer.whole && answer.status == 200);
    assert_eq!(answer.body.len(), promised / 2);
}

#[tokio::test]
async fn a_reset_leaves_no_answer() {
    let running = start(Faults { reset: 1.0, ..Faults::default() }).await;
    let error = call(&running, "GET /users", "", "").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(running.stats().endpoints["users"].errors_of("reset"), 1);
    assert_eq!(get(&running, "/users").await.ids().len(), 50);
}

#[tokio::test]
async fn a_reset_amid_the_body_leaves_half_of_it() {
    let running = start(Faults { reset_body: 1.0, ..Faults::default() }).await;
    let mut stream = send(&running, "GET /users", "", "").await.unwrap();
    let mut bytes = Vec::new();
    let error = stream.read_to_end(&mut bytes).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(bytes.starts_with(b"HTTP/1.1 200") && bytes.len() > 5_000, "{}", bytes.len());
    assert_eq!(get(&running, "/users").await.ids().len(), 50);
}

/// Waits until nothing is under way.
async fn settled(running: &Running) {
    let calm = async {
        while running.stats().in_flight > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), calm).await.expect("calls end when their clients leave");
}

#[tokio::test]
async fn a_hanging_call_lasts_as_long_as_its_client_and_no_longer() {
    for (faults, kind) in [
        (Faults { hang: 1.0, ..Faults::default() }, "hang"),
        (Faults { stalled_body: 1.0, ..Faults::default() }, "stalled_body"),
    ] {
        let running = start(faults).await;
        let mut stream = send(&running, "GET /users", "", "").await.unwrap();
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(Duration::from_millis(300), stream.read_to_end(&mut bytes)).await;
        assert!(read.is_err(), "{kind} ended");
        assert_eq!(bytes.is_empty(), kind == "hang");
        let stats = running.stats();
        assert_eq!((stats.in_flight, stats.endpoints["users"].errors_of(kind)), (1, 1));
        drop(stream);
        settled(&running).await;
        assert_eq!(running.stats().endpoints["users"].errors_of("abandoned"), 0);
        assert_eq!(get(&running, "/users").await.ids().len(), 50);
    }
}

#[tokio::test]
async fn a_slow_body_comes_in_pieces_and_counts_as_served_when_it_is_whole() {
    let faults = Faults { slow_body: 1.0, slow_body_takes: Period::from_ms(400), ..Faults::default() };
    let running = start(faults).await;
    let begun = std::time::Instant::now();
    let answer = get(&running, "/users").await;
    assert!(answer.whole && answer.ids().len() == 50);
    assert!(begun.elapsed() >= Duration::from_millis(400));
    let stats = running.stats().endpoints["users"].clone();
    assert_eq!((stats.ok, stats.pages, stats.errors_of("slow_body")), (1, 1, 1));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_counted() {
    let spec = SimulatorSpec::seeded(1).with("users", EndpointSpec::at("/users")).latency_ms(60_000);
    let running = Simulator::start(&spec).await.unwrap();
    let stream = send(&running, "GET /users", "", "").await.unwrap();
    while running.stats().in_flight == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(stream);
    settled(&running).await;
    let stats = running.stats().endpoints["users"].clone();
    assert_eq!((stats.ok, stats.errors_of("abandoned")), (0, 1));
}

#[tokio::test]
async fn an_endpoint_may_have_one_answer_for_all_calls() {
    for (body, sent) in [(json!("<html>away</html>"), "<html>away</html>"), (json!({ "code": 7 }), r#"{"code":7}"#)] {
        let headers = [("X-Kept".to_owned(), "k".to_owned())].into();
        let running = start(Faults { always: Some(Canned { status: 418, headers, body }), ..Faults::default() }).await;
        for _ in 0..3 {
            let answer = get(&running, "/users").await;
            assert_eq!((answer.status, answer.header("x-kept"), answer.text().as_str()), (418, "k", sent));
        }
        assert_eq!(running.stats().endpoints["users"].errors_of("always"), 3);
    }
}
