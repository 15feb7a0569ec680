//! A question with alternatives: jobs with several credentials, and executors with several ways out.

use serde_json::{Value, json};
use tidegate_simulator::{By, EndpointSpec, LimitHeaders, LimitSpec, Running, Simulator, SimulatorSpec};

use crate::client::fixture::Served;
use crate::cluster::fixture::Cluster;
use crate::parked::{Form, parked, put};
use crate::process::{Cli, Finished};
use crate::world::{OUT, World, assert_same, ids, items, until};

const ALICE: &str = "canary-alice-1b7e0c55";
const BOB: &str = "canary-bob-90d2aa41";
const NEW: &str = "canary-new-77c0";
const CALLS: u64 = 100;
/// What one credential, or one address, may do of [`CALLS`].
const ALLOWED: u64 = 60;
const AUTH: &str = "auth: { bearer: '{{ credential.token }}' }\n";
const POOL: &str = "credential_pool: by_chain\n";
const BY_OFFSET: &str = "offset: offset, total: '$.total'";
const BY_CURSOR: &str = "cursor: cursor, next: '$.next'";

fn endpoint(pages: &str) -> String {
    format!(
        "endpoints:\n  list: {{ get: /list, items: '$.items[*]', key: '$.id', pages: {{ {pages}, size: {{ param: limit, max: 1 }} }} }}\n"
    )
}

/// A limit that nothing tells, and that is not over before the test is.
fn an_hour(by: By) -> LimitSpec {
    LimitSpec::window(ALLOWED, 3_600_000).by(&[by]).headers(LimitHeaders::NONE)
}

fn list(calls: u64) -> EndpointSpec {
    EndpointSpec::at("/list").items(calls).size("limit", 1)
}

fn by_offset(calls: u64) -> EndpointSpec {
    list(calls).offset("offset").total_in_body("$.total")
}

async fn simulate(list: EndpointSpec) -> Running {
    Simulator::start(&SimulatorSpec::seeded(3).latency_ms(5).with("list", list)).await.unwrap()
}

/// A provider file, and a job of alice and bob.
fn write(world: &World, simulator: &Running, provider: &str, job: &str) {
    world.provider(&simulator.base_url(), &format!("{AUTH}{provider}"));
    world.write("job.yaml", &format!("provider: ./sim.yaml\n{job}\nsteps: [{{ id: list, call: list }}]\n"));
}

fn run(world: &World) -> Cli {
    let token = |token: &str| json!({ "token": token }).to_string();
    let cli = world.job_line(&[]).env("TIDEGATE_CREDENTIAL_ALICE", &token(ALICE));
    cli.env("TIDEGATE_CREDENTIAL_BOB", &token(BOB))
}

async fn says(form: &impl Form, args: &[&str]) -> Finished {
    form.cli(args).run().await.expect(0)
}

/// What is used of a limit, by budget.
async fn used(form: &impl Form, limit: &str) -> Vec<(String, u64)> {
    let listed = says(form, &["limits", "list", "--id", limit, "--json"]).await.stdout;
    let of = |budget: &Value| Some((budget["key"].as_str()?.to_owned(), budget["used"].as_u64()?));
    items(&listed).iter().filter_map(of).collect()
}

