//! Plans as a job's and provider's files make them: what waits for what, what is left out, what a message may weigh.

use serde_json::json;
use tidegate_contracts::{
    Call, CallId, Envelope, FetchEnd, FetchId, Fingerprint, JobId, Mark, Message, NewFetch, NewPages, Outcome,
    PageFacts, PagePointer, Params, Plan,
};
use tidegate_planner::{begin, plan};
use tidegate_provider::{Spec, parse_job, parse_provider};

const PROVIDER: &str = r#"
tidegate: 1
provider: x
base_url: https://x.example
config: { deep: { default: true } }
endpoints:
  list: { get: /list, items: "$[*]", key: "$.id", pages: { offset: offset, size: { param: limit, max: 10 } } }
  of: { get: "/of/{id}", items: "$[*]", key: "$.id" }
  new: { get: /new, params: [q], items: "$[*]", pages: { offset: offset, size: { param: limit, max: 10 } },
         since: { from: "$.id", stop_at_seen: true } }
"#;

fn spec(steps: &str) -> Spec {
    let provider = parse_provider(PROVIDER, "x.yaml").expect("a provider").file;
    let job = parse_job(&format!("provider: x\nsteps:\n{steps}"), "job.yaml").expect("a job").file;
    Spec::compile(job, provider).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// What is wrong with a job.
fn problems(steps: &str) -> Vec<String> {
    let provider = parse_provider(PROVIDER, "x.yaml").expect("a provider").file;
    match parse_job(&format!("provider: x\nsteps:\n{steps}"), "job.yaml") {
        Ok(job) => {
            Spec::compile(job.file, provider).err().unwrap_or_default().iter().map(ToString::to_string).collect()
        }
        Err(problems) => problems.iter().map(|problem| format!("{}: {}", problem.field, problem.message)).collect(),
    }
}

fn job() -> JobId {
    JobId::from_slice(&[7; 16]).expect("16 bytes")
}

fn call(fetch: &NewFetch, pointer: PagePointer) -> Call {
    let call = CallId::derive(fetch.fetch, &pointer);
    let root = Call::root(job(), &fetch.step, fetch.params.clone(), pointer);
    Call { fetch: fetch.fetch, call, requests: 1, ..root }
}

/// What is planned when the first page of a fetch has these items.
fn page(spec: &Spec, fetch: &NewFetch, items: &[serde_json::Value]) -> Plan {
    let facts = PageFacts {
        items: items.len() as u32,
        total: None,
        next: None,
        has_more: None,
        fingerprint: Fingerprint(1),
        repeated: false,
        took_ms: None,
        seen: 0,
        ends_seen: false,
    };
    let lines: String = items.iter().map(|item| format!("{item}\n")).collect();
    plan(spec, &Outcome::Page { call: call(fetch, PagePointer::First), facts }, lines.as_bytes())
}

fn of<'a>(plan: &'a Plan, step: &str) -> Vec<&'a NewFetch> {
    plan.fetches.iter().filter(|fetch| fetch.step == step).collect()
}

fn ids(fetches: &[&NewFetch]) -> Vec<FetchId> {
    fetches.iter().map(|fetch| fetch.fetch).collect()
}

const FOLLOWERS: &str = "- { id: followers, call: list }\n";
const STATUSES: &str = "- { id: statuses, call: of, for_each: followers, with: { id: '{{ item.id }}' } }\n";
const LIKES: &str = "- { id: likes, call: of, for_each: statuses, with: { id: '{{ item.id }}' } }\n";

#[test]
fn a_step_waits_for_the_branch_of_the_same_item() {
    let digest =
        "- { id: digest, call: of, for_each: followers, with: { id: '{{ item.id }}' }, after: [likes, statuses] }\n";
    let spec = spec(&[FOLLOWERS, digest, STATUSES, LIKES].concat());
    let followers = &begin(&spec, job()).fetches[0].clone();
    let plan = page(&spec, followers, &[json!({ "id": 1 }), json!({ "id": 2 })]);
    let (digests, statuses) = (of(&plan, "digest"), of(&plan, "statuses"));
    assert_eq!((digests.len(), statuses.len()), (2, 2));
    assert_eq!([&digests[0].after, &digests[1].after], [&ids(&statuses[..1]), &ids(&statuses[1..])]);
    assert!(statuses.iter().all(|fetch| fetch.after.is_empty()));
}

#[test]
fn without_a_common_item_a_step_waits_for_the_root_however_deep_it_stands() {
    let rest = "- { id: tags, call: list, after: [statuses] }\n- { id: report, call: list }\n- { id: trends, call: of, \
                for_each: report, with: { id: '{{ item.id }}' }, after: [likes, tags] }\n";
    let spec = spec(&[FOLLOWERS, STATUSES, LIKES, rest].concat());
    let first = begin(&spec, job());
    let root = |step: &str| of(&first, step)[0].fetch;
    assert_eq!(of(&first, "tags")[0].after, [root("followers")]);
    let plan = page(&spec, of(&first, "report")[0], &[json!({ "id": 1 })]);
    assert_eq!(plan.fetches[0].after, [root("followers"), root("tags")]);
}

