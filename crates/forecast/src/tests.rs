use tidegate_contracts::{Fingerprint, Next, PageFacts};
use tidegate_provider::{Caller, Spec};

use super::*;

const PROVIDER: &str = r#"
tidegate: 1
provider: social
base_url: https://social.example
limits:
  - { id: token, window: { calls: 300, per: 5m } }
  - { id: paging, when: "call.page > 1", bucket: { calls: 10, restore_per_s: 2 } }
  - { id: person, key: ["param:id"], endpoints: [statuses], window: { calls: 2, per: 1m } }
  - { id: size, endpoints: [search], cost: "call.size", window: { calls: 1000, per: 1h } }
endpoints:
  followers: { get: /followers, items: "$[*]", pages: { offset: offset, size: { param: limit, max: 80 }, total: { header: X-Total } } }
  search: { get: /search, items: "$[*]", pages: { page: page, size: { param: limit, max: 50 }, parallel: 4 } }
  statuses: { get: "/{id}/statuses", items: "$[*]", pages: { link: next, size: { param: limit, max: 40 } } }
  me: { get: /me }
"#;

fn spec(steps: &str) -> Spec {
    let provider = tidegate_provider::parse_provider(PROVIDER, "social.yaml").unwrap().file;
    let job = format!("provider: social\nsteps:\n{steps}");
    Spec::compile(tidegate_provider::parse_job(&job, "job.yaml").unwrap().file, provider).unwrap()
}

const FOLLOWERS: &str = "  - { id: followers, call: followers }\n";
const STATUSES: &str = "  - { id: statuses, call: statuses, for_each: followers, with: { id: '{{ item.id }}' } }\n";

fn assuming(texts: &[&str]) -> Basis {
    Basis { assumptions: Assumptions::parse(texts.iter().copied()).unwrap(), ..Basis::default() }
}

fn facts(items: u32) -> PageFacts {
    PageFacts {
        items,
        total: None,
        next: None,
        has_more: None,
        fingerprint: Fingerprint(1),
        repeated: false,
        took_ms: None,
        seen: 0,
        ends_seen: false,
    }
}

fn probing(step: &str, facts: PageFacts) -> Basis {
    let probed = Probed { facts, readings: BTreeMap::new() };
    Basis { probed: [(step.to_owned(), probed)].into(), probes: 1, ..Basis::default() }
}

fn of(spec: &Spec, basis: &Basis) -> Forecast {
    forecast(spec, basis, &Caller::default())
}

#[test]
fn what_nobody_knows_is_a_lower_bound_and_says_what_to_do() {
    let forecast = of(&spec(&[FOLLOWERS, STATUSES].concat()), &Basis::default());
    let [followers, statuses] = forecast.steps.as_slice() else { panic!("{forecast:?}") };
    assert_eq!(
        (followers.fetches, followers.pages, followers.calls),
        (Amount::exact(1), Amount::at_least(1), Amount::at_least(1))
    );
    assert_eq!(followers.basis, "length not known; --probe or --assume followers=ITEMS");
    assert!(statuses.fetches.is_unknown() && statuses.calls.is_unknown(), "{statuses:?}");
    assert_eq!(forecast.calls, Amount::at_least(1));
}

#[test]
fn a_call_without_pages_is_known_before_it_is_made() {
    let forecast = of(&spec("  - { id: me, call: me }\n"), &Basis::default());
    assert_eq!(forecast.calls, Amount::exact(1));
    assert_eq!((forecast.steps[0].basis.as_str(), forecast.time_ms), ("one call", LATENCY_MS_ASSUMED));
}

