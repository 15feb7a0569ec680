//! Tokens that are fetched and refreshed (OAuth 2.0): a job goes on for longer than its tokens live, in each form.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate_simulator::{EndpointSpec, Items, Period, Running, Simulator, SimulatorSpec, TokenEndpoint, TokensSpec};

use crate::client::fixture::Served;
use crate::cluster::fixture::Cluster;
use crate::notify::Receiver;
use crate::parked::{Form, parked, put, run, status};
use crate::process::{DEADLINE, Finished};
use crate::world::{JOB, OUT, STATE, World, assert_same, ids, items, until};

const CLIENT: &str = "canary-client-2f91";
const SECRET: &str = "canary-secret-c07d+/\"";
const FIRST: &str = "canary-refresh-first-51e8";
/// How long tokens live, in ms.
const LIFE_MS: u64 = 6_000;
/// How long an executor uses a credential without looking whether it has changed.
const CREDENTIAL_KEPT: Duration = Duration::from_secs(5);
/// Pages of the list that is read.
const PAGES: u64 = 150;

fn credential(more: &[(&str, &str)]) -> String {
    let fields = [("client_id", CLIENT), ("client_secret", SECRET), ("refresh_token", FIRST)];
    json!(fields.iter().chain(more).copied().collect::<std::collections::BTreeMap<_, _>>()).to_string()
}

/// A client that has to be the one, and short tokens.
fn short() -> TokensSpec {
    TokensSpec {
        expires_in: Period::from_ms(LIFE_MS),
        client_id: Some(CLIENT.to_owned()),
        client_secret: Some(SECRET.to_owned()),
        latency: Period::from_ms(100),
        ..TokensSpec::default()
    }
}

/// A list behind tokens, whose answers take a while.
async fn third_party(tokens: TokensSpec) -> Running {
    let list = EndpointSpec::at("/list").items(10 * PAGES).offset("offset").size("limit", 10).total_in_body("$.total");
    Simulator::start(&SimulatorSpec::seeded(9).with("list", list).latency_ms(100).tokens(tokens)).await.unwrap()
}

fn provider(simulator: &Running, more: &str) -> String {
    let base_url = simulator.base_url();
    format!(
        "auth: {{ oauth2: {{ token_url: '{base_url}/oauth/token'{more} }} }}\n\
         endpoints:\n  list: {{ get: /list, items: '$.items[*]', pages: {{ offset: offset, size: {{ param: limit, max: 10 }}, \
         total: '$.total' }} }}\n"
    )
}

const LIST: &str = "credential: alice\nmax_in_flight: 2\nsteps: [{ id: list, call: list }]\n";

fn world(simulator: &Running, more: &str) -> World {
    World::with(&simulator.base_url(), &provider(simulator, more), LIST)
}

async fn pull(world: &World, credential: &str, more: &[&str]) -> Finished {
    world.job_line(&[&["--log", "debug"], more].concat()).env("TIDEGATE_CREDENTIAL_ALICE", credential).run().await
}

/// Every token was asked for once, in time, and nobody else asked.
#[track_caller]
fn assert_one_for_each_life(simulator: &Running) {
    let stats = simulator.stats();
    let (tokens, list) = (&stats.tokens, &stats.endpoints["list"]);
    let took_ms = list.last_call_ms.unwrap() - list.first_call_ms.unwrap();
    // A token is replaced after four fifths of its life, or a little later.
    let most = took_ms / (LIFE_MS * 4 / 5) + 2;
    assert_eq!((tokens.requests, tokens.refused, tokens.reused), (tokens.issued, 0, 0), "{tokens:?}");
    assert!((2..=most).contains(&tokens.issued), "{} tokens within {took_ms} ms", tokens.issued);
}

/// No token that was issued stands in what was said, nor in any file.
#[track_caller]
fn assert_secret(world: &World, simulator: &Running, said: &Finished) {
    let issued = simulator.issued_tokens();
    assert!(issued.len() > 2, "{issued:?}");
    let files = world.files("").into_iter().map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()));
    let said = [("stdout", &said.stdout), ("stderr", &said.stderr)];
    let said = said.map(|(name, text)| (name.to_owned(), text.clone().into_bytes()));
    for (place, bytes) in files.chain(said) {
        for secret in issued.iter().map(String::as_str).chain([CLIENT, "canary-secret-c07d", FIRST]) {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is in {place}");
        }
    }
}

