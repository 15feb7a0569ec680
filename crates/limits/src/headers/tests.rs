use super::*;

/// 2023-11-14T22:13:20Z.
const NOW_MS: i64 = 1_700_000_000_000;
const NOW_S: i64 = NOW_MS / 1_000;

type Headers<'h> = &'h [(&'h str, &'h str)];

fn read_from(names: &HeaderNames, headers: Headers) -> Reading {
    let get = |name: &str| headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
    read(names, NOW_MS, &get)
}

fn names(json: &str) -> HeaderNames {
    serde_json::from_str(json).unwrap()
}

/// `reset_s` is in seconds from now, told in whole seconds.
fn reading(limit: u64, remaining: f64, reset_s: i64) -> Reading {
    Reading {
        limit: Some(limit),
        remaining: Some(remaining),
        reset_at_ms: Some(NOW_MS + reset_s * 1_000),
        reset_step_ms: 1_000,
        ..Reading::default()
    }
}

/// The same, told from now on.
fn from_now(reading: Reading) -> Reading {
    Reading { reset_is_relative: true, ..reading }
}

#[test]
fn the_usual_headers_are_read_without_being_named() {
    let epoch = (NOW_S + 900).to_string();
    let decimals = format!("{}.250", NOW_S + 2);
    let exact = |reading: Reading, ms: i64| Reading { reset_at_ms: Some(NOW_MS + ms), reset_step_ms: 0, ..reading };
    let cases: &[(&str, Headers, Reading)] = &[
        (
            "X: seconds since 1970",
            &[("x-rate-limit-limit", "450"), ("x-rate-limit-remaining", "449"), ("x-rate-limit-reset", &epoch)],
            reading(450, 449.0, 900),
        ),
        (
            "GitHub: seconds since 1970, and used beside remaining",
            &[
                ("x-ratelimit-limit", "5000"),
                ("x-ratelimit-remaining", "4987"),
                ("x-ratelimit-used", "13"),
                ("x-ratelimit-reset", &epoch),
                ("x-ratelimit-resource", "core"),
            ],
            reading(5_000, 4_987.0, 900),
        ),
        (
            "Mastodon: ISO 8601 with microseconds",
            &[
                ("X-RateLimit-Limit", "300"),
                ("X-RateLimit-Remaining", "299"),
                ("X-RateLimit-Reset", "2023-11-14T22:15:00.123456Z"),
            ],
            exact(reading(300, 299.0, 0), 100_123),
        ),
        (
            "Bluesky: the IETF's names, but seconds since 1970",
            &[
                ("RateLimit-Limit", "3000"),
                ("RateLimit-Remaining", "2999"),
                ("RateLimit-Reset", &epoch),
                ("RateLimit-Policy", "3000;w=300"),
            ],
            reading(3_000, 2_999.0, 900),
        ),
        (
            "Reddit: fractions, seconds to the end, and the limit only as a sum",
            &[("X-Ratelimit-Used", "4"), ("X-Ratelimit-Remaining", "596.0"), ("X-Ratelimit-Reset", "373")],
            from_now(reading(600, 596.0, 373)),
        ),
        (
            "Discord: seconds since 1970 with decimals",
            &[("X-RateLimit-Limit", "5"), ("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", &decimals)],
            exact(reading(5, 0.0, 0), 2_250),
        ),
        (
            "older IETF drafts, three headers",
            &[
                ("RateLimit-Limit", "100, 100;w=60, 1000;w=3600"),
                ("RateLimit-Remaining", "50"),
                ("RateLimit-Reset", "30"),
            ],
            from_now(reading(100, 50.0, 30)),
        ),
        (
            "older IETF drafts, one header",
            &[("RateLimit", "limit=100, remaining=50, reset=30")],
            from_now(reading(100, 50.0, 30)),
        ),
        (
            "IETF: the policy by its name, even with separators in it",
            &[
                ("RateLimit", r#""a,b;\"c";r=50;t=30"#),
                ("RateLimit-Policy", r#""other";q=7;w=1, "a,b;\"c";q=100;w=60;pk=:Zm9vPT0=:"#),
            ],
            from_now(reading(100, 50.0, 30)),
        ),
        (
            "IETF: the least that remains, of what counts requests",
            &[
                ("RateLimit", r#""daily";r=900;t=3600, "burst" ; r=5 ; t=10, "bytes";r=1;t=5"#),
                ("RateLimit-Policy", r#""burst";q=100;w=60,"daily";q=1000;w=86400,"bytes";q=9;qu="content-bytes""#),
            ],
            from_now(reading(100, 5.0, 10)),
        ),
        ("an HTTP date", &[("X-RateLimit-Reset", "Tue, 14 Nov 2023 22:14:20 GMT")], {
            Reading { limit: None, remaining: None, ..reading(1, 0.0, 60) }
        }),
        ("nothing", &[("Content-Type", "text/html")], Reading::default()),
    ];
    for (case, headers, expected) in cases {
        assert_eq!(read_from(&HeaderNames::standard(), headers), *expected, "{case}");
    }
}

#[test]
fn the_ietf_s_fields_tell_of_each_policy_or_of_the_one_that_is_asked_for() {
    let headers: Headers = &[
        ("RateLimit", r#""burst";r=50;t=30, "daily";r=900;t=3600, "bytes";r=1;t=5"#),
        ("RateLimit-Policy", r#""burst";q=100;w=60, "daily";q=1000;w=86400, "bytes";q=9;w=60;qu="content-bytes""#),
    ];
    let get = |name: &str| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    let burst = Said { reading: from_now(reading(100, 50.0, 30)), per_ms: Some(60_000) };
    let daily = Said { reading: from_now(reading(1_000, 900.0, 3_600)), per_ms: Some(86_400_000) };
    assert_eq!(counts(&HeaderNames::standard(), NOW_MS, &get), [burst, daily.clone()]);
    assert_eq!(counts(&names(r#"{"policy":"daily"}"#), NOW_MS, &get), [daily]);
    assert_eq!(counts(&names(r#"{"policy":"weekly"}"#), NOW_MS, &get), []);
    let of_partition: Headers = &[
        ("RateLimit", r#""p";r=5;t=9;pk=:Yg==:"#),
        ("RateLimit-Policy", r#""p";q=10;w=9;pk=:YQ==:, "p";q=20;w=9;pk=:Yg==:"#),
    ];
    assert_eq!(read_from(&HeaderNames::standard(), of_partition).limit, Some(20));
    let older: Headers = &[("RateLimit-Limit", "1000, 100;w=60, 1000;w=3600"), ("RateLimit-Remaining", "1")];
    let get = |name: &str| older.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    assert_eq!(counts(&HeaderNames::standard(), NOW_MS, &get)[0].per_ms, Some(3_600_000));
}

#[test]
fn named_headers_are_read_as_they_are_said_to_be_written() {
    let epoch_ms = (NOW_MS + 1_500).to_string();
    let cases: &[(&str, &str, Headers, Reading)] = &[
        (
            "X, the daily limit of an app",
            r#"{"limit":"x-app-limit-24hour-limit","remaining":"x-app-limit-24hour-remaining"}"#,
            &[
                ("x-app-limit-24hour-limit", "10000"),
                ("x-app-limit-24hour-remaining", "9999"),
                ("x-rate-limit-limit", "5"),
            ],
            Reading { reset_at_ms: None, reset_step_ms: 0, ..reading(10_000, 9_999.0, 0) },
        ),
        (
            "HubSpot, the daily limit",
            r#"{"limit":"X-HubSpot-RateLimit-Daily","remaining":"X-HubSpot-RateLimit-Daily-Remaining"}"#,
            &[("X-HubSpot-RateLimit-Daily", "250000"), ("X-HubSpot-RateLimit-Daily-Remaining", "249999")],
            Reading { reset_at_ms: None, reset_step_ms: 0, ..reading(250_000, 249_999.0, 0) },
        ),
        (
            "Shopify, used and limit in one",
            r#"{"used":"X-Shopify-Shop-Api-Call-Limit"}"#,
            &[("X-Shopify-Shop-Api-Call-Limit", "32/40")],
            Reading { reset_at_ms: None, reset_step_ms: 0, ..reading(40, 8.0, 0) },
        ),
        (
            "Discord, seconds to the end with decimals",
            r#"{"remaining":"X-RateLimit-Remaining","reset":"X-RateLimit-Reset-After","reset_as":"delta_s"}"#,
            &[("X-RateLimit-Remaining", "1"), ("X-RateLimit-Reset-After", "64.57")],
            Reading {
                remaining: Some(1.0),
                reset_at_ms: Some(NOW_MS + 64_570),
                reset_is_relative: true,
                ..Reading::default()
            },
        ),
        (
            "milliseconds since 1970",
            r#"{"reset":"Reset-Ms","reset_as":"epoch_ms"}"#,
            &[("Reset-Ms", &epoch_ms)],
            Reading { reset_at_ms: Some(NOW_MS + 1_500), ..Reading::default() },
        ),
        (
            "a large number of seconds from now is not a date",
            r#"{"reset_as":"delta_s"}"#,
            &[("X-RateLimit-Reset", "2000000")],
            Reading { limit: None, remaining: None, ..from_now(reading(1, 0.0, 2_000_000)) },
        ),
        (
            "what the call cost, beside the usual headers",
            r#"{"cost":"X-Request-Cost"}"#,
            &[("X-Request-Cost", "2.5"), ("X-RateLimit-Limit", "9")],
            Reading { limit: Some(9), cost: Some(3), ..Reading::default() },
        ),
        (
            "Kinto, a pause beside the usual headers",
            r#"{"pause":"Backoff"}"#,
            &[
                ("Backoff", "10"),
                ("X-RateLimit-Limit", "9"),
                ("X-RateLimit-Remaining", "9"),
                ("X-RateLimit-Reset", "1"),
            ],
            Reading { pause_until_ms: Some(NOW_MS + 10_000), ..from_now(reading(9, 9.0, 1)) },
        ),
    ];
    for (case, names_json, headers, expected) in cases {
        assert_eq!(read_from(&names(names_json), headers), *expected, "{case}");
    }
}

#[test]
fn nonsense_is_ignored_and_counted_and_the_rest_is_kept() {
    let long_past = (NOW_S - 60).to_string();
    let far = (NOW_S + 33 * 86_400).to_string();
    for (header, value) in [
        ("X-RateLimit-Limit", "0"),
        ("X-RateLimit-Limit", "-1"),
        ("X-RateLimit-Limit", "unlimited"),
        ("X-RateLimit-Limit", "1e300"),
        ("X-RateLimit-Used", "-2"),
        ("X-RateLimit-Used", ""),
        ("X-RateLimit-Reset", "NaN"),
        ("X-RateLimit-Reset", "inf"),
        ("X-RateLimit-Reset", "-5"),
        ("X-RateLimit-Reset", "1e99999"),
        ("X-RateLimit-Reset", "soon"),
        ("X-RateLimit-Reset", "2001-01-01T00:00:00Z"),
        ("X-RateLimit-Reset", &long_past),
        ("X-RateLimit-Reset", &far),
    ] {
        let told = read_from(&HeaderNames::standard(), &[("X-RateLimit-Remaining", "7"), (header, value)]);
        assert_eq!(told, Reading { remaining: Some(7.0), ignored: 1, ..Reading::default() }, "{header}: {value}");
    }
    for value in ["", "default", "\"default\"", "\"default\";r=", "limit", "\"open;r=5", "=,;=,\"\\"] {
        let told = read_from(&HeaderNames::standard(), &[("RateLimit", value)]);
        assert_eq!(told, Reading { ignored: 1, ..Reading::default() }, "RateLimit: {value}");
    }
    for cost in ["-1", "free", "1e12"] {
        let told = read_from(&names(r#"{"cost":"Cost"}"#), &[("Cost", cost)]);
        assert_eq!(told, Reading { ignored: 1, ..Reading::default() }, "{cost}");
    }
    let told = read_from(&names(r#"{"pause":"Backoff"}"#), &[("Backoff", "a while")]);
    assert_eq!(told, Reading { ignored: 1, ..Reading::default() });
}

#[test]
fn a_clock_that_is_another_is_told_by_the_date_of_the_answer() {
    // Theirs is a minute behind: what ends in twenty seconds has ended long since by ours.
    let told = read_from(
        &HeaderNames::standard(),
        &[("Date", "Tue, 14 Nov 2023 22:12:20 GMT"), ("X-RateLimit-Reset", "2023-11-14T22:12:40Z")],
    );
    assert_eq!((told.reset_at_ms, told.clock_ahead_ms, told.ignored), (Some(NOW_MS - 40_000), Some(-60_000), 0));
    let date = ("Date", "Tue, 14 Nov 2023 22:14:20 GMT");
    for (headers, why) in [
        (&[date, ("X-RateLimit-Reset", "20")][..], "told from now on"),
        (&[date, ("Age", "60"), ("X-RateLimit-Reset", "1700000100")][..], "kept on its way"),
        (&[("Date", "Mon, 13 Nov 2023 22:14:20 GMT"), ("X-RateLimit-Reset", "1700000100")][..], "a day is no clock"),
        (&[("Date", "soon"), ("X-RateLimit-Reset", "1700000100")][..], "no date"),
        (&[date][..], "no reset"),
    ] {
        assert_eq!(read_from(&HeaderNames::standard(), headers).clock_ahead_ms, None, "{why}");
    }
}

#[test]
fn what_just_passed_is_kept_since_clocks_differ() {
    let just_past = (NOW_S - 3).to_string();
    let told = read_from(&HeaderNames::standard(), &[("X-RateLimit-Reset", &just_past)]);
    assert_eq!((told.reset_at_ms, told.ignored), (Some(NOW_MS - 3_000), 0));
}

#[test]
fn retry_after_is_read_in_every_form_met() {
    let epoch = (NOW_S + 90).to_string();
    for (value, expected_ms) in [
        ("30", Some(30_000)),
        (" 2.0 ", Some(2_000)),
        ("0.25", Some(250)),
        ("0", Some(0)),
        ("Tue, 14 Nov 2023 22:14:20 GMT", Some(60_000)),
        (&epoch, Some(90_000)),
        ("-1", None),
        ("", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("99999999", None),
        ("in a minute", None),
    ] {
        let told_ms = retry_after(value, NOW_MS, &|_| None).map(|told| told.at_ms);
        assert_eq!(told_ms, expected_ms.map(|ms| NOW_MS + ms), "{value:?}");
    }
}

#[test]
fn a_time_to_come_back_at_is_by_the_provider_s_clock_where_its_date_tells_that() {
    let (ahead, behind) = ("Tue, 14 Nov 2023 22:23:20 GMT", "Tue, 14 Nov 2023 22:03:20 GMT"); // Ten minutes.
    let epoch = (NOW_S + 630).to_string();
    for (value, date, wait_ms, is_by_clock) in [
        ("30", Some(ahead), Some(30_000), false),
        (&epoch, Some(ahead), Some(30_000), false),
        ("Tue, 14 Nov 2023 22:23:50 GMT", Some(ahead), Some(30_000), false),
        // Long past by our clock.
        ("Tue, 14 Nov 2023 22:03:50 GMT", Some(behind), Some(30_000), false),
        ("Tue, 14 Nov 2023 22:03:50 GMT", None, None, false),
        (&epoch, None, Some(630_000), true),
        (&epoch, Some("Mon, 13 Nov 2023 22:13:20 GMT"), Some(630_000), true),
    ] {
        let told = retry_after(value, NOW_MS, &|name| date.filter(|_| name == "Date"));
        let expected = wait_ms.map(|ms| ComeBack { at_ms: NOW_MS + ms, is_by_clock });
        assert_eq!(told, expected, "{value:?} at {date:?}");
    }
    let paused = read_from(&names(r#"{"pause":"Backoff"}"#), &[("Backoff", &epoch)]);
    assert_eq!((paused.pause_until_ms, paused.pause_is_by_clock), (Some(NOW_MS + 630_000), true));
}

#[test]
fn header_names_refuse_unknown_fields_and_readings_survive_json() {
    assert!(serde_json::from_str::<HeaderNames>(r#"{"resets":"X"}"#).is_err());
    let told = reading(5, 2.5, 10);
    assert_eq!(serde_json::from_str::<Reading>(&serde_json::to_string(&told).unwrap()).unwrap(), told);
    assert_eq!(serde_json::from_str::<Reading>("{}").unwrap(), Reading::default());
}

proptest::proptest! {
    #[test]
    fn no_header_makes_a_reading_that_cannot_be(value in ".{0,40}", policy in ".{0,40}") {
        for name in ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Used", "X-RateLimit-Reset", "RateLimit"] {
            let told = read_from(&HeaderNames::standard(), &[(name, &value), ("RateLimit-Policy", &policy)]);
            proptest::prop_assert!(told.limit.is_none_or(|limit| limit >= 1));
            proptest::prop_assert!(told.remaining.is_none_or(|remaining| remaining >= 0.0 && remaining.is_finite()));
            let range = NOW_MS - 5_000..=NOW_MS + 32 * 86_400_000;
            proptest::prop_assert!(told.reset_at_ms.is_none_or(|reset| range.contains(&reset)));
        }
    }
}
