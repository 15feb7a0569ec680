use std::error::Error;

use http::{HeaderValue, Method, header};
use tidegate_egress::{EgressError, Request};
use tokio::net::TcpListener;

use crate::hostile::{Act, Hostile, answer};
use crate::{answered, get, refused, secret, with_body};

const QUERY: &str = "?page=CANARY-page&token=CANARY-token";

fn guarded(mut request: Request) -> Request {
    request.secret_query = ["token".to_owned()].into();
    request.headers.insert("x-shop-key", secret("CANARY-key"));
    request.headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer CANARY-bearer"));
    request.deadlines.total = std::time::Duration::from_millis(500);
    request
}

/// All that an error shows of itself: its text, its causes' texts, and its insides.
fn shown(error: &EgressError) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!(" {next} {next:?}"));
        cause = next.source();
    }
    text
}

#[tokio::test]
async fn no_error_shows_a_secret() {
    let server = Hostile::start(|seen| match seen.target.split('?').next() {
        Some("/cut") => vec![Act::Close],
        Some("/hold") => vec![Act::Hold],
        Some("/garbage") => vec![Act::Send(b"HTTP/1.1 CANARY-status\r\n\r\n".to_vec()), Act::Close],
        Some("/short") => vec![Act::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nCANARY".to_vec()), Act::Close],
        Some("/coded") => vec![Act::Send(answer("200 OK", &["content-encoding: CANARY-coding"], b"CANARY"))],
        Some("/circle") => vec![Act::Send(answer("302 F", &["location: /circle?token=CANARY"], b""))],
        Some("/away") => vec![Act::Send(answer("307 T", &["location: http://127.0.0.9/CANARY?token=CANARY"], b""))],
        Some("/port") => vec![Act::Send(answer("303 S", &["location: https://1.1.1.1:7/CANARY?CANARY"], b""))],
        Some("/bad") => vec![Act::Send(answer("303 S", &["location: https://CANARY CANARY/"], b""))],
        Some("/metadata") => vec![Act::Send(answer("303 S", &["location: http://169.254.169.254/CANARY"], b""))],
        Some("/ftp") => vec![Act::Send(answer("303 S", &["location: ftp://x:CANARY@a.example/CANARY"], b""))],
        other => panic!("{other:?}"),
    })
    .await;
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let closed = format!("http://{}/", free.local_addr().expect("an address"));
    drop(free);

    let mut urls: Vec<String> = [closed, "http://no-such-host.invalid/".to_owned()].map(|url| url + QUERY).into();
    urls.extend(
        ["http://me:CANARY@127.0.0.1/", "http://169.254.169.254/CANARY", "ftp://a.example/CANARY"].map(Into::into),
    );
    for path in
        ["/cut", "/hold", "/garbage", "/short", "/coded", "/circle", "/away", "/port", "/bad", "/metadata", "/ftp"]
    {
        urls.push(server.url(path) + QUERY);
    }
    for url in urls {
        let error = refused(guarded(with_body(Method::POST, &url, "CANARY-body"))).await;
        let text = shown(&error);
        assert!(!text.contains("CANARY"), "{url}: {text}");
    }
}

#[tokio::test]
async fn neither_request_nor_answer_shows_a_secret() {
    let server = Hostile::sending(answer("200 OK", &["set-cookie: CANARY", "x-token: CANARY"], b"CANARY")).await;
    let request = guarded(get(&server.url(&format!("/items{QUERY}"))));
    let text = format!("{request:?} {request:#?}");
    assert!(!text.contains("CANARY"), "{text}");
    let answer = answered(request).await;
    let text = format!("{answer:?} {answer:#?}");
    assert!(!text.contains("CANARY"), "{text}");
    assert!(text.contains("/items?page=***&token=***"), "{text}");
}
