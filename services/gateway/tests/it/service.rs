//! What is there beside the resources.

use reqwest::Method;
use serde_json::json;
use tidegate_daemon::{Flag, Status};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::World;

#[tokio::test]
async fn readiness_names_each_check_and_how_long_it_took() {
    let world = World::start().await;
    assert_eq!(world.bare(Method::GET, "/livez").send().await.text, "ok\n");
    let flag = Flag::down("connecting");
    world.health.register("bus", flag.clone());
    let got = world.bare(Method::GET, "/readyz").send().await;
    assert_eq!((got.status.as_u16(), &got.json()["ready"]), (503, &json!(false)));
    assert_eq!(got.header("content-type"), "application/json", "a report, not a problem");
    let checks = got.json()["checks"].as_array().unwrap().clone();
    let names: Vec<_> = checks.iter().map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["ledger", "registry", "process", "bus"]);
    assert!(checks.iter().all(|check| check["ms"].is_u64()));
    assert_eq!((&checks[3]["up"], &checks[3]["reason"]), (&json!(false), &json!("connecting")));
    flag.set(Status::Up);
    assert_eq!(world.bare(Method::GET, "/readyz").send().await.status, 200);
    world.ledger.close().await;
    let got = world.bare(Method::GET, "/readyz").send().await;
    assert_eq!((got.status.as_u16(), &got.json()["checks"][0]["up"]), (503, &json!(false)));
}

#[tokio::test]
async fn a_ledger_that_is_gone_is_a_problem_that_shows_nothing_of_it() {
    let world = World::start().await;
    world.ledger.close().await;
    let got = world.get("/v1/jobs").await;
    assert_eq!((got.problem(503).as_str(), got.header("retry-after")), ("unavailable", "5"));
    assert!(!got.text.contains("pool") && !got.text.contains("sql"), "{}", got.text);
}

#[tokio::test]
async fn what_is_not_there_and_what_can_not_be_done_are_problems_too() {
    let world = World::start().await;
    for path in ["/ui/nothing", "/v1", "/v1/nothing", "/v2/jobs", "/../etc/passwd", "/v1/jobs/"] {
        assert_eq!(world.get(path).await.problem(404), "not-found", "{path}");
    }
    let got = world.ask(Method::PATCH, "/v1/jobs").send().await;
    assert_eq!(got.problem(405), "method-not-allowed");
    assert!(got.header("allow").contains("POST"), "{got:?}");
}

#[tokio::test]
async fn a_problem_names_the_trace_that_the_caller_sent_or_a_new_one() {
    let world = World::start().await;
    let (one, two) = (world.get("/x").await.json(), world.get("/x").await.json());
    assert_ne!(one["trace_id"], two["trace_id"]);
    assert_eq!(one["trace_id"].as_str().unwrap().len(), 32);
}

#[tokio::test]
async fn the_document_and_its_page_come_from_here_alone() {
    let world = World::start().await;
    let document = world.bare(Method::GET, "/openapi.json").send().await;
    assert_eq!((document.header("content-type"), &document.json()["openapi"]), ("application/json", &json!("3.1.0")));
    let page = world.bare(Method::GET, "/docs").send().await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(!page.text.contains("http://") && !page.text.contains("https://"), "nothing from elsewhere");
    assert!(
        page.text.contains("id=\"problem-not-found\"") && page.header("content-security-policy").contains("'none'")
    );
}

#[tokio::test]
async fn what_is_in_hand_is_answered_when_the_gateway_stops() {
    let mut world = World::start().await;
    world.put_shop().await;
    let body = crate::world::JOB;
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nexpect: 100-continue\r\n\r\n",
        world.key,
        body.len()
    );
    let mut stream = TcpStream::connect(&world.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    // Told when the body is wanted: the request is in hand then.
    let mut told = [0; 25];
    stream.read_exact(&mut told).await.unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    world.shutdown.request();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202") && answer.contains("job_"), "{answer}");
    world.stop().await;
    assert!(TcpStream::connect(&world.address).await.is_err(), "and nobody else is let in");
}
