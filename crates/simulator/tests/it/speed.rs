//! The simulator is not what an end-to-end test waits for.

use std::time::Instant;

use tidegate_simulator::{EndpointSpec, Simulator, SimulatorSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Run by hand, in release: `cargo test -p tidegate-simulator --release -- --ignored --nocapture speed`.
#[tokio::test]
#[ignore = "a measurement"]
async fn a_plain_page_of_100_items_takes_less_than_100_us() {
    const CALLS: u32 = 20_000;
    let users = EndpointSpec::at("/users").items(1_000_000).offset("offset").size("n", 100).total_in_body("$.total");
    let running = Simulator::start(&SimulatorSpec::seeded(1).with("users", users)).await.unwrap();
    let mut stream = TcpStream::connect(running.base_url().replace("http://", "")).await.unwrap();
    let mut buffer = vec![0; 65_536];
    let begun = Instant::now();
    for call in 0..CALLS {
        let head = format!("GET /users?n=100&offset={} HTTP/1.1\r\nhost: x\r\n\r\n", call % 10_000 * 100);
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut end = [0; 3];
        while &end != b"}]," {
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(read > 0);
            // The body ends in `}],"total":1000000}`.
            if buffer[..read].ends_with(b"\"total\":1000000}") {
                end = *b"}],";
            }
        }
    }
    let each_us = begun.elapsed().as_micros() as f64 / f64::from(CALLS);
    println!("{each_us:.1} us a page, with the client's side");
    assert!(each_us < 100.0, "{each_us}");
}
