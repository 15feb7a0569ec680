//! What other limiters got wrong, each as a case that this one must get right.

use super::*;
use crate::headers::{self, HeaderNames};

const NOW_MS: i64 = 1_700_000_000_000;
const DAY_MS: i64 = 86_400_000;

/// What usual headers say.
fn read(sent: &[(&str, &str)]) -> Reading {
    let get = |name: &str| sent.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
    headers::read(&HeaderNames::standard(), NOW_MS, &get)
}

fn kinds(calls: u32) -> Vec<Rate> {
    let quota = |json: &str| serde_json::from_str::<Rate>(&json.replace("CALLS", &calls.to_string())).unwrap();
    vec![
        window(calls, 60_000, Aligned::FirstCall),
        window(calls, 60_000, Aligned::Epoch),
        window(calls, 60_000, Aligned::Told),
        sliding(calls, 60_000),
        quota(r#"{"quota":{"calls":CALLS,"per":"day","zone":"America/Los_Angeles"}}"#),
        bucket(calls, 1.0),
    ]
}

#[test]
fn faults_of_other_limiters_are_not_ours() {
    let cases: &[(&str, fn())] = &[
        ("of two policies that match, only the first was counted", || {
            let charges = [charge("first", &sliding(10, 60_000), 1), charge("second", &bucket(3, 0.1), 2)];
            let mut limiter = Limiter::default();
            assert!(matches!(limiter.ask(NOW_MS, &charges), Decision::Granted(_)));
            let used: Vec<u64> = limiter.usage(NOW_MS).iter().map(|usage| usage.used).collect();
            assert_eq!(used, [1, 2]);
            assert!(matches!(limiter.ask(NOW_MS, &charges), Decision::Wait { limit, .. } if limit == "second"));
        }),
        ("one limit was charged though another had no room", || {
            let charges = [charge("first", &sliding(10, 60_000), 1), charge("second", &bucket(1, 0.1), 1)];
            let mut limiter = Limiter::default();
            limiter.ask(NOW_MS, &charges);
            (0..5).for_each(|_| assert!(matches!(limiter.ask(NOW_MS, &charges), Decision::Wait { .. })));
            assert_eq!(limiter.usage(NOW_MS)[0].used, 1);
        }),
        ("seconds from now were taken for seconds since 1970", || {
            let told = read(&[("X-RateLimit-Reset", "373"), ("X-RateLimit-Remaining", "0")]);
            assert_eq!((told.reset_at_ms, told.reset_is_relative), (Some(NOW_MS + 373_000), true));
        }),
        ("an HTTP date in Retry-After was a crash", || {
            let told = |value| headers::retry_after(value, NOW_MS, &|_| None).map(|told| told.at_ms);
            assert_eq!(told("Tue, 14 Nov 2023 22:14:20 GMT"), Some(NOW_MS + 60_000));
            assert_eq!(told("Tue, 14 Nov 2023 99:14:20 GMT"), None);
        }),
        ("windows in which nobody called were saved up", || {
            for rate in kinds(5) {
                let mut limiter = Limiter::default();
                grant(&mut limiter, NOW_MS, &rate);
                assert_eq!(room(&limiter, NOW_MS + 100 * DAY_MS, &rate), 5, "{rate:?}");
            }
        }),
        ("a refusal without a reset was a wait of ten days", || {
            for rate in [kinds(5), vec![Rate::Told {}, concurrency(5, 60_000)]].concat() {
                let mut limiter = Limiter::default();
                let permit = grant(&mut limiter, NOW_MS, &rate);
                refuse(&mut limiter, NOW_MS + 100, &permit, None);
                assert_eq!(wait(&mut limiter, NOW_MS + 100, &rate), NOW_MS + 1_100, "{rate:?}");
            }
        }),
        ("nothing left until the year 1 was a wait for ever", || {
            let told = read(&[("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "0001-01-01T00:00:00Z")]);
            assert_eq!((told.remaining, told.reset_at_ms, told.ignored), (Some(0.0), None, 1));
            let (mut limiter, rate) = (Limiter::default(), window(10, 60_000, Aligned::FirstCall));
            let permit = grant(&mut limiter, NOW_MS, &rate);
            answer(&mut limiter, NOW_MS + 100, &permit, &told);
            assert_eq!(wait(&mut limiter, NOW_MS + 100, &rate), NOW_MS + 60_100);
            let (mut limiter, rate) = (Limiter::default(), Rate::Told {});
            let permit = grant(&mut limiter, NOW_MS, &rate);
            answer(&mut limiter, NOW_MS + 100, &permit, &told);
            assert!(room(&limiter, NOW_MS + 100, &rate) > 0, "nobody knows of a window");
        }),
        ("nothing left cost one unit and not the rest", || {
            for rate in kinds(10) {
                let mut limiter = Limiter::default();
                let permit = grant(&mut limiter, NOW_MS, &rate);
                answer(&mut limiter, NOW_MS, &permit, &Reading { remaining: Some(0.0), ..Reading::default() });
                assert_eq!(room(&limiter, NOW_MS, &rate), 0, "{rate:?}");
            }
        }),
        ("a header that was not there was zero", || {
            for rate in kinds(10) {
                let mut limiter = Limiter::default();
                let permit = grant(&mut limiter, NOW_MS, &rate);
                answer(&mut limiter, NOW_MS, &permit, &read(&[("Content-Type", "text/html")]));
                assert_eq!(room(&limiter, NOW_MS, &rate), 9, "{rate:?}");
            }
        }),
        ("each refusal of one burst slowed down further", || {
            let (mut limiter, rate) = (Limiter::default(), Rate::Told {});
            let burst: Vec<Permit> = (0..20).map(|_| grant(&mut limiter, NOW_MS, &rate)).collect();
            burst.iter().for_each(|permit| refuse(&mut limiter, NOW_MS + 500, permit, None));
            assert_eq!(wait(&mut limiter, NOW_MS + 500, &rate), NOW_MS + 1_500);
        }),
        ("two windows' worth went out around an edge", || {
            let (mut limiter, rate) = (Limiter::default(), sliding(10, 60_000));
            let before: Vec<Permit> = (0..10).map(|_| grant(&mut limiter, NOW_MS + 59_990, &rate)).collect();
            before.iter().for_each(|permit| answer(&mut limiter, NOW_MS + 59_990, permit, &Reading::default()));
            assert_eq!(room(&limiter, NOW_MS + 60_010, &rate), 0);
        }),
        ("an older answer made room again", || {
            for rate in kinds(10) {
                let mut limiter = Limiter::default();
                let [first, second] = [0, 0].map(|_| grant(&mut limiter, NOW_MS, &rate));
                let left = |remaining| Reading { remaining: Some(remaining), ..Reading::default() };
                answer(&mut limiter, NOW_MS + 10, &second, &left(2.0));
                answer(&mut limiter, NOW_MS + 20, &first, &left(9.0));
                assert!(room(&limiter, NOW_MS + 20, &rate) <= 2, "{rate:?}");
            }
        }),
        ("negative, endless and far away numbers were believed", || {
            for (name, value) in [
                ("X-RateLimit-Remaining", "-1"),
                ("X-RateLimit-Limit", "NaN"),
                ("X-RateLimit-Limit", "1e400"),
                ("X-RateLimit-Reset", "99999999999999999999"),
                ("RateLimit", "\"a\";r=-5;t=1"),
            ] {
                assert_eq!(read(&[(name, value)]), Reading { ignored: 1, ..Reading::default() }, "{name}: {value}");
            }
        }),
    ];
    for (fault, is_ours) in cases {
        std::panic::catch_unwind(is_ours).unwrap_or_else(|_| panic!("{fault}"));
    }
}
