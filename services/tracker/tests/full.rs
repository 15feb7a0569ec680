//! A tracker outlives a bus that is full, and goes on when there is room: what it has to say is neither lost nor said twice.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tidegate_bus::{Bus, Consumer, InProcess, InProcessConfig};
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{Envelope, FetchId, JobId, JobSubmitted, Lane, Message, NewFetch, NewPages, Params, Plan};
use tidegate_daemon::{Handle, Shutdown, clock};
use tidegate_ledger::{Bounds, DEFAULT_TENANT, Ledger as _, NewJob, SqliteLedger, Sync};
use tidegate_tracker::{Config, Deps, start};

const SOON: Duration = Duration::from_secs(20);

/// A tracker over a bus whose queues hold two messages.
struct Scene {
    bus: Arc<dyn Bus>,
    ledger: SqliteLedger,
    shutdown: Shutdown,
    _dir: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let ledger = SqliteLedger::open(&dir.path().join("state.db"), Sync::Normal).await.expect("opens");
        let config = InProcessConfig { queue_max: 2, ..InProcessConfig::default() };
        let bus = Arc::new(InProcess::new(config, clock::system()));
        Self { bus, ledger, shutdown: Shutdown::new(), _dir: dir }
    }

    /// A job that was submitted long ago.
    async fn job(&self) -> JobId {
        let job = NewJob {
            id: JobId::new(),
            tenant: DEFAULT_TENANT.into(),
            name: "job".into(),
            fingerprint: "00".into(),
            spec: "{}".into(),
            provider: "acme".into(),
            lane: Lane::Normal,
            idempotency: None,
            bounds: Bounds::default(),
            extend: false,
        };
        self.ledger.submit(&job, 0).await.expect("stored");
        job.id
    }

    fn track(&self, sweep_every_ms: u64) -> Handle {
        let store = Arc::new(self.ledger.clone());
        let deps = Deps { bus: Arc::clone(&self.bus), ledger: store.clone(), dead: store, clock: clock::system() };
        start(deps, Config { sweep_every_ms, ..Config::default() }, &self.shutdown)
    }

    async fn publish(&self, queue: &Queue, messages: Vec<Message>) {
        let envelope = |message| Envelope::new(message, clock::now_ms(), None);
        self.bus.publish(queue, messages.into_iter().map(envelope).collect()).await.expect("there is room");
    }

    async fn lives_on(&self) {
        let ended = tokio::time::timeout(Duration::from_millis(300), self.shutdown.requested()).await;
        assert!(ended.is_err(), "the tracker ended: {:?}", self.shutdown.cause());
    }

    async fn end(self, tracker: Handle) {
        self.shutdown.request();
        tracker.join_within(SOON).await.expect("ends in order");
        self.ledger.close().await;
    }
}

async fn next(consumer: &mut Box<dyn Consumer>) -> Message {
    let delivery = tokio::time::timeout(SOON, consumer.next()).await.expect("in time").expect("a message");
    let message = delivery.envelope.message.clone();
    delivery.ack().await.expect("acknowledged");
    message
}

#[tokio::test]
async fn a_sweeper_waits_while_the_bus_is_full() {
    let scene = Scene::new().await;
    let lost = scene.job().await;
    let submitted = |job| Message::JobSubmitted(JobSubmitted { job });
    let others = [JobId::new(), JobId::new()];
    scene.publish(&Queue::Outcomes, others.map(submitted).to_vec()).await;
    let tracker = scene.track(5);
    scene.lives_on().await;
    let mut outcomes = scene.bus.consume(&Queue::Outcomes, 1).await.expect("consumes");
    for expected in others.into_iter().chain([lost]) {
        assert_eq!(next(&mut outcomes).await, submitted(expected));
    }
    scene.end(tracker).await;
}

#[tokio::test]
async fn a_plan_that_is_committed_while_the_bus_is_full_has_its_calls_sent_once_when_there_is_room() {
    let scene = Scene::new().await;
    let job = scene.job().await;
    let calls = Queue::Calls { provider: "acme".into(), lane: Lane::Normal };
    let nothing = |_| Message::Plan(Plan::nothing(JobId::new()));
    scene.publish(&calls, [(), ()].map(nothing).to_vec()).await;
    let params = Params::default();
    let fetch = NewFetch {
        fetch: FetchId::derive(job, None, "list", &params),
        parent: None,
        step: "list".into(),
        params,
        pages: vec![NewPages::Offsets { from: 0, until: 20, size: 10, ordinal: 0 }],
        failure: None,
        tolerated: false,
        after: Vec::new(),
        mark: None,
    };
    let plan = Plan { fetches: vec![fetch], ..Plan::nothing(job) };
    let tracker = scene.track(3_600_000);
    scene.publish(&Queue::plans_of(job), vec![Message::Plan(plan)]).await;
    scene.lives_on().await;
    let row = scene.ledger.job(job).await.expect("reads").expect("it is there");
    assert_eq!(row.counts.calls_planned, 2, "its plan is committed");
    let mut taken = scene.bus.consume(&calls, 9).await.expect("consumes");
    for _ in 0..2 {
        assert!(matches!(next(&mut taken).await, Message::Plan(_)), "what was there before comes first");
    }
    let mut released = Vec::new();
    for _ in 0..2 {
        let Message::Call(call) = next(&mut taken).await else { panic!("only calls are left") };
        released.push(call);
    }
    assert_ne!(released[0].call, released[1].call);
    scene.end(tracker).await;
}
