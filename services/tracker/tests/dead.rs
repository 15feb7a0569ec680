//! Dead letters come off the bus, to where people can look at them.

use std::sync::Arc;
use std::time::Duration;

use tidegate_bus::{Bus, InProcess, InProcessConfig};
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{Envelope, JobId, JobSubmitted, Message};
use tidegate_daemon::{Shutdown, clock};
use tidegate_ledger::{DeadBounds, DeadFilter, DeadLetters, DeadRow, SqliteLedger, Sync};
use tidegate_tracker::{Config, Deps, start};

const SOON: Duration = Duration::from_secs(20);

async fn reject(bus: &Arc<dyn Bus>, job: JobId, reason: &str) {
    let message = Envelope::new(Message::JobSubmitted(JobSubmitted { job }), clock::now_ms(), None);
    bus.publish(&Queue::Outcomes, vec![message]).await.expect("sent");
    let mut outcomes = bus.consume(&Queue::Outcomes, 1).await.expect("consumes");
    outcomes.next().await.expect("a message").reject(reason).await.expect("rejected");
}

/// Waits until so many are kept.
async fn kept(ledger: &SqliteLedger, count: usize) -> Vec<DeadRow> {
    let looking = async {
        loop {
            let rows = ledger.dead(&DeadFilter { limit: 100, ..DeadFilter::default() }).await.expect("lists");
            if rows.len() == count {
                return rows;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, looking).await.expect("kept in time")
}

#[tokio::test]
async fn what_is_rejected_is_kept_up_to_the_bounds_and_the_bus_forgets_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = SqliteLedger::open(&dir.path().join("state.db"), Sync::Normal).await.expect("opens");
    let bus: Arc<dyn Bus> = Arc::new(InProcess::new(InProcessConfig::default(), clock::system()));
    let (store, shutdown) = (Arc::new(ledger.clone()), Shutdown::new());
    let deps = Deps { bus: Arc::clone(&bus), ledger: store.clone(), dead: store, clock: clock::system() };
    let dead = DeadBounds { letters: 2, ..DeadBounds::default() };
    let tracker = start(deps, Config { dead_every_ms: 5, dead, ..Config::default() }, &shutdown);
    let jobs = [JobId::new(), JobId::new(), JobId::new()];
    reject(&bus, jobs[0], "of no use").await;
    let rows = kept(&ledger, 1).await;
    assert_eq!(
        (rows[0].job, rows[0].kind.as_deref(), rows[0].reason.as_str()),
        (Some(jobs[0]), Some("job_submitted"), "of no use")
    );
    assert_eq!(rows[0].queue, Queue::Outcomes.to_string());
    let (_, body) = ledger.dead_letter(rows[0].id).await.expect("reads").expect("it is there");
    assert_eq!(
        Envelope::decode(&body).expect("a message").message,
        Message::JobSubmitted(JobSubmitted { job: jobs[0] })
    );
    for job in &jobs[1..] {
        reject(&bus, *job, "of no use").await;
    }
    // What died just before the end is kept, too.
    shutdown.request();
    tracker.join_within(SOON).await.expect("ends in order");
    let kept: Vec<_> = kept(&ledger, 2).await.into_iter().map(|row| row.job).collect();
    assert_eq!(kept, [Some(jobs[2]), Some(jobs[1])], "the oldest made room");
    assert_eq!(bus.depth(&Queue::Dead).await.expect("counted").ready, 0);
}
