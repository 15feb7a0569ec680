//! Lists that never end by themselves: a guard ends the fetch, the report names it, and what came is kept.

use serde_json::json;
use tidegate_simulator::{EndpointSpec, EndpointStats, Faults, Lies, Simulator, SimulatorSpec};

use crate::process::Finished;
use crate::world::{OUT, World, assert_same};

const CURSOR: &str = r#"pages: { cursor: cursor, next: "$.next", size: { param: limit, max: 10 } }"#;

fn list() -> EndpointSpec {
    EndpointSpec::at("/list").items(45)
}

fn chain(lies: Lies) -> EndpointSpec {
    let chain = list().cursor("cursor", "$.next").size("limit", 10);
    chain.faults(Faults { lies, ..Faults::default() })
}

/// Pulls a list that tells lies; each item comes out once, however often it came.
async fn pull(endpoint: EndpointSpec, pages: &str, expected: u64) -> (EndpointStats, Finished) {
    let simulator = Simulator::start(&SimulatorSpec::seeded(1).with("list", endpoint)).await.unwrap();
    let provider = format!("endpoints:\n  list: {{ get: /list, items: \"$.items[*]\", key: \"$.id\", {pages} }}");
    let world = World::with(&simulator.base_url(), &provider, "steps: [{ id: list, call: list }]");
    let report = world.job(&[]).await.expect(0);
    assert_same(world.ids(OUT), (1..=expected).map(|id| id.to_string()).collect());
    let stats = simulator.stats().endpoints["list"].clone();
    assert_eq!(report.number("/run/written") + report.number("/run/duplicates"), stats.items);
    world.finish().await;
    (stats, report)
}

/// The one guard that stopped the one fetch, and the report for people says so.
#[track_caller]
fn assert_guard(report: &Finished, guard: &str) {
    assert_eq!(report.json()["steps"][0]["guards"], json!([[guard, 1]]), "{}", report.json());
}

#[tokio::test]
async fn a_page_that_names_itself_as_the_next_one_ends_the_list() {
    let (stats, report) = pull(chain(Lies { same_cursor_after: Some(2), ..Lies::default() }), CURSOR, 30).await;
    assert_guard(&report, "repeated_pointer");
    assert_eq!(stats.requests, 3);
}

#[tokio::test]
async fn pages_that_name_each_other_for_ever_end_the_list() {
    let (stats, report) = pull(chain(Lies { cursor_loop_after: Some(3), ..Lies::default() }), CURSOR, 40).await;
    assert_guard(&report, "repeated_pointer");
    assert_eq!(stats.requests, 4);
}

#[tokio::test]
async fn a_page_that_comes_again_under_new_cursors_ends_the_list() {
    let (stats, report) = pull(chain(Lies { endless_cursor: true, ..Lies::default() }), CURSOR, 45).await;
    assert_guard(&report, "repeated_page");
    assert_eq!((stats.requests, report.number("/run/duplicates")), (6, 5));
}

#[tokio::test]
async fn a_last_page_that_stands_for_all_offsets_beyond_it_ends_the_list() {
    let lies = Lies { endless_cursor: true, ..Lies::default() };
    let endless = list().offset("offset").size("limit", 10).faults(Faults { lies, ..Faults::default() });
    let pages = "pages: { offset: offset, size: { param: limit, max: 10 }, parallel: 3 }";
    let (stats, report) = pull(endless, pages, 45).await;
    assert_guard(&report, "repeated_page");
    assert!(stats.requests <= 5 + 2 * 3, "{stats:?}");
}

#[tokio::test]
async fn blank_pages_for_ever_end_with_the_first_one() {
    let (stats, report) = pull(chain(Lies { blank_forever: true, ..Lies::default() }), CURSOR, 45).await;
    assert_eq!(report.json()["steps"][0]["guards"], json!([]));
    assert_eq!(stats.requests, 6);
}

#[tokio::test]
async fn blank_pages_for_ever_end_at_the_cap_where_blank_pages_end_nothing() {
    let pages = CURSOR.replace("cursor: cursor", "cursor: cursor, blank_page_ends: false, max_pages: 20");
    let (stats, report) = pull(chain(Lies { blank_forever: true, ..Lies::default() }), &pages, 45).await;
    assert_guard(&report, "page_cap");
    assert_eq!(stats.requests, 20);
}

#[tokio::test]
async fn no_list_has_more_pages_than_its_cap() {
    for (endpoint, pages) in [
        (chain(Lies::default()), CURSOR.replace("cursor: cursor", "cursor: cursor, max_pages: 3")),
        (
            list().offset("offset").size("limit", 10).total_in_body("$.total"),
            r#"pages: { offset: offset, size: { param: limit, max: 10 }, total: "$.total", max_pages: 3 }"#.to_owned(),
        ),
        (
            list().page_number("page", 1).size("limit", 10),
            "pages: { page: page, size: { param: limit, max: 10 }, parallel: 2, max_pages: 3 }".to_owned(),
        ),
    ] {
        let (stats, report) = pull(endpoint, &pages, 30).await;
        assert_guard(&report, "page_cap");
        assert_eq!(stats.requests, 3, "{pages}");
    }
}

#[tokio::test]
async fn a_total_beyond_all_reason_costs_no_more_than_the_cap() {
    let lies = Lies { total: Some(serde_json::from_str("\"+1000000000\"").unwrap()), ..Lies::default() };
    let boasting = list().offset("offset").size("limit", 10).total_in_body("$.total");
    let pages = r#"pages: { offset: offset, size: { param: limit, max: 10 }, total: "$.total", max_pages: 50 }"#;
    let (stats, report) = pull(boasting.faults(Faults { lies, ..Faults::default() }), pages, 45).await;
    assert_guard(&report, "page_cap");
    assert_eq!(stats.requests, 50);
}

#[tokio::test]
async fn the_report_for_people_says_that_the_list_may_not_be_whole() {
    let endpoint = chain(Lies { same_cursor_after: Some(2), ..Lies::default() });
    let simulator = Simulator::start(&SimulatorSpec::seeded(1).with("list", endpoint)).await.unwrap();
    let provider = format!("endpoints:\n  list: {{ get: /list, items: \"$.items[*]\", {CURSOR} }}");
    let world = World::with(&simulator.base_url(), &provider, "steps: [{ id: list, call: list }]");
    let said = world.run(&["run", "job.yaml", "--allow-private"]).await.expect(0).stderr;
    assert!(said.contains("1 fetch stopped by guard repeated_pointer: the list may not be whole"), "{said}");
    world.finish().await;
}
