//! Why a job is not finished, how far it is, and what is told of one that was pruned.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tidegate_contracts::{End, Wait, WaitReason};
use tidegate_ledger::{Ledger as _, PruneFilter, prune};

use crate::world::{NOW, World};

#[tokio::test]
async fn a_job_says_what_its_calls_wait_for_and_so_do_its_fetches() {
    let world = World::start().await;
    let job = world.submit().await;
    let explain = format!("/v1/jobs/{job}/explain");
    let told = world.get(&explain).await.json();
    assert_eq!(told["sentence"], "waiting: the planner has not begun with the job");
    let calls = world.begin(job, 400).await;
    let wait = Wait { until_ms: NOW + 200_000, reason: WaitReason::Limit("token".into()) };
    for call in &calls[..3] {
        world.end(call, End::Deferred { wait: wait.clone() }).await;
    }
    for path in [explain.clone(), format!("/v1/jobs/{job}/fetches/{}/explain", calls[0].fetch)] {
        let told = world.get(&path).await.json();
        let reasons = told["reasons"].as_array().unwrap();
        let counts: Vec<_> =
            reasons.iter().map(|reason| (&reason["kind"], reason["calls"].as_u64().unwrap())).collect();
        let (out, held) = (calls.len() as u64 - 3, 400 - calls.len() as u64);
        assert_eq!(counts, [(&json!("executors"), out), (&json!("window"), held), (&json!("limit"), 3)], "{path}");
        let limit = &reasons[2];
        assert_eq!((&limit["what"], &limit["first_due_ms"]), (&json!("token"), &json!(NOW + 200_000)));
        assert_eq!(limit["example"]["step"], "orders");
        assert!(
            told["sentence"].as_str().unwrap().contains("limit `token` of provider shop until 08:03:20 UTC"),
            "{told}"
        );
    }
    let unknown = format!("/v1/jobs/{job}/fetches/{}/explain", job.hex());
    assert_eq!(world.get(&unknown).await.problem(404), "not-found");
}

#[tokio::test]
async fn a_job_tells_how_far_it_is() {
    let world = World::start().await;
    let job = world.submit().await;
    let calls = world.begin(job, 10).await;
    let progress = async || world.get(&format!("/v1/jobs/{job}")).await.json()["progress"].clone();
    assert_eq!(progress().await["basis"], "nothing");
    for call in &calls[..5] {
        world.succeed(call, "1\n").await;
    }
    world.pass(1_000);
    let told = progress().await;
    assert_eq!(
        (&told["fraction"], &told["basis"], &told["eta_ms"]),
        (&json!(0.5), &json!("counted"), &json!(NOW + 2_000))
    );
    for call in &calls[5..] {
        world.succeed(call, "1\n").await;
    }
    assert_eq!((&progress().await["fraction"], &progress().await["basis"]), (&json!(1.0), &json!("finished")));
}

#[tokio::test]
async fn a_job_that_was_pruned_says_so_and_keeps_its_counters() {
    let world = World::start().await;
    let job = world.submit().await;
    let calls = world.begin(job, 2).await;
    world.succeed(&calls[0], "1\n").await;
    world.fail(&calls[1], "no").await;
    let filter = PruneFilter { finished_before_ms: NOW + 1, keep_jobs: true, limit: 10 };
    let pruned = prune(&*world.ledger, &filter, 1, Duration::ZERO, NOW + 5).await.unwrap();
    assert_eq!((pruned.jobs, pruned.pages, pruned.calls, pruned.fetches), (1, 1, 2, 1));
    let shown = world.get(&format!("/v1/jobs/{job}")).await.json();
    assert_eq!((&shown["state"], &shown["pruned_at_ms"]), (&json!("failed"), &json!(NOW + 5)));
    assert_eq!((&shown["counts"]["items"], &shown["steps"][0]["calls_failed"]), (&json!(1), &json!(1)));
    for path in ["items", "tree", "failures", &format!("fetches/{}/explain", calls[0].fetch)] {
        assert_eq!(world.get(&format!("/v1/jobs/{job}/{path}")).await.problem(410), "gone", "{path}");
    }
    let retry = world.ask(Method::POST, &format!("/v1/jobs/{job}/retry-failed")).send().await;
    assert_eq!(retry.problem(410), "gone");
    assert_eq!(world.get(&format!("/v1/jobs/{job}/explain")).await.json()["sentence"], "failed: the job is finished");
    let all = PruneFilter { keep_jobs: false, ..filter };
    prune(&*world.ledger, &all, 1, Duration::ZERO, NOW + 6).await.unwrap();
    assert_eq!(world.get(&format!("/v1/jobs/{job}")).await.problem(404), "not-found");
    assert!(world.ledger.job(job).await.unwrap().is_none());
}
