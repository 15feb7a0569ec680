//! Names that resolve as a test needs them; everything else is tested from outside.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

use super::*;
use crate::address::AllowPrivate;
use crate::error::{Refusal, Sent};

fn get(url: &str) -> Request {
    Request::new(Method::GET, Url::parse(url).expect(url))
}

fn egress(allow_private: AllowPrivate, lookup: Lookup) -> Egress {
    let connect = Duration::from_millis(500);
    Egress::with_lookup(EgressConfig { allow_private, connect, ..EgressConfig::default() }, lookup).expect("a client")
}

fn found(addresses: &[&str]) -> std::io::Result<Vec<SocketAddr>> {
    Ok(addresses.iter().map(|text| SocketAddr::new(text.parse().expect(text), 0)).collect())
}

async fn reason(egress: &Egress, request: Request) -> Refusal {
    let error = egress.call(request).await.expect_err("blocked");
    assert_eq!(error.sent(), Sent::NotSent);
    match error.failure {
        Failure::Blocked { reason, .. } => reason,
        _ => panic!("not blocked: {error:?}"),
    }
}

#[tokio::test]
async fn one_private_address_among_public_ones_blocks_the_name() {
    let egress = egress(AllowPrivate::None, |_| Box::pin(async { found(&["1.1.1.1", "10.0.0.1"]) }));
    assert!(matches!(reason(&egress, get("https://api.example/")).await, Refusal::Address(_)));
}

#[tokio::test]
async fn plain_http_to_a_name_that_is_public_needs_leave() {
    let egress = egress(AllowPrivate::All, |_| Box::pin(async { found(&["1.1.1.1"]) }));
    assert_eq!(reason(&egress, get("http://api.example/")).await, Refusal::PlainHttp);
    // With leave, the other client is asked; a test must not call it, as the address is somebody's.
    let inner = &egress.inner;
    let client = |private_only| inner.client(Passage { reach: None, private_only });
    assert!(std::ptr::eq(client(true), &inner.house) && std::ptr::eq(client(false), &inner.open));
}

#[tokio::test]
async fn a_name_that_changes_its_address_after_the_check_gains_nothing() {
    static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://rebind.example:{}/", listener.local_addr().expect("an address").port());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        assert!(stream.read(&mut [0; 4096]).await.expect("a request") > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.expect("a client");
    });
    // The first look-up gives what may be called, later ones what may not.
    let egress = egress("127.0.0.1".parse().expect("an address"), |_| {
        let first = LOOKUPS.fetch_add(1, Ordering::SeqCst) == 0;
        Box::pin(async move { found(if first { &["127.0.0.1"] } else { &["127.0.0.2"] }) })
    });
    egress.call(get(&url)).await.expect("an answer");
    server.await.expect("no panic");
    assert_eq!(LOOKUPS.load(Ordering::SeqCst), 1, "the checked addresses are the ones connected to");
    assert!(matches!(reason(&egress, get(&url)).await, Refusal::Address(_)), "a new connection is checked anew");
}

#[tokio::test]
async fn a_name_without_addresses_and_a_look_up_that_hangs_are_not_sent() {
    let empty = egress(AllowPrivate::All, |_| Box::pin(async { found(&[]) }));
    let error = empty.call(get("https://api.example/")).await.expect_err("nowhere to go");
    assert!(matches!(error.failure, Failure::Connect { .. } | Failure::Dns { .. }), "{error:?}");
    assert_eq!(error.sent(), Sent::NotSent);

    let hanging = egress(AllowPrivate::All, |_| Box::pin(std::future::pending()));
    let error = hanging.call(get("https://api.example/")).await.expect_err("no answer");
    assert!(matches!(error.failure, Failure::Timeout { phase: Phase::Connect, .. }), "{error:?}");
    assert_eq!(error.sent(), Sent::NotSent);
}
