//! How messages that wait come back from the delay ladder: how late, in which order, and what that costs.
//!
//! ```sh
//! cargo run --release -p tidegate-bus --example parked -- amqp://guest:guest@127.0.0.1:5672 1000000 60 120
//! ```
//!
//! Parks so many messages, each due at random within a span that begins so many seconds after the first was parked and lasts so
//! many seconds; then takes them as they come.

#![expect(clippy::print_stdout, reason = "its figures are its purpose")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use secrecy::SecretString;
use tidegate_bus::{Bus, RabbitConfig, RabbitMq, ack_all};
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{Envelope, JobId, JobSubmitted, Lane, Message};
use tidegate_daemon::clock;

/// Messages parked at a time, and most that are out.
const WIDTH: usize = 1_024;
/// Longest silence of the broker's before the rest is taken for lost.
const PATIENCE: Duration = Duration::from_mins(10);

/// Resident memory of this process, in MiB.
fn memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1_024
}

/// A message that carries when it is due.
fn envelope(due_ms: i64) -> Envelope {
    Envelope::new(Message::JobSubmitted(JobSubmitted { job: JobId::new() }), due_ms, None)
}

/// Spread evenly, and the same in each run.
fn due_after_ms(number: u64, span_ms: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % span_ms
}

async fn park(bus: &Arc<RabbitMq>, queue: &Queue, total: u64, first_due_ms: i64, span_ms: u64) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut parking = futures_util::stream::iter(0..total)
        .map(|number| {
            let (bus, queue) = (Arc::clone(bus), queue.clone());
            let due_ms = first_due_ms.saturating_add_unsigned(due_after_ms(number, span_ms));
            async move { bus.publish_later(&queue, envelope(due_ms), due_ms).await }
        })
        .buffer_unordered(WIDTH);
    while let Some(parked) = parking.next().await {
        parked?;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "parked {total} in {seconds:.1} s, {:.0}/s; this process has {} MiB",
        total as f64 / seconds,
        memory_mib()
    );
    Ok(())
}

async fn take(bus: &Arc<RabbitMq>, queue: &Queue, total: u64) -> anyhow::Result<()> {
    let mut consumer = bus.consume(queue, u16::try_from(WIDTH)?).await?;
    let (mut late_ms, mut latest_due_ms, mut early, mut behind_ms) = (Vec::new(), i64::MIN, 0_u64, Vec::new());
    let mut memory = memory_mib();
    while (late_ms.len() as u64) < total {
        let batch = tokio::time::timeout(PATIENCE, consumer.next_batch(WIDTH)).await?;
        let now_ms = clock::now_ms();
        for delivery in &batch {
            let due_ms = delivery.envelope.sent_at_ms;
            early += u64::from(now_ms < due_ms);
            late_ms.push(now_ms - due_ms);
            behind_ms.push(latest_due_ms.saturating_sub(due_ms).max(0));
            latest_due_ms = latest_due_ms.max(due_ms);
        }
        memory = memory.max(memory_mib());
        ack_all(batch).await?;
    }
    println!("late    {}", shares(late_ms));
    println!("after one that was due later, by {}", shares(behind_ms));
    println!("{early} came early; this process had {memory} MiB at most");
    Ok(())
}

fn shares(mut ms: Vec<i64>) -> String {
    ms.sort_unstable();
    let share = |share: f64| ms.get(((ms.len() as f64 * share) as usize).min(ms.len().saturating_sub(1))).copied();
    let [p50, p99, p999, most] = [0.5, 0.99, 0.999, 1.0].map(|part| share(part).unwrap_or(0));
    format!("p50 {p50} ms, p99 {p99} ms, p99.9 {p999} ms, most {most} ms")
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "amqp://guest:guest@127.0.0.1:5672".into());
    let total: u64 = arguments.next().map_or(Ok(10_000), |total| total.parse())?;
    let begins_s: i64 = arguments.next().map_or(Ok(30), |seconds| seconds.parse())?;
    let span_s: u64 = arguments.next().map_or(Ok(60), |seconds| seconds.parse())?;
    let prefix = format!("parked-{}.", std::process::id());
    // A broker that is busy may be slow to confirm; what is measured is how long it takes.
    let config = RabbitConfig { prefix, publish_timeout: PATIENCE, ..RabbitConfig::new(SecretString::from(url)) };
    let bus = Arc::new(RabbitMq::connect(config, clock::system()).await?);
    let queue = Queue::Calls { provider: "bench".into(), lane: Lane::Normal };
    let first_due_ms = clock::now_ms() + begins_s * 1_000;
    println!("this process has {} MiB", memory_mib());
    let work = async {
        tokio::try_join!(park(&bus, &queue, total, first_due_ms, span_s.max(1) * 1_000), take(&bus, &queue, total))
    };
    let result = work.await;
    bus.delete_all().await?;
    result.map(drop)
}
