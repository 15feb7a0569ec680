//! What providers are known to do wrong, one quirk each: a job comes through as `docs/simulator.md` says.

use serde_json::json;
use tidegate_simulator::{EndpointSpec, EndpointStats, LimitSpec, Quirks, Running, Shape, Simulator, SimulatorSpec};

use crate::process::Finished;
use crate::world::{OUT, World, assert_same};

const ITEMS: u64 = 95;
const SIZE: &str = "size: { param: limit, max: 10 }";

fn list() -> EndpointSpec {
    EndpointSpec::at("/list").items(ITEMS).size("limit", 10)
}

fn by_cursor() -> EndpointSpec {
    list().cursor("cursor", "$.next")
}

async fn start(list: EndpointSpec, quirk: &str) -> Running {
    let mut spec = SimulatorSpec::seeded(3).with("list", list);
    spec.quirks.add(quirk).unwrap();
    Simulator::start(&spec).await.unwrap()
}

/// Pulls the list, which ends with `code`.
async fn pull(simulator: &Running, pages: &str, more: &str, code: i32) -> (World, Finished) {
    let endpoint =
        format!("endpoints:\n  list: {{ get: /list, items: \"$.items[*]\", key: \"$.id\", pages: {{ {pages} }} }}");
    let provider = format!("auth: {{ bearer: \"{{{{ credential.token }}}}\" }}\n{more}{endpoint}");
    let world = World::with(&simulator.base_url(), &provider, "credential: me\nsteps: [{ id: list, call: list }]");
    let report = again(&world, "first").await.expect(code);
    (world, report)
}

async fn again(world: &World, token: &str) -> Finished {
    world.job_line(&[]).env("TIDEGATE_CREDENTIAL_ME", &json!({ "token": token }).to_string()).run().await
}

fn assert_all(world: &World) {
    assert_same(world.ids(OUT), (1..=ITEMS).map(|id| id.to_string()).collect());
}

/// A job that a quirk does not keep from its items.
async fn comes_whole(list: EndpointSpec, quirk: &str, pages: &str, more: &str) -> EndpointStats {
    let simulator = start(list, quirk).await;
    let (world, _) = pull(&simulator, pages, more, 0).await;
    assert_all(&world);
    world.finish().await;
    simulator.stats().endpoints["list"].clone()
}

#[tokio::test]
async fn endless_pages_of_one_item_are_ended_by_a_guard_and_nothing_is_lost() {
    for (list, pages) in [
        (by_cursor(), format!("cursor: cursor, next: \"$.next\", {SIZE}")),
        (list().offset("start"), format!("offset: start, {SIZE}")),
    ] {
        let simulator = start(list, "endless_one_item_pages").await;
        let (world, report) = pull(&simulator, &pages, "", 0).await;
        assert_all(&world);
        assert_eq!(report.json()["steps"][0]["guards"], json!([["repeated_page", 1]]), "{}", report.json());
        assert!(simulator.stats().endpoints["list"].requests <= 13);
        world.finish().await;
    }
}

#[tokio::test]
async fn a_limit_by_address_that_says_it_is_by_token_is_waited_for() {
    let limited = by_cursor().limit(LimitSpec::window(4, 500));
    let limits = "limits: [{ id: token, key: [credential], window: { calls: 4, per: 500ms } }]\n";
    let pages = format!("cursor: cursor, next: \"$.next\", {SIZE}");
    let stats = comes_whole(limited, "limit_by_ip_despite_token", &pages, limits).await;
    assert_eq!(stats.pages, 10);
}

