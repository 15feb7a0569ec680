//! The seed alone says what is served and what goes wrong.

use std::collections::BTreeMap;

use tidegate_simulator::{EndpointSpec, Faults, Running, Simulator, SimulatorSpec};

use crate::client::call;

fn spec(seed: u64) -> SimulatorSpec {
    let faults = Faults { error_500: 0.2, error_503: 0.2, html: 0.1, truncated: 0.1, reset: 0.1, ..Faults::default() };
    let users = EndpointSpec::at("/users").items(400).offset("offset").size("n", 10).faults(faults);
    SimulatorSpec::seeded(seed).with("users", EndpointSpec { short_pages: Some(0.3), ..users })
}

/// What each of three attempts at each page came to, by path.
async fn outcomes(running: &Running, offsets: impl Iterator<Item = u32>) -> BTreeMap<(u32, u32), String> {
    let mut seen = BTreeMap::new();
    for offset in offsets {
        for attempt in 0..3 {
            let answer = call(running, &format!("GET /users?n=10&offset={offset}"), "", "").await;
            let outcome =
                answer.map_or_else(|_| "reset".to_owned(), |answer| format!("{} {}", answer.status, answer.text()));
            seen.insert((offset, attempt), outcome);
        }
    }
    seen
}

#[tokio::test]
async fn two_simulators_of_one_seed_answer_alike_in_any_order() {
    let (one, other) = (Simulator::start(&spec(7)).await.unwrap(), Simulator::start(&spec(7)).await.unwrap());
    let forwards = outcomes(&one, (0..40).map(|page| page * 10)).await;
    let backwards = outcomes(&other, (0..40).rev().map(|page| page * 10)).await;
    assert_eq!(forwards, backwards);
    assert_eq!(one.ids("users", ""), other.ids("users", ""));
    assert_eq!(one.stats().endpoints["users"].errors, other.stats().endpoints["users"].errors);
}

#[tokio::test]
async fn another_seed_answers_otherwise() {
    let (one, other) = (Simulator::start(&spec(7)).await.unwrap(), Simulator::start(&spec(8)).await.unwrap());
    let pages = || (0..40).map(|page| page * 10);
    assert_ne!(outcomes(&one, pages()).await, outcomes(&other, pages()).await);
}

#[tokio::test]
async fn after_a_reset_all_comes_again() {
    let running = Simulator::start(&spec(7)).await.unwrap();
    let pages = || (0..10).map(|page| page * 10);
    let first = outcomes(&running, pages()).await;
    let stats = running.stats().endpoints["users"].clone();
    assert_ne!(outcomes(&running, pages()).await, first, "faults cease");
    running.reset();
    assert_eq!(outcomes(&running, pages()).await, first);
    let again = running.stats().endpoints["users"].clone();
    assert_eq!((again.requests, again.ok, &again.errors), (stats.requests, stats.ok, &stats.errors));
}

#[tokio::test]
async fn a_page_is_served_after_the_most_faults_it_meets() {
    let faults = Faults { error_500: 1.0, max_faults_per_page: 3, ..Faults::default() };
    let spec = SimulatorSpec::seeded(1)
        .with("users", EndpointSpec::at("/users").offset("offset").size("n", 10).faults(faults));
    let running = Simulator::start(&spec).await.unwrap();
    for path in ["/users?n=10", "/users?n=10&offset=10"] {
        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(call(&running, &format!("GET {path}"), "", "").await.unwrap().status);
        }
        assert_eq!(statuses, [500, 500, 500, 200]);
    }
}
