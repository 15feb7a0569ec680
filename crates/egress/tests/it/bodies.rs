use std::io::Write;
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, StatusCode, header};
use tidegate_egress::{BodyLimits, EncodingError, Failure, Sent, TooLarge};

use crate::hostile::{Act, Hostile, answer};
use crate::{answered, egress, get, refused, with_body};

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).expect("memory");
    encoder.finish().expect("memory")
}

fn brotli(plain: &[u8]) -> Vec<u8> {
    let mut coded = Vec::new();
    brotli::BrotliCompress(&mut &plain[..], &mut coded, &Default::default()).expect("memory");
    coded
}

/// 261 kB that decode to 256 MiB of zeros.
fn bomb() -> Vec<u8> {
    gzip(&vec![0; 1 << 20]).repeat(256)
}

#[tokio::test]
async fn a_plain_answer_comes_back_whole() {
    let server = Hostile::sending(answer("200 OK", &["x-rate: 7", "etag: \"v1\""], b"{\"ok\":true}")).await;
    let answer = answered(get(&server.url("/v1/items?page=2"))).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["x-rate"], "7");
    assert_eq!(answer.body, "{\"ok\":true}");
    assert_eq!(answer.url.as_str(), server.url("/v1/items?page=2"));
    assert_eq!((answer.redirects, answer.wire_bytes), (0, 11));
    assert!(answer.first_byte_ms <= answer.total_ms);
    let seen = &server.seen()[0];
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("GET", "/v1/items?page=2"));
    assert_eq!(seen.header("accept-encoding"), Some("gzip, br, zstd"));
    assert!(seen.header("user-agent").is_some_and(|agent| agent.starts_with("tidegate/")));
    assert_eq!(seen.header("referer"), None);
}

#[tokio::test]
async fn an_answer_of_any_status_is_an_answer() {
    for (status, code) in [("404 Not Found", 404), ("429 Slow Down", 429), ("500 Oops", 500), ("304 Same", 304)] {
        let server = Hostile::sending(answer(status, &[], b"")).await;
        let answer = answered(get(&server.url("/"))).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (code, 0));
    }
}

#[tokio::test]
async fn a_body_is_sent_as_it_is() {
    let server = Hostile::sending(answer("201 Created", &[], b"")).await;
    answered(with_body(Method::POST, &server.url("/"), "a body")).await;
    assert_eq!((server.seen()[0].method.as_str(), server.seen()[0].body.as_str()), ("POST", "a body"));
}

#[tokio::test]
async fn compressed_bodies_are_decoded() {
    let plain = "a page of items, ".repeat(1000);
    let zstd = zstd::encode_all(plain.as_bytes(), 3).expect("memory");
    for (name, wire) in [("gzip", gzip(plain.as_bytes())), ("br", brotli(plain.as_bytes())), ("zstd", zstd)] {
        let server = Hostile::sending(answer("200 OK", &[&format!("content-encoding: {name}")], &wire)).await;
        let answer = answered(get(&server.url("/"))).await;
        assert!(answer.body == plain, "{name}");
        assert_eq!(answer.wire_bytes, wire.len() as u64, "{name}");
        assert!(!answer.headers.contains_key(header::CONTENT_ENCODING), "{name}");
        assert!(!answer.headers.contains_key(header::CONTENT_LENGTH), "{name}");
    }
}

