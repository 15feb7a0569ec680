use http::Method;
use tidegate_egress::{AllowPrivate, EgressConfig, EgressError, Failure, Refusal, Sent};
use tokio::net::TcpListener;

use crate::hostile::{Act, Hostile, answer};
use crate::{answered, egress, egress_with, get, refused, with_body};

fn reason(error: EgressError) -> Refusal {
    assert_eq!(error.sent(), Sent::NotSent);
    match error.failure {
        Failure::Blocked { reason, .. } => reason,
        _ => panic!("not blocked: {error:?}"),
    }
}

#[tokio::test]
async fn by_default_no_way_to_write_loopback_is_called() {
    let server = Hostile::sending(answer("200 OK", &[], b"")).await;
    let egress = egress_with(EgressConfig::default());
    let port = server.address.port();
    for host in ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let error = egress.call(get(&format!("http://{host}:{port}/"))).await.expect_err(host);
        assert!(matches!(reason(error), Refusal::Address(_)), "{host}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_name_is_judged_by_what_it_resolves_to() {
    let server = Hostile::sending(answer("200 OK", &[], b"mine")).await;
    let url = format!("http://localhost:{}/", server.address.port());
    for insecure_http in [false, true] {
        let mut request = get(&url);
        request.insecure_http = insecure_http;
        let error = egress_with(EgressConfig::default()).call(request.clone()).await.expect_err("closed by default");
        let text = error.to_string();
        assert!(text.contains("`localhost`") && text.contains("--allow-private"), "{text}");
        assert!(matches!(reason(error), Refusal::Address(_)));
        assert_eq!(answered(request).await.body, "mine");
    }
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn the_operators_own_ranges_are_closed_for_names_and_addresses() {
    let server = Hostile::sending(answer("200 OK", &[], b"")).await;
    let deny = vec!["127.0.0.0/8".parse().expect("a network"), "::1/128".parse().expect("a network")];
    let egress = egress_with(EgressConfig { allow_private: AllowPrivate::All, deny, ..EgressConfig::default() });
    for host in ["127.0.0.1", "localhost"] {
        let error = egress.call(get(&format!("http://{host}:{}/", server.address.port()))).await.expect_err(host);
        assert_eq!(reason(error), Refusal::Denied, "{host}");
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn urls_that_are_no_calls_are_refused() {
    assert_eq!(reason(refused(get("http://me:word@127.0.0.1/")).await), Refusal::Userinfo);
    assert_eq!(reason(refused(get("ftp://127.0.0.1/")).await), Refusal::Scheme { scheme: "ftp".into() });
    assert_eq!(reason(refused(get("http://1.1.1.1/")).await), Refusal::PlainHttp);
    let error = refused(with_body(Method::CONNECT, "http://127.0.0.1/", "")).await;
    assert!(matches!(reason(error), Refusal::Method { .. }));
    let error = refused(get("http://169.254.169.254/latest/meta-data/")).await;
    assert!(error.to_string().contains("metadata"), "{error}");
}

#[tokio::test]
async fn a_refused_connection_was_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    drop(listener);
    let error = refused(with_body(Method::POST, &url, "unsafe")).await;
    assert!(matches!(error.failure, Failure::Connect { .. }), "{error:?}");
    assert_eq!(error.sent(), Sent::NotSent);
}

#[tokio::test]
async fn a_name_that_does_not_exist_was_not_sent() {
    let error = refused(get("http://no-such-host.invalid/")).await;
    assert!(matches!(error.failure, Failure::Dns { .. }), "{error:?}");
    assert_eq!(error.sent(), Sent::NotSent);
    assert_eq!(error.to_string(), "`no-such-host.invalid` could not be resolved");
}

#[test]
fn a_proxy_named_in_the_environment_is_not_used() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let proxy = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    // An environment belongs to a whole process, so one of the other tests runs again in a process of its own.
    let mut again = std::process::Command::new(std::env::current_exe().expect("this test"));
    again.args(["--exact", "guards::calls_to_one_host_share_a_connection"]);
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"] {
        again.env(name, &proxy);
    }
    let output = again.env_remove("no_proxy").env_remove("NO_PROXY").output().expect("a process");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
async fn calls_to_one_host_share_a_connection() {
    let server = Hostile::sending(answer("200 OK", &[], b"x")).await;
    let egress = egress();
    for _ in 0..5 {
        egress.call(get(&server.url("/"))).await.expect("an answer");
    }
    assert!(server.seen().iter().all(|seen| seen.connection == 0), "{:?}", server.seen());
}

#[tokio::test]
async fn a_call_on_a_connection_that_dies_is_broken_and_not_repeated() {
    let server = Hostile::start(|seen| match seen.target.as_str() {
        "/first" => vec![Act::Send(answer("200 OK", &[], b"x"))],
        _ => vec![Act::Close],
    })
    .await;
    let egress = egress();
    for method in [Method::GET, Method::POST] {
        egress.call(get(&server.url("/first"))).await.expect("an answer");
        let error = egress.call(with_body(method.clone(), &server.url("/dies"), "b")).await.expect_err("cut");
        assert!(matches!(error.failure, Failure::Broken { .. }), "{error:?}");
        assert_eq!(error.sent(), Sent::Unknown);
    }
    assert_eq!(server.seen().iter().filter(|seen| seen.target == "/dies").count(), 2);
}

#[tokio::test]
async fn what_is_not_http_is_broken() {
    for garbage in ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 999999 Oops\r\n\r\n", "HTTP/1.1 200 OK\r\nbad header\r\n\r\n"]
    {
        let server = Hostile::start(move |_| vec![Act::Send(garbage.into()), Act::Close]).await;
        let error = refused(get(&server.url("/"))).await;
        assert!(matches!(error.failure, Failure::Broken { .. }), "{garbage}: {error:?}");
    }
}
