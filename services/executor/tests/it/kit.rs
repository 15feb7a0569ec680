//! What the tests share: an executor over the in-process bus and a state file, and a job of one call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tidegate_bus::{Bus, InProcess, InProcessConfig};
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{Call, Envelope, JobId, Lane, Message, Outcome, PagePointer, Params};
use tidegate_daemon::{Handle, Shutdown, clock};
use tidegate_egress::{AllowPrivate, Egress, EgressConfig};
use tidegate_executor::{Config, Deps, FixedCredentials, Gauges, Lanes, Permits, WayOut, start};
use tidegate_ledger::{Bounds, DEFAULT_TENANT, Ledger, NewJob, SqliteLedger, Sync};
use tidegate_provider::{Spec, parse_job, parse_provider};
use tidegate_specs::{Specs, StoredSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// An executor with a call of its own to make.
pub(crate) struct World {
    bus: Arc<dyn Bus>,
    call: Call,
    ledger: Arc<dyn Ledger>,
    port: u16,
    more: String,
    shutdown: Shutdown,
    executor: Handle,
    _folder: TempDir,
}

impl World {
    /// Has an executor make one call of a third party at `port`, whose provider file says `more`.
    pub(crate) async fn start(permits: Arc<dyn Permits>, port: u16, more: &str) -> Self {
        let bus = Arc::new(InProcess::new(InProcessConfig::default(), clock::system()));
        Self::over(bus, permits, port, more).await
    }

    /// The same over this bus.
    pub(crate) async fn over(bus: Arc<dyn Bus>, permits: Arc<dyn Permits>, port: u16, more: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let store = Arc::new(SqliteLedger::open(&folder.path().join("state"), Sync::Normal).await.unwrap());
        let ledger = Arc::clone(&store) as Arc<dyn Ledger>;
        let call = submit(&*ledger, port, more).await;
        let egress = EgressConfig { allow_private: AllowPrivate::All, ..EgressConfig::default() };
        let deps = Deps {
            bus: Arc::clone(&bus),
            ledger: Arc::clone(&ledger),
            unmatched: store,
            specs: Arc::new(Specs::new(Arc::clone(&ledger))),
            permits,
            out: vec![WayOut { name: "default".to_owned(), egress: Egress::new(egress).unwrap() }],
            credentials: Arc::new(FixedCredentials::default()),
            clock: clock::system(),
        };
        let config = Config {
            lanes: Lanes::Fixed(vec![("acme".to_owned(), Lane::Normal)]),
            max_in_flight: 64,
            max_choices: 32,
            push_max_bytes: 0,
        };
        let shutdown = Shutdown::new();
        let executor = start(deps, config, Arc::new(Gauges::default()), &shutdown);
        let (more, ledger) = (more.to_owned(), Arc::clone(&ledger));
        let world = Self { bus, call, ledger, port, more, shutdown, executor, _folder: folder };
        world.release().await;
        world
    }

    /// Sends the call to the executor, as the tracker does.
    pub(crate) async fn release(&self) {
        let envelope = Envelope::new(Message::Call(self.call.clone()), clock::now_ms(), None);
        let queue = Queue::Calls { provider: "acme".to_owned(), lane: Lane::Normal };
        self.bus.publish(&queue, vec![envelope]).await.unwrap();
    }

    /// Sends more calls of the same job, by their places in their chain.
    pub(crate) async fn release_others(&self, numbers: std::ops::Range<u32>) {
        let other = |n: u32| {
            let root = Call::root(
                self.call.job,
                &self.call.step,
                [("n", i64::from(n))].into_iter().collect(),
                PagePointer::First,
            );
            let other = Call { provider: self.call.provider.clone(), ordinal: n, ..root };
            Envelope::new(Message::Call(other), clock::now_ms(), None)
        };
        let queue = Queue::Calls { provider: "acme".to_owned(), lane: Lane::Normal };
        self.bus.publish(&queue, numbers.map(other).collect()).await.unwrap();
    }

    /// Submits the same job again, and sends its call.
    pub(crate) async fn release_of_another_job(&self) -> JobId {
        let call = submit(&*self.ledger, self.port, &self.more).await;
        let job = call.job;
        let queue = Queue::Calls { provider: "acme".to_owned(), lane: Lane::Normal };
        self.bus.publish(&queue, vec![Envelope::new(Message::Call(call), clock::now_ms(), None)]).await.unwrap();
        job
    }

    /// What comes of the call next.
    pub(crate) async fn outcome(&self) -> Outcome {
        let mut outcomes = self.bus.consume(&Queue::Outcomes, 1).await.unwrap();
        let delivery = tokio::time::timeout(Duration::from_secs(20), outcomes.next()).await.unwrap().unwrap();
        let Message::Outcome(outcome) = delivery.envelope.message.clone() else {
            panic!("{:?}", delivery.envelope.message)
        };
        delivery.ack().await.unwrap();
        outcome
    }

    pub(crate) async fn stop(self) {
        self.shutdown.request();
        self.executor.join_within(Duration::from_secs(10)).await.unwrap();
    }
}

/// Says 404 to everybody, and counts them.
pub(crate) fn third_party(listener: TcpListener, requests: Arc<AtomicU32>) {
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            requests.fetch_add(1, Ordering::Relaxed);
            let _ = connection.read(&mut [0; 4_096]).await;
            let _ =
                connection.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        }
    });
}

/// Submits a job of one call.
async fn submit(ledger: &dyn Ledger, port: u16, more: &str) -> Call {
    let provider = format!(
        "tidegate: 1\nprovider: acme\nbase_url: http://127.0.0.1:{port}\ninsecure_http: true\n{more}\
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
    Call { provider: "acme".to_owned(), ..Call::root(id, "things", Params::default(), PagePointer::First) }
}