#[tokio::test]
async fn a_callers_own_accept_encoding_is_kept() {
    let server = Hostile::sending(answer("200 OK", &[], b"")).await;
    let mut request = get(&server.url("/"));
    request.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    answered(request).await;
    assert_eq!(server.seen()[0].header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn an_answer_to_head_has_no_body_to_decode() {
    let server =
        Hostile::sending("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 999999999999\r\n\r\n").await;
    let mut request = get(&server.url("/"));
    request.method = Method::HEAD;
    assert!(answered(request).await.body.is_empty());
}

#[tokio::test]
async fn nested_and_unknown_codings_are_refused() {
    let nested = gzip(&gzip(b"plain"));
    for (line, expected) in [
        ("content-encoding: gzip, gzip", EncodingError::Nested),
        ("content-encoding: gzip\r\ncontent-encoding: br", EncodingError::Nested),
        ("content-encoding: compress", EncodingError::Unknown),
    ] {
        let server = Hostile::sending(answer("200 OK", &[line], &nested)).await;
        let error = refused(get(&server.url("/"))).await;
        assert!(matches!(error.failure, Failure::Encoding(found) if found == expected), "{line}: {error:?}");
        assert_eq!(error.sent(), Sent::Unknown);
    }
}

#[tokio::test]
async fn a_body_that_is_not_what_its_coding_says_is_refused() {
    for (wire, expected) in [
        (b"<html>not gzip</html>".to_vec(), EncodingError::Corrupt),
        (gzip(b"half a page, half a page")[..20].to_vec(), EncodingError::Truncated),
    ] {
        let server = Hostile::sending(answer("200 OK", &["content-encoding: gzip"], &wire)).await;
        let error = refused(get(&server.url("/"))).await;
        assert!(matches!(error.failure, Failure::Encoding(found) if found == expected), "{error:?}");
    }
}

#[tokio::test]
async fn a_bomb_is_defused_by_its_ratio_and_by_its_size() {
    let wire = bomb();
    assert!(wire.len() < 300_000, "{}", wire.len());
    let server = Hostile::sending(answer("200 OK", &["content-encoding: gzip"], &wire)).await;
    let error = refused(get(&server.url("/"))).await;
    assert!(matches!(error.failure, Failure::TooLarge(TooLarge::Ratio { limit: 100 })), "{error:?}");

    let mut request = get(&server.url("/"));
    request.limits = BodyLimits { decoded_bytes: 2 << 20, ratio: u32::MAX, ratio_after_bytes: 0 };
    let error = refused(request).await;
    assert!(matches!(error.failure, Failure::TooLarge(TooLarge::Decoded { limit_bytes: 2_097_152 })), "{error:?}");
}

#[tokio::test]
async fn a_promise_beyond_the_limit_is_not_waited_for() {
    let server = Hostile::start(|_| {
        vec![Act::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n".to_vec()), Act::Hold]
    })
    .await;
    let started = Instant::now();
    let error = refused(get(&server.url("/"))).await;
    assert!(matches!(error.failure, Failure::TooLarge(TooLarge::Wire { .. })), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_endless_body_stops_at_the_limit() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    let server = Hostile::start(move |_| vec![Act::Send(head.into()), Act::Flood(chunk.clone().into_bytes())]).await;
    let mut request = get(&server.url("/"));
    request.limits.decoded_bytes = 1 << 20;
    let error = refused(request).await;
    assert!(matches!(error.failure, Failure::TooLarge(TooLarge::Wire { limit_bytes: 1_048_576 })), "{error:?}");
}

#[tokio::test]
async fn an_answer_shorter_than_promised_is_broken() {
    for head in ["content-length: 100", "transfer-encoding: chunked"] {
        let bytes = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nhello");
        let server = Hostile::start(move |_| vec![Act::Send(bytes.clone().into()), Act::Close]).await;
        let error = refused(get(&server.url("/"))).await;
        assert!(matches!(error.failure, Failure::Broken { .. }), "{head}: {error:?}");
        assert_eq!(error.sent(), Sent::Unknown);
    }
}

#[tokio::test]
async fn what_follows_a_promised_length_never_reaches_the_next_call() {
    let smuggled = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nshortHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let server = Hostile::start(move |seen| match seen.target.as_str() {
        "/lie" => vec![Act::Send(smuggled.into())],
        _ => vec![Act::Send(answer("200 OK", &[], b"honest"))],
    })
    .await;
    let egress = egress();
    for _ in 0..20 {
        assert_eq!(egress.call(get(&server.url("/lie"))).await.expect("as promised").body, "short");
        assert_eq!(egress.call(get(&server.url("/next"))).await.expect("an answer").body, "honest");
    }
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_is_whole() {
    let server =
        Hostile::start(|_| vec![Act::Send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end".to_vec()), Act::Close]).await;
    assert_eq!(answered(get(&server.url("/"))).await.body, "until the end");
}

#[tokio::test]
async fn a_large_body_in_many_pieces_is_gathered() {
    let plain: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let server = Hostile::sending(answer("200 OK", &[], &plain)).await;
    let answer = answered(get(&server.url("/"))).await;
    assert!(answer.body == plain);
    assert_eq!(answer.wire_bytes, 3_000_000);
}
