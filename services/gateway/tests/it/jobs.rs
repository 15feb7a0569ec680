//! Submitting jobs, and looking at them.

use reqwest::Method;
use serde_json::json;
use tidegate_bus::Bus as _;
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{JobId, Message};
use tidegate_ledger::Ledger as _;
use tidegate_specs::StoredSpec;

use crate::world::{JOB, PROVIDER, World};

#[tokio::test]
async fn a_job_is_stored_before_it_is_answered_for_and_the_planner_is_told() {
    let world = World::start().await;
    world.put_shop().await;
    let mut outcomes = world.bus.consume(&Queue::Outcomes, 1).await.unwrap();
    let got = world.ask(Method::POST, "/v1/jobs").json(JOB).send().await;
    assert_eq!(got.status, 202);
    let id: JobId = got.json()["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        (got.header("location"), got.json()["location"].as_str()),
        (&*format!("/v1/jobs/{id}"), Some(&*format!("/v1/jobs/{id}")))
    );
    let row = world.ledger.job(id).await.unwrap().unwrap();
    assert_eq!((row.tenant.as_str(), row.name.as_str(), row.provider.as_str()), ("a", "shop", "shop"));
    let delivery = outcomes.next().await.unwrap();
    assert!(matches!(&delivery.envelope.message, Message::JobSubmitted(told) if told.job == id));
    let shown = world.get(got.header("location")).await.json();
    assert_eq!((&shown["state"], &shown["counts"]["calls_planned"]), (&json!("submitted"), &json!(0)));
}

#[tokio::test]
async fn a_job_may_be_yaml_and_bring_its_provider() {
    let world = World::start().await;
    let body = "name: Orders\nprovider:\n  tidegate: 1\n  provider: own\n  base_url: https://own.example\n  endpoints: { all: { get: /all } }\nlane: bulk\nsteps:\n  - { id: all, call: all }\n";
    let got = world.ask(Method::POST, "/v1/jobs").body("application/yaml", body).send().await;
    assert_eq!(got.status, 202, "{got:?}");
    let shown = world.get(got.header("location")).await.json();
    assert_eq!((&shown["name"], &shown["provider"], &shown["lane"]), (&json!("Orders"), &json!("own"), &json!("bulk")));
}

#[tokio::test]
async fn a_stored_provider_brings_what_it_extends_among_the_tenants_own() {
    let world = World::start().await;
    let family = r#"{"tidegate": 1, "provider": "family", "headers": {"X-Family": "yes"}}"#;
    assert_eq!(world.ask(Method::PUT, "/v1/providers/family").json(family).send().await.status, 201);
    let child = PROVIDER.replace("\"base_url\"", "\"extends\": \"family\", \"base_url\"");
    assert_eq!(world.ask(Method::PUT, "/v1/providers/shop").json(child).send().await.status, 201);
    let got = world.ask(Method::POST, "/v1/jobs").json(JOB).send().await;
    let id: JobId = got.json()["id"].as_str().unwrap().parse().unwrap();
    let spec: StoredSpec = serde_json::from_str(&world.ledger.spec(id).await.unwrap().unwrap().spec).unwrap();
    assert_eq!((spec.provider.headers["X-Family"].as_str(), spec.provider.extends), ("yes", None));
}

#[tokio::test]
async fn the_same_key_with_the_same_body_is_the_same_job() {
    let world = World::start().await;
    world.put_shop().await;
    let submit = |key: &str, body: &str| {
        world.ask(Method::POST, "/v1/jobs").header("idempotency-key", key).json(body.to_owned()).send()
    };
    let first = submit("one", JOB).await;
    let again = submit("\"one\"", JOB).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (202, 202));
    assert_eq!((first.header("idempotency-replayed"), again.header("idempotency-replayed")), ("", "true"));
    assert_eq!((first.json(), first.header("location")), (again.json(), again.header("location")));
    let other = submit("one", &JOB.replace("}", " }")).await;
    assert_eq!(other.problem(422), "idempotency-key-reused");
    let others = submit("two", JOB).await;
    assert_ne!(first.json()["id"], others.json()["id"]);
    assert_eq!(world.get("/v1/jobs").await.json()["jobs"].as_array().unwrap().len(), 2);
    for key in ["", "  ", "two words", "k\u{e4}se", &"x".repeat(256), "\"\""] {
        assert_eq!(submit(key, JOB).await.problem(400), "bad-idempotency-key", "{key:?}");
    }
    assert_eq!(submit(&"x".repeat(255), JOB).await.status, 202);
    let twice = world.ask(Method::POST, "/v1/jobs").header("idempotency-key", "a").header("idempotency-key", "b");
    assert_eq!(twice.json(JOB).send().await.problem(400), "bad-idempotency-key");
}

