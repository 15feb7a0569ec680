//! What is saved, and what is forgotten.

use super::*;

fn saved_and_restored(limiter: &Limiter) -> Limiter {
    let json = serde_json::to_string(&limiter.snapshot()).unwrap();
    Limiter::restore(serde_json::from_str(&json).unwrap())
}

#[test]
fn a_restored_limiter_decides_as_the_saved_one() {
    let rates = [
        window(5, 60_000, Aligned::FirstCall),
        window(5, 60_000, Aligned::Epoch),
        sliding(5, 60_000),
        bucket(5, 0.5),
        Rate::Told {},
    ];
    let told = Reading { limit: Some(7), remaining: Some(2.0), reset_at_ms: Some(30_000), ..Reading::default() };
    for rate in rates {
        let mut limiter = Limiter::default();
        let [told_by, refused, other] = [0, 0, 10].map(|now_ms| grant(&mut limiter, now_ms, &rate));
        answer(&mut limiter, 100, &told_by, &told);
        answer(&mut limiter, 150, &other, &Reading::default());
        refuse(&mut limiter, 200, &refused, Some(3_000));
        let restored = saved_and_restored(&limiter);
        assert_eq!(restored.usage(300), limiter.usage(300), "{rate:?}");
        for now_ms in [300, 3_000, 30_000, 90_000] {
            assert_eq!(room(&restored, now_ms, &rate), room(&limiter, now_ms, &rate), "{rate:?} at {now_ms}");
        }
    }
}

#[test]
fn calls_in_flight_stay_charged_over_a_restart_and_their_slots_are_free() {
    let (window, slots) = (window(5, 60_000, Aligned::Epoch), concurrency(5, 60_000));
    let mut limiter = Limiter::default();
    let charges = [charge("window", &window, 2), charge("slots", &slots, 2)];
    let Decision::Granted(before) = limiter.ask(0, &charges) else { panic!("nothing was charged before") };
    let mut restored = saved_and_restored(&limiter);
    let used: Vec<(String, u64)> = restored.usage(100).into_iter().map(|usage| (usage.key, usage.used)).collect();
    assert_eq!(used, [("slots".to_owned(), 0), ("window".to_owned(), 2)]);

    let Decision::Granted(after) = restored.ask(100, &charges) else { panic!("there is room") };
    assert!(after.id > before.id, "a permit from before the restart is not taken for a new one");
    report(&mut restored, 200, &before, false, None);
    assert_eq!(restored.usage(200).iter().map(|usage| usage.used).collect::<Vec<_>>(), [2, 4]);
}

#[test]
fn a_back_off_grows_on_over_a_restart() {
    let (mut limiter, rate) = (Limiter::default(), Rate::Told {});
    let permit = grant(&mut limiter, 0, &rate);
    refuse(&mut limiter, 0, &permit, None);
    let mut restored = saved_and_restored(&limiter);
    let permit = grant(&mut restored, 1_000, &rate);
    refuse(&mut restored, 1_000, &permit, None);
    assert_eq!(wait(&mut restored, 1_000, &rate), 3_000);
}

#[test]
fn budgets_are_forgotten_when_they_are_full_and_have_been_idle_for_ten_minutes() {
    let minute = 60_000;
    let mut limiter = Limiter::default();
    let keys_after = |limiter: &mut Limiter, now_ms| {
        limiter.forget_idle(now_ms);
        limiter.usage(now_ms).into_iter().map(|usage| usage.key).collect::<Vec<_>>()
    };
    let rates = [
        ("hour", window(5, 3_600_000, Aligned::FirstCall)),
        ("minute", window(5, 60_000, Aligned::Epoch)),
        ("slow bucket", bucket(5, 1.0 / 1_800.0)),
        ("slot", concurrency(5, 900_000)),
        ("told", Rate::Told {}),
    ];
    for (key, rate) in &rates {
        let Decision::Granted(permit) = limiter.ask(0, &[charge(key, rate, 1)]) else { panic!("{key}") };
        if *key == "told" {
            refuse(&mut limiter, 0, &permit, Some(20 * minute));
        }
    }
    assert_eq!(keys_after(&mut limiter, 10 * minute - 1).len(), 5);
    assert_eq!(keys_after(&mut limiter, 10 * minute), ["hour", "slot", "slow bucket", "told"]);
    assert_eq!(keys_after(&mut limiter, 15 * minute), ["hour", "slow bucket", "told"]);
    // Who waited for it until then comes back.
    assert_eq!(keys_after(&mut limiter, 20 * minute), ["hour", "slow bucket", "told"]);
    assert_eq!(keys_after(&mut limiter, 30 * minute), ["hour"]);
    assert!(keys_after(&mut limiter, 60 * minute).is_empty());
}

#[test]
fn a_refused_question_leaves_no_budget_behind() {
    let mut limiter = Limiter::default();
    let full = window(1, 60_000, Aligned::Epoch);
    limiter.ask(0, &[charge("full", &full, 1)]);
    for n in 0..100 {
        let charges = [charge(&format!("new {n}"), &full, 1), charge("full", &full, 1)];
        assert!(matches!(limiter.ask(1, &charges), Decision::Wait { .. }));
    }
    assert_eq!(limiter.usage(1).len(), 1);
}

#[test]
fn what_travels_survives_json() {
    let (mut limiter, rate) = (Limiter::default(), window(1, 60_000, Aligned::Epoch));
    let granted = ask(&mut limiter, 0, &rate);
    let waiting = ask(&mut limiter, 0, &rate);
    assert_eq!(
        serde_json::to_string(&granted).unwrap(),
        r#"{"granted":{"id":1,"keys":["limit"],"use_within_ms":7500}}"#
    );
    for decision in [granted, waiting] {
        let json = serde_json::to_string(&decision).unwrap();
        assert_eq!(serde_json::from_str::<Decision>(&json).unwrap(), decision);
    }
    let answer = Told { readings: [("limit".to_owned(), Reading::default())].into(), refused: None };
    let report = Report {
        permit: Permit::new(1, vec!["limit".to_owned()]),
        sent: true,
        answer: Some(answer),
        health: None,
        took_us: None,
    };
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}
