//! Each lasting fault, as a client sees it.

use std::io::Read;

use tidegate_simulator::{EndpointSpec, Faults, Lies, Running, Simulator, SimulatorSpec, TotalLie};

use crate::client::{encoded, get};

async fn start(endpoint: EndpointSpec, faults: Faults) -> Running {
    Simulator::start(&SimulatorSpec::seeded(7).with("users", endpoint.items(50).faults(faults))).await.unwrap()
}

fn by_cursor() -> EndpointSpec {
    EndpointSpec::at("/users").cursor("after", "$.next").size("n", 10)
}

/// First id, if any, and the next cursor of the first `pages` pages.
async fn walk(lies: Lies, pages: usize) -> Vec<(Option<String>, String)> {
    let running = start(by_cursor(), Faults { lies, ..Faults::default() }).await;
    let (mut path, mut seen) = ("/users?n=10".to_owned(), Vec::new());
    while seen.len() < pages {
        let answer = get(&running, &path).await;
        let next = answer.json()["next"].as_str().expect("the list has no end").to_owned();
        path = format!("/users?n=10&after={}", encoded(&next));
        seen.push((answer.ids().first().cloned(), next));
    }
    seen
}

#[tokio::test]
async fn cursors_may_lead_in_circles() {
    let seen = walk(Lies { cursor_loop_after: Some(3), ..Lies::default() }, 7).await;
    let firsts: Vec<_> = seen.iter().map(|(first, _)| first.as_deref().unwrap()).collect();
    assert_eq!(firsts, ["1", "11", "21", "31", "21", "31", "21"]);
    assert_eq!(seen[4].1, seen[6].1);
}

#[tokio::test]
async fn a_cursor_may_stay_the_same() {
    let seen = walk(Lies { same_cursor_after: Some(2), ..Lies::default() }, 5).await;
    assert_eq!(seen[2].0.as_deref(), Some("21"));
    assert_eq!((&seen[2], &seen[3]), (&seen[3], &seen[4]));
}

#[tokio::test]
async fn the_last_page_may_come_for_ever_with_new_cursors() {
    let seen = walk(Lies { endless_cursor: true, ..Lies::default() }, 8).await;
    assert!(seen[4..].iter().all(|(first, _)| first.as_deref() == Some("41")));
    assert!(seen[4].1 != seen[5].1 && seen[5].1 != seen[6].1);
}

#[tokio::test]
async fn blank_pages_may_follow_for_ever() {
    let seen = walk(Lies { blank_forever: true, ..Lies::default() }, 8).await;
    assert!(seen[5..].iter().all(|(first, _)| first.is_none()));
    assert!(seen[5].1 != seen[6].1);
}

#[tokio::test]
async fn a_total_may_be_wrong_and_an_address_lead_elsewhere() {
    let lies = Lies {
        total: Some(TotalLie::Times(2.0)),
        next_to_other_host: Some("http://169.254.169.254".into()),
        ..Lies::default()
    };
    let running = start(
        EndpointSpec::at("/users").next_url("$.next").size("n", 10).total_in_body("$.total"),
        Faults { lies, ..Faults::default() },
    )
    .await;
    let json = get(&running, "/users?n=10").await.json();
    assert_eq!(json["total"], 100);
    assert!(json["next"].as_str().unwrap().starts_with("http://169.254.169.254/users?"), "{json}");
}

#[tokio::test]
async fn too_large_a_page_is_refused_until_a_smaller_one_is_asked_for() {
    let running = start(by_cursor(), Faults { too_much_above: Some(5), ..Faults::default() }).await;
    for _ in 0..3 {
        assert_eq!(get(&running, "/users?n=10").await.status, 413);
    }
    assert_eq!(get(&running, "/users?n=5").await.ids().len(), 5);
    assert_eq!(running.stats().endpoints["users"].errors_of("too_much_data"), 3);
}

#[tokio::test]
async fn a_share_of_the_parents_does_not_exist() {
    let posts = EndpointSpec::at("/users/{id}/posts").items(3).faults(Faults { not_found: 0.3, ..Faults::default() });
    let running = Simulator::start(&SimulatorSpec::seeded(7).with("posts", posts)).await.unwrap();
    let mut lost = 0;
    for parent in 0..60 {
        let status = get(&running, &format!("/users/{parent}/posts")).await.status;
        assert_eq!(status == 404, running.ids("posts", &parent.to_string()).is_empty());
        assert_eq!(get(&running, &format!("/users/{parent}/posts")).await.status, status, "it lasts");
        lost += u32::from(status == 404);
    }
    assert!((8..30).contains(&lost), "{lost}");
}

#[tokio::test]
async fn a_redirect_leads_where_it_is_told() {
    let running =
        start(by_cursor(), Faults { redirect_to: Some("http://127.0.0.1:1/admin".into()), ..Faults::default() }).await;
    let answer = get(&running, "/users").await;
    assert_eq!((answer.status, answer.header("location")), (302, "http://127.0.0.1:1/admin"));
}

#[tokio::test]
async fn a_gzip_bomb_is_small_until_it_is_unpacked() {
    let bytes = 50_000_000;
    let running = start(by_cursor(), Faults { gzip_bomb_bytes: Some(bytes), ..Faults::default() }).await;
    let answer = get(&running, "/users").await;
    assert!(
        answer.whole && answer.header("content-encoding") == "gzip" && answer.body.len() < 100_000,
        "{}",
        answer.body.len()
    );
    let mut unpacked = flate2::read::GzDecoder::new(answer.body.as_slice());
    assert_eq!(std::io::copy(&mut unpacked.by_ref(), &mut std::io::sink()).unwrap(), bytes);
}

#[tokio::test]
async fn a_huge_body_is_as_large_as_told_and_does_not_say_so() {
    let running = start(by_cursor(), Faults { huge_body_bytes: Some(3_000_000), ..Faults::default() }).await;
    let answer = get(&running, "/users").await;
    assert!(answer.whole && !answer.headers.contains_key("content-length"));
    assert_eq!(answer.body.len(), 3_000_000);
}
