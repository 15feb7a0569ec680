//! One call at idle: from submitting a job to its items being readable, over the embedded ring and a simulated third
//! party without latency, both in this process. Prints percentiles in ms.
//!
//! `cargo run --release -p tidegate --example idle_latency`

#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate::embedded::{Parts, Ring, Settings, State};
use tidegate_contracts::Lane;
use tidegate_daemon::Shutdown;
use tidegate_egress::{AllowPrivate, Via};
use tidegate_executor::{FixedCredentials, Lanes};
use tidegate_gateway::{Submission, submit};
use tidegate_ledger::{DEFAULT_TENANT, Sync};
use tidegate_simulator::{EndpointSpec, Simulator, SimulatorSpec};

const JOBS: usize = 500;
/// Between two looks for the items; what is measured is that much too long at most.
const LOOK_EVERY: Duration = Duration::from_micros(100);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let items = EndpointSpec::at("/items").items(100).offset("offset").size("limit", 100).total_in_body("$.total");
    let simulator = Simulator::start(&SimulatorSpec::seeded(1).with("items", items)).await?;
    let provider = format!(
        r#"{{"tidegate": 1, "provider": "idle", "base_url": "{}", "endpoints": {{"items": {{"get": "/items",
            "items": "$.items[*]", "pages": {{"offset": "offset", "size": {{"param": "limit", "max": 100}},
            "total": "$.total"}}}}}}}}"#,
        simulator.base_url(),
    );
    let provider = serde_json::from_str::<tidegate_provider::ProviderFile>(&provider)?;
    let job = serde_json::from_str::<tidegate_provider::JobFile>(
        r#"{"provider": "idle", "steps": [{"id": "items", "call": "items"}]}"#,
    )?;
    let folder = tempfile::tempdir()?;
    let state = State::open(&folder.path().join("idle.db"), Sync::Full).await?;
    let parts = Parts::new(&state, tidegate_limits::Sharing::default()).await?;
    let shutdown = Shutdown::new();
    let settings = Settings {
        lanes: Lanes::Fixed(vec![("idle".to_owned(), Lane::Normal)]),
        max_in_flight: 32,
        whale_calls: 0,
        connect: Duration::from_secs(5),
        out: vec![("default".to_owned(), Via::Direct)],
        allow_private: AllowPrivate::All,
        credentials: Arc::new(FixedCredentials::default()),
    };
    let ring = Ring::start(&parts, settings, &shutdown).await?;
    let gateway =
        tidegate_gateway::Intake { bus: parts.bus.clone(), ledger: parts.ledger.clone(), clock: parts.clock.clone() };
    let mut took_ms = Vec::with_capacity(JOBS);
    for _ in 0..JOBS {
        let (tenant, idempotency) = (DEFAULT_TENANT.to_owned(), None);
        let submission = Submission {
            tenant,
            idempotency,
            name: "idle".to_owned(),
            job: job.clone(),
            provider: provider.clone(),
            extend: false,
        };
        let started = Instant::now();
        let id = submit(&gateway, submission).await?.job();
        while parts.ledger.pages_after(id, 0, 1).await?.is_empty() {
            look_again();
        }
        took_ms.push(started.elapsed().as_secs_f64() * 1_000.0);
        // Idle again before the next one.
        while !parts.ledger.job(id).await?.is_some_and(|job| job.state.is_final()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    took_ms.sort_by(f64::total_cmp);
    let at = |share: f64| took_ms[((took_ms.len() - 1) as f64 * share) as usize];
    println!("{JOBS} jobs of one call: p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms", at(0.5), at(0.9), at(0.99));
    ring.stop(&shutdown).await?;
    simulator.stop().await;
    Ok(())
}

/// This thread runs nothing else; tokio's timer would tick in milliseconds, and not to sleep at all would take one of two
/// cores from what is measured.
#[expect(clippy::disallowed_methods, reason = "what is awaited is in a file")]
fn look_again() {
    std::thread::sleep(LOOK_EVERY);
}