#[test]
fn items_and_pages_that_are_assumed_go_down_the_tree() {
    let forecast = of(&spec(&[FOLLOWERS, STATUSES].concat()), &assuming(&["followers=10000", "statuses.pages=3"]));
    let [followers, statuses] = forecast.steps.as_slice() else { panic!("{forecast:?}") };
    assert_eq!((followers.pages, followers.calls), (Amount::estimated(125), Amount::estimated(125)));
    assert_eq!((statuses.fetches, statuses.calls), (Amount::estimated(10_000), Amount::estimated(30_000)));
    assert_eq!(forecast.calls, Amount::estimated(30_125));
}

#[test]
fn a_total_that_the_first_page_told_makes_calls_exact() {
    let told = PageFacts { total: Some(1_050), ..facts(80) };
    let forecast = of(&spec(FOLLOWERS), &probing("followers", told));
    assert_eq!((forecast.calls, forecast.probes), (Amount::exact(14), 1));
    assert_eq!(forecast.steps[0].items, Amount::exact(1_050));
}

#[test]
fn a_first_page_that_is_the_last_makes_calls_exact() {
    let forecast = of(&spec("  - { id: all, call: statuses, with: { id: a } }\n"), &probing("all", facts(7)));
    assert_eq!((forecast.calls, forecast.steps[0].items), (Amount::exact(1), Amount::exact(7)));
}

#[test]
fn a_chain_without_a_total_needs_an_assumption() {
    let spec = spec("  - { id: all, call: statuses, with: { id: a } }\n");
    let more = PageFacts { next: Some(Next::Url("https://social.example/next".into())), ..facts(40) };
    let basis = probing("all", more);
    assert_eq!(of(&spec, &basis).calls, Amount::at_least(2));
    let basis = Basis { assumptions: Assumptions::parse(["all=400"]).unwrap(), ..basis };
    assert_eq!(of(&spec, &basis).calls, Amount::estimated(10));
}

#[test]
fn strides_of_a_list_without_a_total_each_end_on_a_blank_page() {
    let forecast = of(&spec("  - { id: found, call: search }\n"), &assuming(&["found=500"]));
    assert_eq!(forecast.calls, Amount::estimated(14));
}

#[test]
fn units_are_what_each_limit_counts() {
    let forecast = of(&spec("  - { id: found, call: search }\n"), &assuming(&["found=500"]));
    let units: Vec<_> = forecast.steps[0].units.iter().map(|(limit, units)| (limit.as_str(), units.n)).collect();
    // 14 calls; 13 of them are not the first page; 50 items each.
    assert_eq!(units, [("paging", 13), ("size", 700), ("token", 14)]);
}

#[test]
fn the_limit_that_takes_longest_binds() {
    let forecast = of(&spec(&[FOLLOWERS, STATUSES].concat()), &assuming(&["followers=10000", "statuses.pages=3"]));
    let times: Vec<_> = forecast.limits.iter().map(|limit| (limit.limit.as_str(), limit.time_ms)).collect();
    // Token: 30,125 calls are 101 windows of 300. Paging: 124 + 20,000 pages, 10 at once and then two a second.
    // A person's three pages are two windows of two.
    let (token, paging) = (100 * 300_000, (20_124 - 10) * 500);
    assert_eq!(times, [("token", Some(token)), ("paging", Some(paging)), ("person", Some(60_000))]);
    assert_eq!((forecast.time_ms, forecast.bound_by.as_str()), (token, "token"));
    let person = forecast.limits.iter().find(|limit| limit.limit == "person").unwrap();
    assert_eq!((person.units, person.budgets), (Amount::estimated(30_000), Amount::estimated(10_000)));
}

#[test]
fn pages_that_follow_from_each_other_take_their_time_one_after_the_other() {
    let spec = spec("  - { id: all, call: statuses, with: { id: a } }\n");
    let basis = Basis { latency_ms: Some(1_000), max_in_flight: Some(32), ..assuming(&["all.pages=4"]) };
    let forecast = of(&spec, &basis);
    // Of `person`, two a minute, four pages take a minute; they wait for each other for four seconds.
    assert_eq!((forecast.time_ms, forecast.bound_by.as_str()), (60_000, "person"));
    let basis = Basis { latency_ms: Some(20_000), ..basis };
    assert_eq!((of(&spec, &basis).time_ms, of(&spec, &basis).bound_by), (80_000, "latency".to_owned()));
}

