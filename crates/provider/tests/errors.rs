//! What is wrong with a file is told with file, line, column, field, what was expected and what was found.

use tidegate_provider::{FileError, Spec, parse_job, parse_provider};

const HEAD: &str = "tidegate: 1\nprovider: x\nbase_url: https://x.example\n";

fn lines(errors: &[FileError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn provider_errors(text: &str) -> Vec<String> {
    match parse_provider(text, "p.yaml") {
        Ok(_) => Vec::new(),
        Err(errors) => lines(&errors),
    }
}

fn job_errors(text: &str) -> Vec<String> {
    match parse_job(text, "j.yaml") {
        Ok(_) => Vec::new(),
        Err(errors) => lines(&errors),
    }
}

/// Each text, put below a good head of three lines, has these errors.
fn check_below_head(table: &[(&str, &[&str])]) {
    for (text, expected) in table {
        assert_eq!(provider_errors(&format!("{HEAD}{text}")), *expected, "{text}");
    }
}

#[test]
fn syntax_errors_have_their_place() {
    let table: [(&str, &[&str]); 5] = [
        ("a: [1", &["p.yaml:1:4: unclosed bracket '['"]),
        ("tidegate: 1\ntidegate: 1", &["p.yaml:2:1: duplicate mapping key `tidegate` is not allowed here"]),
        ("", &["p.yaml:1:1: expected a map, found nothing"]),
        ("- 1", &["p.yaml:1:1: expected a map, found a list"]),
        ("provider: x", &["p.yaml:1:1: expected a field tidegate, found none"]),
    ];
    for (text, expected) in table {
        assert_eq!(provider_errors(text), expected, "{text}");
    }
}

#[test]
fn a_wrong_value_is_named_with_what_was_expected() {
    check_below_head(&[
        (
            "endpoints:\n  search:\n    get: /s\n    pages: { offset: o, size: { param: l, max: many } }\n",
            &["p.yaml:7:48: endpoints.search.pages.size.max: expected a whole number from 1, found \"many\""],
        ),
        (
            "timeouts: { connect: 5, total: fast }\nbody: { max_bytes: big, max_ratio: 0 }\nretry: { attempts: 0 }\n",
            &[
                "p.yaml:4:22: timeouts.connect: expected a duration such as 500ms, 30s or 1h30m, found 5",
                "p.yaml:4:32: timeouts.total: expected a duration such as 500ms, 30s or 1h30m, found \"fast\"",
                "p.yaml:5:20: body.max_bytes: expected a size such as 50MiB, or a number of bytes, found \"big\"",
                "p.yaml:5:36: body.max_ratio: expected a whole number from 1, found 0",
                "p.yaml:6:20: retry.attempts: expected a whole number from 1 to 100, found 0",
            ],
        ),
        ("description: 7\n", &["p.yaml:4:14: description: expected text, found 7 (put it in quotes)"]),
        (
            "endpoints:\n  a: { get: /, send: jsn }\n",
            &["p.yaml:5:22: endpoints.a.send: expected one of query, json, form, found \"jsn\"; did you mean json?"],
        ),
        (
            "limits:\n  - { id: a, told: {}, key: [user] }\n",
            &[
                "p.yaml:5:30: limits[0].key[0]: expected one of app, credential, tenant, egress, endpoint, method, provider and \
              param:NAME, found \"user\"",
            ],
        ),
        (
            "limits:\n  - id: a\n    window: { calls: 1, per: 5 parsecs }\n",
            &[
                "p.yaml:6:30: limits[0].window.per: \"5 parsecs\" is not a duration such as \"5m\" or \"1s500ms\": unknown \
              time unit \"parsecs\", supported units: ns, us/µs, ms, sec, min, hours, days, weeks, months, years (and few \
              variations)",
            ],
        ),
        (
            "limits:\n  - id: a\n    window: { calls: 0, per: 1m }\n",
            &["p.yaml:6:22: limits[0].window.calls: expected from 1 to 1000000000, found 0"],
        ),
        (
            "limits:\n  - { id: a, told: {}, headroom: [50, 41, 0] }\n",
            &["p.yaml:5:24: limits[0].headroom: lane headroom must be three numbers of per cent, at most 90 together"],
        ),
    ]);
}

#[test]
fn an_unknown_field_gets_the_known_ones_and_the_nearest() {
    check_below_head(&[
        (
            "endpoints:\n  search:\n    get: /s\n    pages:\n      offset: o\n      sise: { param: l, max: 3 }\n",
            &[
                "p.yaml:9:7: endpoints.search.pages.sise: unknown field; expected one of blank_page_ends, count, cursor, first, \
              has_more, in_order, link, max_pages, next, next_query, next_url, numeric, offset, overlaps, page, parallel, short_page_ends, \
              size, slices, total; did you mean size?",
            ],
        ),
        (
            "limits:\n  - id: a\n    windw: { calls: 1, per: 1m }\n",
            &[
                "p.yaml:6:5: limits[0].windw: unknown field; expected one of body, breaker, bucket, classes, concurrency, cost, \
              endpoints, headers, headroom, id, key, learn, quota, sliding, told, when, window, zone; did you mean window?",
            ],
        ),
        (
            "auth: { baerer: x }\n",
            &[
                "p.yaml:4:9: auth.baerer: unknown field; expected one of bearer, header, query, basic, oauth2; did you mean bearer?",
            ],
        ),
        (
            "endpoints:\n  a: { get: /, params: { q: { requird: true } } }\n",
            &["p.yaml:5:31: endpoints.a.params.q.requird: unknown field; expected one of default, description, \
              required; did you mean required?"],
        ),
        (
            "endpoints:\n  sea rch: { get: / }\n",
            &["p.yaml:5:3: endpoints.sea rch: expected a name matching ^[A-Za-z0-9_.-]{1,64}$"],
        ),
    ]);
}

#[test]
fn one_of_several_fields_is_asked_for() {
    check_below_head(&[
        (
            "auth: {}\n",
            &["p.yaml:4:1: auth: expected one of the fields bearer, header, query, basic, oauth2, found none"],
        ),
        (
            "endpoints:\n  a: { get: /s, post: /s }\n",
            &["p.yaml:5:3: endpoints.a: expected only one of the fields get, post"],
        ),
        (
            "endpoints: { a: {} }\n",
            &["p.yaml:4:14: endpoints.a: expected one of the fields get, head, post, put, patch, delete, found none"],
        ),
        (
            "limits:\n  - { id: a, told: {}, window: { calls: 1, per: 1m } }\n",
            &["p.yaml:5:5: limits[0]: expected only one of the fields window, told"],
        ),
        ("auth: { basic: { username: x } }\n", &["p.yaml:4:9: auth.basic: expected a field password, found none"]),
    ]);
}

#[test]
fn what_a_provider_file_means_is_checked_too() {
    check_below_head(&[
        (
            "endpoints:\n  a: { get: x }\n  b: { get: \"/{id\" }\n  c: { get: \"/a?b=1\" }\n  d: { get: /../x }\n",
            &[
                "p.yaml:5:13: endpoints.a.get: expected a path that begins with /, found \"x\"",
                "p.yaml:6:13: endpoints.b.get: expected {name}, found a brace that has no partner in \"{id\"",
                "p.yaml:7:13: endpoints.c.get: expected a path without '?'; query parameters stand under query or \
                 params, found \"/a?b=1\"",
                "p.yaml:8:13: endpoints.d.get: expected a path without . and .. segments, found \"/../x\"",
            ],
        ),
        (
            "endpoints:\n  a: { get: /, items: data.x }\n  b: { get: /, key: \"$[\" }\n",
            &[
                "p.yaml:5:23: endpoints.a.items: expected a JSONPath such as `$.data.items[*]`, found `data.x`",
                "p.yaml:6:21: endpoints.b.key: expected a JSONPath such as `$.data.items[*]`, found `$[`",
            ],
        ),
        (
            "endpoints:\n  b: { get: /, pages: { page: p } }\n",
            &["p.yaml:5:16: endpoints.b.pages.size: expected a size: { param, max }, needed with offset and page"],
        ),
        (
            "errors:\n  - { class: gone }\n  - { status: 429, class: rate_limited, scope: tokn }\n\
             endpoints: { a: { get: / } }\nlimits: [ { id: token, told: {} }, { id: other, told: {} } ]\n",
            &[
                "p.yaml:5:5: errors[0]: expected at least one of status, header, json, message and body",
                "p.yaml:6:48: errors[1].scope: unknown limit tokn; expected one of token, other; did you mean token?",
            ],
        ),
        (
            "errors: [ { message: \"(\", class: gone } ]\n",
            &["p.yaml:4:22: errors[0].message: expected a regular expression, found `(`: unclosed group"],
        ),
        (
            "limits: [ { id: told, concurrency: { calls: 2 } } ]\n",
            &[
                "p.yaml:4:17: limits[0].id: expected another id; told is the limit that headers speak of, found \"told\"",
            ],
        ),
        (
            "limits:\n  - { id: a, told: {} }\n  - { id: a, told: {} }\n",
            &["p.yaml:6:11: limits[1].id: expected another id, found \"a\" a second time"],
        ),
        (
            "limits:\n  - { id: a, told: {}, when: \"call.pgae > 1\", cost: \"item.size\", endpoints: [accounts] }\n\
             \x20 - { id: b, told: {}, key: [\"param:idd\"], when: \"params.q\" }\n\
             endpoints: { acounts: { get: \"/{id}\" } }\n",
            &[
                "p.yaml:5:30: limits[0].when: unknown call.pgae; expected one of page, endpoint, size; did you mean page?",
                "p.yaml:5:53: limits[0].cost: expected one of call, params, found item",
                "p.yaml:5:78: limits[0].endpoints[0]: unknown endpoint accounts; expected acounts",
                "p.yaml:6:30: limits[1].key[0]: unknown parameter idd; expected id",
                "p.yaml:6:50: limits[1].when: unknown parameter q; expected id",
            ],
        ),
        (
            "endpoints:\n  a: { get: /, params: [q], query: { q: x } }\n  b: { get: /, send: json }\n",
            &[
                "p.yaml:5:41: endpoints.a.query.q: expected q under query or under params, found it under both",
                "p.yaml:6:22: endpoints.b.send: expected query; GET has no body, found \"json\"",
            ],
        ),
    ]);
}

#[test]
fn templates_are_checked_before_they_are_used() {
    check_below_head(&[(
        "auth: { bearer: \"{{ credential.token\" }\n\
         headers: { X-A: \"{% if a %}\", \"X B\": y, X-C: \"{{ item.x }}\", X-D: \"{{ config.hots }}\", X-E: \"{{ 1 + }}\" }\n\
         config: { host: }\n",
        &[
            "p.yaml:4:17: auth.bearer: expected }} after {{, found text",
            "p.yaml:5:17: headers.X-A: expected an expression {{ … }}, found a statement {% … %}; for a choice write \
             {{ a if b else c }}",
            "p.yaml:5:31: headers.X B: expected the name of a header, found \"X B\"",
            "p.yaml:5:46: headers.X-C: expected one of config, credential, found item",
            "p.yaml:5:67: headers.X-D: unknown config.hots; expected host",
            "p.yaml:5:93: headers.X-E: expected an expression, found {{ 1 + }}: unexpected end of input, expected \
             expression",
        ],
    )]);
}

#[test]
fn an_address_is_checked_and_sees_no_secret() {
    for (address, error) in [
        ("\"https://{{ credential.host }}\"", "expected config, found credential"),
        ("ftp://x", "expected an http or https address, found \"ftp://x\""),
        (
            "https://u:pa55@x",
            "expected an address without a user name (authentication stands under auth), found another",
        ),
        (
            "https://x?a=1",
            "expected an address without query and fragment (parameters stand under query), found \"https://x?a=1\"",
        ),
        ("x.example", "expected an address such as https://api.example.com/v1, found \"x.example\""),
    ] {
        let text = format!("tidegate: 1\nprovider: x\nbase_url: {address}\nendpoints: {{ a: {{ get: / }} }}\n");
        assert_eq!(provider_errors(&text), [format!("p.yaml:3:11: base_url: {error}")], "{address}");
    }
    let none = "tidegate: 1\nprovider: x\nendpoints: { a: { get: / } }\n";
    assert_eq!(provider_errors(none), ["p.yaml:1:1: expected a field base_url, found none"]);
}

#[test]
fn a_secret_written_into_a_file_is_not_repeated() {
    for text in [
        "auth: s3cret\n",
        "auth: { bearer: { token: s3cret } }\n",
        "auth: { bearer: \"s3cret {{\" }\n",
        "headers: { X-Key: [s3cret] }\nquery: { key: \"s3cret{{\" }\n",
        "endpoints: { a: { get: /, headers: { X-Key: \"s3cret{%\" } } }\n",
        "headers: { X-Key: 53237 }\n",
    ] {
        let errors = provider_errors(&format!("{HEAD}{text}"));
        assert!(!errors.is_empty(), "{text}");
        assert!(!errors.iter().any(|error| error.contains("s3cret") || error.contains("53237")), "{errors:?}");
    }
}

#[test]
fn a_secret_does_not_belong_into_a_provider_file() {
    let error = "expected a template that names a credential, such as {{ credential.token }}, found none";
    for (auth, place) in [
        ("{ bearer: s3cret }", "4:17: auth.bearer"),
        ("{ header: { name: X-Key, value: s3cret } }", "4:39: auth.header.value"),
        ("{ query: { name: key, value: \"{{ config.key }}\" } }", "4:36: auth.query.value"),
        ("{ basic: { username: api, password: s3cret } }", "4:9: auth.basic"),
        (
            "{ oauth2: { token_url: 'https://t.example', send: { header: { name: X-Key, value: s3cret } } } }",
            "4:89: auth.oauth2.send.header.value",
        ),
    ] {
        let text = format!("{HEAD}auth: {auth}\nconfig: {{ key: {{ default: x }} }}\n");
        assert_eq!(provider_errors(&text), [format!("p.yaml:{place}: {error}")]);
    }
    let half = format!("{HEAD}auth: {{ basic: {{ username: \"{{{{ credential.key }}}}\", password: \"\" }} }}\n");
    assert_eq!(provider_errors(&half), Vec::<String>::new());
}

#[test]
fn yaml_means_what_it_looks_like() {
    let text = "provider: x\n\
                steps:\n\
                \x20 - &step { id: a, call: b, with: &with { no: no, yes: on, zip: 0123, date: 2026-01-01, sum: 1_000, n: 7 } }\n\
                \x20 - { <<: *step, id: c, with: { <<: *with, n: 8, on: \"7\", f: 1.50, t: true } }\n";
    let job = parse_job(text, "j.yaml").unwrap_or_else(|errors| panic!("{errors:?}")).file;
    let with = |step: usize| serde_json::to_value(&job.steps[step].with).unwrap();
    let first =
        serde_json::json!({ "date": "2026-01-01", "n": 7, "no": "no", "sum": "1_000", "yes": "on", "zip": "0123" });
    assert_eq!(with(0), first);
    let mut second = first;
    for (name, value) in [("n", 8.into()), ("on", "7".into()), ("f", 1.5.into()), ("t", true.into())] {
        second[name] = value;
    }
    assert_eq!(with(1), second);
    assert_eq!(job.steps[1].call.as_str(), "b");
    let large = "provider: x\nsteps:\n  - { id: a, call: b, with: { x: 18446744073709551615 } }\n";
    assert_eq!(
        job_errors(large),
        ["j.yaml:3:34: expected a number up to 9223372036854775807, or text in quotes, found 18446744073709551615"]
    );
}

#[test]
fn steps_stand_in_an_order_in_which_they_can_be_done() {
    let text = "provider: x\n\
                lane: bulk\n\
                steps:\n\
                \x20 - { id: a, call: b, for_each: b, on_failure: continue }\n\
                \x20 - { id: b, call: b, for_each: b }\n\
                \x20 - { id: a, call: b, for_each: q, with: { x: \"{{ item.id }\", y: \"{{ credential.token }}\" } }\n\
                \x20 - { id: d, call: b, with: { z: \"{{ item.id }}\" } }\n";
    assert_eq!(
        job_errors(text),
        [
            "j.yaml:4:33: steps[0].for_each: expected a step above this one, found b below it",
            "j.yaml:5:33: steps[1].for_each: expected another step; a step can't follow from its own items, found \"b\"",
            "j.yaml:6:11: steps[2].id: expected another id, found \"a\" a second time",
            "j.yaml:6:33: steps[2].for_each: unknown step q; expected one of a, b; did you mean a?",
            "j.yaml:6:47: steps[2].with.x: expected }} after {{, found \"{{ item.id }\"",
            "j.yaml:6:66: steps[2].with.y: expected one of item, parent, config, found credential",
            "j.yaml:7:34: steps[3].with.z: expected config in a step without for_each, found item",
        ]
    );
}

#[test]
fn a_job_has_the_shape_of_one() {
    for (text, expected) in [
        ("provider: x\nsteps: []\n", "j.yaml:2:1: steps: expected at least 1 of them, found 0"),
        ("steps: [ { id: a, call: b } ]\n", "j.yaml:1:1: expected a field provider, found none"),
        (
            "provider: x\nlane: fast\nsteps: [ { id: a, call: b } ]\n",
            "j.yaml:2:7: lane: expected one of interactive, normal, bulk, trickle, found \"fast\"",
        ),
        (
            "provider: x\nsteps: [ { id: a, call: b, with: { x: [1] } } ]\n",
            "j.yaml:2:36: steps[0].with.x: expected true or false or a number or text, found a list",
        ),
        (
            "{\n\t\"provider\": \"x\",\n\t\"steps\": [ { \"id\": \"A\", \"call\": \"b\" } ]\n}\n",
            "j.yaml:3:21: steps[0].id: expected a name of 1 to 64 of a-z, 0-9, _ and -, found \"A\"",
        ),
    ] {
        assert_eq!(job_errors(text), [expected], "{text}");
    }
}

#[test]
fn what_a_job_asks_of_its_provider_is_checked() {
    let provider = "tidegate: 1\nprovider: social\nbase_url: \"https://{{ config.host }}\"\n\
                    config: { host: { required: true }, port: }\n\
                    endpoints:\n\
                    \x20 accounts.get: { get: \"/accounts/{id}\" }\n\
                    \x20 search: { get: /search, params: { q: { required: true }, type: } }\n";
    let job = "provider: socal\n\
               config: { hots: x }\n\
               steps:\n\
               \x20 - { id: a, call: account.get }\n\
               \x20 - { id: b, call: accounts.get }\n\
               \x20 - { id: c, call: search, with: { Q: 1, type: \"{{ config.prot }}\" } }\n";
    let (provider, job) = (parse_provider(provider, "p.yaml").unwrap(), parse_job(job, "j.yaml").unwrap());
    let problems = Spec::compile(job.file.clone(), provider.file.clone()).unwrap_err();
    let (of_job, of_provider): (Vec<_>, Vec<_>) =
        problems.into_iter().partition(|problem| problem.part == tidegate_provider::Part::Job);
    assert_eq!(
        lines(&job.locate(&of_job)),
        [
            "j.yaml:1:11: provider: expected social, found socal",
            "j.yaml:2:1: config: expected a field host, found none",
            "j.yaml:2:11: config.hots: social has no config hots; expected one of host, port; did you mean host?",
            "j.yaml:4:20: steps[0].call: unknown endpoint account.get; expected one of accounts.get, search; did you \
             mean accounts.get?",
            "j.yaml:5:5: steps[1].with: accounts.get needs a parameter id, found none",
            "j.yaml:6:28: steps[2].with: search needs a parameter q, found none",
            "j.yaml:6:36: steps[2].with.Q: search has no parameter Q; expected one of q, type; did you mean q?",
            "j.yaml:6:48: steps[2].with.type: unknown config.prot; expected one of host, port; did you mean port?",
        ]
    );
    assert_eq!(lines(&provider.locate(&of_provider)), ["p.yaml:3:11: base_url: config.host is not there"]);
}

#[test]
fn files_are_bounded() {
    let bomb = (b'b'..=b'h').fold("a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, name| {
        let (name, before) = (char::from(name), char::from(name - 1));
        format!(
            "{text}{name}: &{name} [*{before},*{before},*{before},*{before},*{before},*{before},*{before},*{before}]\n"
        )
    });
    assert!(provider_errors(&bomb)[0].contains("too large or too complex"), "{:?}", provider_errors(&bomb));
    let deep = "[".repeat(2_000);
    assert_eq!(provider_errors(&deep).len(), 1);
    let large = format!("{HEAD}description: {}\n", "x".repeat(tidegate_provider::FILE_MAX_BYTES));
    assert!(provider_errors(&large)[0].starts_with("p.yaml:1:1: expected a file of at most 1048576 bytes"));
    let strange: String = (0..1_000).map(|n| format!("x{n}: 1\n")).collect();
    assert_eq!(provider_errors(&format!("{HEAD}{strange}")).len(), 100);
    let begun = std::time::Instant::now();
    let long = provider_errors(&format!("{HEAD}? {}\n: 1\nlimits: {}\n", "k".repeat(300_000), "v".repeat(300_000)));
    assert_eq!(long.len(), 2);
    assert!(long.iter().all(|error| error.len() < 500), "{}", long[1]);
    assert!(begun.elapsed().as_secs() < 5);
    let steps: String = (0..101).map(|n| format!("  - {{ id: s{n}, call: c }}\n")).collect();
    assert_eq!(
        job_errors(&format!("provider: x\nsteps:\n{steps}")),
        ["j.yaml:2:1: steps: expected at most 100 of them, found 101"]
    );
}

#[test]
fn a_job_may_hold_its_provider_and_errors_point_into_it() {
    let text = "provider:\n  tidegate: 1\n  provider: shop\n  base_url: https://shop.example\n  endpoints:\n    a.b: { get: /a, page: {} }\nsteps:\n  - { id: all, cal: a.b }\n";
    let errors = tidegate_provider::parse_job_with_provider(text, "body").unwrap_err();
    let places: Vec<_> = errors.iter().map(|error| (error.line, error.pointer.as_str())).collect();
    assert!(places.contains(&(8, "/steps/0/cal")), "{errors:?}");
    assert!(places.contains(&(6, "/provider/endpoints/a.b/page")), "{errors:?}");
    let text = text.replace(", page: {}", "").replace("cal:", "call:");
    let (job, provider) = tidegate_provider::parse_job_with_provider(&text, "body").unwrap();
    assert_eq!((job.file.provider.as_str(), provider.unwrap().file.provider.as_str()), ("shop", "shop"));
    let (job, provider) =
        tidegate_provider::parse_job_with_provider("{provider: shop, steps: [{id: a, call: b}]}", "body").unwrap();
    assert_eq!((job.file.provider.as_str(), provider.is_none()), ("shop", true));
}

#[test]
fn what_tells_what_is_new_is_checked() {
    check_below_head(&[
        (
            "endpoints:\n  a:\n    get: /a\n    items: \"$[*]\"\n    since: { from: id, as: date }\n",
            &["p.yaml:8:28: endpoints.a.since.as: expected one of number, time, text, found \"date\""],
        ),
        (
            "endpoints:\n  a:\n    get: /a\n    items: \"$[*]\"\n    since: { from: id }\n",
            &["p.yaml:8:20: endpoints.a.since.from: expected a JSONPath such as `$.data.items[*]`, found `id`"],
        ),
        (
            "endpoints:\n  a:\n    get: /a\n    query: { since_id: '1' }\n    since: { from: $.id, param: since_id }\n",
            &["p.yaml:8:33: endpoints.a.since.param: expected since_id under query or here, found it in both"],
        ),
    ]);
}
