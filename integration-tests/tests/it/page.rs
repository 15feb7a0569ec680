//! The web page in a real browser: `browser/*.mjs` look at it with Chromium and axe.

use std::path::Path;
use std::process::Stdio;

use tidegate_simulator::Simulator;
use tokio::process::Command;

use crate::client::fixture::{Served, third_party};
use crate::process::DEADLINE;
use crate::tap::Tap;
use crate::world::{JOB, World};

/// Runs a script of `browser/`, which has to go well.
async fn look(script: &str, args: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    let installed = folder.join("node_modules/playwright-core").is_dir();
    assert!(installed, "the browser's test is not installed; run integration-tests/browser/install");
    let mut node = Command::new("node");
    node.arg(folder.join(script)).args(args).args(std::env::var("TIDEGATE_TEST_PICTURES").ok());
    node.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(DEADLINE, node.output()).await.expect("in time").expect("node runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{script}:\n{}{}", text(&output.stdout), text(&output.stderr));
}

#[tokio::test]
async fn a_person_logs_in_watches_a_job_tries_failed_calls_again_and_pauses_a_limit() {
    let simulator = Simulator::start(&third_party(40, 20)).await.unwrap();
    let (served, tap) = (Served::start().await, Tap::before(&simulator.base_url()).await);
    // Slow enough to be watched.
    let limit = "limits:\n  - { id: pace, key: [provider], bucket: { calls: 10, restore_per_s: 10 } }\n";
    served.job(&tap.base_url(), limit);
    let broken = format!("/users/{}/posts", simulator.ids("users", "")[0]);
    tap.break_where(move |target| target.starts_with(&broken));
    let failed = served.run(&["submit", JOB, "--wait", "--json"]).await.expect(1).json();
    tap.mend();
    let running = served.submit().await;
    let url = format!("http://{}", served.address);
    look("page.mjs", &[&url, &served.key, &running, failed["id"].as_str().unwrap()]).await;
    let log = served.log();
    assert!(log.contains("logged in") && !log.contains(served.key.split('_').nth(2).unwrap()), "{log}");
    served.finish().await;
}

#[tokio::test]
async fn a_run_with_a_page_prints_an_address_that_lets_one_in_once() {
    let simulator = Simulator::start(&third_party(5, 0)).await.unwrap();
    let users = "endpoints:\n  users: { get: /users, items: \"$.items[*]\" }\n";
    let world = World::with(&simulator.base_url(), users, "steps:\n  - { id: users, call: users }\n");
    let mut process = world.job_line(&["--ui"]).spawn();
    process.says("until Ctrl-C").await;
    let said = process.said();
    let address = said.split_whitespace().find(|word| word.starts_with("http://127.0.0.1:")).unwrap().to_owned();
    look("enter.mjs", &[&address]).await;
    process.signal("INT").await;
    process.wait().await.expect(0);
    assert_eq!(world.ids(crate::world::OUT).len(), 5, "the output is whole");
    world.finish().await;
}