#[tokio::test]
async fn a_job_outlives_its_tokens_and_the_next_one_goes_on_with_the_last() {
    let simulator = third_party(short()).await;
    let world = world(&simulator, "");
    let done = pull(&world, &credential(&[]), &[]).await.expect(0);
    assert_same(world.ids(OUT), simulator.ids("list", ""));
    assert_one_for_each_life(&simulator);
    let stats = simulator.stats();
    assert_eq!(stats.endpoints["list"].duplicates, 0);
    assert_eq!(done.number("/calls_failed"), 0);
    assert_secret(&world, &simulator, &done);

    // The refresh token that was given is used up, and the one that replaced it is in the state file.
    pull(&world, &credential(&[]), &["--fresh"]).await.expect(0);
    let tokens = simulator.stats().tokens;
    assert_eq!((tokens.refused, tokens.reused), (0, 0), "{tokens:?}");
    world.finish().await;
}

#[tokio::test]
async fn client_credentials_fetch_a_token_and_its_successors() {
    let simulator = third_party(TokensSpec { refresh_token: Some("none".to_owned()), ..short() }).await;
    let world = world(&simulator, ", grants: [client_credentials], client: body");
    let given = json!({ "client_id": CLIENT, "client_secret": SECRET }).to_string();
    pull(&world, &given, &[]).await.expect(0);
    assert_same(world.ids(OUT), simulator.ids("list", ""));
    assert_one_for_each_life(&simulator);
    world.finish().await;
}

#[tokio::test]
async fn a_token_whose_end_is_not_known_is_refreshed_when_it_is_refused() {
    let tokens = TokensSpec { tells_expiry: false, expires_in: Period::from_ms(3_600_000), ..short() };
    let simulator = third_party(tokens).await;
    let world = world(&simulator, "");
    let done = pull(&world, &credential(&[("access_token", "stale")]), &[]).await.expect(0);
    assert_same(world.ids(OUT), simulator.ids("list", ""));
    let stats = simulator.stats();
    assert_eq!((stats.tokens.requests, stats.tokens.issued), (1, 1));
    assert!((1..=2).contains(&stats.endpoints["list"].errors_of("unauthorized")), "{stats:?}");
    assert_eq!(done.number("/calls_failed"), 0, "no attempt is spent");
    world.finish().await;
}

#[tokio::test]
async fn a_token_alone_is_used_as_it_is() {
    let simulator = third_party(short()).await;
    let world = world(&simulator, "");
    let failed = pull(&world, "stale", &[]).await.expect(1).json();
    assert!(failed["reason"].as_str().unwrap().contains("auth_revoked"), "{failed}");
    assert_eq!(simulator.stats().tokens.requests, 0);
    assert!(world.files(".sealing-key").is_empty(), "there is nothing to seal");
    world.finish().await;
}

#[tokio::test]
async fn calls_wait_while_the_token_endpoint_is_down() {
    let simulator = third_party(TokensSpec { expires_in: Period::from_ms(3_600_000), ..short() }).await;
    simulator.set_token_endpoint(TokenEndpoint::Down);
    let world = world(&simulator, "");
    let running = world.job_line(&[]).env("TIDEGATE_CREDENTIAL_ALICE", &credential(&[])).spawn();
    until("it was asked for again", || simulator.stats().tokens.requests >= 3).await;
    assert_eq!(simulator.stats().endpoints["list"].requests, 0, "no call is made without a token");
    simulator.set_token_endpoint(TokenEndpoint::Works);
    let done = running.wait().await.expect(0);
    assert_eq!(done.number("/calls_failed"), 0);
    assert_same(world.ids(OUT), simulator.ids("list", ""));
    assert_eq!(simulator.stats().tokens.issued, 1);
    world.finish().await;
}

