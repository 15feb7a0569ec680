//! Disks that are full, and servers that let no more connections in: the cluster says what is wrong, waits, and goes on
//! by itself.

use std::time::{Duration, Instant};

use tidegate_simulator::Running;

use super::fixture::Cluster;
use super::jobs::{requests, third_party, write_job};
use super::servers::{Addresses, Postgres, Rabbit, Redis, give, server_user};
use crate::bad_input::mount::Mount;
use crate::process::DEADLINE;
use crate::world::{JOB, assert_same, ids};

const USERS: u64 = 400;
const ITEMS: u64 = USERS + USERS * 12;
/// Requests that are needed when nothing goes wrong.
const NEEDED: u64 = USERS / 10 + USERS * 3;
/// Requests after which a job is in its middle.
const MIDDLE: u64 = 200;
/// In which nothing more goes out of a cluster that waits.
const STANDS_STILL: Duration = Duration::from_secs(1);
/// Whose connections the broker and the database see.
const RING: [&str; 4] = ["planner", "executor", "tracker", "gateway"];
/// More than any disk has.
const NO_DISK_IS_LARGE_ENOUGH: &str = "1000000000GB";

async fn reaches(simulator: &Running, count: u64) {
    let started = Instant::now();
    while requests(simulator) < count {
        assert!(started.elapsed() < DEADLINE, "the job stands still at {}", requests(simulator));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until no request goes out any more.
async fn stands_still(simulator: &Running) {
    let (mut seen, started) = (u64::MAX, Instant::now());
    while seen != requests(simulator) {
        assert!(started.elapsed() < DEADLINE, "the job goes on");
        seen = requests(simulator);
        tokio::time::sleep(STANDS_STILL).await;
    }
}

async fn is_whole(cluster: &Cluster, job: &str, simulator: &Running) {
    let ended = cluster.ended(job).await.expect(0).json();
    assert_eq!(ended["counts"]["items"], ITEMS, "{ended}");
    assert_eq!(ended["counts"]["calls_failed"], 0, "{ended}");
    assert_same(ids(&cluster.items(job, "users").await), simulator.ids("users", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_whose_disk_is_full_is_waited_for_and_jobs_are_taken_meanwhile() {
    let rabbit = Rabbit::start();
    let cluster = Cluster::over(Addresses::usual().rabbitmq(&rabbit)).await.started().await;
    let simulator = third_party(USERS, 5).await;
    write_job(&cluster, &simulator);
    let job = cluster.submit(JOB).await;
    reaches(&simulator, MIDDLE).await;
    cluster.ctl(&["set_disk_free_limit", NO_DISK_IS_LARGE_ENOUGH]).await;
    stands_still(&simulator).await;
    // What needs no broker is answered, and a job is stored.
    assert_eq!(cluster.ask("gateway", "GET", &format!("/v1/jobs/{job}"), "").await.status, 200);
    let meanwhile = cluster.submit(JOB).await;
    assert_eq!(cluster.status(&meanwhile).await["state"], "submitted");
    // The broker tells those who publish, and only them.
    let publisher = cluster.one_says(&RING, "the broker takes no messages: it is short of memory or disk").await;
    let answer = cluster.is_ready(publisher, false).await;
    assert!(answer.body.contains("short of memory or disk"), "{answer:?}");
    cluster.ctl(&["set_disk_free_limit", "1MB"]).await;
    cluster.are_ready().await;
    for job in [&job, &meanwhile] {
        is_whole(&cluster, job, &simulator).await;
    }
    assert_eq!(requests(&simulator), 2 * NEEDED);
    simulator.stop().await;
    cluster.finish().await;
    assert!(!rabbit.log().contains("closed TCP connection"), "somebody hung up: {}", rabbit.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_disk_is_full_is_waited_for() {
    const MIB: usize = 1 << 20;
    let Some(disk) = Mount::of_kib(64 << 10) else { return };
    let postgres = Postgres::start("secret").await;
    let space = disk.path("space");
    std::fs::create_dir(&space).expect("a folder");
    server_user().into_iter().for_each(|user| give(&space, user));
    let mut cluster = Cluster::over(Addresses::usual().postgres(&postgres)).await;
    cluster.may_fail_requests();
    cluster.make_database().await;
    cluster.on_server(&format!("CREATE TABLESPACE small LOCATION '{}'", space.display())).await;
    cluster.on_server(&format!("ALTER DATABASE {} SET TABLESPACE small", cluster.name())).await;
    cluster.make_vhost().await;
    cluster.migrate().await;
    cluster.add_all().await;
    cluster.are_ready().await;
    let simulator = third_party(USERS, 5).await;
    write_job(&cluster, &simulator);
    let job = cluster.submit(JOB).await;
    reaches(&simulator, MIDDLE).await;
    // Fills what is left, to the last byte.
    let ballast = disk.path("ballast");
    let mut file = std::fs::File::create(&ballast).expect("a file");
    for size in [MIB, 4_096, 1] {
        while std::io::Write::write_all(&mut file, &vec![0; size]).is_ok() {}
    }
    stands_still(&simulator).await;
    cluster.says("executor", "No space left on device").await;
    cluster.is_ready("executor", false).await;
    drop(file);
    std::fs::remove_file(&ballast).expect("removed");
    cluster.are_ready().await;
    is_whole(&cluster, &job, &simulator).await;
    assert_eq!(requests(&simulator), NEEDED);
    simulator.stop().await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_let_no_more_connections_in_are_waited_for() {
    let (postgres, redis) = (Postgres::start("secret").await, Redis::start(None));
    // A superuser knows no limit.
    postgres.sql("CREATE ROLE ring LOGIN CREATEDB PASSWORD 'secret'").await;
    let addresses = Addresses { postgres: postgres.url_of("ring"), ..Addresses::usual().redis(&redis) };
    let mut cluster = Cluster::over(addresses).await.started().await;
    cluster.may_fail_requests();
    let simulator = third_party(USERS, 20).await;
    write_job(&cluster, &simulator);
    let limited = format!(
        "limits:\n  - {{ id: quota, key: [provider], window: {{ calls: 100000, per: 1s }} }}\n{}",
        super::jobs::ENDPOINTS
    );
    cluster.world.provider(&simulator.base_url(), &limited);
    let job = cluster.submit(JOB).await;
    reaches(&simulator, MIDDLE).await;

    postgres.sql("ALTER ROLE ring CONNECTION LIMIT 0").await;
    postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ring'").await;
    for kind in RING {
        cluster.is_ready(kind, false).await;
    }
    cluster.says("executor", "too many connections for role").await;
    postgres.sql("ALTER ROLE ring CONNECTION LIMIT -1").await;
    cluster.are_ready().await;

    let limit = ["set_vhost_limits", "-p", cluster.vhost(), r#"{"max-connections": 0}"#];
    cluster.ctl(&limit).await;
    cluster.ctl(&["close_all_connections", "-p", cluster.vhost(), "no more of them"]).await;
    for kind in RING {
        cluster.is_ready(kind, false).await;
        cluster.says(kind, "connection limit (0) is reached").await;
    }
    cluster.ctl(&["clear_vhost_limits", "-p", cluster.vhost()]).await;
    cluster.are_ready().await;

    let only = redis.close_door().await;
    let answer = cluster.is_ready("arbiter", false).await;
    // It says so and hangs up at once; which of both gets through is chance.
    assert!(answer.body.contains("the store of limits can't be asked: Redis:"), "{answer:?}");
    cluster.says("arbiter", "the store of limits does not answer").await;
    Redis::open_door(only).await;
    cluster.are_ready().await;

    is_whole(&cluster, &job, &simulator).await;
    simulator.stop().await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_submitted_while_the_broker_is_away_is_taken_and_done_when_it_is_back() {
    let mut rabbit = Rabbit::start();
    let mut cluster = Cluster::over(Addresses::usual().rabbitmq(&rabbit)).await.started().await;
    cluster.may_fail_requests();
    let simulator = third_party(USERS, 5).await;
    write_job(&cluster, &simulator);
    rabbit.kill().await;
    cluster.is_ready("gateway", false).await;
    let submitted = async || {
        let submitted = cluster.cli(&["submit", JOB, "--idempotency-key", "tonight"]).run().await.expect(0);
        submitted.stdout.trim().to_owned()
    };
    let job = submitted().await;
    assert_eq!(cluster.status(&job).await["state"], "submitted");
    rabbit.run();
    cluster.are_ready().await;
    assert_eq!(submitted().await, job, "the same key is the same job");
    is_whole(&cluster, &job, &simulator).await;
    assert_eq!(requests(&simulator), NEEDED);
    simulator.stop().await;
    cluster.finish().await;
}
