//! Jobs, from submitting them to their items.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate_simulator::{EndpointSpec, Faults, Lies, Simulator, SimulatorSpec};

use super::fixture::{STEPS, Served, everything, third_party};
use crate::process::{DEADLINE, program};
use crate::tap::Tap;
use crate::world::{JOB, assert_same, ids, items, until};

#[tokio::test]
async fn a_job_is_submitted_watched_and_its_items_are_read() {
    let (served, simulator) = Served::before(&third_party(30, 0), "").await;
    let job = served.submit().await;
    let ended = served.run(&["watch", &job, "--json"]).await.expect(0).json();
    assert_eq!((&ended["state"], &ended["counts"]["items"]), (&json!("succeeded"), &json!(30 + 360)));
    assert!(served.says(&["watch", &job]).await.contains("succeeded  93/93 calls  390 items  sim  job"));

    let shown = served.status(&job).await;
    assert_eq!((&shown["id"], &shown["steps"][1]["items"]), (&json!(job), &json!(360)));
    assert_eq!(shown["steps"][1]["guards"], json!([]), "all that the gateway tells is passed on");
    let told = served.says(&["status", &job]).await;
    assert!(told.contains("posts ") && told.contains("30/30 fetches"), "{told}");

    assert_same(ids(&served.items(&job).await), everything(&simulator));
    let users = served.says(&["items", &job, "--step", "users", "--follow"]).await;
    assert_same(ids(&items(&users)), simulator.ids("users", ""));
    served.run(&["items", &job, "-o", "out.ndjson", "--with-origin"]).await.expect(0);
    let lines = served.world.items("out.ndjson");
    assert!(lines.len() == 390 && lines.iter().all(|line| line["item"]["id"] != Value::Null), "{:?}", lines[0]);

    let jobs = served.run(&["jobs", "--json"]).await.expect(0).json();
    assert_eq!((&jobs[0]["id"], jobs.as_array().map(Vec::len)), (&json!(job), Some(1)));
    assert!(served.says(&["jobs", "--state", "succeeded", "--name", "job"]).await.starts_with(&job));
    assert_eq!(served.says(&["jobs", "--state", "failed"]).await, "");
    served.finish().await;
}

#[tokio::test]
async fn watching_tells_what_happens_in_lines_and_draws_it_on_a_terminal() {
    // Slow enough to be watched.
    let limit = "limits:\n  - { id: pace, key: [provider], bucket: { calls: 10, restore_per_s: 10 } }\n";
    let (served, _simulator) = Served::before(&third_party(15, 0), limit).await;
    let job = served.submit().await;
    let watched = served.cli(&["watch", &job]).spawn();
    // script(1) runs it on a terminal.
    let mut script = tokio::process::Command::new("script");
    script.args(["-qec", &format!("{} watch {job}", program().display()), "/dev/null"]).env("TERM", "xterm");
    script.env("TIDEGATE_URL", format!("http://{}", served.address)).env("TIDEGATE_API_KEY", &served.key);
    let drawn = tokio::time::timeout(DEADLINE, script.stdin(Stdio::null()).output()).await.unwrap().unwrap();
    let drawn = String::from_utf8_lossy(&drawn.stdout).into_owned();
    for part in ["limits", "pace ", "█", "users ", " pages  ", "log", "  running", "succeeded  47/47 calls"] {
        assert!(drawn.contains(part), "{part} in {drawn}");
    }
    let told = watched.wait().await.expect(0).stderr;
    assert!(told.contains("Z  running\n") && told.ends_with("Z  succeeded\n"), "{told}");
    assert!(!told.contains('█'), "{told}");
    served.finish().await;
}

#[tokio::test]
async fn a_job_from_standard_input_is_waited_for() {
    let (served, simulator) = Served::before(&third_party(5, 0), "").await;
    served.run(&["providers", "put", "sim.yaml"]).await.expect(0);
    let job = served.world.write("stdin.yaml", &format!("provider: sim\n{STEPS}"));
    let waited = served.cli(&["submit", "-", "--wait", "--json"]).input(&job).run().await.expect(0);
    let shown = waited.json();
    assert_eq!((&shown["state"], &shown["steps"][0]["items"]), (&json!("succeeded"), &json!(5)));
    let id = shown["id"].as_str().unwrap();
    assert!(waited.stderr.contains(id), "who waits knows for what: {}", waited.stderr);
    assert_same(ids(&served.items(id).await), everything(&simulator));
    served.cli(&["submit", "-", "--set", "a=b"]).input(&job).run().await.expect(2);
    served.finish().await;
}