#[tokio::test]
async fn a_refused_refresh_ends_the_run_and_another_credential_goes_on() {
    let tokens = TokensSpec { refresh_token: Some("canary-right".to_owned()), ..short() };
    let simulator = third_party(tokens).await;
    let world = world(&simulator, "");
    let failed = pull(&world, &credential(&[]), &[]).await.expect(1).json();
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("auth_revoked: the token endpoint refuses to renew it: invalid_grant"), "{reason}");
    assert_eq!(simulator.stats().tokens.requests, 1, "it is not asked again");
    pull(&world, &credential(&[("refresh_token", "canary-right")]), &[]).await.expect(0);
    assert_same(world.ids(OUT), simulator.ids("list", ""));
    world.finish().await;
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again() {
    // Many providers take a refresh token again for a short time after it was replaced.
    let grace = Period::from_ms(60_000);
    for (grace, expected) in [(grace, 0), (Period::default(), 1)] {
        let simulator = third_party(TokensSpec { expires_in: Period::from_ms(3_600_000), grace, ..short() }).await;
        simulator.set_token_endpoint(TokenEndpoint::LosesAnswers);
        let world = world(&simulator, "");
        let running = world.job_line(&[]).env("TIDEGATE_CREDENTIAL_ALICE", &credential(&[])).spawn();
        until("an answer is lost", || simulator.stats().tokens.issued >= 1).await;
        simulator.set_token_endpoint(TokenEndpoint::Works);
        let ended = running.wait().await.expect(expected).json();
        let reason = ended["reason"].as_str().unwrap_or_default();
        assert_eq!(reason.contains("an earlier answer was lost"), expected == 1, "{ended}");
        world.finish().await;
    }
}