/// More calls than one credential may make: the job is done before the first window ends, and each call is counted where it was.
async fn a_pool_makes_what_one_may_not(form: &impl Form) {
    let simulator = simulate(by_offset(CALLS).limit(an_hour(By::Token))).await;
    let limits = format!("limits: [{{ id: token, key: [credential], window: {{ calls: {ALLOWED}, per: 1h }} }}]\n");
    write(form.world(), &simulator, &format!("{POOL}{limits}{}", endpoint(BY_OFFSET)), "credential: [alice, bob]");
    put(form, "alice", ALICE).await;
    put(form, "bob", BOB).await;
    let ended = says(form, &["submit", "job.yaml", "--wait", "--json"]).await.json();
    assert_eq!((&ended["state"], &ended["counts"]["items"]), (&json!("succeeded"), &json!(CALLS)), "{ended}");
    let stats = simulator.stats();
    let limit = &stats.limits["list.0"];
    assert_eq!((limit.granted, limit.refused), (CALLS, 0), "{limit:?}");
    let used = used(form, "token").await;
    assert_eq!(used.iter().map(|(_, used)| used).sum::<u64>(), CALLS, "{used:?}");
    let has = |name: &str| used.iter().any(|(key, used)| key.contains(name) && *used <= ALLOWED);
    assert!(used.len() == 2 && has("credential=alice,") && has("credential=bob,"), "{used:?}");
}

