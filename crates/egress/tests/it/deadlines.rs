use std::time::{Duration, Instant};

use tidegate_egress::{Deadlines, EgressConfig, EgressError, Failure, Phase, Request, Sent};
use tokio::net::TcpListener;

use crate::hostile::{Act, Hostile, answer};
use crate::{egress_with, get, refused};

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(60);

/// Makes the call, which must end well before anything but the deadline under test could end it.
async fn timed(deadlines: Deadlines, request: Request) -> EgressError {
    let started = Instant::now();
    let error = refused(Request { deadlines, ..request }).await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    error
}

fn phase(error: &EgressError) -> Phase {
    match error.failure {
        Failure::Timeout { phase, .. } => phase,
        _ => panic!("not a timeout: {error:?}"),
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let server = Hostile::start(|_| vec![Act::Hold]).await;
    let error = timed(Deadlines { first_byte: SHORT, idle: LONG, total: LONG }, get(&server.url("/"))).await;
    assert_eq!((phase(&error), error.sent()), (Phase::FirstByte, Sent::Unknown));
    assert_eq!(error.to_string(), "no answer within 200 ms");
}

#[tokio::test]
async fn headers_alone_are_no_answer() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
    let server = Hostile::start(move |_| vec![Act::Send(head.into()), Act::Hold]).await;
    let error = timed(Deadlines { first_byte: LONG, idle: SHORT, total: LONG }, get(&server.url("/"))).await;
    assert_eq!((phase(&error), error.sent()), (Phase::Idle, Sent::Unknown));
}

#[tokio::test]
async fn a_slow_drip_ends_with_the_whole_calls_time() {
    let server = Hostile::start(|_| {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
        vec![Act::Send(head.into()), Act::Drip(vec![b'x'; 1000], Duration::from_millis(100))]
    })
    .await;
    let second = Duration::from_secs(1);
    let error = timed(Deadlines { first_byte: LONG, idle: second, total: second }, get(&server.url("/"))).await;
    assert_eq!(phase(&error), Phase::Total);
    assert_eq!(error.to_string(), "the call did not end within 1000 ms");
}

#[tokio::test]
async fn dripping_headers_end_with_the_first_bytes_time() {
    let server = Hostile::start(|_| {
        vec![Act::Send(b"HTTP/1.1 200 OK\r\nx-slow: ".to_vec()), Act::Drip(vec![b'x'; 1000], SHORT / 10)]
    })
    .await;
    let error = timed(Deadlines { first_byte: SHORT, idle: LONG, total: LONG }, get(&server.url("/"))).await;
    assert_eq!(phase(&error), Phase::FirstByte);
}

#[tokio::test]
async fn an_endless_slow_body_and_endless_interim_answers_end_too() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let server = Hostile::start(move |seen| match seen.target.as_str() {
        "/chunks" => vec![Act::Send(chunked.into()), Act::Drip(b"1\r\nx\r\n".repeat(200), SHORT / 20)],
        _ => vec![Act::Drip(b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(200), SHORT / 100)],
    })
    .await;
    let deadlines = Deadlines { first_byte: 2 * SHORT, idle: LONG, total: 3 * SHORT };
    assert_eq!(phase(&timed(deadlines, get(&server.url("/chunks"))).await), Phase::Total);
    assert_eq!(phase(&timed(deadlines, get(&server.url("/hints"))).await), Phase::FirstByte);
}

#[tokio::test]
async fn redirects_share_one_total_time() {
    let server = Hostile::start(|_| {
        let next = answer("302 Found", &["location: /again"], b"");
        let (last, rest) = next.split_last().expect("an answer");
        vec![Act::Send(rest.to_vec()), Act::Drip(vec![*last], SHORT)]
    })
    .await;
    let deadlines = Deadlines { first_byte: 3 * SHORT, idle: LONG, total: 3 * SHORT };
    let error = timed(deadlines, get(&server.url("/"))).await;
    assert_eq!((phase(&error), error.sent()), (Phase::Total, Sent::Unknown));
    assert!(error.redirects > 0, "{error:?}");
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_a_connection_that_was_not_made() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}/", listener.local_addr().expect("an address"));
    let allow_private = "127.0.0.1".parse().expect("an address");
    let egress = egress_with(EgressConfig { allow_private, connect: SHORT, ..EgressConfig::default() });
    let error = egress.call(get(&url)).await.expect_err("no TLS");
    assert_eq!((phase(&error), error.sent()), (Phase::Connect, Sent::NotSent));
    assert_eq!(error.to_string(), "not connected within 200 ms");
}

#[tokio::test]
async fn an_absurd_deadline_is_no_panic() {
    let server = Hostile::sending(answer("200 OK", &[], b"")).await;
    let deadlines = Deadlines { first_byte: Duration::MAX, idle: Duration::MAX, total: Duration::MAX };
    crate::answered(Request { deadlines, ..get(&server.url("/")) }).await;
}