#[test]
fn few_calls_at_once_take_long_too() {
    let told = PageFacts { total: Some(80 * 300), ..facts(80) };
    let basis = Basis { max_in_flight: Some(2), latency_ms: Some(1_000), ..probing("followers", told) };
    let spec = spec("  - { id: followers, call: followers }\n");
    let forecast = of(&spec, &basis);
    assert_eq!((forecast.time_ms, forecast.bound_by.as_str()), (150_000, "max_in_flight"));
}

#[test]
fn what_an_answer_said_is_left_comes_first() {
    let reading = Reading {
        limit: Some(300),
        remaining: Some(10.0),
        reset_at_ms: Some(61_000),
        reset_step_ms: 0,
        reset_is_relative: false,
        pause_until_ms: None,
        pause_is_by_clock: false,
        clock_ahead_ms: None,
        cost: None,
        ignored: 0,
    };
    let probed = Probed {
        facts: PageFacts { total: Some(80 * 20), ..facts(80) },
        readings: [("token".to_owned(), reading)].into(),
    };
    let basis = Basis { probed: [("followers".to_owned(), probed)].into(), now_ms: 1_000, ..Basis::default() };
    let forecast = of(&spec(FOLLOWERS), &basis);
    let token = forecast.limits.iter().find(|limit| limit.limit == "token").unwrap();
    assert_eq!((token.units, token.time_ms), (Amount::exact(20), Some(60_000)));
}

#[test]
fn most_pages_of_a_fetch_bound_what_is_assumed() {
    let spec = spec("  - { id: all, call: statuses, with: { id: a }, max_pages: 5 }\n");
    assert_eq!(of(&spec, &assuming(&["all=100000"])).calls, Amount::estimated(5));
}

const POOLED: &str = r#"
tidegate: 1
provider: social
base_url: https://social.example
auth: { bearer: "{{ credential.token }}" }
credential_pool: by_chain
limits:
  - { id: token, key: [credential], window: { calls: 60, per: 1h } }
  - { id: app, key: [app], window: { calls: 100, per: 1h } }
endpoints:
  list: { get: /list, items: "$[*]", pages: { offset: offset, size: { param: limit, max: 10 }, total: "$.total" } }
  chain: { get: /chain, items: "$[*]", pages: { link: next, size: { param: limit, max: 10 } } }
"#;

fn pooled(credential: &str, step: &str) -> Forecast {
    let provider = tidegate_provider::parse_provider(POOLED, "social.yaml").unwrap().file;
    let job = format!("provider: social\ncredential: {credential}\nsteps: [{{ id: all, call: {step} }}]\n");
    let spec = Spec::compile(tidegate_provider::parse_job(&job, "job.yaml").unwrap().file, provider).unwrap();
    of(&spec, &assuming(&["all=2400"]))
}

#[test]
fn each_credential_of_a_pool_has_a_budget_of_its_own() {
    let hours = |forecast: &Forecast, limit: &str| {
        let limit = forecast.limits.iter().find(|found| found.limit == limit).unwrap();
        (limit.budgets.n, limit.time_ms.unwrap() / 3_600_000)
    };
    for (credential, by_token) in [("a", (1, 3)), ("[a, b]", (2, 1)), ("[a, b, c, d]", (4, 0))] {
        let forecast = pooled(credential, "list");
        assert_eq!((forecast.calls.n, hours(&forecast, "token")), (240, by_token), "{credential}");
        assert_eq!(hours(&forecast, "app"), (1, 2), "what they share is one budget");
    }
    // A chain stays with one credential, whatever the others have left.
    assert_eq!(hours(&pooled("[a, b, c, d]", "chain"), "token"), (4, 3));
}