#[tokio::test]
async fn two_credentials_make_more_calls_than_one_may_and_share_them_in_one_process() {
    let served = Served::start().await;
    a_pool_makes_what_one_may_not(&served).await;
    served.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_credentials_make_more_calls_than_one_may_and_share_them_in_a_cluster() {
    let mut cluster = Cluster::start().await;
    cluster.add("executor").await;
    cluster.are_ready().await;
    a_pool_makes_what_one_may_not(&cluster).await;
    cluster.finish().await;
}

/// One of two is revoked in the middle: the other goes on, and nobody waits before it is revoked, too.
async fn a_pool_goes_on_without_one(form: &impl Form) {
    const ITEMS: u64 = 400;
    let simulator = simulate(by_offset(ITEMS)).await;
    write(
        form.world(),
        &simulator,
        &format!("{POOL}{}", endpoint(BY_OFFSET)),
        "credential: [alice, bob]\nmax_in_flight: 4",
    );
    put(form, "alice", ALICE).await;
    put(form, "bob", BOB).await;
    let job = says(form, &["submit", "job.yaml"]).await.stdout.trim().to_owned();
    let ok = || simulator.stats().endpoints["list"].ok;
    until("some pages are served", || ok() > 10).await;
    simulator.set_token(Some(ALICE));
    until("bob is refused", || simulator.stats().endpoints["list"].errors_of("unauthorized") > 0).await;
    let then = ok();
    until("alice goes on", || ok() > then + 20).await;
    let listed = says(form, &["credentials", "list"]).await.stdout;
    let of = |name: &str| items(&listed).into_iter().find(|row| row["name"] == name).expect("is listed");
    assert_eq!(
        (of("bob")["parked"]["class"].as_str(), of("alice").get("parked")),
        (Some("auth_revoked"), None),
        "{listed}"
    );
    let status = says(form, &["status", &job, "--json"]).await.json();
    assert_eq!(status.get("parked"), None, "{status}");

    simulator.set_token(Some(NEW));
    let waits = parked(form, &job).await;
    assert_eq!(
        (&waits["parked"]["credential"], &waits["counts"]["calls_failed"]),
        (&json!("alice"), &json!(0)),
        "{waits}"
    );
    put(form, "bob", NEW).await;
    let ended = says(form, &["watch", &job, "--json"]).await.json();
    assert_eq!((&ended["state"], &ended["counts"]["calls_failed"]), (&json!("succeeded"), &json!(0)), "{ended}");
    assert_same(ids(&items(&says(form, &["items", &job]).await.stdout)), simulator.ids("list", ""));
}

#[tokio::test]
async fn a_pool_goes_on_without_a_credential_that_is_revoked_in_one_process() {
    let served = Served::start().await;
    a_pool_goes_on_without_one(&served).await;
    assert!(!served.log().contains("canary"));
    served.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_goes_on_without_a_credential_that_is_revoked_in_a_cluster() {
    let mut cluster = Cluster::start().await;
    cluster.add("executor").await;
    cluster.are_ready().await;
    a_pool_goes_on_without_one(&cluster).await;
    assert!(!cluster.said_by("executor").contains("canary"));
    cluster.finish().await;
}

#[tokio::test]
async fn a_run_goes_on_without_a_credential_that_is_refused_and_stops_when_none_is_left() {
    let simulator = simulate(by_offset(CALLS)).await;
    let world = World::new();
    write(&world, &simulator, &format!("{POOL}{}", endpoint(BY_OFFSET)), "credential: [alice, bob]");
    simulator.set_token(Some(NEW));
    let stopped = run(&world).run().await.expect(1);
    assert!(stopped.json()["reason"].as_str().unwrap().starts_with("step list: auth_revoked"), "{}", stopped.stdout);
    simulator.set_token(Some(BOB));
    run(&world).run().await.expect(0);
    assert_same(world.ids(OUT), simulator.ids("list", ""));
    world.finish().await;
}

#[tokio::test]
async fn a_chain_of_cursors_stays_with_one_credential_unless_its_provider_says_otherwise() {
    for (pool, granted) in [("by_chain", false), ("by_call", true)] {
        let simulator = simulate(list(ALLOWED + 5).cursor("cursor", "$.next").limit(an_hour(By::Token))).await;
        let world = World::new();
        let limits = format!("limits: [{{ id: token, key: [credential], window: {{ calls: {ALLOWED}, per: 1h }} }}]\n");
        let provider = format!("credential_pool: {pool}\n{limits}{}", endpoint(BY_CURSOR));
        write(&world, &simulator, &provider, "credential: [alice, bob]");
        let process = run(&world).spawn();
        let enough = if granted { ALLOWED + 5 } else { ALLOWED };
        until("all that may be made is made", || simulator.stats().endpoints["list"].ok == enough).await;
        if granted {
            process.wait().await.expect(0);
        } else {
            // Its credential may make no more within the hour, though the other may.
            process.kill().await;
        }
        let limit = simulator.stats().limits["list.0"].clone();
        assert_eq!((limit.granted, limit.refused, limit.most_taken == ALLOWED), (enough, 0, !granted), "{limit:?}");
        world.finish().await;
    }
}

#[tokio::test]
async fn a_pool_is_refused_where_the_provider_file_does_not_allow_it() {
    let simulator = simulate(by_offset(1)).await;
    let world = World::new();
    write(&world, &simulator, &endpoint(BY_OFFSET), "credential: [alice, bob]");
    let refused = run(&world).run().await.expect(2);
    let expected = "job.yaml:2:1: credential: expected one name: the file of provider sim allows no pool (`credential_pool: \
                    by_chain` there, if the provider's terms let one job use several credentials)";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    world.finish().await;
}

const TWO_WAYS_OUT: [(&str, &str); 3] = [
    ("TIDEGATE_EGRESS", "one,two"),
    ("TIDEGATE_EGRESS_VIA_ONE", "127.0.0.2"),
    ("TIDEGATE_EGRESS_VIA_TWO", "127.0.0.3"),
];

/// Two ways out, of which the provider counts each for itself.
fn two_ways_out(cli: Cli) -> Cli {
    TWO_WAYS_OUT.iter().fold(cli, |cli, (name, value)| cli.env(name, value))
}

#[tokio::test]
async fn two_ways_out_make_more_calls_than_one_may() {
    let simulator = simulate(by_offset(CALLS).limit(an_hour(By::Ip))).await;
    let world = World::new();
    let limits = format!("limits: [{{ id: address, key: [egress], window: {{ calls: {ALLOWED}, per: 1h }} }}]\n");
    write(&world, &simulator, &format!("{limits}{}", endpoint(BY_OFFSET)), "credential: alice");
    two_ways_out(run(&world)).run().await.expect(0);
    assert_same(world.ids(OUT), simulator.ids("list", ""));
    let limit = simulator.stats().limits["list.0"].clone();
    assert_eq!((limit.granted, limit.refused, limit.most_taken), (CALLS, 0, CALLS / 2), "{limit:?}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ways_out_make_more_calls_than_one_may_in_a_cluster() {
    let cluster = Cluster::start_with(&TWO_WAYS_OUT).await;
    let simulator = simulate(by_offset(CALLS).limit(an_hour(By::Ip))).await;
    let limits = format!("limits: [{{ id: address, key: [egress], window: {{ calls: {ALLOWED}, per: 1h }} }}]\n");
    write(&cluster.world, &simulator, &format!("{limits}{}", endpoint(BY_OFFSET)), "credential: alice");
    put(&cluster, "alice", ALICE).await;
    let ended = says(&cluster, &["submit", "job.yaml", "--wait", "--json"]).await.json();
    assert_eq!((&ended["state"], &ended["counts"]["items"]), (&json!("succeeded"), &json!(CALLS)), "{ended}");
    let limit = simulator.stats().limits["list.0"].clone();
    assert_eq!((limit.granted, limit.refused), (CALLS, 0), "{limit:?}");
    cluster.finish().await;
}

#[tokio::test]
async fn a_way_out_that_leads_nowhere_is_left_out_while_another_is_well() {
    let simulator = simulate(by_offset(CALLS)).await;
    let world = World::new();
    write(&world, &simulator, &endpoint(BY_OFFSET), "credential: alice");
    // Nobody listens there.
    let cli = two_ways_out(run(&world)).env("TIDEGATE_EGRESS_VIA_TWO", "http://canary:canary@127.0.0.1:9");
    let ran = cli.run().await.expect(0);
    assert_same(world.ids(OUT), simulator.ids("list", ""));
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("canary"), "{}", ran.stderr);
    world.finish().await;
}

/// A third party that says it counts by token and counts by address, under a load of two tokens.
async fn misled(address: &str, cli: impl Fn(Cli) -> Cli) -> (u64, u64) {
    let limit = LimitSpec { retry_after: true, ..LimitSpec::window(30, 1_000).headers(LimitHeaders::NONE) };
    let mut spec = SimulatorSpec::seeded(3).latency_ms(5).with("list", by_offset(200).limit(limit));
    spec.quirks.add("limit_by_ip_despite_token").unwrap();
    let simulator = Simulator::start(&spec).await.unwrap();
    let world = World::new();
    let limits = format!(
        "limits:\n  - {{ id: token, key: [credential], window: {{ calls: 30, per: 1s }} }}\n  - {{ id: address, key: [egress], {address} }}\n"
    );
    write(
        &world,
        &simulator,
        &format!("{POOL}{limits}{}", endpoint(BY_OFFSET)),
        "credential: [alice, bob]\nmax_in_flight: 8",
    );
    let ran = cli(run(&world)).run().await.expect(0);
    assert_same(world.ids(OUT), simulator.ids("list", ""));
    let (stats, report) = (simulator.stats().limits["list.0"].clone(), ran.json());
    assert_eq!(report["run"]["refused"], json!(stats.refused), "{report}");
    world.finish().await;
    (stats.refused, stats.granted)
}

#[tokio::test]
async fn two_tokens_over_one_address_are_refused_little_where_the_provider_counts_by_address() {
    let (refused, granted) = misled("told: {}", |cli| cli).await;
    assert_eq!(granted, 200);
    // Of each of seven windows what was on the wire.
    assert!((1..=7 * 8).contains(&refused), "{refused} refused");
}

#[tokio::test]
async fn two_tokens_over_two_addresses_are_refused_little_where_the_provider_counts_by_address() {
    let (refused, granted) = misled("told: {}", two_ways_out).await;
    assert_eq!(granted, 200);
    assert!(refused <= 4 * 8, "{refused} refused");
}

#[tokio::test]
async fn what_an_address_may_is_learnt_from_refusals_of_tokens_that_have_room() {
    let (refused, granted) = misled("learn: { start_per_s: 10 }", |cli| cli).await;
    assert_eq!(granted, 200);
    assert!(refused <= 40, "{refused} refused");
}