#[test]
fn a_step_does_not_wait_for_what_is_not_made() {
    let steps = "- { id: statuses, call: of, for_each: followers, with: { id: '{{ item.id }}' }, when: item.active }\n\
                 - { id: digest, call: of, for_each: followers, with: { id: '{{ item.id }}' }, after: [statuses] }\n";
    let spec = spec(&format!("{FOLLOWERS}{steps}"));
    let followers = begin(&spec, job()).fetches[0].clone();
    let plan = page(&spec, &followers, &[json!({ "id": 1, "active": true }), json!({ "id": 2, "active": false })]);
    let after: Vec<usize> = of(&plan, "digest").iter().map(|fetch| fetch.after.len()).collect();
    assert_eq!((after, plan.left_out["statuses"]), (vec![1, 0], 1));
}

#[test]
fn a_step_is_done_where_its_condition_holds_and_fails_where_that_cannot_be_told() {
    let steps = "- { id: posts, call: of, for_each: followers, with: { id: '{{ item.id }}' }, when: item.posts - 1 > 0 and config.deep }\n";
    let spec = spec(&format!("{FOLLOWERS}{steps}"));
    let followers = begin(&spec, job()).fetches[0].clone();
    let items = [
        json!({ "id": 1, "posts": 5 }),
        json!({ "id": 2, "posts": 1 }),
        json!({ "id": 3 }),
        json!({ "id": 4, "posts": "many" }),
    ];
    let plan = page(&spec, &followers, &items);
    assert_eq!((plan.fetches.len(), plan.left_out["posts"]), (2, 2));
    assert_eq!(plan.fetches[0].params.get("id"), Some(&1.into()));
    let failure = plan.fetches[1].failure.as_ref().expect("it can't be told");
    assert!(failure.message.starts_with("when of step posts can't be told: "), "{}", failure.message);
    assert!(plan.fetches[1].pages.is_empty() && plan.fail_job.is_none());
}

#[test]
fn a_root_may_have_a_condition_on_config() {
    let spec = spec("- { id: a, call: list, when: not config.deep }\n- { id: b, call: list, after: [a] }\n");
    let first = begin(&spec, job());
    assert_eq!((first.fetches.len(), first.fetches[0].after.len(), first.left_out["a"]), (1, 0, 1));
}

#[test]
fn what_cannot_begin_fails_the_job_where_its_step_says_so() {
    let steps =
        "- { id: posts, call: of, for_each: followers, with: { id: '{{ item.gone }}' }, on_failure: fail_job }\n";
    let spec = spec(&format!("{FOLLOWERS}{steps}"));
    let followers = begin(&spec, job()).fetches[0].clone();
    let plan = page(&spec, &followers, &[json!({ "id": 1 })]);
    assert!(plan.fail_job.is_some_and(|reason| reason.starts_with("step posts: invalid: ")));
}

#[test]
fn what_makes_no_sense_is_refused_with_field_and_reason() {
    let root = |id: &str, more: &str| format!("- {{ id: {id}, call: list{more} }}\n");
    let below = |id: &str, parent: &str, more: &str| {
        format!("- {{ id: {id}, call: of, for_each: {parent}, with: {{ id: '{{{{ item.id }}}}' }}{more} }}\n")
    };
    let chain = |steps: usize| {
        let mut text = root("s0", "");
        for n in 1..steps {
            text.push_str(&below(&format!("s{n}"), &format!("s{}", n - 1), ""));
        }
        text
    };
    assert_eq!(problems(&chain(9)), [""; 0]);
    for (steps, expected) in [
        (chain(10), "steps[9].for_each: expected at most 8 for_each one below the other, found 9"),
        (root("a", ", after: [b]"), "steps[0].after[0]: unknown step b; expected "),
        (root("a", ", after: [a]"), "steps[0].after[0]: expected another step; a step can't wait for itself"),
        (
            root("a", "") + &below("b", "a", ", after: [a]"),
            "steps[1].after[0]: expected a step that this one does not follow from; a can't end before it",
        ),
        (
            root("a", ", after: [b]") + &below("b", "a", ""),
            "steps[0].after[0]: expected a step that does not follow from this one; b is done for its items",
        ),
        (
            root("a", ", after: [b]") + &root("b", ", after: [c]") + &root("c", ", after: [a]"),
            "steps[2].after[0]: expected steps that do not wait for each other, found a after b after c after a",
        ),
        (
            // Through branches: each waits for what is below the other.
            root("a", "") + &root("b", "") + &below("c", "a", ", after: [b]") + &below("d", "b", ", after: [c]"),
            "steps[3].after[0]: expected steps that do not wait for each other, found a after b after a",
        ),
        (
            root("a", "") + &below("b", "a", "") + &below("c", "a", "") + &below("d", "c", ", after: [b]"),
            "steps[3].after[0]: expected it at c: both follow from the same item of a, d further below; c can wait for b",
        ),
        (root("a", ", when: item.x"), "steps[0].when: expected config in a step without for_each, found item"),
        (root("a", ", when: '1 +'"), "steps[0].when: expected an expression"),
    ] {
        let found = problems(&steps);
        assert!(found.iter().any(|problem| problem.starts_with(expected)), "{expected}: {found:#?}");
    }
}