#[tokio::test]
async fn a_token_that_dies_stops_the_job_and_a_new_one_goes_on_where_it_stopped() {
    let simulator = start(by_cursor(), "token_dies_after=4").await;
    let pages = format!("cursor: cursor, next: \"$.next\", {SIZE}");
    let (world, report) = pull(&simulator, &pages, "", 1).await;
    let reason = report.json()["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.starts_with("step list: auth_revoked: "), "{reason}");
    // Each token lives for four pages: nothing is asked for twice.
    for (token, code) in [("second", 1), ("third", 0)] {
        again(&world, token).await.expect(code);
    }
    assert_all(&world);
    let stats = simulator.stats().endpoints["list"].clone();
    assert_eq!((stats.pages, stats.duplicates, stats.errors_of("unauthorized")), (10, 0, 2));
    world.finish().await;
}

#[tokio::test]
async fn a_list_of_who_slows_down_when_busy_comes_whole() {
    let pages = format!("offset: start, total: \"$.total\", {SIZE}");
    let stats = comes_whole(list().offset("start").total_in_body("$.total"), "slow_when_busy=2x20ms", &pages, "").await;
    assert_eq!((stats.pages, stats.duplicates), (10, 0));
}

#[tokio::test]
async fn an_outage_is_waited_out() {
    let retry = "retry: { attempts: 20, base: 50ms, cap: 200ms }\n";
    let pages = format!("offset: start, total: \"$.total\", {SIZE}");
    let stats = comes_whole(list().offset("start").total_in_body("$.total"), "outage=0ms+500ms", &pages, retry).await;
    assert_eq!(stats.duplicates, 0);
    assert!(stats.errors_of("outage") > 0);
}

#[tokio::test]
async fn a_total_that_is_told_too_high_costs_calls_and_no_items() {
    for lie in ["total_lies=+100", "total_lies=x2"] {
        let pages = format!("offset: start, total: \"$.total\", {SIZE}");
        let stats = comes_whole(list().offset("start").total_in_body("$.total"), lie, &pages, "").await;
        assert!(stats.requests <= 25, "{lie}: {stats:?}");
    }
}

#[tokio::test]
async fn a_total_that_is_told_too_low_is_found_out_by_a_last_page_that_is_full() {
    for lie in ["total_lies=-30", "total_lies=x0.5"] {
        let pages = format!("offset: start, total: \"$.total\", {SIZE}");
        let stats = comes_whole(list().offset("start").total_in_body("$.total"), lie, &pages, "").await;
        assert_eq!((stats.requests, stats.duplicates), (11, 0), "{lie}: ten pages and a blank one");
    }
}

#[tokio::test]
async fn a_total_that_is_told_too_low_and_ends_with_a_page_is_believed() {
    let simulator = start(list().offset("start").total_in_body("$.total"), "total_lies=-35").await;
    let (world, report) = pull(&simulator, &format!("offset: start, total: \"$.total\", {SIZE}"), "", 0).await;
    assert_eq!((report.number("/items"), simulator.stats().endpoints["list"].requests), (60, 6));
    world.finish().await;
}

#[tokio::test]
async fn cursors_that_loop_are_ended_by_a_guard_that_is_named() {
    let simulator = start(by_cursor(), "cursor_loops=4").await;
    let (world, report) = pull(&simulator, &format!("cursor: cursor, next: \"$.next\", {SIZE}"), "", 0).await;
    assert_eq!(report.json()["steps"][0]["guards"], json!([["repeated_pointer", 1]]));
    assert_same(world.ids(OUT), (1..=50).map(|id| id.to_string()).collect());
    world.finish().await;
}

#[tokio::test]
async fn next_addresses_without_the_page_size_lose_nothing() {
    for (list, pages) in [
        (list().link(), format!("link: next, {SIZE}")),
        (list().next_url("$.next"), format!("next_url: \"$.next\", {SIZE}")),
    ] {
        comes_whole(list, "next_drops_limit", &pages, "").await;
    }
}

#[tokio::test]
async fn answers_that_break_or_lie_are_asked_for_again() {
    let retry = "retry: { attempts: 20, base: 20ms, cap: 100ms }\n";
    for (quirk, kind) in
        [("two_hundred_with_error=0.5", "error_in_200"), ("truncated=0.5", "truncated"), ("slow_body=0.2", "slow_body")]
    {
        let pages = format!("cursor: cursor, next: \"$.next\", {SIZE}");
        let stats = comes_whole(by_cursor(), quirk, &pages, retry).await;
        assert!(stats.errors_of(kind) > 0, "{quirk}: {stats:?}");
    }
}

#[tokio::test]
async fn a_last_page_that_names_a_next_one_costs_one_blank_page() {
    let pages = format!("cursor: cursor, next: \"$.next\", {SIZE}");
    let stats = comes_whole(by_cursor(), "last_page_has_cursor", &pages, "").await;
    assert_eq!(stats.requests, 11);
    let shape = Shape { has_more: Some("$.more".into()), ..Shape::default() };
    let by_last = EndpointSpec { shape: Some(shape), ..list().last_id("after") };
    let pages = format!("cursor: after, next: {{ last_item: \"$.id\" }}, has_more: \"$.more\", {SIZE}");
    assert_eq!(comes_whole(by_last, "last_page_has_cursor", &pages, "").await.requests, 11);
}

#[test]
fn every_quirk_is_tried_here_and_described() {
    let (tests, page) = (include_str!("quirks.rs"), include_str!("../../../docs/simulator.md"));
    for name in Quirks::NAMES {
        assert!(tests.contains(&format!("\"{name}")), "{name} is not tried");
        assert!(page.contains(&format!("`{name}`")), "{name} is not described");
    }
}
