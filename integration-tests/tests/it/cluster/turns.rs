//! Who goes first where a limit is not enough for all: a person beside many small jobs.
//!
//! Measured in calls that went before, which a slow machine does not change, since the limit has a pace of its own.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_simulator::{EndpointSpec, LimitHeaders, LimitSpec, Running, Simulator, SimulatorSpec};

use super::fixture::Cluster;
use super::jobs::requests;
use crate::process::DEADLINE;

/// What a key may submit in a minute, and a little less.
const JOBS_PER_KEY: usize = 100;

fn list(path: &str, calls: u64) -> EndpointSpec {
    EndpointSpec::at(path).items(calls).offset("offset").size("limit", 1).total_in_body("$.total")
}

/// A third party with a list of `few` calls, and one of a single call, which allows `per_s` calls a second to
/// all together.
async fn third_party(per_s: u64, few: u64) -> Running {
    let limit = LimitSpec { id: Some("all".to_owned()), ..LimitSpec::bucket(per_s, per_s as f64) };
    let lists = SimulatorSpec::seeded(1).latency_ms(5).with("few", list("/few", few));
    let spec =
        SimulatorSpec { limits: Some(vec![limit.headers(LimitHeaders::NONE)]), ..lists.with("one", list("/one", 1)) };
    Simulator::start(&spec).await.expect("a simulator")
}

/// A job of one of its lists.
fn job(simulator: &Running, per_s: u64, list: &str, lane: &str) -> Value {
    let pages = json!({ "offset": "offset", "size": { "param": "limit", "max": 1 }, "total": "$.total" });
    json!({
        "provider": {
            "tidegate": 1,
            "provider": "sim",
            "base_url": simulator.base_url(),
            "limits": [{ "id": "all", "key": ["provider"], "bucket": { "calls": per_s, "restore_per_s": per_s } }],
            "endpoints": { "list": { "get": format!("/{list}"), "items": "$.items[*]", "pages": pages } },
        },
        "lane": lane,
        "steps": [{ "id": "list", "call": "list" }],
    })
}

/// Submits a job over HTTP, and returns its id.
async fn submit(cluster: &Cluster, key: &str, job: &Value) -> String {
    let answer = cluster.ask_as(key, "gateway", "POST", "/v1/jobs", &job.to_string()).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let submitted: Value = serde_json::from_str(&answer.body).expect("JSON");
    submitted["id"].as_str().expect("an id").to_owned()
}

async fn key_of(cluster: &Cluster, tenant: &str) -> String {
    cluster.cli(&["keys", "create", "--tenant", tenant]).run().await.expect(0).stdout.trim().to_owned()
}

async fn cancel(cluster: &Cluster, key: &str, job: &str) {
    let answer = cluster.ask_as(key, "gateway", "DELETE", &format!("/v1/jobs/{job}"), "").await;
    assert!(answer.status < 300, "{answer:?}");
}

async fn job_of(cluster: &Cluster, key: &str, job: &str) -> Value {
    let answer = cluster.ask_as(key, "gateway", "GET", &format!("/v1/jobs/{job}"), "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).expect("JSON")
}

/// Waits until jobs have succeeded.
async fn succeed(cluster: &Cluster, key: &str, jobs: &[String]) {
    let ending = async {
        for job in jobs {
            loop {
                let job = job_of(cluster, key, job).await;
                match job["state"].as_str() {
                    Some("succeeded") => break,
                    Some("submitted" | "running") => tokio::time::sleep(Duration::from_millis(20)).await,
                    _ => panic!("{job}"),
                }
            }
        }
    };
    tokio::time::timeout(DEADLINE, ending).await.expect("they end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_does_not_stand_behind_a_spike_of_small_jobs() {
    const JOBS: usize = 500;
    const PERSONS: usize = 5;
    const PER_S: u64 = 20;
    let (cluster, simulator) = (Cluster::start().await, third_party(PER_S, 5).await);
    let small = job(&simulator, PER_S, "few", "normal");
    let mut crowd = Vec::new();
    for tenant in 0..JOBS / JOBS_PER_KEY {
        let (key, mut jobs) = (key_of(&cluster, &format!("crowd-{tenant}")).await, Vec::new());
        for _ in 0..JOBS_PER_KEY {
            jobs.push(submit(&cluster, &key, &small).await);
        }
        crowd.push((key, jobs));
    }
    let person = key_of(&cluster, "person").await;
    let mut before = Vec::new();
    for _ in 0..PERSONS {
        let asked = requests(&simulator);
        let job = submit(&cluster, &person, &job(&simulator, PER_S, "one", "interactive")).await;
        succeed(&cluster, &person, &[job]).await;
        before.push(requests(&simulator) - asked);
    }
    // Of 2,500 calls that came first. Three seconds' worth is what a machine takes that is busy with all the others.
    let most = before.iter().max().expect("persons");
    assert!(*most <= 3 * PER_S, "so many calls went before a person's: {before:?}");
    let limit = simulator.stats().limits["all"].clone();
    assert_eq!(limit.refused, 0, "{limit:?}");
    let open = JOBS as u64 * 5 - requests(&simulator);
    assert!(open > 500, "the spike was over: {open} calls left");
    for (key, jobs) in &crowd {
        for job in jobs {
            cancel(&cluster, key, job).await;
        }
    }
    // Calls that waited for their turn look once more.
    cluster.rests().await;
    simulator.stop().await;
    cluster.finish().await;
}
