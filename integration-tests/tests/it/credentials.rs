//! Credentials reach the third party, and nothing else.

use std::collections::BTreeMap;

use serde_json::json;
use tidegate_simulator::{Answers, Canned, EndpointSpec, Faults, Running, Simulator, SimulatorSpec};

use crate::process::Finished;
use crate::world::{OUT, World, assert_same, until};

/// A token with characters that addresses and texts write in other ways.
const TOKEN: &str = "canary-7f3a+9/\"c0=ffee-0123456789";

/// How a token may look elsewhere: as it is, in addresses, in JSON, in Basic authentication.
const LOOKS: [&str; 5] = [
    TOKEN,
    "canary-7f3a",
    "canary-7f3a%2B9%2F%22c0%3Dffee",
    "Y2FuYXJ5LTdmM2ErOS8iYzA9ZmZlZS0wMTIzNDU2Nzg5",
    "ffee-0123456789",
];

/// Lists that are paged by offset and by addresses, and refusals that repeat the token.
async fn start() -> Running {
    let echo = |status, code: &str| Canned {
        status,
        headers: BTreeMap::new(),
        body: json!({ "error": { "code": code, "message": format!("The token {TOKEN} is no good") } }),
    };
    let answers = Answers {
        unauthorized: Some(echo(401, "unauthorized")),
        error_500: Some(echo(500, "internal")),
        not_found: Some(echo(404, "missing")),
        ..Answers::default()
    };
    let list = |path| EndpointSpec::at(path).items(400);
    let spec = SimulatorSpec { answers, ..SimulatorSpec::seeded(1) }
        .with(
            "list",
            EndpointSpec::at("/list").items(4_000).offset("offset").size("limit", 10).total_in_body("$.total"),
        )
        .with("chain", list("/chain").next_url("$.next").size("limit", 10))
        .with(
            "flaky",
            list("/flaky").offset("offset").size("limit", 10).total_in_body("$.total").faults(Faults {
                error_500: 1.0,
                max_faults_per_page: 1,
                ..Faults::default()
            }),
        )
        .with(
            "broken",
            list("/broken").faults(Faults { error_500: 1.0, max_faults_per_page: u32::MAX, ..Faults::default() }),
        )
        .with("gone", list("/gone/{id}").faults(Faults { not_found: 1.0, ..Faults::default() }))
        .latency_ms(5)
        .token(TOKEN);
    Simulator::start(&spec).await.unwrap()
}

const ENDPOINTS: &str = r#"
retry: { attempts: 3, base: 5ms, cap: 10ms }
endpoints:
  list: { get: /list, items: "$.items[*]", pages: { offset: offset, size: { param: limit, max: 10 }, total: "$.total" } }
  chain: { get: /chain, items: "$.items[*]", pages: { next_url: "$.next", size: { param: limit, max: 10 } } }
  flaky: { get: /flaky, items: "$.items[*]", pages: { offset: offset, size: { param: limit, max: 10 }, total: "$.total" } }
  broken: { get: /broken, items: "$.items[*]" }
  gone: { get: "/gone/{id}", items: "$.items[*]" }
"#;

const BEARER: &str = r#"auth: { bearer: "{{ credential.token }}" }"#;
const HEADER: &str = r#"auth: { header: { name: X-Api-Key, value: "{{ credential.token }}" } }"#;
const QUERY: &str = r#"auth: { query: { name: access_token, value: "{{ credential.token }}" } }"#;

const LIST: &str = "credential: alice\nmax_in_flight: 8\nsteps: [{ id: list, call: list }]";

fn world(simulator: &Running, auth: &str, job: &str) -> World {
    World::with(&simulator.base_url(), &format!("{auth}{ENDPOINTS}"), job)
}

/// As `TIDEGATE_CREDENTIAL_ALICE` or a file of credentials holds it.
fn credential(token: &str) -> String {
    json!({ "token": token }).to_string()
}

/// Runs the job with a token from the environment and everything logged.
async fn run(world: &World, token: &str) -> Finished {
    world.job_line(&["--log", "trace"]).env("TIDEGATE_CREDENTIAL_ALICE", &credential(token)).run().await
}

/// The token is in nothing that was said, nor in any file.
#[track_caller]
fn assert_secret(world: &World, said: &Finished) {
    let files = world.files("").into_iter().filter(|path| !path.ends_with("credentials.yaml"));
    let files = files.map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()));
    let said = [("stdout", &said.stdout), ("stderr", &said.stderr)];
    let said = said.map(|(name, text)| (name.to_owned(), text.clone().into_bytes()));
    for (name, bytes) in files.chain(said) {
        for look in LOOKS {
            let at = bytes.windows(look.len()).position(|window| window == look.as_bytes());
            let around =
                at.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(200)..bytes.len().min(at + 100)]));
            assert_eq!(around, None, "the token is in {name}");
        }
    }
}

#[tokio::test]
async fn a_token_from_the_environment_is_sent_in_each_way_and_seen_nowhere_else() {
    let simulator = start().await;
    let job =
        "credential: alice\nsteps: [{ id: list, call: list }, { id: chain, call: chain }, { id: flaky, call: flaky }]";
    for auth in [BEARER, HEADER, QUERY] {
        let world = world(&simulator, auth, job);
        let report = run(&world, TOKEN).await.expect(0);
        assert_secret(&world, &report);
        let all = ["list", "chain", "flaky"].map(|endpoint| simulator.ids(endpoint, ""));
        assert_same(world.ids(OUT), all.concat());
        assert!(report.stderr.contains("DEBUG"), "nothing was logged: {}", report.stderr);
        world.finish().await;
    }
    assert_eq!(simulator.stats().sum(|endpoint| endpoint.errors_of("unauthorized")), 0);
}

