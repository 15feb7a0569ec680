//! Connections: kept, packed, and ended.

use std::io::Read;
use std::time::Duration;

use tidegate_simulator::{EndpointSpec, Faults, Simulator, SimulatorSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{get, get_with, send};

#[tokio::test]
async fn one_connection_serves_many_calls() {
    let running =
        Simulator::start(&SimulatorSpec::seeded(1).with("users", EndpointSpec::at("/users").items(1))).await.unwrap();
    let mut stream = TcpStream::connect(running.base_url().replace("http://", "")).await.unwrap();
    let mut buffer = vec![0; 4096];
    for _ in 0..3 {
        stream.write_all(b"GET /users HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}]}") {
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(read > 0, "the connection ended");
            answer.extend_from_slice(&buffer[..read]);
        }
    }
    assert_eq!(running.stats().endpoints["users"].ok, 3);
}

#[tokio::test]
async fn answers_are_packed_for_clients_that_accept_it() {
    let users = EndpointSpec { compress: Some(true), ..EndpointSpec::at("/users").items(50) };
    let running = Simulator::start(&SimulatorSpec::seeded(1).with("users", users)).await.unwrap();
    let plain = get(&running, "/users").await;
    let packed = get_with(&running, "/users", "accept-encoding: br, gzip\r\n").await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert!(packed.body.len() < plain.body.len());
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain.body);
}

#[tokio::test]
async fn a_stopped_simulator_lets_go_of_hanging_calls_at_once() {
    let faults = Faults { hang: 1.0, ..Faults::default() };
    let running = Simulator::start(&SimulatorSpec::seeded(1).with("users", EndpointSpec::at("/users").faults(faults)))
        .await
        .unwrap();
    let address = running.base_url().replace("http://", "");
    let mut hanging = send(&running, "GET /users", "", "").await.unwrap();
    while running.stats().in_flight == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::timeout(Duration::from_secs(2), running.stop()).await.expect("it stops without waiting for clients");
    let mut rest = Vec::new();
    _ = tokio::time::timeout(Duration::from_secs(2), hanging.read_to_end(&mut rest))
        .await
        .expect("the connection ended");
    assert!(rest.is_empty());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_dropped_simulator_ends() {
    let running = Simulator::start(&SimulatorSpec::seeded(1).with("users", EndpointSpec::at("/users"))).await.unwrap();
    let address = running.base_url().replace("http://", "");
    drop(running);
    let ended = async {
        while TcpStream::connect(&address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), ended).await.expect("the listener is closed");
}
