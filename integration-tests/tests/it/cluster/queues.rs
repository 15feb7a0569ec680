//! What the broker holds when a test is over: nothing. Dead letters are taken off it, too.

use std::time::{Duration, Instant};

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};

/// In which a broker that nobody works on any more has nothing left to settle.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);

/// Queues of a virtual host that outlive connections, by name.
pub(super) struct Queues {
    url: String,
    names: Vec<String>,
}

impl Queues {
    /// Of the broker at `url`: those that `rabbitmqctl list_queues` lists, one for each line. Watchers' queues are
    /// exclusive, and end with their connections.
    pub(super) fn new(url: String, listed: &str) -> Self {
        let lasting = listed.lines().map(str::trim).filter(|name| name.contains(':') && !name.contains(".events."));
        let names: Vec<String> = lasting.map(str::to_owned).collect();
        assert!(!names.is_empty(), "a cluster has queues: {listed}");
        Self { url, names }
    }

    /// Waits until no queue holds a message, parked ones included. What services have in hand is counted once they have
    /// ended.
    pub(super) async fn are_empty(&self) {
        let connection = Connection::connect(&self.url, ConnectionProperties::default()).await.expect("a broker");
        let channel = connection.create_channel().await.expect("a channel");
        let (started, options) = (Instant::now(), QueueDeclareOptions { passive: true, ..Default::default() });
        loop {
            let mut left = Vec::new();
            for name in &self.names {
                let declared = channel.queue_declare(name.as_str().into(), options, FieldTable::default()).await;
                let count = declared.unwrap_or_else(|error| panic!("{name}: {error}")).message_count();
                if count != 0 {
                    left.push((name, count));
                }
            }
            if left.is_empty() {
                break;
            }
            assert!(started.elapsed() < SETTLED_WITHIN, "messages are left: {left:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        connection.close(200, "counted".into()).await.expect("closes");
    }
}