#[tokio::test]
async fn a_token_in_basic_authentication_is_seen_nowhere_else() {
    let simulator = start().await;
    // The simulator looks for the token as it stands in a header.
    simulator.set_token(Some("YWxpY2U6Y2FuYXJ5LTdmM2ErOS8iYzA9ZmZlZS0wMTIzNDU2Nzg5"));
    let auth = r#"auth: { basic: { username: alice, password: "{{ credential.token }}" } }"#;
    let world = world(&simulator, auth, LIST);
    let report = run(&world, TOKEN).await.expect(0);
    assert_same(world.ids(OUT), simulator.ids("list", ""));
    assert_secret(&world, &report);
    for text in [&report.stdout, &report.stderr] {
        assert!(!text.contains("YWxpY2U6Y2FuYXJ5"), "{text}");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_token_from_a_file_is_sent() {
    let simulator = start().await;
    let world = world(&simulator, BEARER, LIST);
    world.write("credentials.yaml", &format!("alice: {}\n", credential(TOKEN)));
    let report = world.job(&["--credentials", "credentials.yaml"]).await.expect(0);
    assert_same(world.ids(OUT), simulator.ids("list", ""));
    assert_secret(&world, &report);
    world.finish().await;
}

#[tokio::test]
async fn a_credential_that_is_not_there_is_named_with_its_variable_and_nothing_is_called() {
    let simulator = start().await;
    let world = world(&simulator, BEARER, LIST);
    let said = world.job(&[]).await.expect(2).stderr;
    assert!(said.contains("TIDEGATE_CREDENTIAL_ALICE"), "{said}");
    assert_eq!(simulator.stats().sum(|endpoint| endpoint.requests), 0);
    world.finish().await;
}

#[tokio::test]
async fn a_wrong_token_ends_the_job_with_the_first_answer() {
    let simulator = start().await;
    simulator.set_token(Some("another"));
    let world = world(&simulator, BEARER, LIST);
    let report = run(&world, TOKEN).await.expect(1);
    assert_eq!(simulator.stats().sum(|endpoint| endpoint.requests), 1);
    assert_secret(&world, &report);
    let json = report.json();
    assert_eq!((&json["failures"][0]["class"], &json["failures"][0]["status"]), (&json!("auth_revoked"), &json!(401)));
    let message = json["failures"][0]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("The token ") && message.ends_with(" is no good"), "{message}");
    // For people, without a word of logs.
    let credential = credential(TOKEN);
    let said = world.tidegate(&["run", "job.yaml", "--allow-private"]).env("TIDEGATE_CREDENTIAL_ALICE", &credential);
    let said = said.run().await.expect(1);
    assert!(said.stderr.contains("auth_revoked 401: The token "), "{}", said.stderr);
    assert_secret(&world, &said);
    world.finish().await;
}

#[tokio::test]
async fn a_token_that_is_revoked_amid_a_job_stops_it_and_the_right_one_goes_on() {
    let simulator = start().await;
    let world = world(&simulator, BEARER, LIST);
    let process = world.job_line(&[]).env("TIDEGATE_CREDENTIAL_ALICE", &credential(TOKEN)).spawn();
    until("some pages are served", || simulator.stats().endpoints["list"].ok > 5).await;
    simulator.set_token(Some("renewed"));
    process.wait().await.expect(1);
    let stats = simulator.stats().endpoints["list"].clone();
    assert!((1..=8 + 4).contains(&stats.errors_of("unauthorized")), "{stats:?}");
    world.recount().await;
    let report = run(&world, "renewed").await.expect(0);
    assert_same(world.ids(OUT), simulator.ids("list", ""));
    assert_eq!(report.number("/run/requests"), 400 - stats.ok);
    assert_eq!(simulator.stats().endpoints["list"].duplicates, 0);
    world.finish().await;
}

#[tokio::test]
async fn a_token_that_errors_repeat_is_seen_nowhere() {
    let simulator = start().await;
    let job = "credential: alice\nsteps: [{ id: broken, call: broken, on_failure: continue }, { id: gone, call: gone, with: { id: 1 } }]";
    for auth in [BEARER, QUERY] {
        let world = world(&simulator, auth, job);
        let report = run(&world, TOKEN).await.expect(0);
        assert_eq!((report.number("/calls_failed"), report.number("/calls_skipped")), (1, 1));
        assert_secret(&world, &report);
        assert_secret(&world, &world.run(&["status", crate::world::STATE]).await.expect(0));
        assert_secret(&world, &world.run(&["items", crate::world::STATE]).await.expect(0));
        let credential = credential(TOKEN);
        for (endpoint, code) in [("broken", 1), ("chain", 0)] {
            let tried =
                ["provider", "try", "sim.yaml", endpoint, "--credential", "alice", "--allow-private", "--log", "trace"];
            for more in [&[][..], &["--json"][..]] {
                let tried = world.tidegate(&[&tried[..], more].concat()).env("TIDEGATE_CREDENTIAL_ALICE", &credential);
                assert_secret(&world, &tried.run().await.expect(code));
            }
        }
        world.finish().await;
    }
}
