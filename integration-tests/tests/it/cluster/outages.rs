//! Providers that are down, in the cluster: their work waits, and that of others takes no longer than it does anyway.

use std::time::{Duration, Instant};

use tidegate_simulator::Running;

use super::fixture::Cluster;
use super::jobs::{ENDPOINTS, STEPS, requests, third_party, write_job};
use super::servers::Addresses;
use crate::door::{Door, Doorway};
use crate::impostor::Certificates;
use crate::names::Names;
use crate::process::DEADLINE;
use crate::world::{JOB, assert_same, ids};

const USERS: u64 = 200;
const ITEMS: u64 = USERS + USERS * 12;
/// How much longer than before a job may take beside an outage: twice, and a second.
const SLACK: Duration = Duration::from_secs(1);

/// A provider file `ill.yaml` for what stands behind the door, and a job of it.
fn write_ill(cluster: &Cluster, base_url: &str) {
    let retry = "retry: { base: 20ms, cap: 50ms, budget: 3s }\ntimeouts: { first_byte: 500ms }\n\
        limits: [ { id: health, key: [egress], breaker: { first_probe: 200ms, longest_probe: 1s } } ]\n";
    let (_, endpoints) = ENDPOINTS.split_once("endpoints:").expect("endpoints");
    let provider = format!("tidegate: 1\nprovider: ill\nbase_url: \"{base_url}\"\n{retry}endpoints:{endpoints}");
    cluster.world.write("ill.yaml", &provider);
    cluster.world.write("ill-job.yaml", &format!("provider: ./ill.yaml\n{STEPS}"));
}

/// How long a job of the healthy provider takes.
async fn healthy(cluster: &Cluster, simulator: &Running) -> Duration {
    let began = Instant::now();
    let job = cluster.submit(JOB).await;
    let ended = cluster.ended(&job).await.expect(0).json();
    assert_eq!(ended["counts"]["items"], ITEMS, "{ended}");
    assert_same(ids(&cluster.items(&job, "users").await), simulator.ids("users", ""));
    began.elapsed()
}

/// A provider that is away for some seconds, in the way of the door.
async fn outage(door: Door) {
    let (cluster, ill) = (Cluster::start().await, third_party(USERS, 10).await);
    let doorway = Doorway::before(&ill.base_url()).await;
    let base_url = doorway.base_url();
    beside(cluster, (&doorway, &ill), &base_url, async |_| doorway.set(door), async |_| doorway.set(Door::Open)).await;
}

/// A job of the ill provider, at which `trouble` comes and is mended, and one of another provider beside it.
#[expect(clippy::print_stderr, reason = "what was measured, for who runs it with --nocapture")]
async fn beside(
    cluster: Cluster,
    (doorway, ill): (&Doorway, &Running),
    base_url: &str,
    trouble: impl AsyncFnOnce(&Cluster),
    mend: impl AsyncFnOnce(&Cluster),
) {
    let well = third_party(USERS, 10).await;
    write_job(&cluster, &well);
    write_ill(&cluster, base_url);
    let usual = healthy(&cluster, &well).await;
    let waiting = cluster.submit("ill-job.yaml").await;
    let reaching = async {
        while requests(ill) < 100 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, reaching).await.expect("the job goes on");
    trouble(&cluster).await;
    // Long enough for attempts to be spent many times over.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (reached, came) = (requests(ill), doorway.came());
    let beside = healthy(&cluster, &well).await;
    let came = doorway.came() - came;
    eprintln!(
        "a job of another provider took {usual:?} before the outage, {beside:?} during it; {came} connections tried"
    );
    assert!(beside < 2 * usual + SLACK, "{usual:?} before, {beside:?} beside an outage");
    assert_eq!(requests(ill), reached, "nobody got through");
    let status = cluster.status(&waiting).await;
    assert_eq!(status["state"], "running", "{status}");
    assert_eq!(status["counts"]["calls_failed"], 0, "{status}");
    mend(&cluster).await;
    let ended = cluster.ended(&waiting).await.expect(0).json();
    assert_eq!((&ended["counts"]["items"], &ended["counts"]["calls_failed"]), (&ITEMS.into(), &0.into()), "{ended}");
    assert_same(ids(&cluster.items(&waiting, "users").await), ill.ids("users", ""));
    assert_eq!(cluster.items(&waiting, "posts").await.len() as u64, USERS * 12);
    well.stop().await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_waits_for_a_provider_that_refuses_connections_and_others_go_on() {
    outage(Door::Refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_waits_for_a_provider_that_never_answers_and_others_go_on() {
    outage(Door::Silent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_waits_for_a_provider_that_gets_slower_until_it_is_dead_and_others_go_on() {
    let (cluster, ill) = (Cluster::start().await, third_party(USERS, 10).await);
    let doorway = Doorway::before(&ill.base_url()).await;
    let base_url = doorway.base_url();
    let slower = async |_: &Cluster| {
        for slow_ms in [100, 300, 490, 60_000] {
            doorway.set(Door::Slow(Duration::from_millis(slow_ms)));
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    };
    beside(cluster, (&doorway, &ill), &base_url, slower, async |_| doorway.set(Door::Open)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_waits_for_a_provider_whose_name_is_not_known_and_others_go_on() {
    let cluster = Cluster::over(Addresses::usual()).await.seeing(Names::new()).started().await;
    let ill = third_party(USERS, 10).await;
    let doorway = Doorway::before(&ill.base_url()).await;
    let base_url = format!("http://{}:{}", Names::HOST, doorway.port());
    let trouble = async |cluster: &Cluster| {
        cluster.names().set_known(false);
        // Connections that are there would need no name.
        doorway.set(Door::Open);
    };
    let mend = async |cluster: &Cluster| cluster.names().set_known(true);
    beside(cluster, (&doorway, &ill), &base_url, trouble, mend).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_waits_for_a_provider_with_a_wrong_certificate_and_others_go_on() {
    let certificates = Certificates::new();
    let cluster = Cluster::over(Addresses::usual()).await;
    let trusted = cluster.world.write("trusted.pem", &certificates.pem);
    let cluster = cluster.set("SSL_CERT_FILE", &trusted.to_string_lossy()).started().await;
    let ill = third_party(USERS, 10).await;
    let doorway = Doorway::before_over_tls(&ill.base_url(), &certificates).await;
    let base_url = doorway.base_url().replace("http://", "https://");
    let trouble = async |_: &Cluster| doorway.set(Door::Impostor);
    beside(cluster, (&doorway, &ill), &base_url, trouble, async |_| doorway.set(Door::Open)).await;
}
