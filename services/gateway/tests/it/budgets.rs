//! What keys may see and change of the budgets that calls are held to.

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_gateway::Config;
use tidegate_limits::{Charge, Decision, Question, Rate, Why};

use crate::world::{NOW, World};

pub(crate) const OWN: &str = "{shop}/token/credential=alice,of=a";
pub(crate) const SHARED: &str = "{shop}/address/egress=default";

fn charge(key: &str) -> Charge {
    let limit = key.split('/').nth(1).unwrap().to_owned();
    Charge {
        limit,
        key: key.to_owned(),
        rate: Rate::Bucket { calls: 5, restore_per_s: 0.001 },
        cost: 1,
        headroom: None,
    }
}

pub(crate) async fn ask(world: &World, key: &str) -> Decision {
    let question = Question::new(vec![charge(key)]);
    world.arbiter.ask(vec![question]).await.unwrap().remove(0)
}

async fn put(world: &World, key: &str, wanted: &Value) -> crate::world::Got {
    world.bare(Method::PUT, "/v1/limits/overrides").key(key).json(wanted.to_string()).send().await
}

fn keys(got: &crate::world::Got) -> Vec<String> {
    let json = got.json();
    json["budgets"].as_array().unwrap().iter().map(|budget| budget["key"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_tenant_sees_its_own_budgets_and_shared_ones_in_pages() {
    let world = World::start().await;
    for key in [OWN, SHARED, "{shop}/token/credential=alice,of=b"] {
        ask(&world, key).await;
    }
    let all = world.get("/v1/limits").await;
    assert_eq!((keys(&all), &all.json()["next"]), (vec![SHARED.to_owned(), OWN.to_owned()], &Value::Null));
    assert_eq!(all.json()["budgets"][0]["used"], 1);
    let first = world.get("/v1/limits?limit=1").await;
    assert_eq!((keys(&first), &first.json()["next"]), (vec![SHARED.to_owned()], &json!(SHARED)));
    assert_eq!(keys(&world.get("/v1/limits?limit=1&after=%7Bshop%7D%2Faddress%2Fegress%3Ddefault").await), [OWN]);
    assert_eq!(keys(&world.get("/v1/limits?id=token").await), [OWN]);
    assert!(keys(&world.get("/v1/limits?provider=other").await).is_empty());
    assert!(keys(&world.get("/v1/limits?blocked=true").await).is_empty());
    let operator = world.tenant("default").await;
    assert_eq!(keys(&world.bare(Method::GET, "/v1/limits").key(&operator).send().await).len(), 3);
}

#[tokio::test]
async fn who_owns_a_budget_pauses_it_and_the_operator_what_is_shared() {
    let world = World::with(Config { operator: "ops".to_owned(), ..Config::default() }).await;
    let operator = world.tenant("ops").await;
    let pause = |key: &str| json!({ "key": key, "does": "pause", "reason": "maintenance", "until_ms": NOW + 60_000 });
    assert_eq!(put(&world, &world.key, &pause(SHARED)).await.problem(403), "forbidden");
    assert_eq!(put(&world, &world.key, &pause("{shop}/")).await.problem(403), "forbidden");
    assert_eq!(put(&world, &world.key, &pause(OWN)).await.status, 200);
    let Decision::Wait { why, until_ms, .. } = ask(&world, OWN).await else { panic!("it is paused") };
    let paused = Why::Paused { reason: "maintenance".into(), until_ms: Some(NOW + 60_000) };
    assert_eq!((why, until_ms), (Some(paused), NOW + 15_000));
    assert!(matches!(ask(&world, SHARED).await, Decision::Granted(_)));

    assert_eq!(put(&world, &operator, &pause("{shop}/")).await.status, 200);
    assert!(matches!(ask(&world, SHARED).await, Decision::Wait { .. }));
    let shown = world.get("/v1/limits?blocked=true").await;
    assert_eq!((keys(&shown).len(), shown.json()["overrides"].as_array().unwrap().len()), (1, 2), "{shown:?}");

    let end = async |key: &str, target: &str| {
        world.bare(Method::DELETE, &format!("/v1/limits/overrides?key={target}&does=pause")).key(key).send().await
    };
    assert_eq!(end(&world.key, "%7Bshop%7D%2F").await.problem(403), "forbidden");
    assert_eq!(end(&operator, "%7Bshop%7D%2F").await.status, 204);
    assert_eq!(end(&operator, "%7Bshop%7D%2F").await.problem(404), "not-found");
    assert!(matches!(ask(&world, SHARED).await, Decision::Granted(_)));
}

#[tokio::test]
async fn an_override_that_makes_no_sense_is_refused_with_its_field() {
    let world = World::start().await;
    let rate = |calls| json!({ "rate": { "window": { "calls": calls, "per": "1m" } } });
    let wanted =
        |key: &str, does: Value, until_ms| json!({ "key": key, "does": does, "reason": "x", "until_ms": until_ms });
    for (wanted, pointer) in [
        (wanted("shop", json!("pause"), NOW + 1), "/key"),
        (wanted(OWN, json!("pause"), NOW), "/until_ms"),
        (wanted(OWN, rate(0), NOW + 1), "/does/rate/window/calls"),
        (wanted("{shop}/", rate(1), NOW + 1), "/key"),
        (json!({ "key": OWN, "does": "pause", "reason": "" }), "/reason"),
    ] {
        let refused = put(&world, &world.key, &wanted).await;
        assert_eq!(
            (refused.problem(422).as_str(), refused.pointers()),
            ("invalid", vec![pointer.to_owned()]),
            "{wanted}"
        );
    }
    assert_eq!(put(&world, &world.key, &wanted(OWN, rate(1), NOW + 1_000)).await.status, 200);
    ask(&world, OWN).await;
    assert!(matches!(ask(&world, OWN).await, Decision::Wait { .. }), "one a minute instead of a burst of five");
    let reader = world.key("a", &[tidegate_registry::Scope::Read], None).await;
    assert_eq!(put(&world, &reader, &wanted(OWN, rate(1), NOW + 1_000)).await.problem(403), "forbidden");
}
