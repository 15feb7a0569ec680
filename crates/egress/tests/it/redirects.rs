use http::{HeaderValue, Method, header};
use tidegate_egress::{AllowPrivate, EgressConfig, Failure, RedirectError, Refusal, Sent};

use crate::hostile::{Act, Hostile, Seen, answer};
use crate::{answered, egress_with, get, refused, secret, with_body};

fn sent_on(status: &str, location: &str) -> Vec<u8> {
    answer(status, &[&format!("location: {location}")], b"moved")
}

/// A server that sends `/old` on with this status, and answers all else.
async fn moved(status: &'static str, location: String) -> Hostile {
    Hostile::start(move |seen| match seen.target.split('?').next() {
        Some("/old") => vec![Act::Send(sent_on(status, &location))],
        _ => vec![Act::Send(answer("200 OK", &[], b"arrived"))],
    })
    .await
}

fn line(seen: &Seen) -> (String, String, String) {
    (seen.method.clone(), seen.target.clone(), seen.body.clone())
}

#[tokio::test]
async fn methods_and_bodies_follow_as_the_standard_has_it() {
    for (status, method, next, next_body) in [
        ("301 Moved Permanently", Method::GET, "GET", ""),
        ("301 Moved Permanently", Method::POST, "GET", ""),
        ("302 Found", Method::POST, "GET", ""),
        ("302 Found", Method::PUT, "PUT", "body"),
        ("303 See Other", Method::POST, "GET", ""),
        ("303 See Other", Method::PUT, "GET", ""),
        ("307 Temporary Redirect", Method::POST, "POST", "body"),
        ("308 Permanent Redirect", Method::POST, "POST", "body"),
    ] {
        let server = moved(status, "/new?a=b#part".into()).await;
        let mut request = get(&server.url("/old"));
        if method != Method::GET {
            request = with_body(method.clone(), &server.url("/old"), "body");
            request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        }
        let answer = answered(request).await;
        assert_eq!((answer.body.as_ref(), answer.redirects), (&b"arrived"[..], 1));
        assert_eq!(answer.url.as_str(), server.url("/new?a=b"));
        let seen = server.seen();
        assert_eq!(line(&seen[1]), (next.into(), "/new?a=b".into(), next_body.into()), "{status} {method}");
        assert_eq!(seen[1].header("content-type").is_some(), !next_body.is_empty(), "{status} {method}");
        assert_eq!(seen[1].header("referer"), None);
    }
}

#[tokio::test]
async fn secrets_stay_behind_when_the_origin_changes() {
    let other = Hostile::sending(answer("200 OK", &[], b"arrived")).await;
    let server = moved("302 Found", other.url("/new?token=CANARY&page=2")).await;
    let mut request = get(&server.url("/old?token=CANARY"));
    request.secret_query = ["token".to_owned()].into();
    request.headers.insert("x-shop-key", secret("CANARY"));
    request.headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer CANARY"));
    request.headers.insert(header::COOKIE, HeaderValue::from_static("id=CANARY"));
    request.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let answer = answered(request).await;
    assert_eq!(answer.url.as_str(), other.url("/new?page=2"));

    let first = format!("{:?}", server.seen());
    assert_eq!(first.matches("CANARY").count(), 4, "the origin itself gets all: {first}");
    let second = &other.seen()[0];
    assert!(!format!("{second:?}").contains("CANARY"), "{second:?}");
    assert_eq!(second.target, "/new?page=2");
    assert_eq!(second.header("accept"), Some("application/json"));
    assert_eq!(second.header("host"), Some(other.address.to_string().as_str()));
}

#[tokio::test]
async fn secrets_stay_within_the_origin() {
    let server = moved("302 Found", "/new?token=CANARY".into()).await;
    let mut request = get(&server.url("/old?token=CANARY"));
    request.secret_query = ["token".to_owned()].into();
    request.headers.insert("x-shop-key", secret("CANARY"));
    answered(request).await;
    assert_eq!(server.seen()[1].target, "/new?token=CANARY");
    assert_eq!(server.seen()[1].header("x-shop-key"), Some("CANARY"));
}

#[tokio::test]
async fn a_name_for_the_same_server_is_another_origin() {
    let server = Hostile::start(|seen| match seen.header("host") {
        Some(host) if host.starts_with("127") => {
            vec![Act::Send(sent_on("302 Found", &format!("http://{}/", host.replace("127.0.0.1", "localhost"))))]
        }
        _ => vec![Act::Send(answer("200 OK", &[], b"arrived"))],
    })
    .await;
    let mut request = get(&server.url("/"));
    request.headers.insert("x-shop-key", secret("CANARY"));
    answered(request).await;
    assert_eq!(server.seen().len(), 2);
    assert_eq!(server.seen()[1].header("x-shop-key"), None);
}

