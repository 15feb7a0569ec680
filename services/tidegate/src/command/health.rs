//! `tidegate health`: whether a service is ready, for health checks in images that have nothing else to ask with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::exit::Exit;
use crate::say;

const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// More than any readiness report has.
const ANSWER_MAX_BYTES: u64 = 65_536;

pub(crate) async fn health(address: SocketAddr) -> Exit {
    match tokio::time::timeout(ANSWER_WITHIN, ask(reachable(address))).await {
        Ok(Ok(answer)) => {
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
            say::answer(body.trim());
            if head.split(' ').nth(1) == Some("200") { Exit::Done } else { Exit::JobFailed }
        }
        Ok(Err(error)) => {
            say::answer(&format!("{address}: {error}"));
            Exit::JobFailed
        }
        Err(_) => {
            say::answer(&format!("{address}: no answer within {} s", ANSWER_WITHIN.as_secs()));
            Exit::JobFailed
        }
    }
}

/// A service that listens everywhere is asked here.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX_BYTES).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
