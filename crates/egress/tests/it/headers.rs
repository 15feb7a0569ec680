use http::{HeaderName, HeaderValue, header};
use tidegate_egress::{AllowPrivate, EgressConfig, Failure, TooLarge};

use crate::hostile::{Hostile, answer};
use crate::{answered, egress_with, get, refused};

async fn is_too_large(lines: usize, bytes_each: usize) -> bool {
    let lines: Vec<_> = (0..lines).map(|n| format!("x-{n}: {}", "v".repeat(bytes_each))).collect();
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let server = Hostile::sending(answer("200 OK", &lines, b"x")).await;
    match crate::egress().call(get(&server.url("/"))).await {
        Ok(_) => false,
        Err(error) => match error.failure {
            Failure::TooLarge(TooLarge::Headers { .. }) => true,
            _ => panic!("{error:?}"),
        },
    }
}

#[tokio::test]
async fn headers_within_their_limits_are_taken() {
    assert!(!is_too_large(99, 10).await);
    assert!(!is_too_large(60, 1000).await);
}

#[tokio::test]
async fn too_many_too_long_and_huge_headers_are_refused() {
    assert!(is_too_large(100, 10).await, "with Content-Length, 101 lines");
    assert!(is_too_large(70, 1000).await, "70 kB");
    assert!(is_too_large(1, 2_000_000).await, "2 MB, more than the connection buffers");
    assert!(is_too_large(20_000, 10).await, "20,000 lines");
}

#[tokio::test]
async fn the_operator_may_allow_more_headers() {
    let lines: Vec<_> = (0..150).map(|n| format!("x-{n}: v")).collect();
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let server = Hostile::sending(answer("200 OK", &lines, b"x")).await;
    let config = EgressConfig { allow_private: AllowPrivate::All, max_headers: 151, ..EgressConfig::default() };
    let answer = egress_with(config).call(get(&server.url("/"))).await.expect("an answer");
    assert_eq!(answer.headers.len(), 151);
}

#[tokio::test]
async fn a_caller_cannot_speak_for_the_connection() {
    let server = Hostile::sending(answer("200 OK", &[], b"x")).await;
    let mut request = get(&server.url("/"));
    for (name, value) in [("host", "internal"), ("transfer-encoding", "chunked"), ("content-length", "7")] {
        request.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    request.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    request.headers.append("x-many", HeaderValue::from_static("1"));
    request.headers.append("x-many", HeaderValue::from_static("2"));
    answered(request).await;
    let seen = &server.seen()[0];
    assert_eq!(seen.header("host"), Some(server.address.to_string().as_str()));
    assert_eq!((seen.header("transfer-encoding"), seen.header("content-length")), (None, None));
    assert_eq!(seen.header("accept"), Some("application/json"));
    let many: Vec<_> = seen.headers.iter().filter(|(name, _)| name == "x-many").map(|(_, value)| value).collect();
    assert_eq!(many, ["1", "2"]);
}

#[tokio::test]
async fn a_line_break_in_a_header_cannot_even_be_built() {
    assert!(HeaderValue::from_str("a\r\nx-evil: 1").is_err());
    let server = Hostile::sending("HTTP/1.1 200 OK\r\nx-a: b\r\n folded\r\ncontent-length: 0\r\n\r\n").await;
    let error = refused(get(&server.url("/"))).await;
    assert!(matches!(error.failure, Failure::Broken { .. }), "obsolete folding: {error:?}");
}
