//! Webhooks that tell of finished jobs, to a receiver that verifies them as the Standard Webhooks scheme has it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use tidegate_simulator::{EndpointSpec, Running, Simulator, SimulatorSpec};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::client::fixture::{Served, third_party};
use crate::world::{JOB, STATE, World, until};

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ENDPOINTS: &str = r#"
retry: { attempts: 1 }
endpoints:
  users: { get: /users, items: "$.items[*]", pages: { offset: offset, size: { param: limit, max: 10 }, total: "$.total" } }
"#;
const STEPS: &str = "steps: [ { id: users, call: users } ]\n";

/// A webhook that came.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) id: String,
    pub(crate) signed: bool,
    pub(crate) body: Value,
    /// What it was answered.
    pub(crate) status: u16,
}

/// Who is told. It answers as it was set to.
pub(crate) struct Receiver {
    pub(crate) url: String,
    pub(crate) status: Arc<AtomicU16>,
    told: Arc<Mutex<Vec<Told>>>,
    accepting: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Receiver {
    /// Answers `first` to the first, and then 204, until it is told otherwise.
    pub(crate) async fn start(first: u16, then: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?key=CANARY", listener.local_addr().unwrap());
        let (status, told) = (Arc::new(AtomicU16::new(then)), Arc::<Mutex<Vec<Told>>>::default());
        let accepting = tokio::spawn({
            let (status, told) = (Arc::clone(&status), Arc::clone(&told));
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let is_first = told.lock().unwrap().is_empty();
                    let status = if is_first { first } else { status.load(SeqCst) };
                    let Some(one) = receive(stream, status).await else { continue };
                    told.lock().unwrap().push(one);
                }
            }
        });
        Self { url, status, told, accepting }
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    pub(crate) fn job(&self, with: &str) -> String {
        format!("provider: ./sim.yaml\nnotify: {{ url: \"{}\"{with} }}\n{STEPS}", self.url)
    }
}

/// Reads a request to its end, and answers.
async fn receive(mut stream: TcpStream, status: u16) -> Option<Told> {
    let mut bytes = Vec::new();
    let (head, length) = loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())?;
            if bytes.len() >= end + 4 + length {
                break (String::from_utf8_lossy(&bytes[..end]).into_owned(), end + 4);
            }
        }
    };
    let header = |name: &str| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}: ")));
        line.map(|line| line[name.len() + 2..].to_owned()).unwrap_or_default()
    };
    let body = &bytes[length..];
    let (id, signature) = (header("webhook-id"), header("webhook-signature"));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&STANDARD.decode(&SECRET[6..]).unwrap()).unwrap();
    mac.update([format!("{id}.{}.", header("webhook-timestamp")).as_bytes(), body].concat().as_slice());
    let signed = signature == format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.ok()?;
    Some(Told { id, signed, body: serde_json::from_slice(body).unwrap(), status })
}

async fn world(receiver: &Receiver, with: &str) -> (World, Running) {
    let users = EndpointSpec::at("/users").items(25).offset("offset").size("limit", 10).total_in_body("$.total");
    let simulator = Simulator::start(&SimulatorSpec::seeded(7).with("users", users)).await.unwrap();
    let world = World::with(&simulator.base_url(), ENDPOINTS, STEPS);
    world.write(JOB, &receiver.job(with));
    (world, simulator)
}