#[tokio::test]
async fn calls_by_hand_fetch_a_token_that_the_run_goes_on_with() {
    let long = TokensSpec { expires_in: Period::from_ms(3_600_000), ..short() };
    let simulator = third_party(long).await;
    let world = world(&simulator, "");
    let by_hand = async |args: &[&str]| {
        let line = world.tidegate(&[args, &["--json", "--allow-private=127.0.0.0/8"]].concat());
        line.env("TIDEGATE_CREDENTIAL_ALICE", &credential(&[])).run().await.expect(0)
    };
    let tried = by_hand(&["provider", "try", "sim.yaml", "list", "--credential", "alice", "--state", STATE]).await;
    assert_eq!(tried.json()["page"]["total"], 10 * PAGES, "{}", tried.stdout);
    let planned = by_hand(&["plan", JOB, "--probe"]).await;
    assert_eq!(planned.json()["calls"], json!({ "n": PAGES, "trust": "exact" }), "{}", planned.stdout);
    pull(&world, &credential(&[]), &[]).await.expect(0);
    let tokens = simulator.stats().tokens;
    assert_eq!((tokens.issued, tokens.refused, tokens.reused), (1, 0, 0), "{tokens:?}");
    for secret in simulator.issued_tokens().iter().map(String::as_str).chain(["canary"]) {
        assert!(!format!("{tried:?}{planned:?}").contains(secret), "{secret} in {tried:?} {planned:?}");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_call_by_hand_is_made_once_more_with_a_new_token_where_the_old_one_is_refused() {
    let simulator = third_party(TokensSpec { expires_in: Period::from_ms(3_600_000), ..short() }).await;
    let world = world(&simulator, "");
    let tried = async |credential: &str| {
        let args = ["provider", "try", "sim.yaml", "list", "--credential", "alice", "--json"];
        let line = world.tidegate(&[&args[..], &["--allow-private=127.0.0.0/8"]].concat());
        line.env("TIDEGATE_CREDENTIAL_ALICE", credential).run().await
    };
    let done = tried(&credential(&[("access_token", "stale")])).await.expect(0);
    assert_eq!(done.json()["page"]["total"], 10 * PAGES, "{}", done.stdout);
    assert_eq!(simulator.stats().endpoints["list"].errors_of("unauthorized"), 1);
    assert_eq!(simulator.stats().tokens.issued, 1);
    let refused = tried(&credential(&[("client_secret", "canary-wrong")])).await.expect(1);
    let failure = &refused.json()["failure"];
    assert_eq!(failure["class"], "auth_revoked", "{failure}");
    assert!(failure["message"].as_str().unwrap().contains("invalid_client"), "{failure}");
    assert!(!format!("{done:?}{refused:?}").contains("canary"), "{refused:?}");
    world.finish().await;
}

#[tokio::test]
async fn a_packs_tokens_are_fetched_from_its_simulated_provider() {
    let (spec, _) = SimulatorSpec { provider: Some("x".into()), ..SimulatorSpec::seeded(1) }.completed().unwrap();
    let one = EndpointSpec { items: Some(Items::Count(1)), ..EndpointSpec::default() };
    let spec = SimulatorSpec { defaults: one, ..spec };
    let simulator = Simulator::start(&spec).await.unwrap();
    let world = World::new();
    world.write(
        "job.yaml",
        "provider: x\ncredential: alice\nsteps: [{ id: me, call: users.by_username, with: { username: a } }]\n",
    );
    let done =
        world.job_line(&["--at", &simulator.base_url()]).env("TIDEGATE_CREDENTIAL_ALICE", &credential(&[])).run();
    done.await.expect(0);
    assert_eq!(simulator.stats().tokens.issued, 1);
    world.finish().await;
}

/// Writes the files of a job, and answers with the job's.
fn write_job(form: &impl Form, simulator: &Running, receiver: &Receiver) -> String {
    let (world, base_url) = (form.world(), simulator.base_url());
    let slow = "limits: [{ id: slow, key: [credential], window: { calls: 30, per: 1s } }]\n";
    world.provider(&base_url, &format!("{slow}{}", provider(simulator, "")));
    let notify = format!("notify: {{ url: '{}', on: [credential_parked] }}", receiver.url);
    world.write("job-tokens.yaml", &format!("provider: ./sim.yaml\n{notify}\n{LIST}"));
    "job-tokens.yaml".to_owned()
}

/// The whole story; the same in both forms.
async fn a_job_outlives_its_tokens_until_they_are_revoked(form: &impl Form) {
    let (receiver, simulator) = (Receiver::start(204, 204).await, third_party(short()).await);
    put(form, "alice", &credential(&[])).await;
    let file = write_job(form, &simulator, &receiver);
    let submit = async || run(form, &["submit", &file]).await.stdout.trim().to_owned();
    // Several at once, so that there is always somebody who needs a token.
    let jobs = [submit().await, submit().await, submit().await, submit().await];
    for job in &jobs {
        let ended = run(form, &["watch", job, "--json"]).await.json();
        assert_eq!((&ended["state"], &ended["counts"]["calls_failed"]), (&json!("succeeded"), &json!(0)), "{ended}");
        assert_same(ids(&items(&run(form, &["items", job]).await.stdout)), simulator.ids("list", ""));
    }
    assert_one_for_each_life(&simulator);
    let issued = simulator.issued_tokens();

    let wrong = credential(&[("client_secret", "canary-wrong")]);
    put(form, "alice", &wrong).await;
    // Nothing tells when no executor uses the one before any more, whose token is good for a while yet.
    tokio::time::sleep(CREDENTIAL_KEPT).await;
    let job = submit().await;
    let waits = parked(form, &job).await;
    let message = waits["parked"]["message"].as_str().unwrap();
    assert!(message.starts_with("the token endpoint refuses to renew it: invalid_client"), "{waits}");
    assert_eq!(waits["parked"]["class"], "auth_revoked");
    until("its owner is told", || receiver.told().len() == 1).await;
    assert_eq!(receiver.told()[0].body["type"], "credential.parked");
    let served = simulator.stats().endpoints["list"].ok;
    put(form, "alice", &credential(&[("refresh_token", "canary-second")])).await;
    until("some more pages are served", || simulator.stats().endpoints["list"].ok > served + 10).await;
    simulator.revoke_tokens();
    parked(form, &job).await;
    until("its owner is told again", || receiver.told().len() == 2).await;
    put(form, "alice", &credential(&[("refresh_token", "canary-third")])).await;
    let ended = run(form, &["watch", &job, "--json"]).await.json();
    assert_eq!((&ended["state"], &ended["counts"]["calls_failed"]), (&json!("succeeded"), &json!(0)), "{ended}");
    assert_eq!(simulator.stats().tokens.reused, 0);
    let told = receiver.told().iter().map(|told| told.body.to_string()).collect();
    let shown: Vec<Value> = vec![waits, ended, status(form, &jobs[0]).await, Value::String(told)];
    let shown = format!("{shown:?}{}", run(form, &["credentials", "list"]).await.stdout);
    for secret in issued.iter().chain(&simulator.issued_tokens()) {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    assert!(!shown.contains("canary"), "{shown}");
}

#[tokio::test]
async fn jobs_outlive_their_tokens_until_they_are_revoked_in_one_process() {
    let served = Served::start().await;
    a_job_outlives_its_tokens_until_they_are_revoked(&served).await;
    assert!(!served.log().contains("canary"));
    served.finish().await;
}

/// `tidegate explain` says what a job's calls wait for, and for how many.
async fn a_job_that_waits_for_a_token_says_so(form: &impl Form) {
    let (receiver, simulator) = (Receiver::start(204, 204).await, third_party(short()).await);
    simulator.set_token_endpoint(TokenEndpoint::Down);
    put(form, "alice", &credential(&[])).await;
    let file = write_job(form, &simulator, &receiver);
    let job = run(form, &["submit", &file]).await.stdout.trim().to_owned();
    // Longer pauses than two seconds are spent in the queue, and told: those after the third try.
    let started = Instant::now();
    loop {
        let why = run(form, &["explain", &job]).await.stdout;
        if why.contains("wait for the token endpoint of provider sim")
            || why.contains("waits for the token endpoint of")
        {
            break;
        }
        assert!(started.elapsed() < DEADLINE, "{why}");
    }
    let now = status(form, &job).await;
    assert_eq!((&now["state"], &now["counts"]["calls_failed"]), (&json!("running"), &json!(0)), "{now}");
    assert!(now.get("parked").is_none(), "{now}");
    simulator.set_token_endpoint(TokenEndpoint::Works);
    let ended = run(form, &["watch", &job, "--json"]).await.json();
    assert_eq!((&ended["state"], &ended["counts"]["calls_failed"]), (&json!("succeeded"), &json!(0)), "{ended}");
    assert_eq!(receiver.told().len(), 0, "nothing was parked");
}

#[tokio::test]
async fn a_job_that_waits_for_a_token_says_so_in_one_process() {
    let served = Served::start().await;
    a_job_that_waits_for_a_token_says_so(&served).await;
    served.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_for_a_token_says_so_in_a_cluster() {
    let cluster = Cluster::start().await;
    cluster.are_ready().await;
    a_job_that_waits_for_a_token_says_so(&cluster).await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_outlive_their_tokens_until_they_are_revoked_in_a_cluster() {
    let mut cluster = Cluster::start().await;
    cluster.add("executor").await;
    cluster.add("executor").await;
    cluster.are_ready().await;
    a_job_outlives_its_tokens_until_they_are_revoked(&cluster).await;
    assert!(!cluster.said_by("executor").contains("canary"));
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_dies_in_the_middle_of_a_refresh_is_followed_by_another() {
    let tokens = TokensSpec {
        expires_in: Period::from_ms(3_600_000),
        grace: Period::from_ms(300_000),
        latency: Period::from_ms(3_000),
        ..short()
    };
    let (simulator, receiver) = (third_party(tokens).await, Receiver::start(204, 204).await);
    let mut cluster = Cluster::start().await;
    cluster.are_ready().await;
    put(&cluster, "alice", &credential(&[])).await;
    let job = cluster.submit(&write_job(&cluster, &simulator, &receiver)).await;
    until("a token is asked for", || simulator.stats().tokens.requests == 1).await;
    cluster.kill("executor").await;
    let ended = cluster.ended(&job).await.json();
    assert_eq!((&ended["state"], &ended["counts"]["calls_failed"]), (&json!("succeeded"), &json!(0)), "{ended}");
    let tokens = simulator.stats().tokens;
    assert_eq!((tokens.requests, tokens.reused), (2, 1), "the second asked after the first one's lease was over");
    cluster.finish().await;
}
