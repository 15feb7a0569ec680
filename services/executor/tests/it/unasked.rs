//! Calls while the arbiter can't be asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tempfile::TempDir;
use tidegate_bus::{Bus, InProcess, InProcessConfig};
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{Call, CallId, Envelope, FetchId, JobId, Lane, Message, Outcome, PagePointer, Params};
use tidegate_daemon::{Shutdown, clock};
use tidegate_egress::{AllowPrivate, Egress, EgressConfig};
use tidegate_executor::{Config, Deps, FixedCredentials, Gauges, Lanes, Permits, PermitsError, start};
use tidegate_ledger::{Bounds, DEFAULT_TENANT, Ledger, NewJob, SqliteLedger, Sync};
use tidegate_limits::{Decision, Permit, Question, Report};
use tidegate_provider::{Spec, parse_job, parse_provider};
use tidegate_specs::{Specs, StoredSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// An arbiter that is down until it is said to be up.
#[derive(Default)]
struct Arbiter {
    is_up: AtomicBool,
    asked: AtomicU32,
}

#[async_trait]
impl Permits for Arbiter {
    async fn ask(&self, question: Question) -> Result<Decision, PermitsError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if !self.is_up.load(Ordering::Relaxed) {
            return Err(PermitsError("it is down".to_owned()));
        }
        let keys = question.charges.into_iter().map(|charge| charge.key).collect();
        Ok(Decision::Granted(Permit { id: 1, keys }))
    }

    async fn report(&self, _report: Report) -> Result<(), PermitsError> {
        Err(PermitsError("it is down again".to_owned()))
    }
}

/// Says 404 to everybody, and counts them.
async fn third_party() -> (u16, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, requests) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU32::new(0)));
    let count = Arc::clone(&requests);
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            let _ = connection.read(&mut [0; 4_096]).await;
            let _ =
                connection.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        }
    });
    (port, requests)
}

/// Submits a job of one call.
async fn submit(ledger: &dyn Ledger, port: u16) -> Call {
    let provider = format!(
        "tidegate: 1\nprovider: acme\nbase_url: http://127.0.0.1:{port}\ninsecure_http: true\n\
         limits:\n  - {{ id: pace, key: [provider], bucket: {{ calls: 1, restore_per_s: 1 }} }}\n\
         endpoints:\n  things:\n    get: /things\n    items: \"$[*]\"\n    key: \"$.id\"\n"
    );
    let provider = parse_provider(&provider, "provider.yaml").unwrap().file;
    let job = "name: things\nprovider: acme\nsteps:\n  - { id: things, call: things }\n";
    let job = parse_job(job, "job.yaml").unwrap().file;
    let spec = Spec::compile(job.clone(), provider.clone()).unwrap();
    let id = JobId::new();
    let new = NewJob {
        id,
        tenant: DEFAULT_TENANT.to_owned(),
        idempotency: None,
        bounds: Bounds::default(),
        extend: false,
        name: "things".to_owned(),
        fingerprint: spec.fingerprint().to_owned(),
        spec: serde_json::to_string(&StoredSpec { job, provider }).unwrap(),
        provider: "acme".to_owned(),
        lane: Lane::Normal,
    };
    ledger.submit(&new, clock::now_ms()).await.unwrap();
    let fetch = FetchId::derive(id, None, "things", &Params::default());
    Call {
        job: id,
        fetch,
        call: CallId::derive(fetch, &PagePointer::First),
        step: "things".to_owned(),
        params: Params::default(),
        pointer: PagePointer::First,
        ordinal: 0,
        since: None,
        attempt: 0,
        requests: 0,
        failing_since_ms: None,
        again: false,
        provider: "acme".to_owned(),
        lane: Lane::Normal,
    }
}

#[tokio::test]
async fn a_call_waits_for_the_arbiter_without_spinning_spending_an_attempt_or_going_out() {
    let folder = TempDir::new().unwrap();
    let ledger: Arc<dyn Ledger> =
        Arc::new(SqliteLedger::open(&folder.path().join("state"), Sync::Normal).await.unwrap());
    let (port, requests) = third_party().await;
    let call = submit(&*ledger, port).await;
    let bus: Arc<dyn Bus> = Arc::new(InProcess::new(InProcessConfig::default(), clock::system()));
    let arbiter = Arc::new(Arbiter::default());
    let egress = EgressConfig { allow_private: AllowPrivate::All, ..EgressConfig::default() };
    let deps = Deps {
        bus: Arc::clone(&bus),
        ledger: Arc::clone(&ledger),
        specs: Arc::new(Specs::new(ledger)),
        permits: Arc::clone(&arbiter) as Arc<dyn Permits>,
        egress: Egress::new(egress).unwrap(),
        credentials: Arc::new(FixedCredentials::default()),
        clock: clock::system(),
    };
    let config = Config {
        lanes: Lanes::Fixed(vec![("acme".to_owned(), Lane::Normal)]),
        max_in_flight: 4,
        egress: "default".to_owned(),
        push_max_bytes: 0,
    };
    let shutdown = Shutdown::new();
    let executor = start(deps, config, Arc::new(Gauges::default()), &shutdown);
    let started = Instant::now();
    let envelope = Envelope::new(Message::Call(call), clock::now_ms(), None);
    bus.publish(&Queue::Calls { provider: "acme".to_owned(), lane: Lane::Normal }, vec![envelope]).await.unwrap();

    while arbiter.asked.load(Ordering::Relaxed) < 4 {
        assert!(started.elapsed() < Duration::from_secs(20), "it asks again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(started.elapsed() >= Duration::from_millis(125 + 250 + 500), "it does not spin");
    assert_eq!(requests.load(Ordering::Relaxed), 0, "nothing goes out unasked");

    arbiter.is_up.store(true, Ordering::Relaxed);
    let mut outcomes = bus.consume(&Queue::Outcomes, 1).await.unwrap();
    let outcome = tokio::time::timeout(Duration::from_secs(20), outcomes.next()).await.unwrap().unwrap();
    let Message::Outcome(Outcome::Failed { call, failure }) = &outcome.envelope.message else {
        panic!("{:?}", outcome.envelope.message)
    };
    assert_eq!(failure.status, Some(404), "{failure:?}");
    assert_eq!((call.requests, call.attempt), (1, 1), "only the request itself counts");
    drop(outcomes);
    shutdown.request();
    executor.join_within(Duration::from_secs(10)).await.unwrap();
}