#[tokio::test]
async fn a_receiver_that_fails_at_first_is_told_again_under_the_same_id_and_takes_it_once() {
    let receiver = Receiver::start(500, 204).await;
    let (world, _simulator) = world(&receiver, ", secret: hook").await;
    world.job(&[]).await.expect(2);
    let report = world.job_line(&[]).env("TIDEGATE_CREDENTIAL_HOOK", SECRET).run().await.expect(0);
    let told = receiver.told();
    assert_eq!(told.iter().map(|one| one.status).collect::<Vec<_>>(), [500, 204], "{told:?}");
    assert!(told.iter().all(|one| one.signed), "{told:?}");
    assert_eq!((&told[0].id, &told[0].body), (&told[1].id, &told[1].body));
    let body = &told[0].body;
    assert_eq!((&body["type"], &body["data"]["counts"]["items"]), (&"job.succeeded".into(), &25.into()));
    let shown = &report.json()["notifications"][0];
    assert_eq!((&shown["state"], &shown["attempts"], &shown["last"]), (&"delivered".into(), &2.into(), &"204".into()));
    // Done is done: the same command tells nobody.
    world.job_line(&[]).env("TIDEGATE_CREDENTIAL_HOOK", SECRET).run().await.expect(0);
    assert_eq!(receiver.told().len(), 2);
    let status = world.run(&["status", STATE]).await.expect(0).stdout;
    assert!(status.contains("told of succeeded: delivered after 2 attempts (204)"), "{status}");
    for text in [&report.stdout, &report.stderr, &status] {
        assert!(!text.contains("CANARY") && !text.contains(SECRET), "{text}");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_gateway_that_dies_before_it_could_tell_tells_after_it() {
    let receiver = Receiver::start(503, 503).await;
    let (served, _simulator) = Served::before(&third_party(5, 0), "").await;
    served.world.write(JOB, &receiver.job(", on: [succeeded], secret: hook"));
    let refused = served.run(&["submit", JOB]).await.expect(1);
    assert!(refused.stderr.contains("/notify/secret") && refused.stderr.contains("put it first"), "{}", refused.stderr);
    let secret = served.world.write("secret", SECRET);
    served.cli(&["credentials", "put", "hook"]).input(&secret).run().await.expect(0);
    let job = served.submit().await;
    served.run(&["watch", &job]).await.expect(0);
    // An attempt that nobody noted would be taken for lost only after its lease.
    while served.status(&job).await["notifications"][0]["last"] != "503" {}
    let served = served.kill().await;
    receiver.status.store(200, SeqCst);
    until("it is taken", || receiver.told().iter().any(|one| one.status == 200)).await;
    let told = receiver.told();
    assert_eq!(told.iter().map(|one| &one.id).collect::<HashSet<_>>().len(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|one| one.status == 200).count(), 1);
    assert!(told.iter().all(|one| one.signed), "{told:?}");
    // It is noted after it was answered.
    while served.status(&job).await["notifications"][0]["state"] != "delivered" {}
    assert!(!served.log().contains("CANARY") && !served.log().contains(SECRET));
    served.finish().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_not_asked_again_and_only_the_ends_that_were_named_are_told() {
    let receiver = Receiver::start(410, 410).await;
    let (world, _simulator) = world(&receiver, "").await;
    let report = world.job(&[]).await.expect(0).json();
    assert_eq!((&report["notifications"][0]["state"], receiver.told().len()), (&"given_up".into(), 1));
    assert!(!receiver.told()[0].signed);
    world.write(JOB, &receiver.job(", on: [failed]"));
    let report = world.job(&["--fresh"]).await.expect(0).json();
    assert_eq!((&report["notifications"], receiver.told().len()), (&serde_json::json!([]), 1));
    world.finish().await;
}

#[tokio::test]
async fn an_address_that_may_not_be_called_is_not_called() {
    let receiver = Receiver::start(200, 200).await;
    let (world, _simulator) = world(&receiver, "").await;
    world.write(JOB, &format!("provider: ./sim.yaml\nnotify: {{ url: 'http://10.0.0.1/hook' }}\n{STEPS}"));
    let report = world.job(&[]).await.expect(0).json();
    let shown = &report["notifications"][0];
    assert_eq!(shown["state"], "waiting", "{shown}");
    assert!(shown["last"].as_str().unwrap().contains("may not be called"), "{shown}");
    for (notify, text) in [
        ("{ url: 'ftp://example.org/' }", "expected an https address, found ftp"),
        ("{ url: 'https://u:p@example.org/' }", "without a user and password"),
        ("{ url: here }", "expected an https address"),
        ("{ url: 'https://example.org/', on: [] }", "on"),
        ("{ url: 'https://example.org/', on: [done] }", "succeeded"),
    ] {
        world.write(JOB, &format!("provider: ./sim.yaml\nnotify: {notify}\n{STEPS}"));
        let refused = world.job(&[]).await.expect(2);
        assert!(refused.stderr.contains(text), "{}", refused.stderr);
    }
    world.finish().await;
}
