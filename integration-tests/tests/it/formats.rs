//! Items as CSV and as a JSON array, from a run, a state file and a gateway.

use serde_json::Value;
use tidegate_simulator::{EndpointSpec, Running, Simulator, SimulatorSpec};

use crate::client::fixture::{Served, everything, third_party};
use crate::process::Finished;
use crate::world::{JOB, STATE, World, assert_same, ids};

const ENDPOINTS: &str = r#"
endpoints:
  users: { get: /users, items: "$.items[*]", key: "$.id", pages: { offset: offset, size: { param: limit, max: 100 }, total: "$.total" } }
"#;
const STEPS: &str = "steps: [ { id: users, call: users } ]\n";
/// A user with what CSV has to quote.
const USER: &str =
    r#"{ "id": "{{id}}", "name": "O\"Neil, {{n}}\r\n=1+1", "home": { "city": "Ulm", "geo": [1.5, 2] } }"#;

async fn users(count: u64) -> (World, Running) {
    let item = serde_json::from_str(USER).unwrap();
    let users = EndpointSpec::at("/users").items(count).item(item).offset("offset").size("limit", 100);
    let spec = SimulatorSpec::seeded(7).with("users", users.total_in_body("$.total"));
    let simulator = Simulator::start(&spec).await.unwrap();
    (World::with(&simulator.base_url(), ENDPOINTS, STEPS), simulator)
}

/// Fields of a line without quotes in it.
fn first_cells(csv: &str) -> Vec<String> {
    csv.lines().skip(1).filter_map(|line| Some(line.split_once(",\"O\"\"Neil")?.0.to_owned())).collect()
}

async fn run(world: &World, more: &[&str]) -> Finished {
    world.run(&[&["run", JOB, "-q", "--allow-private=127.0.0.0/8"], more].concat()).await
}

#[tokio::test]
async fn a_run_writes_csv_and_an_array_by_the_ending_of_the_file() {
    let (world, simulator) = users(2_500).await;
    run(&world, &["-o", "out.csv"]).await.expect(0);
    let csv = world.read("out.csv");
    assert!(csv.starts_with("id,name,home,_rest\r\n"), "{}", &csv[..40]);
    assert!(csv.contains(r#","{""city"":""Ulm"",""geo"":[1.5,2]}","#), "{}", &csv[..200]);
    assert!(csv.contains("\r\n=1+1\""), "a formula is left as it is");
    assert_same(first_cells(&csv), simulator.ids("users", ""));

    run(&world, &["-o", "out.json"]).await.expect(0);
    let array: Vec<Value> = serde_json::from_str(&world.read("out.json")).unwrap();
    assert_same(ids(&array), simulator.ids("users", ""));

    run(&world, &["-o", "out/", "--format", "csv", "--columns", "home.city,id"]).await.expect(0);
    let named = world.read("out/users.csv");
    assert!(named.starts_with("home.city,id\r\nUlm,") && named.lines().count() == 2_501, "{}", &named[..40]);

    let held =
        world.run(&["items", STATE, "--format", "csv", "--columns", "id", "--with-origin"]).await.expect(0).stdout;
    assert!(held.starts_with("_step,_params,id\r\nusers,{},"), "{}", &held[..40]);
    assert_eq!(held.lines().count(), 2_501);
    assert_eq!(world.files(".part").len(), 0);
    world.finish().await;
}

#[tokio::test]
async fn a_format_or_columns_that_cannot_be_are_refused_before_anything_is_called() {
    let (world, simulator) = users(10).await;
    for (more, text) in [
        (&["--format", "xml"][..], "expected ndjson, csv or json"),
        (&["--columns", "id,,x"][..], "found an empty one"),
        (&["--columns", "id,id"][..], "id is named twice"),
    ] {
        let refused = run(&world, &[&["-o", "out.csv"], more].concat()).await.expect(2);
        assert!(refused.stderr.contains(text), "{}", refused.stderr);
    }
    assert_eq!(simulator.stats().sum(|endpoint| endpoint.requests), 0);
    world.finish().await;
}

#[tokio::test]
async fn a_gateways_items_come_in_each_format() {
    let (served, simulator) = Served::before(&third_party(30, 0), "").await;
    let job = served.submit().await;
    served.run(&["watch", &job]).await.expect(0);
    let array: Vec<Value> = serde_json::from_str(&served.says(&["items", &job, "--format", "json"]).await).unwrap();
    assert_same(ids(&array), everything(&simulator));
    served.run(&["items", &job, "-o", "users.csv", "--step", "users", "--columns", "id"]).await.expect(0);
    let csv = served.world.read("users.csv");
    assert_eq!(csv.lines().next(), Some("id"));
    assert_same(csv.lines().skip(1).map(str::to_owned).collect(), simulator.ids("users", ""));
    let origin =
        served.says(&["items", &job, "--format", "csv", "--columns", "id", "--with-origin", "--step", "posts"]).await;
    assert!(origin.starts_with("_step,_params,id\r\nposts,\"{\"\"id\"\":"), "{}", &origin[..60]);
    served.finish().await;
}
