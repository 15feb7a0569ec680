//! How many messages a second go through the bus over RabbitMQ, and what they cost.
//!
//! ```sh
//! cargo run --release -p tidegate-bus --example hops -- amqp://guest:guest@127.0.0.1:5672 20000
//! ```
//!
//! Each hop has 256 publishers of one message at a time, as executors publish outcomes, and one consumer with 256 out.
//! `calls` go one by one, `outcomes` share messages; `calls, windows` publishes 256 at a time, as the tracker does.

#![expect(clippy::print_stdout, reason = "its figures are its purpose")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tidegate_bus::{Bus, RabbitConfig, RabbitMq, ack_all};
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{Call, Envelope, Fingerprint, JobId, Lane, Message, Outcome, PageFacts, PagePointer, Params};
use tidegate_daemon::clock;

/// Publishers at a time, and messages out at a time.
const WIDTH: usize = 256;

fn call(ordinal: u32) -> Call {
    let job = JobId::from_slice(&[7; 16]).unwrap_or_default();
    let params: Params = [("id", 109)].into_iter().collect();
    let pointer = PagePointer::Offset { offset: u64::from(ordinal) * 100, size: 100 };
    Call { ordinal, provider: "bench".into(), ..Call::root(job, "statuses", params, pointer) }
}

fn envelope(queue: &Queue, number: usize) -> Envelope {
    let call = call(u32::try_from(number).unwrap_or(u32::MAX));
    let message = match queue {
        Queue::Calls { .. } => Message::Call(call),
        _ => {
            let (items, total, next, has_more, fingerprint, repeated) =
                (100, Some(100_000), None, Some(true), Fingerprint(7), false);
            let facts = PageFacts { items, total, next, has_more, fingerprint, repeated, ..PageFacts::default() };
            Message::Outcome(Outcome::Page { call, facts })
        }
    };
    Envelope::new(message, clock::now_ms(), None)
}

/// CPU time of the processes whose name contains `name`, in clock ticks of 10 ms.
fn cpu(name: &str) -> u64 {
    let Ok(processes) = std::fs::read_dir("/proc") else { return 0 };
    let stat = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("stat")).ok();
    let ticks = |stat: String| {
        let (head, tail) = stat.rsplit_once(')')?;
        let mut fields = tail.split_whitespace().skip(11);
        let sum = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
        head.contains(name).then_some(sum)
    };
    processes.flatten().filter_map(stat).filter_map(ticks).sum()
}

async fn hop(bus: &Arc<RabbitMq>, name: &str, queue: Queue, total: usize, at_once: usize) -> anyhow::Result<()> {
    let mut consumer = bus.consume(&queue, u16::try_from(WIDTH)?).await?;
    let (started, before) = (Instant::now(), (cpu("beam.smp"), cpu("hops")));
    let publishers = (WIDTH / at_once).max(1);
    for publisher in 0..publishers {
        let (bus, queue) = (bus.clone(), queue.clone());
        tokio::spawn(async move {
            for first in (publisher * at_once..total).step_by(publishers * at_once) {
                let numbers = first..(first + at_once).min(total);
                let messages = numbers.map(|number| envelope(&queue, number)).collect();
                if let Err(error) = bus.publish(&queue, messages).await {
                    println!("publishing failed: {error}");
                }
            }
        });
    }
    let mut taken = 0;
    while taken < total {
        let batch = tokio::time::timeout(Duration::from_secs(30), consumer.next_batch(WIDTH)).await?;
        taken += batch.len();
        ack_all(batch).await?;
    }
    let seconds = started.elapsed().as_secs_f64();
    let (broker, own) = (cpu("beam.smp") - before.0, cpu("hops") - before.1);
    let each = |ticks: u64| ticks as f64 * 10_000.0 / total as f64;
    println!(
        "{name:16} {:>7.0} messages/s, broker {:>4.0} µs and this process {:>4.0} µs of CPU for each",
        total as f64 / seconds,
        each(broker),
        each(own),
    );
    Ok(())
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "amqp://guest:guest@127.0.0.1:5672".into());
    let total = arguments.next().map_or(Ok(20_000), |total| total.parse())?;
    let prefix = format!("hops-{}.", std::process::id());
    let config = RabbitConfig { prefix, ..RabbitConfig::new(SecretString::from(url)) };
    let bus = Arc::new(RabbitMq::connect(config, clock::system()).await?);
    let calls = Queue::Calls { provider: "bench".into(), lane: Lane::Normal };
    let result = async {
        hop(&bus, "calls", calls.clone(), total, 1).await?;
        hop(&bus, "calls, windows", calls, total, WIDTH).await?;
        hop(&bus, "outcomes", Queue::Outcomes, total, 1).await
    };
    let result = result.await;
    bus.delete_all().await?;
    result
}
