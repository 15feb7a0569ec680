//! Credentials that their provider takes no more, in both forms: their jobs wait, others go on, and renewing lets them go on.

use std::path::PathBuf;

use serde_json::{Value, json};
use tidegate_simulator::{EndpointSpec, Running, Simulator, SimulatorSpec};

use crate::client::fixture::Served;
use crate::cluster::fixture::Cluster;
use crate::notify::Receiver;
use crate::process::{Cli, Finished};
use crate::world::{World, assert_same, ids, items, until};

const OLD: &str = "canary-old-1b7e0c55";
const NEW: &str = "canary-new-90d2aa41";
const OTHER: &str = "canary-other-77c0";
const ITEMS: u64 = 2_000;
/// Calls that an executor has on the wire at once.
const IN_FLIGHT: u64 = 32;

/// A gateway in one of the two forms.
pub(crate) trait Form {
    fn world(&self) -> &World;
    fn cli(&self, args: &[&str]) -> Cli;
}

impl Form for Served {
    fn world(&self) -> &World {
        &self.world
    }

    fn cli(&self, args: &[&str]) -> Cli {
        Served::cli(self, args)
    }
}

impl Form for Cluster {
    fn world(&self) -> &World {
        &self.world
    }

    fn cli(&self, args: &[&str]) -> Cli {
        Cluster::cli(self, args)
    }
}

/// `tidegate ARGS…`, which has to go well.
pub(crate) async fn run(form: &impl Form, args: &[&str]) -> Finished {
    form.cli(args).run().await.expect(0)
}

pub(crate) async fn put(form: &impl Form, name: &str, secret: &str) {
    let input: PathBuf = form.world().write("secret", secret);
    form.cli(&["credentials", "set", name]).input(&input).run().await.expect(0);
}

pub(crate) async fn status(form: &impl Form, job: &str) -> Value {
    run(form, &["status", job, "--json"]).await.json()
}

/// The job is known to wait for its credential, and all of its calls are back.
pub(crate) async fn parked(form: &impl Form, job: &str) -> Value {
    loop {
        let now = status(form, job).await;
        assert!(now["state"] == "submitted" || now["state"] == "running", "{now}");
        if now["parked"].is_object() && now["counts"]["calls_released"] == 0 {
            return now;
        }
    }
}

/// A list behind a token, whose answers take a while.
async fn third_party(path: &str, token: &str) -> Running {
    let list = EndpointSpec::at(path).items(ITEMS).offset("offset").size("limit", 10).total_in_body("$.total");
    let spec = SimulatorSpec::seeded(3).with("list", list).latency_ms(20).token(token);
    Simulator::start(&spec).await.unwrap()
}

/// A job of `credential` against an API, and the receiver that is told of it.
fn write_job(form: &impl Form, (name, simulator): (&str, &Running), receiver: &Receiver) -> String {
    let provider = format!(
        "tidegate: 1\nprovider: {name}\nbase_url: {}\nauth: {{ bearer: '{{{{ credential.token }}}}' }}\n\
         endpoints:\n  list: {{ get: /list, items: '$.items[*]', pages: {{ offset: offset, \
         size: {{ param: limit, max: 10 }}, total: '$.total' }} }}\n",
        simulator.base_url()
    );
    form.world().write(&format!("{name}.yaml"), &provider);
    let file = format!("job-{name}.yaml");
    form.world().write(
        &file,
        &format!(
            "provider: ./{name}.yaml\ncredential: {name}\nmax_in_flight: 8\nnotify: {{ url: '{}', on: [credential_parked] }}\n\
             steps: [{{ id: list, call: list }}]\n",
            receiver.url
        ),
    );
    file
}