#[tokio::test]
async fn the_same_key_is_the_same_job() {
    let (served, simulator) = Served::before(&third_party(5, 0), "").await;
    let nightly = ["submit", JOB, "--idempotency-key", "nightly-2026-07-01"];
    let job = served.says(&nightly).await;
    served.run(&["watch", &job]).await.expect(0);
    assert_eq!(served.says(&nightly).await, job);
    let again = served.run(&[&nightly[..], &["--json"]].concat()).await.expect(0).json();
    assert_eq!((&again["id"], &again["replayed"]), (&json!(job), &json!(true)));
    served.run(&[&nightly[..], &["--wait"]].concat()).await.expect(0);
    // 1 page of users and 3 of posts for each: nothing was fetched again.
    assert_eq!(simulator.stats().sum(|endpoint| endpoint.requests), 1 + 15);
    served.world.write(JOB, "provider: ./sim.yaml\nsteps: [{ id: users, call: users }]");
    let refused = served.run(&nightly).await.expect(1);
    assert!(refused.stderr.contains("used for something else") && refused.stderr.contains(&job), "{}", refused.stderr);
    served.finish().await;
}

#[tokio::test]
async fn a_cancelled_job_makes_no_more_calls() {
    let (served, simulator) = Served::before(&third_party(1_000, 50), "").await;
    let job = served.submit().await;
    let requests = || simulator.stats().sum(|endpoint| endpoint.requests);
    until("some requests are made", || requests() > 20).await;
    let cancelled = served.run(&["cancel", &job, "--json"]).await.expect(0).json();
    assert_eq!(cancelled["id"], json!(job));
    let ended = served.run(&["watch", &job]).await.expect(1);
    assert!(ended.stdout.contains("cancelled"), "{}", ended.stdout);
    let (made, shown) = (requests(), served.status(&job).await);
    assert!(made < 1_000 && shown["counts"]["calls_open"] == 0, "{made} {shown}");
    assert!(shown["reason"].as_str().unwrap().contains("cancelled by key"), "{shown}");
    assert!(served.says(&["cancel", &job]).await.contains("cancelled"), "twice is no harm");
    served.finish().await;
}

#[tokio::test]
async fn a_failed_job_makes_its_failed_calls_again_at_once_and_no_others() {
    let simulator = Simulator::start(&third_party(10, 0)).await.unwrap();
    let (served, tap) = (Served::start().await, Tap::before(&simulator.base_url()).await);
    served.job(&tap.base_url(), "");
    let broken: Vec<_> = simulator.ids("users", "").iter().take(2).map(|id| format!("/users/{id}/posts")).collect();
    tap.break_where({
        let broken = broken.clone();
        move |target| broken.iter().any(|path| target.starts_with(path))
    });
    let job = served.run(&["submit", JOB, "--wait", "--json"]).await.expect(1).json();
    assert_eq!((&job["state"], &job["counts"]["calls_failed"]), (&json!("failed"), &json!(2)));
    let job = job["id"].as_str().unwrap();
    let told = served.says(&["status", job]).await;
    assert!(told.contains("2 failed posts: transient 500"), "{told}");

    tap.mend();
    let asked = tap.asked().len();
    let started = Instant::now();
    assert_eq!(served.says(&["retry", job]).await, "2 calls are made again");
    served.run(&["watch", job]).await.expect(0);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}: the calls waited for the sweeper");
    let again = tap.asked().split_off(asked);
    assert_eq!(again.len(), 2 * 3, "{again:?}");
    assert!(again.iter().all(|asked| broken.iter().any(|path| asked.target.starts_with(path))), "{again:?}");
    assert_same(ids(&served.items(job).await), everything(&simulator));
    served.finish().await;
}

#[tokio::test]
async fn an_item_that_came_twice_is_read_once() {
    let lies = Lies { endless_cursor: true, ..Lies::default() };
    let list = EndpointSpec::at("/list").items(45).cursor("cursor", "$.next").size("limit", 10);
    let spec = SimulatorSpec::seeded(1).with("list", list.faults(Faults { lies, ..Faults::default() }));
    let (served, simulator) = (Served::start().await, Simulator::start(&spec).await.unwrap());
    let pages = r#"pages: { cursor: cursor, next: "$.next", size: { param: limit, max: 10 } }"#;
    let endpoint = format!("endpoints: {{ list: {{ get: /list, items: \"$.items[*]\", key: \"$.id\", {pages} }} }}");
    served.world.provider(&simulator.base_url(), &endpoint);
    served.world.write(JOB, "provider: ./sim.yaml\nsteps: [{ id: list, call: list }]");
    let job = served.submit().await;
    let ended = served.run(&["watch", &job, "--json"]).await.expect(0).json();
    assert_eq!(ended["counts"]["items"], json!(50), "the last page comes twice");
    assert_same(ids(&served.items(&job).await), simulator.ids("list", ""));
    served.finish().await;
}