#[tokio::test]
async fn a_key_that_is_being_worked_on_is_a_conflict() {
    let world = World::start().await;
    world.put_shop().await;
    // Nothing can be written while this is held: the first request is in hand for so long.
    let url = format!("sqlite://{}", world.dir.path().join("state.db").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let held = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let submit = || Box::pin(world.ask(Method::POST, "/v1/jobs").header("idempotency-key", "one").json(JOB).send());
    // One of the two is in hand for as long as the ledger is held, so the other is answered first.
    let (refused, in_hand) = futures_util::future::select(submit(), submit()).await.factor_first();
    assert_eq!((refused.problem(409), refused.header("retry-after")), ("in-flight".to_owned(), "1"));
    held.rollback().await.unwrap();
    let taken = in_hand.await;
    assert_eq!(taken.status, 202, "{taken:?}");
    assert_eq!(submit().await.json()["id"], taken.json()["id"]);
}

#[tokio::test]
async fn many_at_once_with_one_key_make_one_job() {
    let world = World::start().await;
    world.put_shop().await;
    let submit = |_| world.ask(Method::POST, "/v1/jobs").header("idempotency-key", "one").json(JOB).send();
    let all = futures_util::future::join_all((0..20).map(submit)).await;
    let new = all.iter().filter(|got| got.status == 202 && got.header("idempotency-replayed").is_empty()).count();
    assert_eq!(new, 1);
    assert!(all.iter().all(|got| got.status == 202 || got.problem(409) == "in-flight"));
    assert_eq!(world.get("/v1/jobs").await.json()["jobs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn jobs_come_newest_first_by_pages_and_filters() {
    let world = World::start().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        world.pass(10);
        ids.push(world.submit().await);
    }
    world.begin(ids[3], 1).await;
    let mut seen = Vec::new();
    let mut path = "/v1/jobs?limit=2".to_owned();
    loop {
        let page = world.get(&path).await.json();
        seen.extend(page["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/jobs?limit=2&after={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = ids.iter().rev().map(ToString::to_string).collect();
    assert_eq!(seen, expected, "each once, and the last page has no next");
    for (query, expected) in [
        ("state=running", 1),
        ("state=submitted,running", 5),
        ("state=succeeded", 0),
        ("provider=shop", 5),
        ("provider=bank", 0),
        ("name=shop&state=submitted", 4),
        ("limit=5", 5),
    ] {
        let page = world.get(&format!("/v1/jobs?{query}")).await.json();
        assert_eq!((page["jobs"].as_array().unwrap().len(), &page["next"]), (expected, &json!(null)), "{query}");
    }
}

#[tokio::test]
async fn a_job_shows_its_steps_and_what_failed_and_its_tree() {
    let world = World::start().await;
    let job = world.submit().await;
    let calls = world.begin(job, 5).await;
    world.succeed(&calls[0], "{\"n\":1}\n{\"n\":2}\n").await;
    world.fail(&calls[1], "no such order").await;
    world.fail(&calls[2], "no such order").await;
    let shown = world.get(&format!("/v1/jobs/{job}")).await.json();
    assert_eq!(shown["state"], "running");
    let counts = &shown["counts"];
    assert_eq!(
        (&counts["calls_planned"], &counts["calls_open"], &counts["calls_failed"], &counts["items"]),
        (&json!(5), &json!(2), &json!(2), &json!(2))
    );
    assert_eq!((&shown["steps"][0]["step"], &shown["steps"][0]["calls_failed"]), (&json!("orders"), &json!(2)));
    assert_eq!(shown["economy"], json!([{ "step": "orders", "calls": 3, "fewest": 1 }]));
    let failure = &shown["failures"][0];
    assert_eq!(
        (&failure["calls"], &failure["message"], &failure["example"]),
        (&json!(2), &json!("no such order"), &json!({}))
    );
    let tree = world.get(&format!("/v1/jobs/{job}/tree")).await.json();
    let root = &tree["fetches"][0];
    assert_eq!(
        (&root["step"], &root["calls_open"], &root["params"], &tree["next"]),
        (&json!("orders"), &json!(2), &json!({}), &json!(null))
    );
    let below = world.get(&format!("/v1/jobs/{job}/tree?parent={}", root["id"].as_str().unwrap())).await.json();
    assert_eq!(below["fetches"], json!([]));
    assert_eq!(world.get(&format!("/v1/jobs/{job}/tree?step=others")).await.json()["fetches"], json!([]));
    let mut pages = Vec::new();
    let mut query = "limit=1".to_owned();
    loop {
        let page = world.get(&format!("/v1/jobs/{job}/failures?{query}")).await.json();
        pages.extend(page["calls"].as_array().unwrap().iter().map(|call| call["page"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => query = format!("limit=1&after={next}"),
            None => break,
        }
    }
    assert_eq!(pages, ["page 2", "page 3"]);
    let root = root["id"].as_str().unwrap();
    for (query, calls) in
        [(format!("fetch={root}"), 2), (format!("fetch={root}&class=quota_exhausted"), 0), ("step=others".into(), 0)]
    {
        let found = world.get(&format!("/v1/jobs/{job}/failures?{query}")).await.json();
        assert_eq!(found["calls"].as_array().unwrap().len(), calls, "{query}");
    }
}
