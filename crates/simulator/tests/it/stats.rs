//! What was counted is what happened.

use serde_json::json;
use tidegate_simulator::{EndpointSpec, Faults, LimitSpec, Running, Simulator, SimulatorSpec, Stats};

use crate::client::{call, get};

async fn start() -> Running {
    let users =
        EndpointSpec::at("/users").items(25).offset("offset").size("n", 10).limit(LimitSpec::window(100, 60_000));
    let posts = EndpointSpec::at("/users/{id}/posts").items(3).faults(Faults {
        error_500: 1.0,
        max_faults_per_page: 1,
        ..Faults::default()
    });
    Simulator::start(&SimulatorSpec::seeded(7).with("users", users).with("posts", posts)).await.unwrap()
}

#[tokio::test]
async fn pages_items_bytes_and_repetitions_are_counted() {
    let running = start().await;
    let mut bytes = 0;
    for offset in [0, 10, 20, 10, 10] {
        bytes += get(&running, &format!("/users?n=10&offset={offset}")).await.body.len() as u64;
    }
    bytes += get(&running, "/users?n=5").await.body.len() as u64;
    let stats = running.stats();
    let users = &stats.endpoints["users"];
    assert_eq!((users.requests, users.ok, users.pages, users.duplicates, users.items), (6, 6, 4, 2, 50));
    assert_eq!((users.bytes, users.in_flight, users.max_in_flight), (bytes, 0, 1));
    assert!(users.first_call_ms <= users.last_call_ms && users.last_call_ms.is_some());
    assert_eq!((stats.limits["users.0"].granted, stats.limits["users.0"].callers), (6, 1));
    assert_eq!(stats.endpoints["posts"].first_call_ms, None);
}

#[tokio::test]
async fn errors_are_counted_by_kind_and_each_call_once() {
    let running = start().await;
    for (path, status) in [
        ("/users?n=x", 400),
        ("/users/1/posts", 500),
        ("/users/1/posts", 200),
        ("/users/2/posts", 500),
        ("/nothing", 404),
    ] {
        assert_eq!(get(&running, path).await.status, status, "{path}");
    }
    assert_eq!(call(&running, "POST /users", "", "").await.unwrap().status, 404);
    let stats = running.stats();
    assert_eq!(
        (stats.endpoints["users"].errors_of("invalid"), stats.endpoints["posts"].errors_of("error_500")),
        (1, 2)
    );
    assert_eq!(stats.unmatched, 2);
    for endpoint in stats.endpoints.values() {
        assert_eq!(endpoint.requests, endpoint.ok + endpoint.limited + endpoint.errors.values().sum::<u64>());
    }
    assert_eq!(stats.sum(|endpoint| endpoint.requests), 4);
}

#[tokio::test]
async fn the_simulators_own_addresses_tell_the_same_as_the_library() {
    let running = start().await;
    get(&running, "/users?n=10").await;
    let told: Stats = serde_json::from_value(get(&running, "/_simulator/stats").await.json()).unwrap();
    assert_eq!(told, running.stats());
    assert_eq!(get(&running, "/_simulator/ids?endpoint=posts&parent=7").await.json(), json!(running.ids("posts", "7")));
    assert_eq!(running.ids("posts", "7"), ["7.1", "7.2", "7.3"]);
    assert_eq!(get(&running, "/_simulator/ids?endpoint=nothing").await.status, 404);
    let headers = "content-type: application/json\r\n";
    let put = call(&running, "PUT /_simulator/token", headers, r#"{"token":"made-up"}"#).await.unwrap();
    assert_eq!((put.status, get(&running, "/users").await.status), (204, 401));
    assert_eq!(call(&running, "POST /_simulator/reset", "", "").await.unwrap().status, 204);
    assert_eq!(running.stats().sum(|endpoint| endpoint.requests), 0);
}
