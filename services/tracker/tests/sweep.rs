//! What was lost is found, as soon as there is room for it.

use std::sync::Arc;
use std::time::Duration;

use tidegate_bus::{Bus, InProcess, InProcessConfig};
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{Envelope, JobId, JobSubmitted, Lane, Message};
use tidegate_daemon::{Shutdown, clock};
use tidegate_ledger::{Bounds, DEFAULT_TENANT, Ledger as _, NewJob, SqliteLedger, Sync};
use tidegate_tracker::{Config, Deps, start};

const SOON: Duration = Duration::from_secs(20);

fn submitted(job: JobId) -> Envelope {
    Envelope::new(Message::JobSubmitted(JobSubmitted { job }), clock::now_ms(), None)
}

#[tokio::test]
async fn a_sweeper_outlives_a_bus_that_is_full_and_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = SqliteLedger::open(&dir.path().join("state.db"), Sync::Normal).await.expect("opens");
    let config = InProcessConfig { queue_max: 1, ..InProcessConfig::default() };
    let bus: Arc<dyn Bus> = Arc::new(InProcess::new(config, clock::system()));
    let job = NewJob {
        id: JobId::new(),
        tenant: DEFAULT_TENANT.into(),
        name: "lost".into(),
        fingerprint: "00".into(),
        spec: "{}".into(),
        provider: "acme".into(),
        lane: Lane::Normal,
        idempotency: None,
        bounds: Bounds::default(),
        extend: false,
    };
    // Long ago, and nobody was told.
    ledger.submit(&job, 0).await.expect("stored");
    let other = JobId::new();
    bus.publish(&Queue::Outcomes, vec![submitted(other)]).await.expect("it has room for one");
    let (store, shutdown) = (Arc::new(ledger.clone()), Shutdown::new());
    let deps = Deps { bus: Arc::clone(&bus), ledger: store.clone(), dead: store, clock: clock::system() };
    let tracker = start(deps, Config { sweep_every_ms: 5, ..Config::default() }, &shutdown);
    let ended = tokio::time::timeout(Duration::from_millis(300), shutdown.requested()).await;
    assert!(ended.is_err(), "the tracker ended: {:?}", shutdown.cause());
    let mut outcomes = bus.consume(&Queue::Outcomes, 1).await.expect("consumes");
    for expected in [other, job.id] {
        let delivery = tokio::time::timeout(SOON, outcomes.next()).await.expect("in time").expect("a message");
        assert_eq!(delivery.envelope.message, Message::JobSubmitted(JobSubmitted { job: expected }));
        delivery.ack().await.expect("acknowledged");
    }
    shutdown.request();
    tracker.join_within(SOON).await.expect("ends in order");
    ledger.close().await;
}
