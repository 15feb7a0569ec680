//! Services that start before what they need, or with what does not fit.

use std::time::Duration;

use super::fixture::{Cluster, KINDS};
use super::jobs::{third_party, write_job};
use super::servers::{Addresses, Postgres, Rabbit, Redis};
use crate::world::JOB;

/// In which a process that would end at once has ended.
const MEANWHILE: Duration = Duration::from_secs(3);

/// How often something stands in a log.
fn count(log: &str, text: &str) -> usize {
    log.matches(text).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_start_before_their_servers_wait_and_get_ready_by_themselves() {
    let (mut postgres, mut redis, mut rabbit) =
        (Postgres::stopped("secret").await, Redis::stopped(None), Rabbit::stopped());
    let addresses = Addresses::usual().postgres(&postgres).redis(&redis).rabbitmq(&rabbit);
    let mut cluster = Cluster::over(addresses).await;
    cluster.add_all().await;
    for kind in KINDS {
        assert_eq!(cluster.ask(kind, "GET", "/livez", "").await.status, 200, "{kind} lives");
        cluster.is_ready(kind, false).await;
    }
    for kind in KINDS {
        cluster.says(kind, "\"level\":\"warn\"").await;
    }
    tokio::time::sleep(MEANWHILE).await;
    for kind in ["tracker", "planner", "executor", "gateway"] {
        let said = cluster.said_by(kind);
        assert_eq!(count(&said, "\"message\":\"waiting\""), 1, "{kind} says once that it waits: {said}");
    }
    // One after the other: a server without the database, a database without a schema, and then all there is.
    postgres.run();
    postgres.answers().await;
    cluster.make_database().await;
    for kind in ["tracker", "gateway"] {
        cluster.says(kind, "run `tidegate migrate`").await;
        cluster.is_ready(kind, false).await;
    }
    cluster.migrate().await;
    redis.run();
    rabbit.run();
    cluster.are_ready().await;
    let simulator = third_party(10, 0).await;
    write_job(&cluster, &simulator);
    let job = cluster.submit(JOB).await;
    let ended = cluster.ended(&job).await.expect(0).json();
    assert_eq!(ended["counts"]["items"], 10 + 120, "{ended}");
    simulator.stop().await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_said_clearly_and_never_shown() {
    const WRONG: &str = "canary-wrong-password";
    let (postgres, redis) = (Postgres::start("right").await, Redis::start(Some("right")));
    let usual = Addresses::usual().postgres(&postgres).redis(&redis);
    let wrong_postgres = Addresses { postgres: postgres.url_with(WRONG), ..usual.clone() };
    let wrong_redis = Addresses { redis: redis.url_with(Some(WRONG)), ..usual.clone() };
    let wrong_rabbitmq = super::servers::shared_rabbitmq().replace("guest:guest", &format!("guest:{WRONG}"));
    let wrong_rabbitmq = Addresses { rabbitmq: Some(wrong_rabbitmq), ..usual.clone() };
    let mut cluster = Cluster::over(usual).await.started().await;
    for (kind, addresses, says) in [
        ("gateway", wrong_postgres.clone(), "password authentication failed"),
        ("tracker", wrong_postgres, "password authentication failed"),
        ("planner", wrong_rabbitmq.clone(), "ACCESS_REFUSED"),
        ("executor", wrong_rabbitmq, "ACCESS_REFUSED"),
        ("arbiter", wrong_redis, "Password authentication failed"),
    ] {
        cluster.remove(kind).await;
        let right = cluster.replace(addresses);
        cluster.add(kind).await;
        cluster.says(kind, says).await;
        tokio::time::sleep(MEANWHILE).await;
        let (answer, said) = (format!("{:?}", cluster.is_ready(kind, false).await), cluster.said_by(kind));
        assert!(!said.contains(WRONG) && !answer.contains(WRONG), "{kind} shows the password: {said} {answer}");
        assert!(count(&said, "\n") < 12, "{kind} says it again and again: {said}");
        cluster.remove(kind).await;
        cluster.replace(right);
        cluster.add(kind).await;
    }
    cluster.are_ready().await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_newer_than_the_program_is_refused_in_so_many_words() {
    let cluster = Cluster::start().await;
    cluster
        .sql(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
        VALUES (30000101000000, 'of tomorrow', true, '', 0)",
        )
        .await;
    for kind in ["tracker", "gateway"] {
        // It can't get better by itself, so the process says so and ends.
        let ended = cluster.cli(&["serve", kind, "--listen", "127.0.0.1:0"]).run().await;
        assert_ne!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stderr.contains("written by a newer tidegate"), "{ended:?}");
        assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    }
    cluster.sql("DELETE FROM _sqlx_migrations WHERE version = 30000101000000").await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_with_nothing_to_do_notice_that_the_database_is_gone_and_back_and_health_checks_are_no_news() {
    let mut postgres = Postgres::start("secret").await;
    let mut cluster = Cluster::over(Addresses::usual().postgres(&postgres)).await.started().await;
    cluster.may_fail_requests();
    let idle = ["planner", "executor", "tracker", "gateway"];
    postgres.kill().await;
    for kind in idle {
        cluster.is_ready(kind, false).await;
        assert_eq!(cluster.ask(kind, "GET", "/livez", "").await.status, 200, "{kind} lives");
    }
    postgres.run();
    cluster.are_ready().await;
    for kind in idle {
        let said = cluster.said_by(kind);
        assert!(!said.contains("readyz") && !said.contains("livez"), "{kind} tells of health checks: {said}");
        assert!(!said.contains("\"message\":\"request\""), "{kind} tells of health checks: {said}");
    }
    cluster.finish().await;
}