#[tokio::test]
async fn an_unsafe_call_is_not_repeated_at_another_origin() {
    let other = Hostile::sending(answer("200 OK", &[], b"")).await;
    for (status, method) in [("307 T", Method::POST), ("308 P", Method::PUT), ("302 F", Method::DELETE)] {
        let server = moved(status, other.url("/new")).await;
        let error = refused(with_body(method, &server.url("/old"), "CANARY")).await;
        assert!(matches!(error.failure, Failure::Redirect(RedirectError::Unsafe { .. })), "{error:?}");
        assert_eq!(error.sent(), Sent::Unknown, "the first server saw it");
    }
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn a_circle_ends() {
    let server = Hostile::sending(sent_on("302 Found", "/round")).await;
    let error = refused(get(&server.url("/round"))).await;
    assert!(matches!(error.failure, Failure::Redirect(RedirectError::TooMany { max: 5 })), "{error:?}");
    assert_eq!((error.redirects, server.seen().len()), (5, 6));
}

#[tokio::test]
async fn no_redirects_are_followed_when_none_are_allowed() {
    let server = moved("302 Found", "/new".into()).await;
    let config = EgressConfig { allow_private: AllowPrivate::All, max_redirects: 0, ..EgressConfig::default() };
    let error = egress_with(config).call(get(&server.url("/old"))).await.expect_err("sent on");
    assert!(matches!(error.failure, Failure::Redirect(RedirectError::TooMany { max: 0 })), "{error:?}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn every_hop_is_judged_anew() {
    let metadata = "http://169.254.169.254/latest/meta-data/";
    for location in [metadata, "http://[::ffff:169.254.169.254]/", "http://2852039166/", "http://[fd00:ec2::254]/"] {
        let server = moved("302 Found", location.into()).await;
        let error = refused(get(&server.url("/old"))).await;
        assert!(matches!(&error.failure, Failure::Blocked { reason: Refusal::Address(_), .. }), "{error:?}");
        assert_eq!((error.redirects, error.sent()), (1, Sent::Unknown));
    }

    let inner = Hostile::sending(answer("200 OK", &[], b"inner")).await;
    let port = inner.address.port();
    let allow_private = "127.0.0.2/32".parse().expect("a network");
    let egress = egress_with(EgressConfig { allow_private, ..EgressConfig::default() });
    let listener = tokio::net::TcpListener::bind("127.0.0.2:0").await.expect("a second loopback address");
    let door = format!("http://{}/", listener.local_addr().expect("an address"));
    let relay = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            assert!(stream.read(&mut [0; 4096]).await.expect("a request") > 0);
            stream.write_all(&sent_on("302 Found", &format!("http://127.0.0.1:{port}/"))).await.expect("a client");
        }
    });
    let error = egress.call(get(&door)).await.expect_err("127.0.0.1 is not opened");
    assert!(matches!(&error.failure, Failure::Blocked { reason: Refusal::Address(_), .. }), "{error:?}");
    assert!(inner.seen().is_empty());
    relay.abort();
}

#[tokio::test]
async fn a_redirect_changes_neither_scheme_nor_identity() {
    for (location, expected) in [
        ("ftp://127.0.0.1/", Refusal::Scheme { scheme: "ftp".into() }),
        ("file:///etc/passwd", Refusal::Scheme { scheme: "file".into() }),
        ("http://me:word@127.0.0.1/", Refusal::Userinfo),
        ("http://1.1.1.1/", Refusal::PlainHttp),
    ] {
        let server = moved("302 Found", location.into()).await;
        let error = refused(get(&server.url("/old"))).await;
        assert!(matches!(&error.failure, Failure::Blocked { reason, .. } if *reason == expected), "{error:?}");
    }
}

#[tokio::test]
async fn a_public_redirect_may_not_pick_a_port() {
    let server = moved("302 Found", "https://1.1.1.1:6379/".into()).await;
    let error = refused(get(&server.url("/old"))).await;
    assert!(matches!(error.failure, Failure::Redirect(RedirectError::Port { .. })), "{error:?}");
}

#[tokio::test]
async fn a_redirect_to_nowhere_is_an_answer_and_a_bad_one_an_error() {
    let server = Hostile::sending(answer("302 Found", &[], b"look elsewhere")).await;
    assert_eq!(answered(get(&server.url("/"))).await.status.as_u16(), 302);
    let server = Hostile::sending(answer("302 Found", &["location: /a", "location: /b"], b"")).await;
    let error = refused(get(&server.url("/"))).await;
    assert!(matches!(error.failure, Failure::Redirect(RedirectError::Location)), "{error:?}");
}