/// Bytes of a message on the bus.
fn bytes(message: Message) -> usize {
    Envelope::new(message, 1_800_000_000_000, None).encode().expect("writes").len()
}

#[test]
fn messages_do_not_grow_with_the_page_or_the_item() {
    let spec = spec(&[FOLLOWERS, STATUSES].concat());
    let followers = begin(&spec, job()).fetches[0].clone();
    let at = |offset| bytes(Message::Call(call(&followers, PagePointer::Offset { offset, size: 10 })));
    // The digits of its place are all that differs.
    assert!(at(1_000_000) - at(10) <= 6, "{} and {}", at(10), at(1_000_000));

    let slim = page(&spec, &followers, &[json!({ "id": 1 })]);
    let bio = "x".repeat(5_000_000);
    let huge = page(&spec, &followers, &[json!({ "id": 1, "bio": bio, "list": vec![7; 100_000] })]);
    assert_eq!(huge, slim);
    assert!(bytes(Message::Plan(slim)) < 2_000);
    // Of a page of a list of a million pages, too.
    let facts = PageFacts {
        items: 10,
        total: Some(10_000_000),
        next: None,
        has_more: None,
        fingerprint: Fingerprint(1),
        repeated: false,
        took_ms: None,
        seen: 0,
        ends_seen: false,
    };
    let outcome = |total| Outcome::Page {
        call: call(&followers, PagePointer::First),
        facts: PageFacts { total: Some(total), ..facts.clone() },
    };
    let planned = |total| bytes(Message::Plan(plan(&spec, &outcome(total), b"")));
    assert!(planned(10_000_000) <= planned(100) + 30, "{} and {}", planned(100), planned(10_000_000));
}

#[test]
fn a_parameter_that_is_no_primitive_or_too_long_does_not_travel() {
    let spec = spec(&[FOLLOWERS, STATUSES].concat());
    let followers = begin(&spec, job()).fetches[0].clone();
    let plan = page(&spec, &followers, &[json!({ "id": { "a": 1 } }), json!({ "id": "x".repeat(20_000) })]);
    assert!(plan.fetches.iter().all(|fetch| fetch.failure.is_some()));
    assert!(bytes(Message::Plan(plan)) < 3_000);
    assert_eq!(Params::CANONICAL_MAX_BYTES, 16_384);
}

/// What is planned after the first page of what is new since 5.
fn new_page(facts: PageFacts) -> Plan {
    let spec = spec("- { id: new, call: new }\n");
    let fetch = begin(&spec, job()).fetches.remove(0);
    let call = Call { since: Mark::read("5", None).ok(), ..call(&fetch, PagePointer::Offset { offset: 0, size: 10 }) };
    plan(&spec, &Outcome::Page { call, facts }, b"")
}

#[test]
fn a_fetch_of_what_is_new_ends_where_an_earlier_one_began_and_never_because_nothing_was_kept() {
    let ends = new_page(PageFacts { items: 4, seen: 6, ends_seen: true, total: Some(900), ..PageFacts::default() });
    assert_eq!((ends.pages, ends.fetch_end), (vec![], Some(FetchEnd::Seen)));
    // A page whose first items were seen, as pinned ones; and the next page alone, though the total is known.
    let goes_on = new_page(PageFacts { items: 0, seen: 10, total: Some(900), ..PageFacts::default() });
    assert_eq!((goes_on.pages.iter().map(NewPages::count).sum::<u64>(), goes_on.fetch_end), (1, None));
    let blank = new_page(PageFacts { total: Some(900), ..PageFacts::default() });
    assert_eq!((blank.pages.len(), blank.fetch_end), (1, None), "a blank page in the middle ends nothing");
}

#[test]
fn what_asks_for_the_same_has_one_mark_and_what_asks_for_less_has_none() {
    let mark = |steps: &str| begin(&spec(steps), job()).fetches[0].mark;
    let of = mark("- { id: new, call: new, with: { q: a } }\n");
    assert!(of.is_some());
    assert_eq!(of, mark("- { id: new, call: new, with: { q: a }, on_failure: continue }\n"));
    assert_ne!(of, mark("- { id: new, call: new, with: { q: b } }\n"));
    assert_ne!(of, mark("- { id: other, call: new, with: { q: a } }\n"));
    assert_eq!(mark("- { id: new, call: new, limit: 5 }\n"), None);
    assert_eq!(mark("- { id: new, call: list }\n"), None);
}
