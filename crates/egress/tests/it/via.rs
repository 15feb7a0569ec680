//! Ways out: addresses of this machine, and proxies.

use std::sync::{Arc, Mutex};

use tidegate_egress::{AllowPrivate, EgressConfig, Failure, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::hostile::{Hostile, answer};
use crate::{egress_with, get};

/// A proxy that notes the first line of what it is asked, and whether it was told who asks. It looks up no name: wherever it is
/// asked to go, it goes to `target`.
async fn proxy(target: std::net::SocketAddr) -> (String, Arc<Mutex<Vec<(String, bool)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (address, asked) = (listener.local_addr().expect("an address"), Arc::new(Mutex::new(Vec::new())));
    let notes = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.expect("a client");
            let mut head = vec![0; 4_096];
            let size = client.read(&mut head).await.expect("a request");
            let text = String::from_utf8_lossy(&head[..size]).into_owned();
            let line = text.lines().next().unwrap_or_default().to_owned();
            // "canary:pass!" in base64.
            let is_known = text.to_ascii_lowercase().contains("proxy-authorization: basic y2fuyxj5onbhc3mh");
            notes.lock().expect("no panic").push((line.clone(), is_known));
            let mut server = TcpStream::connect(target).await.expect("the server");
            if line.starts_with("CONNECT") {
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("a client");
            } else {
                server.write_all(&head[..size]).await.expect("the server");
            }
            // The client may keep the connection while it opens another.
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    (format!("http://canary:pass%21@{address}"), asked)
}

fn through(via: &str) -> EgressConfig {
    EgressConfig { via: via.parse().expect("a way out"), allow_private: AllowPrivate::All, ..EgressConfig::default() }
}

#[tokio::test]
async fn a_call_leaves_from_the_address_that_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move {
        let (mut stream, from) = listener.accept().await.expect("a connection");
        assert!(stream.read(&mut [0; 4_096]).await.expect("a request") > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.expect("a client");
        from.ip().to_string()
    });
    egress_with(through("127.0.0.2")).call(get(&url)).await.expect("an answer");
    assert_eq!(server.await.expect("no panic"), "127.0.0.2");
}

#[tokio::test]
async fn a_proxy_is_told_where_to_and_who_asks_and_nothing_shows_its_password() {
    let server = Hostile::sending(answer("200 OK", &[], b"mine")).await;
    let (via, asked) = proxy(server.address).await;
    let config = through(&via);
    assert!(!format!("{config:?}").contains("canary"), "{config:?}");
    let egress = egress_with(config);
    let url = format!("http://localhost:{}/things", server.address.port());
    assert_eq!(egress.call(get(&url)).await.expect("an answer").body, "mine");
    // The server does not speak TLS, which is not found out before there is a tunnel to it.
    let secure = get(&format!("https://localhost:{}/", server.address.port()));
    let error = egress.call(secure).await.expect_err("no TLS");
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    let port = server.address.port();
    let expected = [(format!("GET {url} HTTP/1.1"), true), (format!("CONNECT localhost:{port} HTTP/1.1"), true)];
    assert_eq!(*asked.lock().expect("no panic"), expected);
}

#[tokio::test]
async fn a_name_is_judged_before_a_proxy_is_asked_to_look_it_up() {
    let server = Hostile::sending(answer("200 OK", &[], b"mine")).await;
    let (via, asked) = proxy(server.address).await;
    let egress = egress_with(EgressConfig { allow_private: AllowPrivate::None, ..through(&via) });
    for url in ["https://localhost/", "http://localhost/", "https://127.0.0.1/"] {
        let error = egress.call(get(url)).await.expect_err(url);
        assert!(matches!(error.failure, Failure::Blocked { reason: Refusal::Address(_), .. }), "{url}: {error:?}");
    }
    let error = egress.call(get("https://nobody.invalid/")).await.expect_err("no such name");
    assert!(matches!(error.failure, Failure::Dns { .. }), "{error:?}");
    assert!(asked.lock().expect("no panic").is_empty());
}