/// The whole story; the same in both forms.
async fn a_credential_is_parked_and_renewed(form: &impl Form) {
    let receiver = Receiver::start(204, 204).await;
    let (dying, healthy) = (third_party("/list", OLD).await, third_party("/list", OTHER).await);
    put(form, "dying", OLD).await;
    put(form, "healthy", OTHER).await;
    let (of_dying, of_healthy) = (("dying", &dying), ("healthy", &healthy));
    let job = run(form, &["submit", &write_job(form, of_dying, &receiver)]).await.stdout.trim().to_owned();
    until("some pages are served", || dying.stats().endpoints["list"].ok > 10).await;
    dying.set_token(Some(NEW));

    let waits = parked(form, &job).await;
    let told = &waits["parked"];
    assert_eq!((&told["credential"], &told["provider"]), (&json!("dying"), &json!("dying")), "{told}");
    assert_eq!(told["class"], "auth_revoked");
    assert_eq!(waits["counts"]["calls_failed"], 0, "{waits}");
    let listed = items(&run(form, &["credentials", "list"]).await.stdout);
    let of = |name: &str| listed.iter().find(|row| row["name"] == name).expect("is listed").clone();
    assert_eq!((&of("dying")["parked"]["since_ms"], of("healthy").get("parked")), (&told["since_ms"], None));
    let why = run(form, &["explain", &job]).await.stdout;
    assert!(why.contains("wait for credential `dying` of provider dying, parked since"), "{why}");
    let shown = run(form, &["jobs"]).await.stdout;
    assert!(shown.contains("parked"), "{shown}");
    until("its owner is told", || !receiver.told().is_empty()).await;

    // Another job of the same credential waits as well, and one of another credential does not.
    let second = run(form, &["submit", "job-dying.yaml"]).await.stdout.trim().to_owned();
    let other = run(form, &["submit", &write_job(form, of_healthy, &receiver), "--wait", "--json"]).await.json();
    assert_eq!((&other["state"], &other["counts"]["items"]), (&json!("succeeded"), &json!(ITEMS)));
    parked(form, &second).await;
    let refused = dying.stats().endpoints["list"].errors_of("unauthorized");
    // What was on the wire, of two executors at most, and what another executor has not heard of yet.
    assert!((1..=3 * IN_FLIGHT).contains(&refused), "{refused} calls were made with a dead credential");

    put(form, "dying", NEW).await;
    for job in [&job, &second] {
        let ended = run(form, &["watch", job, "--json"]).await.json();
        assert_eq!((&ended["state"], ended.get("parked")), (&json!("succeeded"), None), "{ended}");
        assert_eq!(ended["counts"]["calls_failed"], 0);
        assert_same(ids(&items(&run(form, &["items", job]).await.stdout)), dying.ids("list", ""));
    }
    let again = dying.stats().endpoints["list"].errors_of("unauthorized");
    assert_eq!(again, refused, "nobody uses the old one after it was renewed");
    let listed = run(form, &["credentials", "list"]).await.stdout;
    assert!(!listed.contains("parked"), "{listed}");
    until("the owner of the second is told too", || receiver.told().len() == 2).await;
    for told in receiver.told() {
        let (kind, parked) = (&told.body["type"], &told.body["data"]["parked"]);
        assert_eq!((kind, &parked["credential"]), (&json!("credential.parked"), &json!("dying")), "{}", told.body);
    }
    for said in [&why, &shown, &listed, &waits.to_string()] {
        assert!(!said.contains("canary"), "{said}");
    }
}

#[tokio::test]
async fn jobs_of_a_parked_credential_wait_and_go_on_when_it_is_renewed_in_one_process() {
    let served = Served::start().await;
    a_credential_is_parked_and_renewed(&served).await;
    assert!(!served.log().contains("canary"));
    served.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_parked_credential_wait_and_go_on_when_it_is_renewed_in_a_cluster() {
    let mut cluster = Cluster::start().await;
    cluster.add("executor").await;
    cluster.are_ready().await;
    a_credential_is_parked_and_renewed(&cluster).await;
    assert!(!cluster.said_by("executor").contains("canary"));
    cluster.finish().await;
}

#[tokio::test]
async fn a_job_that_waits_for_a_credential_ends_at_its_deadline_and_is_cancelled() {
    let (served, receiver) = (Served::start().await, Receiver::start(204, 204).await);
    let simulator = third_party("/list", NEW).await;
    put(&served, "dying", OLD).await;
    let file = write_job(&served, ("dying", &simulator), &receiver);
    let late = format!("deadline: 3s\n{}", served.world.read(&file));
    served.world.write("late.yaml", &late);
    let (cancelled, late) = (served.says(&["submit", &file]).await, served.says(&["submit", "late.yaml"]).await);
    parked(&served, &cancelled).await;
    served.run(&["cancel", &cancelled]).await.expect(0);
    assert_eq!(served.status(&cancelled).await["state"], "cancelled");
    let ended = served.run(&["watch", &late, "--json"]).await.expect(1).json();
    assert_eq!((&ended["state"], ended.get("parked")), (&json!("failed"), None), "{ended}");
    assert!(ended["reason"].as_str().unwrap().starts_with("deadline"), "{ended}");
    served.finish().await;
}

#[tokio::test]
async fn a_restart_keeps_a_credential_parked() {
    let (served, receiver) = (Served::start().await, Receiver::start(204, 204).await);
    let simulator = third_party("/list", NEW).await;
    put(&served, "dying", OLD).await;
    let job = served.says(&["submit", &write_job(&served, ("dying", &simulator), &receiver)]).await;
    let since = parked(&served, &job).await["parked"]["since_ms"].clone();
    let refused = simulator.stats().endpoints["list"].requests;
    let served = served.kill().await;
    assert_eq!(parked(&served, &job).await["parked"]["since_ms"], since);
    assert_eq!(simulator.stats().endpoints["list"].requests, refused, "nobody knocked again");
    put(&served, "dying", NEW).await;
    served.run(&["watch", &job]).await.expect(0);
    served.finish().await;
}
